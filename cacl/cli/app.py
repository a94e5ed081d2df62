"""The command `cacl`: one subcommand a step. It parses, calls and prints."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from cacl import __version__
from cacl.cli import options as opt
from cacl.cli.benchmark import benchmark, classifier, unseen
from cacl.cli.diagnostics import doctor, estimate, status
from cacl.cli.export import export
from cacl.cli.results import docs, report, top
from cacl.config import default

HELP = "Quantify a diffuse stain across the Human Protein Atlas from image-wise labels."
app = typer.Typer(help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cacl-atlas {__version__}")
        raise typer.Exit


@app.callback()
def main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Set up logging for every step."""
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("asyncio", "PIL", "tifffile", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@app.command()
def phantom(
    host: Annotated[Path, typer.Option(help="Folder to lay out as the atlas's host.")],
    truth: Annotated[Path, typer.Option(help="Folder of true masks, for the benchmark alone.")],
    antibodies: opt.AntibodyCount = default("phantom.antibodies"),
    patients: opt.PatientCount = default("phantom.patients"),
    setting: Annotated[str, typer.Option(help="What it looks like.")] = default("phantom.setting"),
    seed: opt.Seed = default("seed"),
    jobs: opt.Jobs = 1,
) -> None:
    """Draw a synthetic atlas with known truth.

    Example: cacl phantom --host phantom/host --truth phantom/truth --antibodies 4
    """
    from cacl.phantom import write_phantom

    with opt.sentences():
        write_phantom(
            host,
            truth,
            antibodies=antibodies,
            patients=patients,
            seed=seed,
            jobs=jobs,
            setting=setting,
        )


@app.command()
def catalog(
    out: opt.Out,
    failures: opt.Failures,
    kind: opt.Kind = default("source.kind"),
    hpa_version: opt.HpaVersion = None,
    genes: opt.Genes = default("source.genes"),
    antibodies: opt.Antibodies = default("source.antibodies"),
    tissues: opt.Tissues = None,
    mirror: opt.Mirror = default("source.mirror"),
    manifest: opt.Manifest = default("source.manifest"),
    requests_per_second: opt.Rate = default("source.requests_per_second"),
    allowed_hosts: opt.Hosts = default("source.allowed_hosts"),
    cell_type: opt.CellType = default("labels.cell_type"),
    positive: opt.Levels = default("labels.positive"),
    negative: opt.Levels = default("labels.negative"),
    overrides: opt.Overrides = default("labels.overrides"),
    classes: opt.Classes = None,
    shards: opt.Shards = default("census.shards"),
    downloads: opt.Downloads = None,
) -> None:
    """List images, annotation and labels.

    Example: cacl catalog --out catalog --failures catalog.csv --kind mirror --mirror phantom/host
    """
    from cacl.hpa.options import LabelOptions, SourceOptions
    from cacl.hpa.target_class import parse_classes
    from cacl.steps import catalog as step

    with opt.sentences():
        source = SourceOptions(
            kind=kind,
            hpa_version=hpa_version,
            genes=tuple(genes),
            antibodies=tuple(antibodies),
            tissues=tuple(tissues or ()),
            mirror=mirror,
            manifest=manifest,
            requests_per_second=requests_per_second,
            allowed_hosts=tuple(allowed_hosts),
        )
        labels = LabelOptions(
            cell_type=cell_type,
            positive=tuple(positive),
            negative=tuple(negative),
            overrides=overrides,
            classes=parse_classes(classes or ()),
        )
        summary = step.catalog(out, failures, source, labels, shards=shards, downloads=downloads)
        typer.echo(summary)


@app.command()
def acquire(
    shard: Annotated[Path, typer.Option(help="A shard's list of images.")],
    images: Annotated[Path, typer.Option(help="Folder for the images.")],
    out: opt.Out,
    failures: opt.Failures,
    kind: opt.Kind = default("source.kind"),
    hpa_version: opt.HpaVersion = None,
    mirror: opt.Mirror = default("source.mirror"),
    requests_per_second: opt.Rate = default("source.requests_per_second"),
    allowed_hosts: opt.Hosts = default("source.allowed_hosts"),
    max_minutes: opt.AskMinutes = default("source.max_minutes"),
    jobs: opt.Jobs = 1,
    refresh: opt.Refresh = False,
    check: opt.Check = False,
    strict: opt.Strict = False,
) -> None:
    """Fetch and verify a shard's images.

    Example: cacl acquire --shard catalog/shards/0.parquet --images images --out acquired.parquet
    --failures failures.csv --kind mirror --mirror phantom/host
    """
    from cacl.hpa.options import SourceOptions
    from cacl.steps import acquire as step

    with opt.sentences(failures):
        source = SourceOptions(
            kind=kind,
            hpa_version=hpa_version,
            mirror=mirror,
            requests_per_second=requests_per_second,
            allowed_hosts=tuple(allowed_hosts),
        )
        step.acquire(
            shard,
            images,
            out,
            failures,
            source,
            jobs=jobs,
            refresh=refresh,
            check=check,
            max_minutes=max_minutes,
            strict=strict,
        )


@app.command()
def tile(
    acquired: Annotated[Path, typer.Option(help="Receipts of `cacl acquire`.")],
    store: opt.StorePath,
    out: opt.Out,
    failures: opt.Failures,
    source_px: opt.SourcePx = default("tiles.source_px"),
    tile_px: opt.TilePx = default("tiles.tile_px"),
    min_tissue_fraction: opt.MinTissue = default("tiles.min_tissue_fraction"),
    jobs: opt.Jobs = 1,
    dask_scheduler: opt.DaskScheduler = None,
    strict: opt.Strict = False,
) -> None:
    """Cut a shard's images into the tiles of the store.

    Example: cacl tile --acquired acquired.parquet --store atlas.zarr --out tiles.parquet
    --failures failures.csv
    """
    from cacl.steps import tile as step

    with opt.sentences(failures):
        step.tile(
            acquired,
            store,
            out,
            failures,
            source_px=source_px,
            tile_px=tile_px,
            min_tissue_fraction=min_tissue_fraction,
            jobs=jobs,
            scheduler=dask_scheduler,
            strict=strict,
        )


@app.command()
def select(
    images: Annotated[Path, typer.Option(help="The catalog's images.parquet.")],
    out: opt.Out,
    tiles: Annotated[list[Path], typer.Option(help="Tables of `cacl tile`; repeat.")],
    min_tissue_fraction: opt.MinTissue = default("tiles.min_tissue_fraction"),
    overrides: opt.Overrides = default("labels.overrides"),
    max_tiles: opt.MaxTiles = default("train.max_tiles"),
    seed: opt.Seed = default("seed"),
) -> None:
    """Choose the tiles to train and test on, split by antibody.

    Example: cacl select --images catalog/images.parquet --tiles tiles.parquet --out chosen.parquet
    """
    from cacl.steps import select as step

    with opt.sentences():
        step.select(
            images,
            tiles,
            out,
            min_tissue_fraction=min_tissue_fraction,
            overrides=overrides,
            max_tiles=max_tiles,
            seed=seed,
        )


@app.command()
def train(
    tiles: Annotated[Path, typer.Option(help="Table of `cacl select`.")],
    store: opt.StorePath,
    out: opt.Out,
    preset: Annotated[str, typer.Option(help="robust or paper.")] = default("train.preset"),
    seeds: opt.Seeds = default("train.seeds"),
    max_steps: opt.MaxSteps = default("train.max_steps"),
    max_minutes: opt.MaxMinutes = default("train.max_minutes"),
    seed: opt.Seed = default("seed"),
    threads: opt.Threads = 2,
    devices: opt.Devices = None,
    deterministic: opt.Deterministic = False,
    classes: opt.Classes = None,
) -> None:
    """Train CaCL on the chosen tiles.

    Example: cacl train --tiles chosen.parquet --store atlas.zarr --out model
    """
    from cacl.hpa.target_class import parse_classes
    from cacl.model.training import train as step

    with opt.sentences():
        step.train(
            tiles,
            store,
            out,
            preset=preset,
            seeds=seeds,
            max_steps=max_steps,
            max_minutes=max_minutes,
            seed=seed,
            threads=threads,
            devices=devices,
            deterministic=deterministic,
            classes=parse_classes(classes or ()),
        )


@app.command()
def segment(
    tiles: Annotated[Path, typer.Option(help="Table of `cacl tile` of a shard.")],
    store: opt.StorePath,
    model: opt.ModelPath,
    out: opt.Out,
    failures: opt.Failures,
    morphology: opt.Morphology = default("segment.morphology"),
    radius_px: opt.RadiusPx = default("segment.radius_px"),
    threads: opt.Threads = 2,
    strict: opt.Strict = False,
) -> None:
    """Write the stain mask of every image of a shard.

    Example: cacl segment --tiles tiles.parquet --store atlas.zarr --model model
    --out segmented.parquet --failures failures.csv
    """
    from cacl.model.inference.masks import Morphology
    from cacl.steps import segment as step

    with opt.sentences(failures):
        step.segment(
            tiles,
            store,
            model,
            out,
            failures,
            morphology=Morphology(morphology, radius_px),
            threads=threads,
            strict=strict,
        )


@app.command()
def measure(
    segmented: Annotated[Path, typer.Option(help="Receipts of `cacl segment`.")],
    images: Annotated[Path, typer.Option(help="The shard's list of images.")],
    annotations: Annotated[Path, typer.Option(help="The catalog's annotations.parquet.")],
    tiles: Annotated[Path, typer.Option(help="The shard's table of `cacl tile`.")],
    store: opt.StorePath,
    out: opt.Out,
    failures: opt.Failures,
    cell_type: opt.CellType = default("labels.cell_type"),
    min_tissue_fraction: opt.MinTissue = default("tiles.min_tissue_fraction"),
    jobs: opt.Jobs = 1,
    dask_scheduler: opt.DaskScheduler = None,
    strict: opt.Strict = False,
    classes: Annotated[Path | None, typer.Option(help="Gets the area of each class.")] = None,
) -> None:
    """Measure a shard's masks: one row an image.

    Example: cacl measure --segmented segmented.parquet --images catalog/shards/0.parquet
    --annotations catalog/annotations.parquet --tiles tiles.parquet --store atlas.zarr
    --out census.parquet --failures failures.csv
    """
    from cacl.steps import measure as step

    with opt.sentences(failures):
        step.measure(
            segmented,
            images,
            annotations,
            tiles,
            store,
            out,
            failures,
            cell_type=cell_type,
            min_tissue_fraction=min_tissue_fraction,
            jobs=jobs,
            scheduler=dask_scheduler,
            strict=strict,
            classes=classes,
        )


for command in (report, unseen, classifier, benchmark, top, export, docs, status, doctor, estimate):
    app.command()(command)
