"""Commands from a source of images to tiles: phantom, dearray, catalog, acquire, and so on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cacl.cli import options as opt
from cacl.config import CensusConfig, LabelsConfig, PhantomConfig, SourceConfig, TilesConfig
from cacl.runtime.printable import printable
from cacl.stain.config import StainConfig
from cacl.steps.parameters import (
    AcquireOptions,
    AttemptOptions,
    DearrayOptions,
    ImageJobs,
    TileFiles,
)

CATALOG_KEYS = tuple(name for name in SourceConfig.model_fields if name != "max_minutes")
CATALOG_LABELS = tuple(name for name in LabelsConfig.model_fields if name != "drawn")
ACQUIRE_KEYS = (
    *("kind", "hpa_version", "mirror", "requests_per_second", "allowed_hosts", "host"),
    "max_minutes",
)


def phantom(
    config: PhantomConfig,
    seed: opt.Seed,
    host: Annotated[Path, typer.Option(help="Folder laid out as the Human Protein Atlas's host.")],
    truth: Annotated[Path, typer.Option(help="Folder of true masks, for the benchmark only.")],
    jobs: opt.Jobs = 1,
) -> None:
    """Write synthetic images with ground truth.

    Example: cacl phantom --host phantom/host --truth phantom/truth --antibodies 4
    """
    from cacl.steps import phantom as step

    with opt.report_errors():
        step.phantom(host, truth, config, seed=seed, jobs=jobs)


def dearray(
    slides: Annotated[
        list[Path], typer.Argument(help="Whole slides of one tissue microarray each.")
    ],
    options: DearrayOptions,
    out: Annotated[
        Path, typer.Option(help="Folder for the manifest, and a picture and a grid per slide.")
    ] = Path("dearray"),
) -> None:
    """Find the cores of tissue microarrays on slides, and list them in a manifest.

    Example: cacl dearray slide.svs --map array.csv --out dearray
    """
    from cacl.steps import dearray as step

    with opt.report_errors():
        typer.echo(printable(step.dearray(slides, out, options)))


def catalog(
    source: Annotated[SourceConfig, opt.Keys(CATALOG_KEYS)],
    labels: Annotated[LabelsConfig, opt.Keys(CATALOG_LABELS)],
    census: CensusConfig,
    out: opt.Out,
    failures: opt.Failures,
    attempt: AttemptOptions,
    downloads: Annotated[
        Path | None, typer.Option(help="Folder for annotation that is downloaded from the host.")
    ] = None,
) -> None:
    """List images, annotation and labels.

    Example: cacl catalog --out catalog --failures catalog.csv --kind mirror --mirror phantom/host
    """
    from cacl.steps import catalog as step
    from cacl.steps.attempts import record_attempt

    with opt.report_errors():
        shards = census.shards
        typer.echo(step.catalog(out, failures, source, labels, shards=shards, downloads=downloads))
        record_attempt("catalog", attempt, failures)


def acquire(
    source: Annotated[SourceConfig, opt.Keys(ACQUIRE_KEYS)],
    shard: Annotated[Path, typer.Option(help="A shard's list of images.")],
    images: Annotated[Path, typer.Option(help="Folder for the images.")],
    out: opt.Out,
    failures: opt.Failures,
    options: AcquireOptions,
    attempt: AttemptOptions,
) -> None:
    """Download or link a shard's images and verify them.

    Example: cacl acquire --shard catalog/shards/0.parquet --images images --out acquired.parquet
    --failures failures.csv --kind mirror --mirror phantom/host
    """
    from cacl.steps import acquire as step

    with opt.report_errors():
        step.acquire(shard, images, out, failures, source, options, attempt=attempt)


def estimate_stain(
    tiles: Annotated[TilesConfig, opt.Keys(("source_px", "tile_px"))],
    seed: opt.Seed,
    acquired: Annotated[
        list[Path], typer.Option(help="Table of `cacl acquire`. Repeat the option for several.")
    ],
    out: opt.Out,
    jobs: opt.Jobs = 1,
) -> None:
    """Estimate the stain vectors from a sample of the acquired images.

    Example: cacl estimate-stain --acquired acquired.parquet --out vectors.json
    """
    from cacl.steps import estimate_stain as step

    with opt.report_errors():
        step.estimate_stain(acquired, out, tiles, seed=seed, jobs=jobs)


def tile(
    tiles: TilesConfig,
    stain: StainConfig,
    files: TileFiles,
    out: opt.Out,
    failures: opt.Failures,
    jobs: ImageJobs,
    attempt: AttemptOptions,
) -> None:
    """Write a shard's images as tiles into the store.

    Example: cacl tile --acquired acquired.parquet --store atlas.zarr --out tiles.parquet
    --failures failures.csv
    """
    from cacl.steps import tile as step
    from cacl.steps.attempts import record_attempt
    from cacl.steps.estimate_stain import chosen_vectors

    with opt.report_errors():
        vectors = chosen_vectors(stain, files.estimate)
        step.tile(files.acquired, files.store, out, failures, tiles, jobs, vectors)
        record_attempt("tile", attempt, failures)
