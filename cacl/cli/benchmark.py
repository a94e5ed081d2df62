"""Commands that evaluate a model: spike-in controls, and the benchmark with its baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cacl.cli import options as opt
from cacl.config import (
    BenchmarkConfig,
    ControlsConfig,
    PhantomConfig,
    SegmentConfig,
    TilesConfig,
)
from cacl.errors import ConfigError
from cacl.steps.parameters import ControlFiles, EvaluationFiles, TrainedModels

NO_TRUTH = (
    "The benchmark has no true masks; name the folder of your own with --truth (benchmark.truth), "
    "or that of synthetic images with --phantom-truth"
)


def controls(
    config: ControlsConfig,
    segment: SegmentConfig,
    seed: opt.Seed,
    files: ControlFiles,
    out: opt.Out,
    failures: opt.Failures,
    threads: opt.Threads = 2,
) -> None:
    """Paint DAB bands of known density on negative cores, and state what the model finds.

    Example: cacl controls --tiles chosen.parquet --store atlas.zarr --model model --out controls
    --failures failures.csv
    """
    from cacl.steps import controls as step

    with opt.report_errors():
        step.controls(files, out, failures, config, segment, seed=seed, threads=threads)


def benchmark_data(
    phantom: PhantomConfig, tiles: TilesConfig, seed: opt.Seed, out: opt.Out, jobs: opt.Jobs = 1
) -> None:
    """Write and tile synthetic images that no model is trained on.

    Example: cacl benchmark-data --setting duodenum-b --antibodies 16 --patients 1
    --out benchmark/external/duodenum-b
    """
    from cacl.steps import synthesise_external as step

    with opt.report_errors():
        step.synthesise_external(out, phantom, tiles, seed=seed, jobs=jobs)


def train_classifier(
    seed: opt.Seed,
    tiles: opt.SelectedTiles,
    store: opt.StorePath,
    out: opt.Out,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of 16 tiles.")] = 300,
    threads: opt.Threads = 2,
) -> None:
    """Train the image-wise classifier that the CAM methods explain.

    Example: cacl train-classifier --tiles chosen.parquet --store atlas.zarr --out classifier
    """
    from cacl.steps import train_classifier as step

    with opt.report_errors():
        step.train_classifier(tiles, store, out, steps=steps, seed=seed, threads=threads)


def benchmark(
    config: SegmentConfig,
    seed: opt.Seed,
    files: EvaluationFiles,
    masks: BenchmarkConfig,
    models: TrainedModels,
    out: opt.Out,
    external: Annotated[
        list[Path] | None, typer.Option(help="Folder of `cacl benchmark-data`; repeat.")
    ] = None,
    threads: opt.Threads = 2,
) -> None:
    """Compare the model and the baselines with ground truth.

    Example: cacl benchmark --tiles chosen.parquet --store atlas.zarr --model model
    --phantom-truth phantom/truth --external benchmark/external/duodenum-b --out benchmark
    """
    from cacl.benchmark.evaluation_set import OWN_SET, EvaluationSource
    from cacl.benchmark.ground_truth import GroundTruth, PhantomTruth
    from cacl.benchmark.truth_files import TruthFiles
    from cacl.steps import benchmark as step

    with opt.report_errors():
        truth: GroundTruth
        if masks.truth is not None:
            truth = TruthFiles(masks.truth)
        elif files.phantom_truth is not None:
            truth = PhantomTruth(files.phantom_truth)
        else:
            raise ConfigError(NO_TRUTH)
        step.benchmark(
            [
                EvaluationSource(OWN_SET, files.tiles, files.store, truth),
                *(EvaluationSource.external(folder) for folder in external or ()),
            ],
            models,
            out,
            config,
            seed=seed,
            threads=threads,
        )
