"""The command `cacl`: one subcommand a step. It parses, calls and prints."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cacl import __version__
from cacl.cli_options import (
    CellType,
    Failures,
    Hosts,
    HpaVersion,
    Jobs,
    Kind,
    MinTissue,
    Mirror,
    ModelPath,
    Names,
    Out,
    Overrides,
    Rate,
    Seed,
    StorePath,
    Strict,
)
from cacl.config import default, documentation
from cacl.errors import CaclError
from cacl.tables import write_text

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
    for noisy in ("asyncio", "PIL", "matplotlib", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@contextmanager
def sentences() -> Iterator[None]:
    """Turn an error that has a remedy into its sentence and exit status 1."""
    try:
        yield
    except CaclError as error:
        typer.secho(f"Error: {error}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from error


@app.command()
def phantom(
    host: Annotated[Path, typer.Option(help="Folder to lay out as the atlas's host.")],
    truth: Annotated[Path, typer.Option(help="Folder of true masks, for the benchmark alone.")],
    antibodies: Annotated[int, typer.Option(min=2, help="Antibodies.")] = default(
        "phantom.antibodies"
    ),
    patients: Annotated[int, typer.Option(min=1, max=3, help="Cores an antibody.")] = default(
        "phantom.patients"
    ),
    seed: Seed = default("seed"),
    jobs: Jobs = 1,
) -> None:
    """Draw a synthetic atlas with known truth.

    Example: cacl phantom --host phantom/host --truth phantom/truth --antibodies 4
    """
    from cacl.atlas.phantom import write_phantom

    with sentences():
        write_phantom(host, truth, antibodies=antibodies, patients=patients, seed=seed, jobs=jobs)


@app.command()
def catalog(
    out: Out,
    failures: Failures,
    kind: Kind = default("source.kind"),
    hpa_version: HpaVersion = default("source.hpa_version"),
    genes: Names = default("source.genes"),
    antibodies: Names = default("source.antibodies"),
    tissues: Names = default("source.tissues"),
    mirror: Mirror = default("source.mirror"),
    manifest: Annotated[Path | None, typer.Option(help="CSV of your own images.")] = default(
        "source.manifest"
    ),
    requests_per_second: Rate = default("source.requests_per_second"),
    allowed_hosts: Hosts = default("source.allowed_hosts"),
    cell_type: CellType = default("labels.cell_type"),
    positive: Names = default("labels.positive"),
    negative: Names = default("labels.negative"),
    overrides: Overrides = default("labels.overrides"),
    shards: Annotated[int, typer.Option(min=1, help="Lists to split into.")] = default(
        "census.shards"
    ),
) -> None:
    """List images, annotation and labels.

    Example: cacl catalog --out catalog --failures catalog.csv --kind mirror --mirror phantom/host
    """
    from cacl.atlas.catalog import build_catalog
    from cacl.atlas.options import LabelOptions, SourceOptions

    with sentences():
        source = SourceOptions(
            kind=kind,
            hpa_version=hpa_version,
            genes=tuple(genes),
            antibodies=tuple(antibodies),
            tissues=tuple(tissues),
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
        )
        typer.echo(build_catalog(out, failures, source, labels, shards=shards))


@app.command()
def acquire(
    shard: Annotated[Path, typer.Option(help="A shard's list of images.")],
    images: Annotated[Path, typer.Option(help="Folder for the images.")],
    out: Out,
    failures: Failures,
    kind: Kind = default("source.kind"),
    hpa_version: HpaVersion = default("source.hpa_version"),
    mirror: Mirror = default("source.mirror"),
    requests_per_second: Rate = default("source.requests_per_second"),
    allowed_hosts: Hosts = default("source.allowed_hosts"),
    jobs: Jobs = 1,
    strict: Strict = False,
) -> None:
    """Fetch and verify a shard's images.

    Example: cacl acquire --shard catalog/shards/0.parquet --images images --out acquired.parquet
    --failures failures.csv --kind mirror --mirror phantom/host
    """
    from cacl.atlas.options import SourceOptions
    from cacl.steps import acquire as step

    with sentences():
        source = SourceOptions(
            kind=kind,
            hpa_version=hpa_version,
            mirror=mirror,
            requests_per_second=requests_per_second,
            allowed_hosts=tuple(allowed_hosts),
        )
        step.acquire(shard, images, out, failures, source, jobs=jobs, strict=strict)


@app.command()
def tile(
    acquired: Annotated[Path, typer.Option(help="Receipts of `cacl acquire`.")],
    store: StorePath,
    out: Out,
    failures: Failures,
    source_px: Annotated[int, typer.Option(min=32, help="Tile side in the source.")] = default(
        "tiles.source_px"
    ),
    tile_px: Annotated[int, typer.Option(min=32, help="Tile side in the store.")] = default(
        "tiles.tile_px"
    ),
    min_tissue_fraction: MinTissue = default("tiles.min_tissue_fraction"),
    jobs: Jobs = 1,
    strict: Strict = False,
) -> None:
    """Cut a shard's images into the tiles of the store.

    Example: cacl tile --acquired acquired.parquet --store atlas.zarr --out tiles.parquet
    --failures failures.csv
    """
    from cacl.steps import tile as step

    with sentences():
        step.tile(
            acquired,
            store,
            out,
            failures,
            source_px=source_px,
            tile_px=tile_px,
            min_tissue_fraction=min_tissue_fraction,
            jobs=jobs,
            strict=strict,
        )


@app.command()
def select(
    images: Annotated[Path, typer.Option(help="The catalog's images.parquet.")],
    out: Out,
    tiles: Annotated[list[Path], typer.Option(help="Tables of `cacl tile`; repeat.")],
    min_tissue_fraction: MinTissue = default("tiles.min_tissue_fraction"),
    overrides: Overrides = default("labels.overrides"),
    max_tiles: Annotated[int, typer.Option(min=2, help="Most tiles to train on.")] = default(
        "train.max_tiles"
    ),
    seed: Seed = default("seed"),
) -> None:
    """Choose the tiles to train and test on, split by antibody.

    Example: cacl select --images catalog/images.parquet --tiles tiles.parquet --out chosen.parquet
    """
    from cacl.steps import select as step

    with sentences():
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
    store: StorePath,
    out: Out,
    preset: Annotated[str, typer.Option(help="robust or paper.")] = default("train.preset"),
    max_steps: Annotated[int | None, typer.Option(min=1, help="Steps.")] = default(
        "train.max_steps"
    ),
    max_minutes: Annotated[float | None, typer.Option(help="Stop after this time.")] = default(
        "train.max_minutes"
    ),
    seed: Seed = default("seed"),
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Train CaCL on the chosen tiles.

    Example: cacl train --tiles chosen.parquet --store atlas.zarr --out model
    """
    from cacl.model import train as step

    with sentences():
        step.train(
            tiles,
            store,
            out,
            preset=preset,
            max_steps=max_steps,
            max_minutes=max_minutes,
            seed=seed,
            threads=threads,
        )


