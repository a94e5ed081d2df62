"""The real cores as a run of the workflow, up to its report, without a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage.morphology import remove_small_objects
from small_atlas import SmallAtlas

from cacl import stain, tables
from cacl.atlas.catalog import build_catalog
from cacl.atlas.options import LabelOptions, SourceOptions
from cacl.records import ImageRow, SegmentedRow
from cacl.steps.acquire import acquire
from cacl.steps.tile import tile
from cacl.store import digest_of

MIN_PART_PX = 30


def measured_cores(shared_data: Path, root: Path) -> SmallAtlas:
    """Return the real cores, measured under masks of dense DAB inside the cell area.

    A training on four labelled cores takes minutes and is about the model; what is looked at here
    is what comes after it.
    """
    atlas = SmallAtlas(root)
    source = SourceOptions(kind="manifest", manifest=shared_data / "cores" / "manifest.csv")
    build_catalog(
        atlas.path("catalog"), atlas.path("catalog.csv"), source, LabelOptions(), shards=1
    )
    listed = atlas.path("catalog/shards/0.parquet")
    got, gone = atlas.path("acquired.parquet"), atlas.path("acquire.csv")
    acquire(listed, atlas.path("images"), got, gone, source, jobs=2, strict=True)
    tile(
        got,
        atlas.store.root,
        atlas.path("tiles.parquet"),
        atlas.path("tile.csv"),
        source_px=375,
        tile_px=128,
        min_tissue_fraction=0.2,
        jobs=2,
        strict=True,
    )
    rows: list[ImageRow] = tables.read_parquet(listed, ImageRow)
    receipts = [_segment(atlas, row) for row in rows]
    tables.write_parquet(atlas.path("segmented.parquet"), receipts, SegmentedRow)
    atlas.measure()
    return atlas


def _segment(atlas: SmallAtlas, row: ImageRow) -> SegmentedRow:
    digest = digest_of("dense DAB", row.image_id)
    rgb = np.asarray(atlas.store.image(row.image_id), dtype=np.uint8)
    cell = np.asarray(atlas.store.label(row.image_id, "cell")) > 0
    _, dab = stain.unmix(rgb)
    mask = remove_small_objects(cell & (dab > stain.DAB_THRESHOLD_OD), max_size=MIN_PART_PX)
    atlas.store.write_label(row.image_id, "stain", mask, digest)
    return SegmentedRow(image_id=row.image_id, antibody_id=row.antibody_id, digest=digest)
