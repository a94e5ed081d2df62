"""What is measured in one image: areas, ratio with interval, border share, quality flags.

Pure functions on arrays. Areas are in analysis pixels. An image is read as bands, one row of tiles
each, so that a whole slide needs no more memory than a core.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl import stain
from cacl.grid import TileGrid

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

BOOTSTRAP_DRAWS = 1000
CONFIDENCE = 0.95
MAX_DRAWN_AT_ONCE = 4_000_000
BLOCKS_PER_TILE = 8
WORD_SEPARATOR = "; "

# Sharp cores of the atlas have 2.0 to 3.5, the same cores blurred by a sigma of 2 px 0.01 to 0.07.
MIN_SHARPNESS = 0.05
# Cores without a fold reach a share of 0.015, of nuclei and pigment.
FOLD_FACTOR = 1.8
MAX_FOLD_SHARE = 0.02
MIN_TISSUE_TILES = 4
BLACK_LEVEL = 2
MAX_BLACK_SHARE = 0.01
MIN_DIAMETER_SHARE = 0.6
MAX_ASPECT = 1.1


class Flag(StrEnum):
    """A reason to look at an image before its numbers are used; see `quality`."""

    BLUR = "blur"
    FOLD = "fold"
    LITTLE_TISSUE = "little tissue"
    SATURATED = "saturated"
    UNUSUAL_SIZE = "unusual core size"


@dataclass(frozen=True)
class Band:
    """What one row of tiles holds.

    Parameters
    ----------
    cell, stained, dab, both
        Areas per tile, int64 (cols,), in analysis pixels: cell area; CaCL mask, DAB-positive, and
        both, each inside the cell area.
    block_cell
        Cell area per block, (8, cols * 8); a block is an eighth of a tile's side.
    block_density, block_hematoxylin
        Optical density and haematoxylin, each summed over the cell area of a block.
    moments
        Of the cell area: pixels, black pixels, and sums of brightness, its square, Laplacian, its
        square.
    """

    cell: Int64
    stained: Int64
    dab: Int64
    both: Int64
    block_cell: Float64
    block_density: Float64
    block_hematoxylin: Float64
    moments: Float64


def scan_band(rgb: NDArray[np.uint8], cell: Bool, stained: Bool) -> Band:
    """Sum up one row of tiles.

    Parameters
    ----------
    rgb
        uint8 (3, tile_px, cols * tile_px).
    cell, stained
        Masks (tile_px, cols * tile_px).

    Returns
    -------
    The sums of `Band`.
    """
    size = cell.shape[0]
    inside = stained & cell
    hematoxylin, dab_density = stain.unmix(rgb)
    dab = (dab_density > stain.DAB_THRESHOLD_OD) & cell
    density = stain.optical_density(rgb).mean(axis=0)
    return Band(
        cell=_per_tile(cell, size),
        stained=_per_tile(inside, size),
        dab=_per_tile(dab, size),
        both=_per_tile(inside & dab, size),
        block_cell=_per_block(cell.astype(np.float64), size),
        block_density=_per_block(density * cell, size),
        block_hematoxylin=_per_block(hematoxylin * cell, size),
        moments=_moments(rgb, cell),
    )


def _per_tile(mask: Bool, size: int) -> Int64:
    areas: Int64 = mask.reshape(size, -1, size).sum(axis=(0, 2), dtype=np.int64)
    return areas


def _per_block(values: NDArray[np.floating], size: int) -> Float64:
    """Sum (size, cols * size) values over blocks; pixels past the last whole block are left out."""
    block = max(1, size // BLOCKS_PER_TILE)
    count = min(BLOCKS_PER_TILE, size)
    tiles = values.reshape(size, -1, size)[: count * block, :, : count * block]
    cut = tiles.reshape(count, block, -1, count, block)
    blocks: Float64 = cut.sum(axis=(1, 4), dtype=np.float64).reshape(count, -1)
    return blocks


def _moments(rgb: NDArray[np.uint8], cell: Bool) -> Float64:
    brightness = rgb.mean(axis=0, dtype=np.float32)
    curvature = cv2.Laplacian(brightness, cv2.CV_32F)[cell].astype(np.float64)
    light = brightness[cell].astype(np.float64)
    black = (rgb.min(axis=0) <= BLACK_LEVEL)[cell]
    sums = (light, light**2, curvature, curvature**2)
    return np.array([light.size, black.sum(), *(values.sum() for values in sums)])


def ratio(part: float, whole: float) -> float | None:
    """Return `part / whole`; None where `whole` is 0, as 0/0 says nothing.

    The stained-to-cell ratio of an image is its stained area / cell area over the counted tiles:
    the CaCL mask inside the cell area, over tissue without lumen and glass.
    """
    return float(part / whole) if whole else None


def border_share(both: float, dab: float) -> float | None:
    """Return which share of the DAB-positive area lies in the brush border; None without DAB.

    Parameters
    ----------
    both
        Stained area (CaCL mask inside the cell area) that is DAB-positive.
    dab
        All DAB-positive cell area, by colour deconvolution.
    """
    return ratio(both, dab)


def joined(values: Iterable[str]) -> str:
    """Return the words that are not empty, each once, sorted and joined by "; "."""
    return WORD_SEPARATOR.join(sorted({value for value in values if value}))


def seed_of(name: str, seed: int) -> int:
    """Return a seed that depends on a name and the run's seed, and on nothing else."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big")


