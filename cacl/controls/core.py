"""One core of the spike-in controls: its apical border, and its image painted with a band."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cacl.benchmark.metrics import MIN_POSITIVE_PX, boundary_f1, tile_metrics
from cacl.controls.candidates import Candidate
from cacl.errors import ImageError, Reason, StoreError
from cacl.image.apical_border import ApicalBorder, apical_border
from cacl.image.local_dab import edge_blur_sigma
from cacl.image.paint import TRUE_FRACTION, band_fraction, paint_dab, stretches
from cacl.image.pixel_flags import interior_mask
from cacl.stain.vectors import StainVectors, Vector
from cacl.store import Store
from cacl.tables.control_schemas import ControlMeasureRow

Bool = NDArray[np.bool_]
UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]
Window = tuple[slice, slice]

MAX_REGION_PX = 2048
MIN_BORDER_UM = 150.0
# The painted fraction of the border differs between cores, so that their ratios do.
COVERAGE = (0.3, 0.9)


@dataclass(frozen=True, eq=False)
class ControlCore:
    """A negative core, or the part of a larger image with the most tissue; arrays are (y, x).

    Parameters
    ----------
    image_id, antibody_id
        Identifiers.
    rgb
        (3, y, x) uint8.
    cell
        Cell area.
    windows
        Its tiles with tissue.
    tile_px
        Side of a tile, px.
    border
        The apical border, without the edge of the core.
    painted
        The part of the border that is painted.
    edge_sigma_px
        Blur of the image.
    stain_vectors
        Stain vectors of the image.
    """

    image_id: str
    antibody_id: str
    rgb: UInt8
    cell: Bool
    windows: tuple[Window, ...]
    tile_px: int
    border: ApicalBorder
    painted: Bool
    edge_sigma_px: float
    stain_vectors: StainVectors

    @property
    def painted_um(self) -> float:
        """Length of the painted border, um."""
        return ApicalBorder(self.border.lumen, self.painted, self.border.mpp).length_um


@dataclass(frozen=True, eq=False)
class PaintedCore:
    """A core with a band of one width and dose.

    Parameters
    ----------
    core
        The core.
    width_um, dose_od
        The band; a dose of 0 is the core as it is.
    rgb
        (3, y, x) uint8.
    true_mask
        (y, x) bool: the painted area, of every dose.
    windows
        The tiles with at least `MIN_POSITIVE_PX` painted pixels.
    """

    core: ControlCore
    width_um: float
    dose_od: float
    rgb: UInt8
    true_mask: Bool
    windows: tuple[Window, ...]

    def crop(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the painted tiles (n, y, x) of an array (y, x)."""
        side = self.core.tile_px
        crops = [array[window] for window in self.windows]
        return np.stack(crops) if crops else np.zeros((0, side, side), array.dtype)


def read_core(store: Store, candidate: Candidate, rng: np.random.Generator) -> ControlCore:
    """Read a core and find its apical border.

    Parameters
    ----------
    store
        The store.
    candidate
        The core.
    rng
        Random generator of the painted stretches.

    Raises
    ------
    ImageError
        The image is missing in the store, or damaged.
    """
    try:
        meta = store.meta(candidate.image_id)
        rows, cols = densest_region(candidate.tiles, MAX_REGION_PX // meta.tile_px)
        side = meta.tile_px
        window = (
            slice(rows.start * side, min(rows.stop * side, meta.grid.height)),
            slice(cols.start * side, min(cols.stop * side, meta.grid.width)),
        )
        rgb = np.asarray(store.image(candidate.image_id)[(slice(None), *window)], np.uint8)
        cell = np.asarray(store.label(candidate.image_id, "cell")[window]) > 0
    except StoreError as error:
        raise ImageError(Reason.DAMAGED, str(error)) from error
    found = apical_border(rgb, cell, meta.mpp, meta.stain_vectors)
    border = ApicalBorder(found.lumen, found.surface & interior_mask(cell), found.mpp)
    return ControlCore(
        image_id=candidate.image_id,
        antibody_id=candidate.antibody_id,
        rgb=rgb,
        cell=cell,
        windows=tuple(
            (
                slice((row - rows.start) * side, (row - rows.start + 1) * side),
                slice((col - cols.start) * side, (col - cols.start + 1) * side),
            )
            for row, col in candidate.tiles
            if row in rows and col in cols
        ),
        tile_px=side,
        border=border,
        painted=stretches(border, float(rng.uniform(*COVERAGE)), rng),
        edge_sigma_px=edge_blur_sigma(rgb, meta.stain_vectors),
        stain_vectors=meta.stain_vectors,
    )


def densest_region(tiles: Sequence[tuple[int, int]], side: int) -> tuple[range, range]:
    """Return rows and columns of the square of `side` x `side` tiles with the most of the tiles.

    An image that is not larger is taken as a whole, from its first row and column.
    """
    rows, cols = (1 + max(position[axis] for position in tiles) for axis in (0, 1))
    counts = np.zeros((rows + 1, cols + 1), np.int64)
    counts[tuple(np.array(tiles).T + 1)] = 1
    counts = counts.cumsum(axis=0).cumsum(axis=1)
    height, width = min(side, rows), min(side, cols)
    inside = (
        counts[height:, width:]
        - counts[:-height, width:]
        - counts[height:, :-width]
        + counts[:-height, :-width]
    )
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return range(int(top), int(top) + height), range(int(left), int(left) + width)


def painted_cores(
    core: ControlCore, widths_um: Sequence[float], doses_od: Sequence[float], vector: Vector
) -> Iterator[PaintedCore]:
    """Yield the core as it is, and with each band, for each width.

    `vector` is the direction of DAB in the optical densities of R, G and B.
    """
    for width_um in widths_um:
        fraction = band_fraction(core.border, core.painted, core.cell, width_um, core.edge_sigma_px)
        true_mask = (fraction >= TRUE_FRACTION) & core.cell
        windows = tuple(
            window for window in core.windows if true_mask[window].sum() >= MIN_POSITIVE_PX
        )
        for dose_od in (0.0, *doses_od):
            rgb = paint_dab(core.rgb, fraction, dose_od, vector)
            yield PaintedCore(core, width_um, dose_od, rgb, true_mask, windows)


def measure(painted: PaintedCore, method: str, mask: Bool) -> ControlMeasureRow:
    """Compare a mask (y, x) with the painted area."""
    core = painted.core
    tissue = np.zeros_like(core.cell)
    for window in core.windows:
        tissue[window] = True
    tissue &= core.cell
    found = mask & tissue
    cell_px = max(1, int(tissue.sum()))
    tiles, true_tiles = painted.crop(found), painted.crop(painted.true_mask)
    return ControlMeasureRow(
        image_id=core.image_id,
        antibody_id=core.antibody_id,
        method=method,
        width_um=painted.width_um,
        dose_od=painted.dose_od,
        tiles=len(painted.windows),
        painted_px=int(true_tiles.sum()),
        found_px=int(tiles.sum()),
        overlap_px=int((tiles & true_tiles).sum()),
        dice_sum=float(tile_metrics(tiles, true_tiles).dice.sum()),
        boundary_f1_sum=float(boundary_f1(tiles, true_tiles).sum()),
        painted_ratio=float((painted.true_mask & tissue).sum() / cell_px),
        found_ratio=float(found.sum() / cell_px),
    )
