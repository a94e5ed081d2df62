"""Commands from tiles to a trained model: select, train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cacl.cli import options as opt
from cacl.config import LabelsConfig, TrainConfig
from cacl.runtime.compute import Compute

Overrides = Annotated[Path | None, opt.Key(LabelsConfig, "overrides")]
MaxTiles = Annotated[int, opt.Key(TrainConfig, "max_tiles")]


def select(
    min_tissue_fraction: opt.MinTissueFraction,
    overrides: Overrides,
    max_tiles: MaxTiles,
    seed: opt.Seed,
    images: Annotated[Path, typer.Option(help="The catalog's images.parquet.")],
    tiles: Annotated[list[Path], typer.Option(help="Tables of `cacl tile`; repeat.")],
    out: opt.Out,
) -> None:
    """Choose the tiles for training and test, split by antibody.

    Example: cacl select --images catalog/images.parquet --tiles tiles.parquet --out chosen.parquet
    """
    from cacl.steps import select as step

    with opt.report_errors():
        step.select(
            images,
            tiles,
            out,
            min_tissue_fraction=min_tissue_fraction,
            overrides=overrides,
            max_tiles=max_tiles,
            seed=seed,
        )


def train(
    config: Annotated[TrainConfig, opt.Keys(("preset", "seeds", "max_steps", "max_minutes"))],
    labels: Annotated[LabelsConfig, opt.Keys(("classes",))],
    seed: opt.Seed,
    tiles: opt.SelectedTiles,
    store: opt.StorePath,
    out: opt.Out,
    compute: Compute,
) -> None:
    """Train CaCL on the selected tiles.

    Example: cacl train --tiles chosen.parquet --store atlas.zarr --out model
    """
    from cacl.steps import train as step

    with opt.report_errors():
        step.train(
            tiles,
            store,
            out,
            config,
            classes=labels.target_classes,
            seed=seed,
            compute=compute,
        )
