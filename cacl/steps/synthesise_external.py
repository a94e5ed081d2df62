"""Write an external test set: synthetic images on which no model is trained."""

from __future__ import annotations

from pathlib import Path

from cacl import tables
from cacl.benchmark.evaluation_set import EXTERNAL_STORE, EXTERNAL_TILES, EXTERNAL_TRUTH
from cacl.config import LabelsConfig, PhantomConfig, SourceConfig, TilesConfig
from cacl.stain.vectors import REFERENCE
from cacl.stats.intervals import seed_of
from cacl.steps.acquire import acquire
from cacl.steps.catalog import catalog as write_catalog
from cacl.steps.parameters import AcquireOptions, ImageJobs
from cacl.steps.phantom import phantom as write_images
from cacl.steps.tile import tile
from cacl.tables.schemas import ImageRow, TileRow, TileStatRow
from cacl.tables.selection import SelectionReason, Split


def synthesise_external(
    out: Path, phantom: PhantomConfig, tiles: TilesConfig, *, seed: int = 0, jobs: int = 1
) -> None:
    """Write synthetic images and tile them as a run does; all antibodies are test antibodies.

    Parameters
    ----------
    out
        Folder that gets `tiles.parquet` (`TileRow`, all of the test split), `atlas.zarr` and
        `truth/`; see `cacl.benchmark.evaluation_set.EvaluationSource.external`.
    phantom
        Setting, antibodies and patients.
    tiles
        How the run under test tiles its images.
    seed
        Seed of the run; the images differ from those of the run itself.
    jobs
        Images processed at the same time.

    Raises
    ------
    StrictError
        An image could not be used.
    """
    host, failures = out / "host", out / "failures"
    # The text is part of the seed: another text gives other images.
    image_seed = seed_of(f"unseen {phantom.setting}", seed) % 2**32
    write_images(host, out / EXTERNAL_TRUTH, phantom, seed=image_seed, jobs=jobs)
    source = SourceConfig(kind="mirror", mirror=host)
    catalog = out / "catalog"
    write_catalog(catalog, failures / "catalog.csv", source, LabelsConfig(), shards=1)
    acquired, tiled = out / "acquired.parquet", out / "tiled.parquet"
    shard = catalog / "shards" / "0.parquet"
    options = AcquireOptions(jobs=jobs, strict=True)
    acquire(shard, out / "images", acquired, failures / "acquire.csv", source, options)
    image_jobs = ImageJobs(jobs=jobs, strict=True)
    store, failed = out / EXTERNAL_STORE, failures / "tile.csv"
    # Of these images alone: stain vectors that the user gives, or an estimate, are of other ones.
    tile(acquired, store, tiled, failed, tiles, image_jobs, REFERENCE)
    labels = {row.image_id: row.label for row in tables.read_parquet(shard, ImageRow)}
    rows = [
        _test_tile(row, labels[row.image_id], row.tissue_fraction >= tiles.min_tissue_fraction)
        for row in tables.read_parquet(tiled, TileStatRow)
    ]
    tables.write_parquet(out / EXTERNAL_TILES, rows, TileRow)


def _test_tile(row: TileStatRow, label: str, has_tissue: bool) -> TileRow:
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
