"""The measures of one image: areas, ratio with interval, intensities.

The same for an image of a census (`cacl.steps.measure`) and for arrays (`cacl.api`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cacl.image.tile_stats import Bool, TileRowStats, compute_row_stats
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.stats.intervals import spatial_ci
from cacl.stats.ratios import (
    dab_fraction_in_mask,
    h_score,
    intensity_fractions,
    mean_stained_od,
    ratio,
)

TILE_ROWS_PER_READ = 8


@dataclass(frozen=True)
class Measures:
    """The measures of one image over its counted tiles; None where a measure is not defined.

    Parameters
    ----------
    tiles
        Counted tiles.
    cell_area_px, stained_area_px
        Cell area, and the part of it that the mask covers, analysis px.
    stained_to_cell_ratio
        Stained area / cell area, 0 to 1.
    ratio_low, ratio_high
        Its 95 % interval over tiles; see `cacl.stats.intervals.spatial_ci`.
    dab_area_px
        Cell area with DAB above 0.25 OD, analysis px.
    border_share
        Fraction of the DAB-positive area that the mask covers, 0 to 1.
    stained_od
        Mean optical density of DAB in the stained area.
    weak_share, moderate_share, strong_share
        Fractions of the cell area with weak, moderate and strong DAB, 0 to 1.
    h_score
        H-score of the cell area, 0 to 300.
    """

    tiles: int
    cell_area_px: int
    stained_area_px: int
    stained_to_cell_ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    dab_area_px: int
    border_share: float | None
    stained_od: float | None
    weak_share: float | None
    moderate_share: float | None
    strong_share: float | None
    h_score: float | None


def tile_row_stats(
    image: Any, cell: Any, stained: Any, tile_px: int, vectors: StainVectors = REFERENCE
) -> list[TileRowStats]:
    """Return the statistics of every row of tiles; each read covers several rows.

    Parameters
    ----------
    image
        (3, y, x) uint8, an array or an object that can be read as one; whole tiles.
    cell, stained
        (y, x) masks, above 0 in cells and where the class is.
    tile_px
        Side of a tile, analysis px.
    vectors
        Stain vectors of the image.
    """
    stats = []
    for top in range(0, cell.shape[0], TILE_ROWS_PER_READ * tile_px):
        window = slice(top, top + TILE_ROWS_PER_READ * tile_px)
        rgb = np.asarray(image[:, window], dtype=np.uint8)
        in_cell, in_mask = (np.asarray(label[window]) > 0 for label in (cell, stained))
        stats += [
            compute_row_stats(rgb[:, row], in_cell[row], in_mask[row], vectors)
            for row in (slice(start, start + tile_px) for start in range(0, len(in_cell), tile_px))
        ]
    return stats


def measure_tiles(stats: Sequence[TileRowStats], counted: Bool) -> Measures:
    """Return the measures of an image.

    Parameters
    ----------
    stats
        Of each row of tiles.
    counted
        (rows, columns): the tiles that count; at least one.
    """
    cell, stained, dab, stained_dab, od_sum = (
        np.stack([getattr(row, name) for row in stats])[counted]
        for name in ("cell", "stained", "dab", "stained_dab", "stained_od_sum")
    )
    counts = np.stack([row.intensity_counts for row in stats], axis=1)[:, counted].sum(axis=1)
    low, high = spatial_ci(stained, cell, *np.nonzero(counted))
    cell_px, stained_px, dab_px = int(cell.sum()), int(stained.sum()), int(dab.sum())
    weak, moderate, strong = intensity_fractions(counts, cell_px)
    return Measures(
        tiles=int(counted.sum()),
        cell_area_px=cell_px,
        stained_area_px=stained_px,
        stained_to_cell_ratio=ratio(stained_px, cell_px),
        ratio_low=low,
        ratio_high=high,
        dab_area_px=dab_px,
        border_share=dab_fraction_in_mask(int(stained_dab.sum()), dab_px),
        stained_od=mean_stained_od(float(od_sum.sum()), stained_px),
        weak_share=weak,
        moderate_share=moderate,
        strong_share=strong,
        h_score=h_score(weak, moderate, strong),
    )
