"""A synthetic atlas that nothing was trained on: all of its antibodies are test antibodies."""

from __future__ import annotations

from pathlib import Path

from cacl import tables
from cacl.hpa.catalog import build_catalog
from cacl.hpa.options import LabelOptions, SourceOptions
from cacl.phantom import write_phantom
from cacl.stats.intervals import seed_of
from cacl.steps.acquire import acquire
from cacl.steps.tile import tile
from cacl.tables.schemas import ImageRow, TileRow, TileStatRow
from cacl.tables.selection import SelectionReason, Split

TESTED, STORE, TRUTH = "tested.parquet", "atlas.zarr", "truth"


def synthesise_external(
    out: Path,
    *,
    setting: str,
    antibodies: int,
    patients: int,
    source_px: int,
    tile_px: int,
    min_tissue_fraction: float,
    seed: int,
    jobs: int = 1,
) -> None:
    """Draw an atlas, and tile it as a run does.

    Parameters
    ----------
    out
        Folder that gets `tested.parquet` (`TileRow`, all of the test split), `atlas.zarr` and
        `truth/`; for `atlas.read_atlas`.
    setting
        Of the phantom.
    antibodies, patients
        Size of the atlas.
    source_px, tile_px, min_tissue_fraction
        As the run that is tested tiles.
    seed
        The run's; the atlas is another one than the run's own.
    jobs
        Cores at a time.

    Raises
    ------
    ConfigError
        No such setting.
    StrictError
        A core could not be used.
    """
    host, failures = out / "host", out / "failures"
    drawn = seed_of(f"unseen {setting}", seed) % 2**32
    write_phantom(
        host,
        out / TRUTH,
        antibodies=antibodies,
        patients=patients,
        seed=drawn,
        jobs=jobs,
        setting=setting,
    )
    source = SourceOptions(kind="mirror", mirror=host)
    catalog = out / "catalog"
    build_catalog(catalog, failures / "catalog.csv", source, LabelOptions(), shards=1)
    acquired, tiles = out / "acquired.parquet", out / "tiles.parquet"
    shard = catalog / "shards" / "0.parquet"
    acquire(
        shard, out / "images", acquired, failures / "acquire.csv", source, jobs=jobs, strict=True
    )
    tile(
        acquired,
        out / STORE,
        tiles,
        failures / "tile.csv",
        source_px=source_px,
        tile_px=tile_px,
        min_tissue_fraction=min_tissue_fraction,
        jobs=jobs,
        strict=True,
    )
    labels = {row.image_id: row.label for row in tables.read_parquet(shard, ImageRow)}
    rows = [
        _tested(row, labels[row.image_id], row.tissue_fraction >= min_tissue_fraction)
        for row in tables.read_parquet(tiles, TileStatRow)
    ]
    tables.write_parquet(out / TESTED, rows, TileRow)


def _tested(row: TileStatRow, label: str, has_tissue: bool) -> TileRow:
    return TileRow(
        image_id=row.image_id,
        antibody_id=row.antibody_id,
        row=row.row,
        col=row.col,
        label=label,
        split=Split.TEST,
        kept=has_tissue,
        rule=SelectionReason.TEST if has_tissue else SelectionReason.LITTLE_TISSUE,
    )
