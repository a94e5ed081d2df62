"""A run with one core of each label, the model untrained, and all its products."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import pytest

import cacl
from benchmarks._lib.untrained_model import write_untrained_model
from cacl import tables
from cacl.config import LabelsConfig, SegmentConfig, SourceConfig, TilesConfig
from cacl.phantom.host import write_phantom
from cacl.steps.acquire import acquire
from cacl.steps.catalog import catalog
from cacl.steps.measure import measure
from cacl.steps.parameters import AcquireOptions, ImageJobs, MeasureFiles
from cacl.steps.segment import segment
from cacl.steps.tile import tile
from cacl.tables.schemas import AcquiredRow, MeasureRow

MPP = 0.4
THRESHOLD = -1.1
"""Logit above which the untrained model has its masks: it gives each core one."""


@dataclass(frozen=True)
class Run:
    """A folder with the products of a run, as Snakemake lays them out."""

    folder: Path

    @cached_property
    def model(self) -> cacl.Model:
        return cacl.load_model(self.folder / "results/model")

    @cached_property
    def store(self) -> cacl.Store:
        return cacl.open_store(self.folder / "results/atlas.zarr")

    @cached_property
    def census(self) -> dict[str, MeasureRow]:
        rows = tables.read_parquet(self.folder / "results/census/0.parquet", MeasureRow)
        return {row.image_id: row for row in rows}

    @cached_property
    def images(self) -> dict[str, Path]:
        rows = tables.read_parquet(self.folder / "results/acquired/0.parquet", AcquiredRow)
        return {row.image_id: self.folder / row.path for row in rows}


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("api")
    tiles = TilesConfig()
    with contextlib.chdir(folder):
        write_phantom(Path("host"), Path("truth"), antibodies=2, patients=1, seed=0, jobs=2)
        images = sorted(Path("host").rglob("*.jpg"))
        rows = [
            {"image_path": path.absolute(), "antibody_id": path.parent.name, "patient_id": "1"}
            for path in images
        ]
        pd.DataFrame(rows).assign(mpp=MPP, label=["positive", "negative"]).to_csv(
            "manifest.csv", index=False
        )
        source = SourceConfig(kind="manifest", manifest=Path("manifest.csv"))
        results, failures = Path("results"), Path("failures.csv")
        catalog(results / "catalog", failures, source, LabelsConfig(), shards=1)
        shard, acquired = results / "catalog/shards/0.parquet", results / "acquired/0.parquet"
        acquire(shard, Path("images"), acquired, failures, source, AcquireOptions(strict=True))
        store, tiled = results / "atlas.zarr", results / "tiles/0.parquet"
        tile(acquired, store, tiled, failures, tiles, ImageJobs(strict=True))
        write_untrained_model(results / "model", THRESHOLD)
        segmented = results / "segmented/0.parquet"
        config = SegmentConfig()
        segment(tiled, store, results / "model", segmented, failures, config, strict=True)
        measure(
            MeasureFiles(
                segmented=segmented,
                images=results / "catalog/images.parquet",
                annotations=results / "catalog/annotations.parquet",
                tiles=tiled,
                store=store,
            ),
            results / "census/0.parquet",
            failures,
            ImageJobs(strict=True),
            cell_type="",
            min_tissue_fraction=tiles.min_tissue_fraction,
        )
    return Run(folder)
