"""Quality control of an image, and the size of its core.

Pure functions on the rows of tiles that `cacl.image.tile_stats.compute_row_stats` describes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from cacl.image import tissue_folds
from cacl.image.tile_grid import TileGrid
from cacl.image.tile_stats import BLOCKS_PER_TILE, Float64, Int64, TileRowStats

# Sharp HPA cores have 2.0 to 3.5, the same cores blurred by a sigma of 2 px 0.01 to 0.07.
MIN_SHARPNESS = 0.05
MIN_TISSUE_TILES = 4
MAX_SATURATED_FRACTION = 0.01
# Twice that of the worst fitting of five real cores, which have 0.07 to 0.10; images stained with
# haematoxylin and eosin have 0.25 or more (`benchmarks/results/stain_vectors.md`).
MAX_RESIDUAL_FRACTION = 0.2
MIN_DIAMETER_FRACTION = 0.6
MAX_ASPECT_RATIO = 1.1
CORE_UM_FACTORS = (0.7, 1.3)

# Chosen on five real cores, four of them oval or torn: four touch their circle as required.
DIRECTIONS = 180
MIN_TOUCHING_FRACTION = 0.6
MAX_RELATIVE_RESIDUAL = 0.05
FIT_ITERATIONS = 40


class Flag(StrEnum):
    """A reason to check an image before its numbers are used; see `quality_flags`."""

    BLUR = "blur"
    FOLD = "fold"
    LITTLE_TISSUE = "little tissue"
    SATURATED = "saturated"
    STAIN_VECTORS = "stain vectors"
    UNUSUAL_SIZE = "unusual core size"


@dataclass(frozen=True)
class PixelSize:
    """Side of an analysis pixel in um, and its source; None and empty if unknown."""

    mpp: float | None
    source: str


def quality_flags(
    rows: Sequence[TileRowStats],
    grid: TileGrid,
    mpp: float | None = None,
    core_um: float | None = None,
) -> list[Flag]:
    """Return the quality flags of an image, in the order of `Flag`.

    Parameters
    ----------
    rows
        Every row of tiles, from the top.
    grid
        The image's tiles.
    mpp
        Side of an analysis pixel in um, if the image file or the catalog states it.
    core_um
        Diameter of the core of a tissue microarray that the image shows; None for other images,
        whose size is not judged.

    Returns
    -------
    blur
        Variance of the Laplacian of brightness, over the variance of brightness, is below
        `MIN_SHARPNESS` in the cell area. The division makes pale and dark cores comparable.
    fold
        More than `tissue_folds.MAX_FOLD_FRACTION` of the tissue is folded, see
        `tissue_folds.fold_fraction`. Folded tissue still counts in the areas: it has cells, and
        the same fraction of it is stained. It is darker, so that its DAB area and H-score are too
        high.
    little tissue
        Less cell area than `MIN_TISSUE_TILES` full tiles.
    saturated
        More than `MAX_SATURATED_FRACTION` of the cell area has a channel at
        `tile_stats.SATURATED_LEVEL` or below, where the density cannot be measured.
    stain vectors
        The root mean square of the residual's optical density exceeds `MAX_RESIDUAL_FRACTION` of
        that of all density, over the cell area; see `residual_fraction`. The colours are not
        mixtures of the two stains: another stain, or another white balance.
    unusual core size
        The diameter of the circle with the area of the tissue's convex hull is less than
        `MIN_DIAMETER_FRACTION` of the image's shorter side, or the image's aspect ratio exceeds
        `MAX_ASPECT_RATIO`: a whole slide, a fragment, or several cores. A 1 mm core spans 0.7 to
        0.97 of an HPA image. If `mpp` is given, also a round core whose diameter in um lies outside
        `CORE_UM_FACTORS` times `core_um`. Judged only if `core_um` is given.
    """
    sums = np.sum([row.brightness_sums for row in rows], axis=0)
    cell_per_block = np.concatenate([row.cell_per_block for row in rows])
    maps = (
        np.concatenate([getattr(row, name) for row in rows])
        for name in ("cell_map", "hematoxylin_map", "dab_map")
    )
    cell_px, saturated_px = sums[:2]
    is_set = {
        Flag.BLUR: cell_px > 0 and sharpness(sums) < MIN_SHARPNESS,
        Flag.FOLD: tissue_folds.fold_fraction(*maps) > tissue_folds.MAX_FOLD_FRACTION,
        Flag.LITTLE_TISSUE: cell_px < MIN_TISSUE_TILES * grid.tile_px**2,
        Flag.SATURATED: saturated_px > MAX_SATURATED_FRACTION * cell_px,
        Flag.STAIN_VECTORS: residual_fraction(rows) > MAX_RESIDUAL_FRACTION,
        Flag.UNUSUAL_SIZE: core_um is not None
        and (_unusual_extent(cell_per_block, grid) or _unusual_diameter(rows, mpp, core_um)),
    }
    return [flag for flag in Flag if is_set[flag]]


def sharpness(brightness_sums: Float64) -> float:
    """Return variance of the Laplacian over variance of brightness; 0 for a flat image."""
    pixels, _, total, total_squared, laplacian, laplacian_squared = brightness_sums
    variance = total_squared / pixels - (total / pixels) ** 2
    laplacian_variance = laplacian_squared / pixels - (laplacian / pixels) ** 2
    return float(laplacian_variance / variance) if variance > 0 else 0.0


def residual_fraction(rows: Sequence[TileRowStats]) -> float:
    """Return how much of an image's optical density the two stains do not explain, 0 to 1.

    It is the root mean square of the residual's density over the root mean square of the norm of
    the densities of R, G and B, over the cell area; 0 without density.
    """
    residual, total = np.sum([row.residual_sums for row in rows], axis=0)
    return float(np.sqrt(residual / total)) if total > 0 else 0.0


def core_diameter(rows: Sequence[TileRowStats]) -> float | None:
    """Return the diameter of a core in analysis pixels from all its rows of tiles, from the top.

    See `fitted_diameter`.
    """
    return fitted_diameter(np.concatenate([row.row_extent for row in rows]))


def fitted_diameter(extents: Int64) -> float | None:
    """Return the diameter of the circle through a core's edge, in analysis pixels.

    Parameters
    ----------
    extents
        (y, 2) of `tile_stats.row_extent`.

    Returns
    -------
    The diameter; None if the cell area is not round, that is if fewer than `MIN_TOUCHING_FRACTION`
    of the directions touch the circle within `MAX_RELATIVE_RESIDUAL` of its radius.

    Notes
    -----
    The support function of a disc in direction `u` is `centre . u + radius`, linear in all three
    unknowns. It is fitted to that of the cell area's convex hull with least absolute deviations
    (iteratively reweighted least squares; Schlossmacher, J Am Stat Assoc 1973), which are robust
    to missing pieces and to debris beside the core.
    """
    y = np.flatnonzero(extents[:, 0] >= 0)
    if y.size < 2:
        return None
    ends = np.concatenate([np.stack([extents[y, 0], y]), np.stack([extents[y, 1] + 1, y])], axis=1)
    corners = np.concatenate([ends, ends + np.array([[0], [1]])], axis=1)
    hull = cv2.convexHull(corners.T.astype(np.int32))[:, 0].T.astype(np.float64)
    angle = np.linspace(0.0, 2.0 * np.pi, DIRECTIONS, endpoint=False)
    design = np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], axis=1)
    support = (design[:, :2] @ hull).max(axis=1)
    weight = np.ones_like(support)
    circle = np.zeros(3)
    for _ in range(FIT_ITERATIONS):
        circle = np.linalg.lstsq(design * weight[:, None], support * weight, rcond=None)[0]
        residual = np.abs(support - design @ circle)
        weight = 1.0 / np.sqrt(np.maximum(residual, 1e-3 * abs(circle[2]) + 1e-9))
    radius = circle[2]
    touching = float((residual < MAX_RELATIVE_RESIDUAL * radius).mean())
    return float(2.0 * radius) if touching >= MIN_TOUCHING_FRACTION else None


def pixel_size(
    stated_mpp: float | None,
    diameter_px: float | None,
    core_um: float | None,
    default_mpp: float | None = None,
) -> PixelSize:
    """Return the size of an analysis pixel: as stated, from the core's diameter, or the default.

    Parameters
    ----------
    stated_mpp
        Size in um/px according to the image file or the catalog.
    diameter_px
        The core's diameter in analysis pixels; None if the tissue is not round.
    core_um
        Diameter of the punch. `core_um` / diameter estimates um/px. Relative errors of the punch,
        of shrinkage and of the fit count twice in areas in um2. None if the image shows no core.
    default_mpp
        Size in um/px of the HPA's images; None for other images.
    """
    if stated_mpp:
        return PixelSize(stated_mpp, "given")
    if diameter_px and core_um:
        return PixelSize(core_um / diameter_px, "core diameter")
    if default_mpp:
        return PixelSize(default_mpp, "HPA default")
    return PixelSize(None, "")


def _unusual_diameter(rows: Sequence[TileRowStats], mpp: float | None, core_um: float) -> bool:
    diameter = core_diameter(rows) if mpp else None
    if diameter is None or mpp is None:
        return False
    low, high = (factor * core_um for factor in CORE_UM_FACTORS)
    return not low <= diameter * mpp <= high


def _unusual_extent(cell_per_block: Float64, grid: TileGrid) -> bool:
    sides = (grid.source_height, grid.source_width)
    if max(sides) > MAX_ASPECT_RATIO * min(sides):
        return True
    rows, columns = np.nonzero(cell_per_block > cell_per_block.max(initial=0.0) / 2)
    if rows.size == 0:
        return False
    blocks: Int64 = np.stack([columns, rows], axis=1)
    corners = np.concatenate([blocks + offset for offset in ((0, 0), (0, 1), (1, 0), (1, 1))])
    area = cv2.contourArea(cv2.convexHull(corners.astype(np.int32)))
    diameter = 2.0 * np.sqrt(area / np.pi)
    side = min(sides) / grid.source_px * min(BLOCKS_PER_TILE, grid.tile_px)
    return bool(diameter < MIN_DIAMETER_FRACTION * side)
