"""A finished run that takes seconds: every step on a few small synthetic cores."""

from __future__ import annotations

import contextlib
from pathlib import Path

from cacl.config import (
    ControlsConfig,
    LabelsConfig,
    SegmentConfig,
    SourceConfig,
    TilesConfig,
    TrainConfig,
    resolve,
)
from cacl.diagnostics.workflow_triggers import files_digest, training_settings
from cacl.phantom.host import write_phantom
from cacl.runtime.compute import Compute
from cacl.steps.acquire import acquire
from cacl.steps.catalog import catalog
from cacl.steps.controls import controls
from cacl.steps.measure import measure
from cacl.steps.parameters import (
    AcquireOptions,
    ControlFiles,
    ImageJobs,
    MeasureFiles,
    ReportFiles,
    SelectionFiles,
    TrainFiles,
)
from cacl.steps.report import report
from cacl.steps.segment import segment
from cacl.steps.select import select
from cacl.steps.tile import tile
from cacl.steps.train import train

CORE_PX = 750
ANTIBODIES = 6
RESULTS = Path("results")


def write_small_run(
    folder: Path,
    *,
    seed: int = 0,
    tiles: TilesConfig | None = None,
    morphology: SegmentConfig | None = None,
    steps: int = 2,
) -> Path:
    """Write `resources` and `results` of a run in one shard, as Snakemake lays them out.

    Parameters
    ----------
    folder
        The run's working directory.
    seed
        Seed of the images and of all steps.
    tiles, morphology
        Settings that differ from those of a run; None for 125 px and no morphology.
    steps
        Steps of the training, with the preset `paper`; its masks are of no use.

    Returns
    -------
    The folder `results`.
    """
    tiles = tiles or TilesConfig(source_px=125, tile_px=64)
    morphology = morphology or SegmentConfig()
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(folder):
        host = Path("resources/phantom/host")
        truth = Path("resources/phantom/truth")
        write_phantom(
            host, truth, antibodies=ANTIBODIES, patients=1, seed=seed, jobs=2, core_px=CORE_PX
        )
        source = SourceConfig(kind="mirror", mirror=host, genes=("all",))
        _read_images(source, tiles)
        _learn(tiles, steps, seed)
        _take_census(tiles, morphology, seed)
    return folder / RESULTS


def failures(step: str) -> Path:
    """Return the failures of a step on the only shard."""
    return RESULTS / "failures" / step / "0.csv"


def _read_images(source: SourceConfig, tiles: TilesConfig) -> None:
    catalog(
        RESULTS / "catalog",
        RESULTS / "failures" / "catalog.csv",
        source,
        LabelsConfig(),
        shards=1,
    )
    acquire(
        RESULTS / "catalog/shards/0.parquet",
        Path("resources/images"),
        RESULTS / "acquired/0.parquet",
        failures("acquire"),
        source,
        AcquireOptions(),
    )
    tile(
        RESULTS / "acquired/0.parquet",
        RESULTS / "atlas.zarr",
        RESULTS / "tiles/0.parquet",
        failures("tile"),
        tiles,
        ImageJobs(),
    )
    listed = RESULTS / "tiles/0.parquet"
    (RESULTS / "tiles/tables.txt").write_text(
        f"{listed}\n# sha256 {files_digest([listed])}\n", encoding="utf-8"
    )


def _learn(tiles: TilesConfig, steps: int, seed: int) -> None:
    select(
        SelectionFiles(
            images=RESULTS / "catalog/images.parquet",
            tiles=[RESULTS / "tiles/0.parquet"],
            store=RESULTS / "atlas.zarr",
        ),
        RESULTS / "training/tiles.parquet",
        min_tissue_fraction=tiles.min_tissue_fraction,
        seed=seed,
    )
    settings = training_settings(resolve({}))
    (RESULTS / "training/config.txt").write_text(settings, encoding="utf-8")
    train(
        TrainFiles(tiles=RESULTS / "training/tiles.parquet", store=RESULTS / "atlas.zarr"),
        RESULTS / "model",
        TrainConfig(preset="paper", max_steps=steps),
        LabelsConfig(),
        seed=seed,
        compute=Compute(threads=1),
    )


def _take_census(tiles: TilesConfig, morphology: SegmentConfig, seed: int) -> None:
    segment(
        RESULTS / "tiles/0.parquet",
        RESULTS / "atlas.zarr",
        RESULTS / "model",
        RESULTS / "segmented/0.parquet",
        failures("segment"),
        morphology,
        threads=1,
    )
    measure(
        MeasureFiles(
            segmented=RESULTS / "segmented/0.parquet",
            images=RESULTS / "catalog/shards/0.parquet",
            annotations=RESULTS / "catalog/annotations/0.parquet",
            tiles=RESULTS / "tiles/0.parquet",
            store=RESULTS / "atlas.zarr",
        ),
        RESULTS / "census/0.parquet",
        failures("measure"),
        ImageJobs(),
        cell_type=LabelsConfig().cell_type,
        min_tissue_fraction=tiles.min_tissue_fraction,
        classes_table=RESULTS / "classes/0.parquet",
    )
    controls(
        ControlFiles(
            tiles=RESULTS / "training/tiles.parquet",
            store=RESULTS / "atlas.zarr",
            model=RESULTS / "model",
        ),
        RESULTS / "controls",
        RESULTS / "failures" / "controls.csv",
        ControlsConfig(cores=1, doses_od=(0.8,)),
        morphology,
        seed=seed,
        threads=1,
    )
    report(
        ReportFiles(
            census=[RESULTS / "census/0.parquet"],
            failures=[failures(step) for step in ("acquire", "tile", "segment", "measure")],
            store=RESULTS / "atlas.zarr",
            model=RESULTS / "model",
            catalog=RESULTS / "catalog",
            classes_table=[RESULTS / "classes/0.parquet"],
            controls=RESULTS / "controls",
        ),
        RESULTS / "report",
        cell_type=LabelsConfig().cell_type,
        seed=seed,
        min_tissue_fraction=tiles.min_tissue_fraction,
        segment=morphology,
    )
