"""Uncertainty of a mask: how well the views of an image agree.

A view is the prediction of one model on one flip or rotation of the image. Each view gives its own
mask of the first class, at the same thresholds.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cacl.model.inference.masks import CELL_BIT


@dataclass(eq=False)
class ViewAgreement:
    """Pixel counts of the views of one image, summed over its blocks.

    Parameters
    ----------
    n_views
        Number of views.
    """

    n_views: int
    cell_px: int = 0
    positive_px: NDArray[np.int64] = field(init=False)
    confirmed_px: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.positive_px = np.zeros(self.n_views, np.int64)

    def count(self, packed: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Count the pixels of a block, and return the block unchanged.

        Parameters
        ----------
        packed
            (y, x) from `BlockMasks.pack`.
        """
        patterns = np.arange(1 << (1 + self.n_views))  # bit 0: cell, bit 1 + v: mask of view v
        area = np.bincount((packed >> CELL_BIT).ravel(), minlength=len(patterns))
        positive = np.stack([patterns >> (1 + view) & 1 for view in range(self.n_views)])
        n_positive = positive.sum(0)
        with self.lock:
            self.cell_px += int(area[patterns & 1 > 0].sum())
            self.positive_px += positive @ area
            self.confirmed_px += int(n_positive * (n_positive - 1) @ area)
        return packed

    @property
    def confidence(self) -> float | None:
        """Dice of the masks of two views, over all pairs of views; None if all masks are empty.

        It is the probability that another view confirms a pixel of the mask of one view.
        """
        total = int(self.positive_px.sum())
        if not total or self.n_views < 2:
            return None
        return self.confirmed_px / ((self.n_views - 1) * total)

    @property
    def ratio_sd(self) -> float | None:
        """Standard deviation over the views of mask area / cell area; None without cells."""
        if not self.cell_px or self.n_views < 2:
            return None
        return float(np.std(self.positive_px / self.cell_px, ddof=1))

    def attributes(self) -> dict[str, float | None]:
        """Return confidence and standard deviation of the ratio by name, for the label."""
        return {"confidence": self.confidence, "ratio_sd": self.ratio_sd}
