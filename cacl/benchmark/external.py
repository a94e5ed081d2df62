"""Draw a synthetic external test set: none of its antibodies is used for training."""

from __future__ import annotations

from pathlib import Path

from cacl import tables
from cacl.benchmark.evaluation_set import EXTERNAL_STORE, EXTERNAL_TILES, EXTERNAL_TRUTH
from cacl.hpa.options import LabelOptions, SourceOptions
from cacl.model.data.selection import SelectionReason, Split
from cacl.phantom import write_phantom
from cacl.stats.intervals import seed_of
from cacl.steps import catalog as catalog_step
from cacl.steps.acquire import acquire
from cacl.steps.tile import tile
from cacl.tables.schemas import ImageRow, TileRow, TileStatRow


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
    """Draw synthetic images with ground truth, and tile them as a run does.

    Parameters
    ----------
    out
        Folder for `tested.parquet` (`TileRow`, all in the test split), `atlas.zarr` and `truth/`;
        see `EvaluationSource.external`.
    setting
        Setting of the phantom.
    antibodies, patients
        Number of antibodies and of cores per antibody.
    source_px, tile_px, min_tissue_fraction
        Tiling of the run.
    seed
        Seed of the run; the images differ from the run's own.
    jobs
        Number of cores that are processed in parallel.

    Raises
    ------
    ConfigError
        There is no such setting.
    StrictError
        An image could not be used.
    """
    host, failures = out / "host", out / "failures"
    phantom_seed = seed_of(f"unseen {setting}", seed) % 2**32
    write_phantom(
        host,
        out / EXTERNAL_TRUTH,
        antibodies=antibodies,
        patients=patients,
        seed=phantom_seed,
        jobs=jobs,
        setting=setting,
    )
    source = SourceOptions(kind="mirror", mirror=host)
    catalog = out / "catalog"
    catalog_step.catalog(catalog, failures / "catalog.csv", source, LabelOptions(), shards=1)
    acquired, tiles = out / "acquired.parquet", out / "tiles.parquet"
    shard = catalog / "shards" / "0.parquet"
    acquire(
        shard, out / "images", acquired, failures / "acquire.csv", source, jobs=jobs, strict=True
    )
    tile(
        acquired,
        out / EXTERNAL_STORE,
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
        _test_row(row, labels[row.image_id], row.tissue_fraction >= min_tissue_fraction)
        for row in tables.read_parquet(tiles, TileStatRow)
    ]
    tables.write_parquet(out / EXTERNAL_TILES, rows, TileRow)


def _test_row(row: TileStatRow, label: str, has_tissue: bool) -> TileRow:
    return TileRow(
        image_id=row.image_id,
        antibody_id=row.antibody_id,
        row=row.row,
        col=row.col,
        label=label,
        split=Split.TEST,
        selected=has_tissue,
        reason=SelectionReason.TEST if has_tissue else SelectionReason.LITTLE_TISSUE,
    )
