"""How well the views of an image agree on its stain: the confidence of its mask.

A view is one model's look at one symmetry of the image. Each gives a mask of the first class by
itself, at the same thresholds.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

CELL_BIT, FIRST_VIEW_BIT, MOST_VIEWS = 8, 9, 8


@dataclass(eq=False)
class ViewAgreement:
    """Counts of pixels over the blocks of one image.

    Parameters
    ----------
    views
        How many there are.
    """

    views: int
    cell: int = 0
    stained: NDArray[np.int64] = field(init=False)
    confirmed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.stained = np.zeros(self.views, np.int64)

    def take(self, bits: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Count a block, and return it.

        Parameters
        ----------
        bits
            (y, x): bit 8 is set in cells, and from bit 9 on one bit for each view that takes the
            pixel for stained.
        """
        classes = np.arange(1 << (1 + self.views))
        area = np.bincount((bits >> CELL_BIT).ravel(), minlength=len(classes))
        votes = np.stack([classes >> (1 + view) & 1 for view in range(self.views)])
        number = votes.sum(0)
        with self.lock:
            self.cell += int(area[classes & 1 > 0].sum())
            self.stained += votes @ area
            self.confirmed += int(number * (number - 1) @ area)
        return bits

    @property
    def confidence(self) -> float | None:
        """Dice of two views' masks, over all pairs of views; None where no view sees stain.

        That is how likely another view confirms a pixel that one view takes for stained.
        """
        total = int(self.stained.sum())
        if not total or self.views < 2:
            return None
        return self.confirmed / ((self.views - 1) * total)

    @property
    def ratio_sd(self) -> float | None:
        """Standard deviation over the views of stained area / cell area; None without cells."""
        if not self.cell or self.views < 2:
            return None
        return float(np.std(self.stained / self.cell, ddof=1))

    def facts(self) -> dict[str, float | None]:
        """Return both numbers by name."""
        return {"confidence": self.confidence, "ratio_sd": self.ratio_sd}
