"""Write the tiles of acquired images to the store, with a table of their content."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cacl import tables
from cacl.config import TilesConfig
from cacl.errors import ImageError, Reason, StoreError
from cacl.hpa.provenance import check_before_reading
from cacl.hpa.slide_digests import slide_digests
from cacl.image import stain
from cacl.image.analysis_image import read_analysis_image
from cacl.image.readers import memory_need, open_source
from cacl.image.region import parse_region
from cacl.image.tile_grid import TileGrid
from cacl.runtime.digest import digest_of
from cacl.runtime.images import run_images
from cacl.runtime.memory import process_budget
from cacl.runtime.resources import raise_if_short
from cacl.runtime.step_versions import STEP_VERSIONS
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.steps.outputs import write_failures
from cacl.steps.parameters import ImageJobs
from cacl.store import ImageMeta, Store
from cacl.tables.schemas import AcquiredRow, TileStatRow

log = logging.getLogger(__name__)

MAX_MPP_FACTOR = 1.5


def tile(
    acquired: Path,
    store: Path,
    out: Path,
    failures: Path,
    config: TilesConfig,
    jobs: ImageJobs,
    vectors: StainVectors = REFERENCE,
) -> None:
    """Write each image with its cell mask to the store, and a table of all tiles.

    An image that the store already holds, made from the same bytes with the same parameters, is not
    written again.

    Parameters
    ----------
    acquired
        Table of `AcquiredRow`, written by `cacl acquire`.
    store
        Folder of the OME-Zarr store.
    out
        Table of `TileStatRow` to write, one row per tile.
    failures
        CSV file of `FailureRow` to write.
    config
        Sides of a tile. An image fails if no tile has at least `min_tissue_fraction` of tissue.
    jobs
        How the images are processed.
    vectors
        Stain vectors of the run, which the store records of each image.

    Raises
    ------
    StrictError
        An image failed and `jobs.strict` is set.
    ClusterError
        The dask scheduler or its workers cannot be used.
    DiskError, ResourceError
        Disk, memory or file handles are short; see `cacl.runtime.images.run_images`.
    """
    base = Path.cwd() if jobs.dask_scheduler else Path()
    image_store = Store(base / store)

    def work(row: AcquiredRow) -> list[TileStatRow]:
        stats = _tile_image(
            image_store,
            row,
            base / row.path,
            source_px=config.source_px,
            tile_px=config.tile_px,
            vectors=vectors,
        )
        best, needed = max(stat.tissue_fraction for stat in stats), config.min_tissue_fraction
        if best < needed:
            raise ImageError(
                Reason.NO_TISSUE,
                f"No tissue: at most {best:.1%} of a tile, expected {needed:.1%}; "
                "check the image, or lower tiles.min_tissue_fraction",
            )
        return stats

    rows = tables.read_parquet(acquired, AcquiredRow)
    outcome = run_images(
        "tile",
        rows,
        work,
        source=lambda row: row.path,
        jobs=jobs.jobs,
        scheduler=jobs.dask_scheduler,
    )
    all_stats = [stat for stats in outcome.results for stat in stats]
    stain_vectors = {} if vectors == REFERENCE else {"stain_vectors": str(vectors)}
    made_with = tables.made_with("tile", **config.model_dump(), **stain_vectors)
    tables.write_parquet(out, all_stats, TileStatRow, made_with)
    write_failures(failures, outcome.failures, strict=jobs.strict)


def _tile_image(
    store: Store,
    row: AcquiredRow,
    path: Path,
    *,
    source_px: int,
    tile_px: int,
    vectors: StainVectors = REFERENCE,
) -> list[TileStatRow]:
    """Write one image and its cell mask if they are not up to date; return one row per tile.

    Raises
    ------
    ImageError
        The image cannot be read, is smaller than a tile, or has changed since it was acquired:
        the bytes that are decoded are those of the digest in `row`.
    """
    region = parse_region(row.region)
    parts: list[object] = [STEP_VERSIONS["tile"], row.sha256, source_px, tile_px, row.mpp]
    parts += [] if region is None else [row.region]
    parts += [] if vectors == REFERENCE else [str(vectors)]
    digest = digest_of("tile", *parts)
    if store.has_image(row.image_id, digest):
        store.remove_leftovers(row.image_id)
        try:
            return _read_statistics(store, row)
        except StoreError as error:
            raise_if_short(error, f"tile: {row.image_id}")
            log.warning("tile: %s: %s; it is written again", row.image_id, error)
    check = check_before_reading(path, row.sha256, None if region is None else slide_digests())
    need = memory_need(path, source_px=source_px, tile_px=tile_px, region=region)
    budget = process_budget().take(need, f"tile: {row.image_id}")
    with budget, open_source(path, region) as source:
        grid = TileGrid(source.height, source.width, source_px, tile_px)
        source_mpp = _pixel_size(row, source.mpp)
        meta = ImageMeta(
            image_id=row.image_id,
            source_sha256=row.sha256,
            source_height=source.height,
            source_width=source.width,
            source_px=source_px,
            tile_px=tile_px,
            mpp=source_mpp * grid.downsample if source_mpp else None,
            digest=digest,
            source_x=None if region is None else region.x,
            source_y=None if region is None else region.y,
            stain_vectors=vectors,
        )
        pixels, mask = read_analysis_image(source, grid, vectors)
        store.write_image(meta, pixels, mask, check)
        if isinstance(pixels, np.ndarray):
            return list(_statistics(meta, row.antibody_id, pixels, mask))
    return _read_statistics(store, row)


def _read_statistics(store: Store, row: AcquiredRow) -> list[TileStatRow]:
    meta = store.meta(row.image_id)
    image, cell = store.image(row.image_id), store.label(row.image_id, "cell")
    return list(_statistics(meta, row.antibody_id, image, cell))


def _pixel_size(row: AcquiredRow, stated_by_file: float | None) -> float | None:
    """Return the side of a source pixel in um: of the manifest, otherwise of the file."""
    if row.mpp and stated_by_file:
        low, high = sorted((row.mpp, stated_by_file))
        if high > MAX_MPP_FACTOR * low:
            log.warning(
                "%s: the manifest states %g um per pixel, the image file %g; the manifest counts, "
                "so correct its mpp or leave it empty if the file is right",
                row.image_id,
                row.mpp,
                stated_by_file,
            )
    return row.mpp or stated_by_file


def _statistics(meta: ImageMeta, antibody_id: str, image: Any, cell: Any) -> Iterator[TileStatRow]:
    """Yield one row per tile of `image` (3, y, x) and its cell mask (y, x), arrays of any kind."""
    size = meta.tile_px
    for row in range(meta.grid.rows):
        tile_row = slice(row * size, (row + 1) * size)
        tissue = np.asarray(cell[tile_row]) > 0
        rgb = np.asarray(image[:, tile_row])
        dab = stain.dab_mask(rgb, vectors=meta.stain_vectors) & tissue
        tissue_px = tissue.reshape(size, -1, size).sum(axis=(0, 2))
        dab_px = dab.reshape(size, -1, size).sum(axis=(0, 2))
        for col in range(meta.grid.cols):
            yield TileStatRow(
                image_id=meta.image_id,
                antibody_id=antibody_id,
                row=row,
                col=col,
                tissue_fraction=float(tissue_px[col] / size**2),
                dab_fraction=float(dab_px[col] / max(tissue_px[col], 1)),
                digest=meta.digest,
            )
