"""Masks from logits: hysteresis thresholds, an image gate, small objects and morphology.

A mask consists of connected components of pixels above a low threshold. A component is kept if
enough of its pixels exceed a high threshold (hysteresis as in Canny 1986, where one such pixel is
enough). Weakly stained stretches of a border are thus kept where they continue a strongly stained
one, and isolated dark spots are removed. At the edge of a core, where many antibodies stain
unspecifically, the high threshold is higher. If too little of the cell area exceeds the high
threshold, the mask is empty: labels refer to whole images, and an image that shows the class shows
more of it than single pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.errors import ConfigError
from cacl.image.cell_mask import remove_small_objects
from cacl.model.config import PostConfig

Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]
MASKED_LOGIT = np.float32(-100.0)

# Layout of `BlockMasks.pack`: bits 0 to 7 are the classes.
CELL_BIT, FIRST_VIEW_BIT, MAX_VIEWS = 8, 9, 8

MORPHOLOGY = {
    "dilation": cv2.MORPH_DILATE,
    "opening": cv2.MORPH_OPEN,
    "closing": cv2.MORPH_CLOSE,
}
OPERATIONS = ("none", *MORPHOLOGY)


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Thresholds of one class, chosen from image-level labels; see `thresholds`.

    Parameters
    ----------
    low
        Logit that every pixel of a mask exceeds.
    high
        Logit that enough pixels of each component exceed, see `PostConfig.min_core_fraction`; at
        least `low`.
    edge_high
        Replaces `high` at the edge of a core; at least `high`.
    min_area_fraction
        Smallest fraction of the cell area, 0 to 1, above `high` in an image with a mask; 0 for no
        image gate.
    """

    low: float
    high: float
    edge_high: float
    min_area_fraction: float


@dataclass(frozen=True)
class Morphology:
    """A binary morphological operation with a disc.

    Parameters
    ----------
    operation
        `none`, `dilation`, `opening` or `closing`.
    radius_px
        Radius of the disc, analysis px; at least 0. A radius of 0 changes nothing.

    Raises
    ------
    ConfigError
        The operation is unknown or the radius negative.
    """

    operation: str = "none"
    radius_px: int = 0

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise ConfigError(
                f"segment.morphology must be one of {', '.join(OPERATIONS)}, got {self.operation!r}"
            )
        if self.radius_px < 0:
            raise ConfigError(f"segment.radius_px must be at least 0, got {self.radius_px}")

    def apply(self, mask: Bool) -> Bool:
        """Return the mask (y, x) after the operation."""
        if self.operation == "none" or self.radius_px == 0:
            return mask
        size = 2 * self.radius_px + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        changed = cv2.morphologyEx(mask.astype(np.uint8), MORPHOLOGY[self.operation], disc)
        result: Bool = changed > 0
        return result


@dataclass(frozen=True, eq=False)
class BlockMasks:
    """Masks of one block of an image.

    Parameters
    ----------
    cell
        (y, x) cell mask.
    classes
        Mask (y, x) of each class, at most 8.
    views
        Mask (y, x) of the first class by each view, at most `MAX_VIEWS`; see `ViewAgreement`.
    """

    cell: Bool
    classes: tuple[Bool, ...]
    views: tuple[Bool, ...]

    def pack(self) -> NDArray[np.uint32]:
        """Return all masks as the bits of one array (y, x), which dask trims and caches at once."""
        packed = self.cell.astype(np.uint32) << np.uint32(CELL_BIT)
        for class_index, mask in enumerate(self.classes):
            packed |= mask.astype(np.uint32) << class_index
        for view, mask in enumerate(self.views):
            packed |= mask.astype(np.uint32) << (FIRST_VIEW_BIT + view)
        return packed


def mask_logits(logits: Float32, candidate: Bool, post: PostConfig) -> Float32:
    """Return the logits, with `MASKED_LOGIT` where no mask is allowed.

    Parameters
    ----------
    logits
        (..., y, x) of one class.
    candidate
        Where a cell may show the class; see `candidate_mask`.
    post
        Without the stain prior (`paper`), a mask is allowed everywhere.
    """
    if not post.use_stain_prior:
        return logits
    return np.where(candidate, logits, MASKED_LOGIT)


def can_have_mask(candidate: Bool, interior: Bool, cell_px: int, thresholds: Thresholds) -> bool:
    """Return whether some logits give a mask; see `block_mask`.

    Parameters
    ----------
    candidate
        (y, x) bool: pixels where a mask is allowed.
    interior, cell_px, thresholds
        See `block_mask`.
    """
    interior_px = int((candidate & interior).sum())
    return bool(candidate.any()) and interior_px >= thresholds.min_area_fraction * cell_px


def block_mask(
    logits: Float32, interior: Bool, cell_px: int, thresholds: Thresholds, post: PostConfig
) -> Bool:
    """Return the mask (y, x) of a core or of a block of a slide.

    The mask is empty if the area above the high threshold, without the edge of the core, is too
    small; see `Thresholds.min_area_fraction`.

    Parameters
    ----------
    logits
        (y, x) from `mask_logits`.
    interior
        (y, x) bool: False at the edge of a core.
    cell_px
        Cell area of the block, px.
    thresholds, post
        Settings of the class, and of the model.
    """
    high_px = (interior & (logits > thresholds.high)).sum()
    if high_px < thresholds.min_area_fraction * cell_px:
        return np.zeros(logits.shape, bool)
    below_edge_high = ~interior & (logits <= thresholds.edge_high)
    capped = np.minimum(logits, np.float32(thresholds.high))
    return hysteresis_mask(np.where(below_edge_high, capped, logits), thresholds, post)


def hysteresis_mask(logits: Float32, thresholds: Thresholds, post: PostConfig) -> Bool:
    """Return the mask (y, x) of logits by hysteresis, without small objects or an image gate."""
    above_low: Any = logits > min(thresholds.low, thresholds.high)
    n_labels, labelled = cv2.connectedComponents(above_low.astype(np.uint8), connectivity=4)
    component = np.asarray(labelled, np.int32)
    size_px = np.bincount(component.ravel(), minlength=n_labels)
    core_px = np.bincount(component[logits > thresholds.high], minlength=len(size_px))
    kept = (core_px > 0) & (core_px >= _min_core_px(size_px, post))
    kept[0] = False
    mask: Bool = kept[component]
    if post.min_object_px is None:
        return mask
    return remove_small_objects(mask, post.min_object_px)


def _min_core_px(size_px: NDArray[Any], post: PostConfig) -> NDArray[Any]:
    """Return how many pixels above the high threshold components of a size (n,) px need."""
    min_px = (post.min_core_fraction or 0.0) * size_px
    return min_px if post.min_core_px is None else np.minimum(min_px, post.min_core_px)
