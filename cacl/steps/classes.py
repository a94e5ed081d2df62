"""The stained area of every class in an image: the rows of the table `patterns`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cacl.errors import ImageError, Reason, StoreError
from cacl.hpa.target_class import TargetClass, class_labels_of, label_name
from cacl.image import tile_stats
from cacl.stats import intervals
from cacl.store import ImageMeta, Store
from cacl.tables.schemas import ClassRow, ImageRow, SegmentedRow

Int64 = NDArray[np.int64]


def class_rows(
    atlas: Store,
    meta: ImageMeta,
    receipt: SegmentedRow,
    image: ImageRow,
    bands: Sequence[tile_stats.TileRowStats],
    counted: tile_stats.Bool,
) -> list[ClassRow]:
    """Return one row a class that the receipt of an image names, in its order.

    Parameters
    ----------
    atlas, meta
        The store, and the image in it.
    receipt
        What `cacl segment` wrote of it.
    image
        Its row of the catalog.
    bands
        Its sums, in which the first class's area is.
    counted
        (rows, cols) the tiles that count.

    Raises
    ------
    ImageError
        A class's mask is missing, of another run, or cannot be read.
    """
    classes = [TargetClass(name=name) for name in receipt.classes.split(";")]
    cell = np.stack([band.cell for band in bands])[counted]
    rows = []
    for place, target_class in enumerate(classes):
        if place == 0:
            areas = np.stack([band.stained for band in bands])
        else:
            areas = _areas(atlas, meta, receipt, label_name(place, target_class))
        stained = areas[counted]
        low, high = intervals.spatial_ci(stained, cell, *np.nonzero(counted))
        rows.append(
            ClassRow(
                image_id=image.image_id,
                antibody_id=image.antibody_id,
                class_name=target_class.name,
                label=class_labels_of(image.label, image.class_labels, classes)[place],
                stained_area_px=int(stained.sum()),
                stained_to_cell_ratio=tile_stats.ratio(int(stained.sum()), int(cell.sum())),
                ratio_low=low,
                ratio_high=high,
            )
        )
    return rows


def _areas(atlas: Store, meta: ImageMeta, receipt: SegmentedRow, name: str) -> Int64:
    """Return a mask's area inside the cell area in each tile, (rows, cols)."""
    try:
        found = atlas.label_digest(meta.image_id, name)
        if found != receipt.digest:
            raise ImageError(
                Reason.CHANGED if found else Reason.NOT_FOUND,
                f"The mask {name} of {meta.image_id} has digest {(found or 'none')[:12]}, expected "
                f"{receipt.digest[:12]}; run `cacl segment` again",
            )
        mask, cell = (atlas.label(meta.image_id, one) for one in (name, "cell"))
        size = meta.tile_px
        bands = (slice(row * size, (row + 1) * size) for row in range(meta.grid.rows))
        areas = [
            tile_stats.per_tile((np.asarray(mask[rows]) > 0) & (np.asarray(cell[rows]) > 0), size)
            for rows in bands
        ]
    except (StoreError, ValueError, RuntimeError) as error:  # zarr's codecs raise the last two
        raise ImageError(
            Reason.DAMAGED,
            f"{name} of {meta.image_id} cannot be read from the store ({error}); delete it there "
            "and run `cacl segment` again",
        ) from error
    return np.stack(areas)
