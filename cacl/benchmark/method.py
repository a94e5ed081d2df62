"""What every method looks like to the benchmark: a score of each pixel, and a threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cacl.benchmark.evaluation_set import Core


@dataclass(frozen=True)
class Method:
    """A way to make masks.

    Parameters
    ----------
    name
        What the table calls it.
    score
        From a core to (y, x) float32; its mask is where the score exceeds the threshold.
    threshold
        None for the best one, on the very tiles that it is judged on.
    pictured
        Whether the page shows its masks; of the best ones, that which is best on positive tiles.
    """

    name: str
    score: Callable[[Core], NDArray[np.float32]]
    threshold: float | None
    pictured: bool = True


def nothing() -> Method:
    """Return the method that never finds anything: what the paper's convention makes of that."""
    return Method("empty mask", lambda core: np.zeros(core.cell.shape, np.float32), 0.5, False)
