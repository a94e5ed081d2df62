"""What the commands share: options, and how an error is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cacl.errors import CaclError

Out = Annotated[Path, typer.Option(help="Where the product goes.")]
Failures = Annotated[Path, typer.Option(help="CSV of the images left out, with reasons.")]
StorePath = Annotated[Path, typer.Option(help="The OME-Zarr store.")]
ModelPath = Annotated[Path, typer.Option(help="Folder of the trained model.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
CellType = Annotated[str, typer.Option(help="Cell type whose annotation counts.")]
MinTissue = Annotated[float, typer.Option(help="Tiles with less tissue are left out.")]
Overrides = Annotated[Path | None, typer.Option(help="CSV of labels that win over the rule.")]
Kind = Annotated[str, typer.Option(help="phantom, hpa, mirror or manifest.")]
HpaVersion = Annotated[str | None, typer.Option(help="Release of the atlas; current if omitted.")]
Mirror = Annotated[Path | None, typer.Option(help="Folder laid out as the atlas's host.")]
Rate = Annotated[float, typer.Option(help="Most requests a second to the host.")]
Hosts = Annotated[list[str], typer.Option(help="A further host that may be contacted.")]
AskMinutes = Annotated[
    float | None, typer.Option(help="Stop asking the host after this time; the next run goes on.")
]
Genes = Annotated[list[str], typer.Option(help="Symbol, Ensembl id, file or all; repeat.")]
Antibodies = Annotated[list[str], typer.Option(help="Only this antibody; repeat.")]
Tissues = Annotated[
    list[str] | None, typer.Option(help="Only this tissue; repeat; all if omitted.")
]
Classes = Annotated[
    list[str] | None,
    typer.Option(help='One of several classes, NAME={"cell_type": "..."}; repeat.'),
]
Levels = Annotated[list[str], typer.Option(help="A staining level of that label; repeat.")]
Downloads = Annotated[Path | None, typer.Option(help="Folder for annotation from the host.")]
Refresh = Annotated[bool, typer.Option(help="Fetch again what the host has changed.")]
Check = Annotated[bool, typer.Option(help="Verify what is at hand; fetch nothing.")]
Jobs = Annotated[int, typer.Option(min=1, help="Images at a time.")]
DaskScheduler = Annotated[
    str | None,
    typer.Option(
        envvar="CACL_DASK_SCHEDULER",
        help="Run the images on this dask scheduler, such as tcp://10.0.0.1:8786, not in threads. "
        "Name only one that you trust: whoever runs it can run any code here.",
    ),
]
Strict = Annotated[bool, typer.Option(help="Exit with an error if an image failed.")]
AntibodyCount = Annotated[int, typer.Option(min=2, help="Antibodies.")]
PatientCount = Annotated[int, typer.Option(min=1, max=3, help="Cores an antibody.")]
Shards = Annotated[int, typer.Option(min=1, help="Lists to split into.")]
SourcePx = Annotated[int, typer.Option(min=32, help="Tile side in the source.")]
TilePx = Annotated[int, typer.Option(min=32, help="Tile side in the store.")]
MaxTiles = Annotated[int, typer.Option(min=2, help="Most tiles to train on.")]
MaxSteps = Annotated[int | None, typer.Option(min=1, help="Steps.")]
Morphology = Annotated[str, typer.Option(help="none, dilation, opening, closing.")]
RadiusPx = Annotated[int, typer.Option(min=0, help="Its radius.")]
Seeds = Annotated[int, typer.Option(min=1, max=16, help="Models of as many seeds, averaged.")]
MaxMinutes = Annotated[float | None, typer.Option(help="Stop after this time.")]
Manifest = Annotated[Path | None, typer.Option(help="CSV of your own images.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
Devices = Annotated[int | None, typer.Option(min=1, help="GPUs; all that are visible if omitted.")]
Deterministic = Annotated[bool, typer.Option(help="Equal bits in equal runs on a GPU too; slower.")]


@contextmanager
def sentences(failures: Path | None = None) -> Iterator[None]:
    """Turn an error that has a remedy into its sentence and exit status 1.

    The failures of a step are an error where the disk is to blame and not the images.
    """
    try:
        yield
        if failures is not None:
            from cacl.steps.outputs import raise_on_disk_errors

            raise_on_disk_errors(failures)
    except CaclError as error:
        typer.secho(f"Error: {error}", err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from error
