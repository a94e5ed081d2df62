"""Areas and intensities per tile of one image.

Pure functions on arrays. Areas are in analysis pixels. An image is processed one row of tiles at a
time, so that a whole slide needs no more memory than a core. `cacl.stats.ratios` defines the
measures that are made of these sums.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.image import stain
from cacl.stain.vectors import REFERENCE, StainVectors

UInt8 = NDArray[np.uint8]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Float16 = NDArray[np.float16]
Bool = NDArray[np.bool_]

BLOCKS_PER_TILE = 8
# Maps for tissue folds, which are a few squares wide. Images wider than a core have larger
# squares, to limit the memory.
MAP_SQUARE_PX, WIDE_MAP_SQUARE_PX, MAX_CORE_WIDTH_PX = 4, 16, 4096
SATURATED_LEVEL = 2
# The three default thresholds of QuPath for DAB (Bankhead et al., Sci Rep 2017).
WEAK_OD, MODERATE_OD, STRONG_OD = 0.2, 0.4, 0.6


@dataclass(frozen=True)
class TileRowStats:
    """Areas and sums of one row of tiles.

    Parameters
    ----------
    cell, stained, dab, stained_dab
        Areas per tile, int64 (cols,), in analysis pixels: cell area; and within it the CaCL mask,
        the DAB-positive area, and the intersection of both.
    intensity_counts
        Cell area per tile with weak, moderate and strong DAB, int64 (3, cols).
    stained_od_sum
        DAB optical density per tile, summed over the stained area, (cols,).
    cell_per_block
        Cell area per block, (8, cols * 8); a block is an eighth of a tile's side.
    cell_map, hematoxylin_map, dab_map
        Downsampled maps, float16 (rows, columns): the fraction of a square that is cell area, and
        the mean of each stain's optical density, counted as 0 outside the cell area. The side of a
        square is `MAP_SQUARE_PX` (`WIDE_MAP_SQUARE_PX` in images wider than `MAX_CORE_WIDTH_PX`).
    brightness_sums
        Over the cell area, (6,): pixels, saturated pixels, and sums of brightness, brightness
        squared, Laplacian, Laplacian squared.
    residual_sums
        Over the cell area, (2,): squares of the residual's optical density, see
        `cacl.image.stain.deconvolution_matrix`, and squares of the densities of R, G and B.
    row_extent
        First and last column of the cell area in each row of pixels, int64 (tile_px, 2); -1 in
        rows without cell area.
    """

    cell: Int64
    stained: Int64
    dab: Int64
    stained_dab: Int64
    intensity_counts: Int64
    stained_od_sum: Float64
    cell_per_block: Float64
    cell_map: Float16
    hematoxylin_map: Float16
    dab_map: Float16
    brightness_sums: Float64
    residual_sums: Float64
    row_extent: Int64


def compute_row_stats(
    rgb: UInt8, cell: Bool, stained: Bool, vectors: StainVectors = REFERENCE
) -> TileRowStats:
    """Compute the areas and sums of one row of tiles.

    Parameters
    ----------
    rgb
        uint8 (3, tile_px, cols * tile_px).
    cell, stained
        Masks (tile_px, cols * tile_px).
    vectors
        The stain vectors.
    """
    tile_px = cell.shape[0]
    stained = stained & cell
    hematoxylin_od, dab_od, residual_od = stain.separate_with_residual(rgb, vectors)
    dab = (dab_od > stain.DAB_THRESHOLD_OD) & cell
    above_weak, above_moderate, strong = (
        area_per_tile((dab_od > threshold) & cell, tile_px)
        for threshold in (WEAK_OD, MODERATE_OD, STRONG_OD)
    )
    return TileRowStats(
        cell=area_per_tile(cell, tile_px),
        stained=area_per_tile(stained, tile_px),
        dab=area_per_tile(dab, tile_px),
        stained_dab=area_per_tile(stained & dab, tile_px),
        intensity_counts=np.stack([above_weak - above_moderate, above_moderate - strong, strong]),
        stained_od_sum=_sum_per_tile(dab_od * stained, tile_px),
        cell_per_block=_sum_per_block(cell.astype(np.float64), tile_px),
        cell_map=_downsampled_map(cell.astype(np.float32)),
        hematoxylin_map=_downsampled_map(hematoxylin_od * cell),
        dab_map=_downsampled_map(dab_od * cell),
        brightness_sums=_brightness_sums(rgb, cell),
        residual_sums=np.array(
            [
                _sum_of_squares(residual_od[cell]),
                _sum_of_squares(stain.optical_density(rgb[:, cell])),
            ]
        ),
        row_extent=row_extent(cell),
    )


def area_per_tile(mask: Bool, tile_px: int) -> Int64:
    """Return the area in each tile of a mask (tile_px, cols * tile_px): (cols,)."""
    columns = cv2.reduce(mask.view(np.uint8), 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    areas: Int64 = columns.reshape(-1, tile_px).sum(axis=1, dtype=np.int64)
    return areas


def _sum_per_tile(values: NDArray[np.floating], tile_px: int) -> Float64:
    sums: Float64 = values.sum(axis=0, dtype=np.float64).reshape(-1, tile_px).sum(axis=1)
    return sums


def _sum_of_squares(values: NDArray[np.float32]) -> float:
    return float(np.square(values).sum(dtype=np.float64))


def _sum_per_block(values: NDArray[np.floating], tile_px: int) -> Float64:
    """Sum (tile_px, cols * tile_px) values over blocks, without pixels past the last block."""
    block_px = max(1, tile_px // BLOCKS_PER_TILE)
    count = min(BLOCKS_PER_TILE, tile_px)
    tiles = values.reshape(tile_px, -1, tile_px)[: count * block_px, :, : count * block_px]
    blocks = tiles.reshape(count, block_px, -1, count, block_px)
    sums: Float64 = blocks.sum(axis=(1, 4), dtype=np.float64).reshape(count, -1)
    return sums


def _downsampled_map(values: NDArray[np.float32]) -> Float16:
    """Return means over small squares, without pixels past the last square."""
    side = MAP_SQUARE_PX if values.shape[1] <= MAX_CORE_WIDTH_PX else WIDE_MAP_SQUARE_PX
    rows, columns = (size // side for size in values.shape)
    squares = values[: rows * side, : columns * side]
    means = cv2.resize(squares, (columns, rows), interpolation=cv2.INTER_AREA)
    return means.astype(np.float16)


def _brightness_sums(rgb: UInt8, cell: Bool) -> Float64:
    image = rgb.mean(axis=0, dtype=np.float32)
    laplacian = cv2.Laplacian(image, cv2.CV_32F)[cell].astype(np.float64)
    brightness = image[cell].astype(np.float64)
    saturated = (rgb.min(axis=0) <= SATURATED_LEVEL)[cell]
    values = (brightness, brightness**2, laplacian, laplacian**2)
    return np.array([brightness.size, saturated.sum(), *(value.sum() for value in values)])


def row_extent(cell: Bool) -> Int64:
    """Return the first and last column of a cell mask (y, x) in each row of pixels: (y, 2).

    Rows without cell area have -1.
    """
    first = cell.argmax(axis=1)
    last = cell.shape[1] - 1 - cell[:, ::-1].argmax(axis=1)
    extent: Int64 = np.stack([first, last], axis=1).astype(np.int64)
    extent[~cell.any(axis=1)] = -1
    return extent
