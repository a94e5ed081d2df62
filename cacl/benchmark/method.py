"""The interface of a method: a score per pixel, and a threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cacl.benchmark.evaluation_set import EvaluationImage


@dataclass(frozen=True)
class Method:
    """A segmentation method.

    Parameters
    ----------
    name
        Name in the table.
    score
        Returns the scores (y, x) float32 of an image; the mask is where the score exceeds the
        threshold.
    threshold
        None for the oracle threshold: the best one on the tiles of the evaluation itself.
    in_gallery
        Whether the page shows the masks; at an oracle threshold, those of the threshold that is
        best on positive tiles.
    """

    name: str
    score: Callable[[EvaluationImage], NDArray[np.float32]]
    threshold: float | None
    in_gallery: bool = True


def empty_mask() -> Method:
    """Return the method whose masks are empty: the baseline of the paper's convention."""
    return Method(
        "empty mask", lambda image: np.zeros(image.cell.shape, np.float32), 0.5, in_gallery=False
    )