@app.command()
def segment(
    tiles: Annotated[Path, typer.Option(help="Table of `cacl tile` of a shard.")],
    store: StorePath,
    model: ModelPath,
    out: Out,
    failures: Failures,
    morphology: Annotated[str, typer.Option(help="none, dilation, opening, closing.")] = default(
        "segment.morphology"
    ),
    radius_px: Annotated[int, typer.Option(min=0, help="Its radius.")] = default(
        "segment.radius_px"
    ),
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    strict: Strict = False,
) -> None:
    """Write the stain mask of every image of a shard.

    Example: cacl segment --tiles tiles.parquet --store atlas.zarr --model model
    --out segmented.parquet --failures failures.csv
    """
    from cacl.steps import segment as step

    with sentences():
        step.segment(
            tiles,
            store,
            model,
            out,
            failures,
            morphology=morphology,
            radius_px=radius_px,
            threads=threads,
            strict=strict,
        )


@app.command()
def measure(
    segmented: Annotated[Path, typer.Option(help="Receipts of `cacl segment`.")],
    images: Annotated[Path, typer.Option(help="The shard's list of images.")],
    annotations: Annotated[Path, typer.Option(help="The catalog's annotations.parquet.")],
    tiles: Annotated[Path, typer.Option(help="The shard's table of `cacl tile`.")],
    store: StorePath,
    out: Out,
    failures: Failures,
    cell_type: CellType = default("labels.cell_type"),
    min_tissue_fraction: MinTissue = default("tiles.min_tissue_fraction"),
    seed: Seed = default("seed"),
    jobs: Jobs = 1,
    strict: Strict = False,
) -> None:
    """Measure a shard's masks: one row an image.

    Example: cacl measure --segmented segmented.parquet --images catalog/shards/0.parquet
    --annotations catalog/annotations.parquet --tiles tiles.parquet --store atlas.zarr
    --out census.parquet --failures failures.csv
    """
    from cacl.steps import measure as step

    with sentences():
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
            seed=seed,
            jobs=jobs,
            strict=strict,
        )


@app.command()
def report(
    census: Annotated[list[Path], typer.Option(help="Tables of `cacl measure`; repeat.")],
    failures: Annotated[list[Path], typer.Option(help="Failures of every step; repeat.")],
    store: StorePath,
    model: ModelPath,
    catalog: Annotated[Path, typer.Option(help="Folder of `cacl catalog`.")],
    out: Out,
    cell_type: CellType = default("labels.cell_type"),
    seed: Seed = default("seed"),
) -> None:
    """Pool the census; write tables and report.html.

    Example: cacl report --census census.parquet --failures failures.csv --store atlas.zarr
    --model model --catalog catalog --out report
    """
    from cacl.steps import report as step

    with sentences():
        step.report(census, failures, store, model, catalog, out, cell_type=cell_type, seed=seed)


@app.command()
def benchmark(
    tiles: Annotated[Path, typer.Option(help="Table of `cacl select`.")],
    census: Annotated[list[Path], typer.Option(help="Tables of `cacl measure`; repeat.")],
    store: StorePath,
    model: ModelPath,
    truth: Annotated[Path, typer.Option(help="Folder of true masks of `cacl phantom`.")],
    out: Out,
    seed: Seed = default("seed"),
) -> None:
    """Compare the model and the baselines with the truth.

    Example: cacl benchmark --tiles chosen.parquet --census census.parquet --store atlas.zarr
    --model model --truth phantom/truth --out benchmark
    """
    from cacl.benchmark import table as step

    with sentences():
        step.benchmark(tiles, store, model, truth, census, out, seed=seed)


@app.command()
def top(
    report: Annotated[Path, typer.Option(help="Folder of `cacl report`.")] = Path("results/report"),
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 5,
) -> None:
    """Print the antibodies of highest ratio.

    Example: cacl top --report results/report --count 20
    """
    from cacl.steps.top import top_antibodies

    with sentences():
        Console().print(top_antibodies(report, count))
        typer.echo(f"Report: {(report / 'report.html').resolve()}")


@app.command()
def docs(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("config/README.md"),
) -> None:
    """Write the documentation of the configuration.

    Example: cacl docs --out config/README.md
    """
    with sentences():
        write_text(out, documentation())
