"""What is measured in one image: areas, ratio, border share, intensity of the stain.

Pure functions on arrays. Areas are in analysis pixels. An image is read as bands, one row of tiles
each, so that a whole slide needs no more memory than a core. Every measure is defined once: in the
docstring of the function of its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.image import stain

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Float16 = NDArray[np.float16]
Bool = NDArray[np.bool_]

BLOCKS_PER_TILE = 8
# Folds are a few squares wide; images wider than a core get coarser squares, to stay in memory.
FINE_PX, COARSE_PX, WIDEST_CORE_PX = 4, 16, 4096
WORD_SEPARATOR = "; "
BLACK_LEVEL = 2
WEAK_OD, MODERATE_OD, STRONG_OD = 0.2, 0.4, 0.6


@dataclass(frozen=True)
class TileRowStats:
    """What one row of tiles holds.

    Parameters
    ----------
    cell, stained, dab, both
        Areas per tile, int64 (cols,), in analysis pixels: cell area; CaCL mask, DAB-positive, and
        both, each inside the cell area.
    levels
        Cell area per tile with weak, moderate and strong DAB, int64 (3, cols).
    stained_od
        DAB optical density per tile, summed over the stained area, (cols,).
    block_cell
        Cell area per block, (8, cols * 8); a block is an eighth of a tile's side.
    fine_cell, fine_hematoxylin, fine_dab
        Share of a square of `FINE_PX` (`COARSE_PX` beyond `WIDEST_CORE_PX`) that is cell area, and
        both stains' optical density times that share, float16 (rows, columns).
    moments
        Of the cell area: pixels, black pixels, and sums of brightness, its square, Laplacian, its
        square.
    extent
        First and last column of the cell area in each row of pixels, int64 (tile_px, 2); -1 where
        it has none.
    """

    cell: Int64
    stained: Int64
    dab: Int64
    both: Int64
    levels: Int64
    stained_od: Float64
    block_cell: Float64
    fine_cell: Float16
    fine_hematoxylin: Float16
    fine_dab: Float16
    moments: Float64
    extent: Int64


def compute_row_stats(rgb: NDArray[np.uint8], cell: Bool, stained: Bool) -> TileRowStats:
    """Sum up one row of tiles.

    Parameters
    ----------
    rgb
        uint8 (3, tile_px, cols * tile_px).
    cell, stained
        Masks (tile_px, cols * tile_px).

    Returns
    -------
    The sums of `TileRowStats`.
    """
    size = cell.shape[0]
    inside = stained & cell
    hematoxylin, dab_density = stain.unmix(rgb)
    dab = (dab_density > stain.DAB_THRESHOLD_OD) & cell
    at_least = [per_tile((dab_density > od) & cell, size) for od in (WEAK_OD, MODERATE_OD)]
    strong = per_tile((dab_density > STRONG_OD) & cell, size)
    weak, moderate = at_least[0] - at_least[1], at_least[1] - strong
    return TileRowStats(
        cell=per_tile(cell, size),
        stained=per_tile(inside, size),
        dab=per_tile(dab, size),
        both=per_tile(inside & dab, size),
        levels=np.stack([weak, moderate, strong]),
        stained_od=_sum_per_tile(dab_density * inside, size),
        block_cell=_per_block(cell.astype(np.float64), size),
        fine_cell=_fine(cell.astype(np.float32)),
        fine_hematoxylin=_fine(hematoxylin * cell),
        fine_dab=_fine(dab_density * cell),
        moments=_moments(rgb, cell),
        extent=_extent(cell),
    )


def per_tile(mask: Bool, size: int) -> Int64:
    """Return the pixels of a mask (size, cols * size) in each of its tiles, (cols,)."""
    columns = cv2.reduce(mask.view(np.uint8), 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    areas: Int64 = columns.reshape(-1, size).sum(axis=1, dtype=np.int64)
    return areas


def _sum_per_tile(values: NDArray[np.floating], size: int) -> Float64:
    sums: Float64 = values.sum(axis=0, dtype=np.float64).reshape(-1, size).sum(axis=1)
    return sums


def _per_block(values: NDArray[np.floating], size: int) -> Float64:
    """Sum (size, cols * size) values over blocks; pixels past the last whole block are left out."""
    block = max(1, size // BLOCKS_PER_TILE)
    count = min(BLOCKS_PER_TILE, size)
    tiles = values.reshape(size, -1, size)[: count * block, :, : count * block]
    cut = tiles.reshape(count, block, -1, count, block)
    blocks: Float64 = cut.sum(axis=(1, 4), dtype=np.float64).reshape(count, -1)
    return blocks


def _fine(values: NDArray[np.float32]) -> Float16:
    """Return means over small squares; what does not fill a square is left out."""
    side = FINE_PX if values.shape[1] <= WIDEST_CORE_PX else COARSE_PX
    height, width = (size // side for size in values.shape)
    whole = values[: height * side, : width * side]
    means = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return means.astype(np.float16)


def _moments(rgb: NDArray[np.uint8], cell: Bool) -> Float64:
    brightness = rgb.mean(axis=0, dtype=np.float32)
    curvature = cv2.Laplacian(brightness, cv2.CV_32F)[cell].astype(np.float64)
    light = brightness[cell].astype(np.float64)
    black = (rgb.min(axis=0) <= BLACK_LEVEL)[cell]
    sums = (light, light**2, curvature, curvature**2)
    return np.array([light.size, black.sum(), *(values.sum() for values in sums)])


def _extent(cell: Bool) -> Int64:
    first = cell.argmax(axis=1)
    last = cell.shape[1] - 1 - cell[:, ::-1].argmax(axis=1)
    extent: Int64 = np.stack([first, last], axis=1).astype(np.int64)
    extent[~cell.any(axis=1)] = -1
    return extent


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


def stained_od(summed_od: float, stained: float) -> float | None:
    """Return the mean DAB optical density in the stained area; None where nothing is stained.

    Parameters
    ----------
    summed_od
        DAB optical density (decadic, by colour deconvolution), summed over the stained pixels.
    stained
        Their number.
    """
    return ratio(summed_od, stained)


def intensity_fractions(
    levels: Int64, cell: float
) -> tuple[float | None, float | None, float | None]:
    """Return the shares of the cell area whose DAB is weak, moderate and strong.

    A pixel is weak above a DAB optical density of 0.2, moderate above 0.4 and strong above 0.6:
    the three default thresholds of QuPath for DAB, in the same unit (decadic optical density
    after colour deconvolution; Bankhead et al., Sci Rep 2017). DAB does not follow Beer-Lambert
    well, so that the classes say how dark the stain is, not how much antigen there is (van der
    Loos, J Histochem Cytochem 2008). `dab_area_px` has a threshold of its own, 0.25.

    Parameters
    ----------
    levels
        Weak, moderate and strong cell area, (3,).
    cell
        Cell area in the same unit.

    Returns
    -------
    Three shares, 0-1, whose sum is at most 1; None where there is no cell area.
    """
    weak, moderate, strong = (ratio(int(level), cell) for level in levels)
    return weak, moderate, strong


def h_score(weak: float | None, moderate: float | None, strong: float | None) -> float | None:
    """Return the H-score by area: 1 x weak % + 2 x moderate % + 3 x strong %, 0 to 300.

    The H-score (McCarty et al., Cancer Res 1986) counts cells in percent; this one counts cell
    area, of every compartment, as the atlas's cores come without cell outlines. None where there
    is no cell area.
    """
    if weak is None or moderate is None or strong is None:
        return None
    return 100.0 * (weak + 2.0 * moderate + 3.0 * strong)


def joined(values: Iterable[str]) -> str:
    """Return the words that are not empty, each once, sorted and joined by "; "."""
    return WORD_SEPARATOR.join(sorted({value for value in values if value}))
