"""Cut every acquired image into the tiles of the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np

from cacl import tables
from cacl.errors import ImageError, Reason
from cacl.image import stain
from cacl.image.cell_mask import background_od, cell_mask
from cacl.image.readers import as_dask, check_size, open_source
from cacl.image.tile_grid import TileGrid
from cacl.runtime.images import run_images, write_failures
from cacl.store import ImageMeta, Store, digest_of
from cacl.store.shard import Pixels
from cacl.tables.schemas import AcquiredRow, TileStatRow

TILE_VERSION = 3
OVERLAP_PX = 64
BLOCK_TILES = 8
THUMBNAIL_PX = 1024


def tile(
    acquired: Path,
    store: Path,
    out: Path,
    failures: Path,
    *,
    source_px: int,
    tile_px: int,
    min_tissue_fraction: float,
    jobs: int = 1,
    scheduler: str | None = None,
    strict: bool = False,
) -> None:
    """Write each image, its cell mask and what can be said of its tiles.

    Images that the store already holds, made from the same bytes with the same parameters, are
    not written again.

    Parameters
    ----------
    acquired
        Receipts of `cacl acquire` for a shard.
    store
        The OME-Zarr store.
    out
        Table of `TileStatRow`, one row a tile.
    failures
        CSV of the images left out.
    source_px, tile_px
        Side of a tile in pixels of the source and of the store.
    min_tissue_fraction
        An image none of whose tiles holds as much tissue is a failure.
    jobs
        Images at a time.
    scheduler
        Address of a dask scheduler whose workers do it instead; they must see the same folders.
        It must be a trusted one: it can run code here.
    strict
        Raise `StrictError` if an image failed.
    """
    base = Path.cwd() if scheduler else Path()
    atlas = Store(base / store)

    def work(row: AcquiredRow) -> list[TileStatRow]:
        stats = tile_image(atlas, row, base / row.path, source_px=source_px, tile_px=tile_px)
        best = max(stat.tissue_fraction for stat in stats)
        if best < min_tissue_fraction:
            raise ImageError(
                Reason.NO_TISSUE,
                f"No tissue: the fullest tile holds {best:.1%}, expected {min_tissue_fraction:.1%};"
                " look at the image, or lower tiles.min_tissue_fraction",
            )
        return stats

    rows = tables.read_parquet(acquired, AcquiredRow)
    outcome = run_images(
        "tile", rows, work, source=lambda row: row.path, jobs=jobs, scheduler=scheduler
    )
    flat = [stat for stats in outcome.results for stat in stats]
    tables.write_parquet(out, flat, TileStatRow)
    write_failures(failures, outcome.failures, strict=strict)


def tile_image(
    atlas: Store, row: AcquiredRow, path: Path, *, source_px: int, tile_px: int
) -> list[TileStatRow]:
    """Write one image and its cell mask, unless they are there; return a row a tile.

    Parameters
    ----------
    atlas
        The store.
    row
        The image's receipt.
    path
        Where the image lies.
    source_px, tile_px
        See `tile`.

    Raises
    ------
    ImageError
        The image cannot be read, or holds no whole tile.
    """
    digest = digest_of("tile", TILE_VERSION, row.sha256, source_px, tile_px, row.mpp)
    if atlas.has_image(row.image_id, digest):
        meta = atlas.meta(row.image_id)
        image, cell = atlas.image(row.image_id), atlas.label(row.image_id, "cell")
        return list(_statistics(meta, row.antibody_id, image, cell))
    with open_source(path) as source:
        grid = TileGrid(source.height, source.width, source_px, tile_px)
        check_size(source, grid)
        mpp = row.mpp or source.mpp
        meta = ImageMeta(
            image_id=row.image_id,
            source_sha256=row.sha256,
            source_height=source.height,
            source_width=source.width,
            source_px=source_px,
            tile_px=tile_px,
            mpp=mpp * grid.downsample if mpp else None,
            digest=digest,
        )
        if max(grid.rows, grid.cols) <= BLOCK_TILES:
            pixels = source.read(grid, range(grid.rows), range(grid.cols))
            mask = cell_mask(pixels, _glass_density(pixels))
            atlas.write_image(meta, pixels, mask)
            return list(_statistics(meta, row.antibody_id, pixels, mask))
        lazy = as_dask(source, grid, block_tiles=BLOCK_TILES)
        atlas.write_image(meta, lazy, _cell_mask(lazy))
    image, cell = atlas.image(row.image_id), atlas.label(row.image_id, "cell")
    return list(_statistics(meta, row.antibody_id, image, cell))


def _cell_mask(pixels: da.Array) -> da.Array:
    """Return the cell mask of an image, lazily; each block sees a rim of its neighbours."""
    mask: da.Array = da.map_overlap(
        cell_mask,
        pixels,
        depth={0: 0, 1: OVERLAP_PX, 2: OVERLAP_PX},
        boundary="none",
        drop_axis=0,
        dtype=bool,
        meta=np.empty((0, 0), dtype=bool),
        background=_glass_density(pixels),
    )
    return mask


def _glass_density(pixels: Pixels) -> float:
    every = max(1, max(pixels.shape[1:]) // THUMBNAIL_PX)
    return background_od(np.asarray(pixels[:, ::every, ::every]))


def _statistics(meta: ImageMeta, antibody_id: str, image: Any, cell: Any) -> Iterator[TileStatRow]:
    """Yield a row a tile; `image` and `cell` are arrays, in memory or of the store."""
    size = meta.tile_px
    for row in range(meta.grid.rows):
        band = slice(row * size, (row + 1) * size)
        tissue = np.asarray(cell[band]) > 0
        dab = stain.dab_mask(np.asarray(image[:, band])) & tissue
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
