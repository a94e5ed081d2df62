"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
Names = Annotated[list[str], typer.Option(help="May be repeated.")]
Jobs = Annotated[int, typer.Option(min=1, help="Images at a time.")]
Strict = Annotated[bool, typer.Option(help="Exit with an error if an image failed.")]
