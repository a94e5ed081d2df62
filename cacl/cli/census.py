"""Commands from a model to the census: segment, measure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cacl.cli import options as opt
from cacl.config import SegmentConfig
from cacl.steps.parameters import AttemptOptions, ImageJobs, MeasureFiles, SegmentJobs


def segment(
    config: SegmentConfig,
    tiles: Annotated[Path, typer.Option(help="Table of `cacl tile` of a shard.")],
    store: opt.StorePath,
    model: opt.ModelPath,
    out: opt.Out,
    failures: opt.Failures,
    attempt: AttemptOptions,
    jobs: SegmentJobs,
) -> None:
    """Write the stain mask of every image of a shard.

    Example: cacl segment --tiles tiles.parquet --store atlas.zarr --model model
    --out segmented.parquet --failures failures.csv
    """
    from cacl.steps import segment as step
    from cacl.steps.attempts import record_attempt

    with opt.report_errors():
        step.segment(
            tiles,
            store,
            model,
            out,
            failures,
            config,
            threads=jobs.threads,
            strict=jobs.strict,
        )
        record_attempt("segment", attempt, failures)


def measure(
    cell_type: opt.CellType,
    min_tissue_fraction: opt.MinTissueFraction,
    files: MeasureFiles,
    jobs: ImageJobs,
    out: opt.Out,
    failures: opt.Failures,
    attempt: AttemptOptions,
    classes_table: Annotated[
        Path | None, typer.Option(help="Table of the stained area of each class.")
    ] = None,
) -> None:
    """Measure a shard's masks: one row per image.

    Example: cacl measure --segmented segmented.parquet --images catalog/shards/0.parquet
    --annotations catalog/annotations.parquet --tiles tiles.parquet --store atlas.zarr
    --out census.parquet --failures failures.csv
    """
    from cacl.steps import measure as step
    from cacl.steps.attempts import record_attempt

    with opt.report_errors():
        step.measure(
            files,
            out,
            failures,
            jobs,
            cell_type=cell_type,
            min_tissue_fraction=min_tissue_fraction,
            classes_table=classes_table,
        )
        record_attempt("measure", attempt, failures)
