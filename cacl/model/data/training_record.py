"""The record of a training: which antibodies a model sees, and the ranges of its images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from cacl import tables
from cacl.hpa.pixel_size import HPA_MPP
from cacl.image import qc
from cacl.image.pixel_flags import PixelFlag
from cacl.image.tile_stats import row_extent
from cacl.model.data.dataset import FLAGS, TileDataset
from cacl.model.training_data import TrainingData, range_of
from cacl.store import Store
from cacl.tables.schemas import ImageRow
from cacl.tables.selection import Split


def describe_training_data(
    rows: pd.DataFrame, tiles: TileDataset, store: Store, catalog: Path | None
) -> TrainingData:
    """Return the record of a training.

    Parameters
    ----------
    rows
        Columns of `TileRow`: all splits.
    tiles
        The tiles of the training split that were read.
    store
        The store.
    catalog
        Table of the catalog (`ImageRow`), from which an image without a stated pixel size gets that
        of its core, as in `cacl measure`; None for stated sizes only.
    """
    of_split = {split: rows[rows["split"] == split] for split in (Split.TRAIN, Split.VALIDATION)}
    train = of_split[Split.TRAIN]
    image_ids = sorted(set(train.loc[train["selected"], "image_id"]))
    tissue, dab = _fractions(tiles, store.meta(image_ids[0]).tile_px)
    return TrainingData(
        **{str(split): tuple(sorted(set(part["antibody_id"]))) for split, part in of_split.items()},
        mpp=range_of(_pixel_sizes(image_ids, store, catalog)),
        tissue_fraction=range_of(tissue),
        dab_fraction=range_of(dab),
        stain_vectors=tiles.stain_vectors,
    )


def _fractions(tiles: TileDataset, tile_px: int) -> tuple[list[float], list[float]]:
    """Return the tissue fraction of each image's tiles, and the DAB fraction of that tissue."""
    counts = np.array(
        [
            (
                np.count_nonzero(flags & int(PixelFlag.CELL)),
                np.count_nonzero(
                    (flags & int(PixelFlag.DAB) > 0) & (flags & int(PixelFlag.CELL) > 0)
                ),
            )
            for flags in tiles.pixels[:, FLAGS].numpy()
        ]
    )
    tissue, dab = [], []
    for index in range(int(tiles.image_index.max()) + 1):
        of_image = counts[(tiles.image_index == index).numpy()]
        cell_px, dab_px = of_image.sum(axis=0).tolist()
        tissue.append(cell_px / (len(of_image) * tile_px**2))
        dab += [dab_px / cell_px] if cell_px else []
    return tissue, dab


def _pixel_sizes(image_ids: Iterable[str], store: Store, catalog: Path | None) -> list[float]:
    """Return the known sizes of analysis pixels in um."""
    rows = [] if catalog is None else tables.read_parquet(catalog, ImageRow)
    images = {row.image_id: row for row in rows}
    sizes = []
    for image_id in image_ids:
        meta, image = store.meta(image_id), images.get(image_id)
        core_um, default_mpp, diameter = None, None, None
        if image is not None and meta.mpp is None:
            default_mpp = HPA_MPP * meta.grid.downsample if image.hpa_version else None
            core_um = image.core_um
        if core_um is not None:
            cell = np.asarray(store.label(image_id, "cell")[:]) > 0
            diameter = qc.fitted_diameter(row_extent(cell))
        size = qc.pixel_size(meta.mpp, diameter, core_um, default_mpp).mpp
        sizes += [size] if size else []
    return sizes
