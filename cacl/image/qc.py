"""What is suspicious about an image, and how large its core is.

Pure functions on the sums that `cacl.image.tile_stats.compute_row_stats` makes of an image.
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

# Sharp cores of the atlas have 2.0 to 3.5, the same cores blurred by a sigma of 2 px 0.01 to 0.07.
MIN_SHARPNESS = 0.05
MIN_TISSUE_TILES = 4
MAX_BLACK_SHARE = 0.01
MIN_DIAMETER_SHARE = 0.6
MAX_ASPECT = 1.1
CORE_UM = 1000.0
CORE_UM_RANGE = (700.0, 1300.0)

# Of five real cores, four of them oval or torn, four touch their circle like this.
DIRECTIONS = 180
MIN_TOUCHING = 0.6
MAX_MISFIT = 0.05
FIT_ROUNDS = 40


class Flag(StrEnum):
    """A reason to look at an image before its numbers are used; see `quality`."""

    BLUR = "blur"
    FOLD = "fold"
    LITTLE_TISSUE = "little tissue"
    SATURATED = "saturated"
    UNUSUAL_SIZE = "unusual core size"


@dataclass(frozen=True)
class Scale:
    """Size of an analysis pixel in um, and where it comes from; None and empty if unknown."""

    mpp: float | None
    source: str


def quality(bands: Sequence[TileRowStats], grid: TileGrid, mpp: float | None = None) -> list[Flag]:
    """Return what is suspicious about an image, in the order of `Flag`.

    Parameters
    ----------
    bands
        Every row of tiles, from the top.
    grid
        The image's tiles.
    mpp
        Size of an analysis pixel in um, if the image's file gives it.

    Returns
    -------
    blur
        Variance of the Laplacian of brightness, over the variance of brightness, is below
        `MIN_SHARPNESS` in the cell area. Dividing keeps pale cores from looking blurred.
    fold
        More than `folds.MAX_SHARE` of the tissue lies in two layers or more, see
        `folds.fold_share`. Folded tissue stays in the areas: it holds cells, and is stained or not
        like the rest, but is darker, so that its DAB area and H-score are too high.
    little tissue
        Less cell area than `MIN_TISSUE_TILES` full tiles.
    saturated
        More than `MAX_BLACK_SHARE` of the cell area has a channel at `BLACK_LEVEL` or below, where
        density can no longer be told.
    unusual core size
        The hull of the tissue, as a circle of equal area, is narrower than `MIN_DIAMETER_SHARE` of
        the image's shorter side, or the image is no square within `MAX_ASPECT`: a whole slide, a
        fragment, or several cores. A 1 mm core spans 0.7 to 0.97 of an image of the atlas. Where
        the file gives the size of its pixels, a round core outside `CORE_UM_RANGE` as well.
    """
    moments = np.sum([band.moments for band in bands], axis=0)
    cell = np.concatenate([band.block_cell for band in bands])
    fine = (
        np.concatenate([getattr(band, name) for band in bands])
        for name in ("fine_cell", "fine_hematoxylin", "fine_dab")
    )
    pixels, black = moments[:2]
    found = {
        Flag.BLUR: pixels > 0 and sharpness(moments) < MIN_SHARPNESS,
        Flag.FOLD: tissue_folds.fold_share(*fine) > tissue_folds.MAX_SHARE,
        Flag.LITTLE_TISSUE: pixels < MIN_TISSUE_TILES * grid.tile_px**2,
        Flag.SATURATED: black > MAX_BLACK_SHARE * pixels,
        Flag.UNUSUAL_SIZE: _unusual_size(cell, grid) or _unusual_diameter(bands, mpp),
    }
    return [flag for flag, is_set in found.items() if is_set]


def sharpness(moments: Float64) -> float:
    """Return variance of the Laplacian over variance of brightness; 0 for a flat image."""
    pixels, _, light, light_squared, curvature, curvature_squared = moments
    variance = light_squared / pixels - (light / pixels) ** 2
    detail = curvature_squared / pixels - (curvature / pixels) ** 2
    return float(detail / variance) if variance > 0 else 0.0


def core_diameter(bands: Sequence[TileRowStats]) -> float | None:
    """Return the diameter of the circle that a core's rim lies on, in analysis pixels.

    Parameters
    ----------
    bands
        Every row of tiles, from the top.

    Returns
    -------
    The diameter; None if the cell area has no round rim: if fewer than `MIN_TOUCHING` of the
    directions around it touch the circle within `MAX_MISFIT` of its radius.

    Notes
    -----
    How far a convex body reaches in direction `u` is `centre . u + radius` for a disc: linear in
    all three unknowns. They are fitted with least absolute deviations (iteratively reweighted
    least squares; Schlossmacher, J Am Stat Assoc 1973), which pieces torn out or debris beside
    the core do not pull.
    """
    extents = np.concatenate([band.extent for band in bands])
    rows = np.flatnonzero(extents[:, 0] >= 0)
    if rows.size < 2:
        return None
    points = np.concatenate(
        [np.stack([extents[rows, 0], rows]), np.stack([extents[rows, 1] + 1, rows])], axis=1
    )
    corners = np.concatenate([points, points + np.array([[0], [1]])], axis=1)
    hull = cv2.convexHull(corners.T.astype(np.int32))[:, 0].T.astype(np.float64)
    turn = np.linspace(0.0, 2.0 * np.pi, DIRECTIONS, endpoint=False)
    design = np.stack([np.cos(turn), np.sin(turn), np.ones_like(turn)], axis=1)
    reach = (design[:, :2] @ hull).max(axis=1)
    weight = np.ones_like(reach)
    fit = np.zeros(3)
    for _ in range(FIT_ROUNDS):
        fit = np.linalg.lstsq(design * weight[:, None], reach * weight, rcond=None)[0]
        off = np.abs(reach - design @ fit)
        weight = 1.0 / np.sqrt(np.maximum(off, 1e-3 * abs(fit[2]) + 1e-9))
    touching = float((off < MAX_MISFIT * fit[2]).mean())
    return float(2.0 * fit[2]) if touching >= MIN_TOUCHING else None


def pixel_size_of(given_mpp: float | None, diameter_px: float | None) -> Scale:
    """Return the size of an analysis pixel: as the file gives it, else from the core's diameter.

    Parameters
    ----------
    given_mpp
        What the file or the catalog says, in um/px.
    diameter_px
        The core's diameter in analysis pixels. The atlas's cores are punched with a diameter of
        1 mm (Kampf et al., J Vis Exp 2012), so that 1 mm / diameter estimates um/px; areas in um2
        from it share the error of the punch, of shrinkage and of the fit, twice.
    """
    if given_mpp:
        return Scale(given_mpp, "given")
    if diameter_px:
        return Scale(CORE_UM / diameter_px, "core diameter")
    return Scale(None, "")


def _unusual_diameter(bands: Sequence[TileRowStats], mpp: float | None) -> bool:
    diameter = core_diameter(bands) if mpp else None
    if diameter is None or mpp is None:
        return False
    return not CORE_UM_RANGE[0] <= diameter * mpp <= CORE_UM_RANGE[1]


def _unusual_size(cell: Float64, grid: TileGrid) -> bool:
    sides = (grid.source_height, grid.source_width)
    if max(sides) > MAX_ASPECT * min(sides):
        return True
    rows, columns = np.nonzero(cell > cell.max(initial=0.0) / 2)
    if rows.size == 0:
        return False
    points: Int64 = np.stack([columns, rows], axis=1)
    corners = np.concatenate([points + step for step in ((0, 0), (0, 1), (1, 0), (1, 1))])
    area = cv2.contourArea(cv2.convexHull(corners.astype(np.int32)))
    diameter = 2.0 * np.sqrt(area / np.pi)
    side = min(sides) / grid.source_px * min(BLOCKS_PER_TILE, grid.tile_px)
    return bool(diameter < MIN_DIAMETER_SHARE * side)