def bootstrap_interval(
    part: NDArray[np.integer],
    whole: NDArray[np.integer],
    *,
    seed: int,
    draws: int = BOOTSTRAP_DRAWS,
    level: float = CONFIDENCE,
) -> tuple[float | None, float | None]:
    """Return a percentile bootstrap interval of `sum(part) / sum(whole)` over units.

    Parameters
    ----------
    part, whole
        Areas per unit (n,): tiles of an image, or images of an antibody. Their order does not
        matter.
    seed
        Seed of the resampling.
    draws
        Resamples.
    level
        Confidence, 0-1.

    Returns
    -------
    Lower and upper end; None where no unit has a `whole`.

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. Whole units are drawn,
    so that the areas of a unit stay together.
    """
    order = np.lexsort((part, whole))
    parts, wholes = part[order].astype(np.float64), whole[order].astype(np.float64)
    units = parts.size
    if not units or not wholes.any():
        return None, None
    random = np.random.default_rng(seed)
    ratios = np.full(draws, np.nan)
    at_once = max(1, MAX_DRAWN_AT_ONCE // units)
    for start in range(0, draws, at_once):
        chosen = random.integers(0, units, size=(min(at_once, draws - start), units))
        sums = wholes[chosen].sum(axis=1)
        drawn = ratios[start : start + at_once]
        np.divide(parts[chosen].sum(axis=1), sums, out=drawn, where=sums > 0)
    tail = (1.0 - level) / 2.0
    low, high = np.nanquantile(ratios, [tail, 1.0 - tail])
    return float(low), float(high)


def quality(bands: Sequence[Band], grid: TileGrid) -> list[Flag]:
    """Return what is suspicious about an image, in the order of `Flag`.

    Parameters
    ----------
    bands
        Every row of tiles, from the top.
    grid
        The image's tiles.

    Returns
    -------
    blur
        Variance of the Laplacian of brightness, over the variance of brightness, is below
        `MIN_SHARPNESS` in the cell area. Dividing keeps pale cores from looking blurred.
    fold
        In more than `MAX_FOLD_SHARE` of the blocks both optical density and haematoxylin exceed
        `FOLD_FACTOR` times their median: two layers of tissue double both, strong DAB only one.
    little tissue
        Less cell area than `MIN_TISSUE_TILES` full tiles.
    saturated
        More than `MAX_BLACK_SHARE` of the cell area has a channel at `BLACK_LEVEL` or below, where
        density can no longer be told.
    unusual core size
        The hull of the tissue, as a circle of equal area, is narrower than `MIN_DIAMETER_SHARE` of
        the image's shorter side, or the image is no square within `MAX_ASPECT`: a whole slide, a
        fragment, or several cores. A 1 mm core spans 0.7 to 0.97 of an image of the atlas.
    """
    moments = np.sum([band.moments for band in bands], axis=0)
    cell = np.concatenate([band.block_cell for band in bands])
    density = np.concatenate([band.block_density for band in bands])
    hematoxylin = np.concatenate([band.block_hematoxylin for band in bands])
    pixels, black = moments[:2]
    found = {
        Flag.BLUR: pixels > 0 and sharpness(moments) < MIN_SHARPNESS,
        Flag.FOLD: fold_share(cell, density, hematoxylin) > MAX_FOLD_SHARE,
        Flag.LITTLE_TISSUE: pixels < MIN_TISSUE_TILES * grid.tile_px**2,
        Flag.SATURATED: black > MAX_BLACK_SHARE * pixels,
        Flag.UNUSUAL_SIZE: _unusual_size(cell, grid),
    }
    return [flag for flag, is_set in found.items() if is_set]


def sharpness(moments: Float64) -> float:
    """Return variance of the Laplacian over variance of brightness; 0 for a flat image."""
    pixels, _, light, light_squared, curvature, curvature_squared = moments
    variance = light_squared / pixels - (light / pixels) ** 2
    detail = curvature_squared / pixels - (curvature / pixels) ** 2
    return float(detail / variance) if variance > 0 else 0.0


def fold_share(cell: Float64, density: Float64, hematoxylin: Float64) -> float:
    """Return the share of tissue blocks that are much denser than the median in both stains."""
    filled = cell > cell.max(initial=0.0) / 2
    if not filled.any():
        return 0.0
    dark = density[filled] / cell[filled]
    blue = hematoxylin[filled] / cell[filled]
    doubled = (dark > FOLD_FACTOR * np.median(dark)) & (blue > FOLD_FACTOR * np.median(blue))
    return float(doubled.mean())


def _unusual_size(cell: Float64, grid: TileGrid) -> bool:
    sides = (grid.source_height, grid.source_width)
    if max(sides) > MAX_ASPECT * min(sides):
        return True
    rows, columns = np.nonzero(cell > cell.max(initial=0.0) / 2)
    if rows.size == 0:
        return False
    points = np.stack([columns, rows], axis=1)
    corners = np.concatenate([points + step for step in ((0, 0), (0, 1), (1, 0), (1, 1))])
    area = cv2.contourArea(cv2.convexHull(corners.astype(np.int32)))
    diameter = 2.0 * np.sqrt(area / np.pi)
    side = min(sides) / grid.source_px * min(BLOCKS_PER_TILE, grid.tile_px)
    return bool(diameter < MIN_DIAMETER_SHARE * side)
