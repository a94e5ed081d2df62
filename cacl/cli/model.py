"""Commands from tiles to a model: select, train, reuse-model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cacl.cli import options as opt
from cacl.config import LabelsConfig, TrainConfig
from cacl.runtime.compute import Compute
from cacl.steps.parameters import EarlierModel, SelectionFiles, TrainFiles

MaxTiles = Annotated[int, opt.Key(TrainConfig, "max_tiles")]


def select(
    min_tissue_fraction: opt.MinTissueFraction,
    labels: Annotated[LabelsConfig, opt.Keys(("overrides", "drawn"))],
    max_tiles: MaxTiles,
    seed: opt.Seed,
    files: SelectionFiles,
    earlier: EarlierModel,
    out: opt.Out,
) -> None:
    """Choose the tiles for training and test, split by antibody.

    Example: cacl select --images catalog/images.parquet --tiles tiles.parquet --store atlas.zarr
    --out chosen.parquet
    """
    from cacl.steps import select as step

    with opt.report_errors():
        step.select(
            files,
            out,
            min_tissue_fraction=min_tissue_fraction,
            overrides=labels.overrides,
            drawn=labels.drawn,
            max_tiles=max_tiles,
            seed=seed,
            earlier=earlier,
        )


def train(
    config: Annotated[
        TrainConfig, opt.Keys(("preset", "seeds", "max_steps", "max_minutes", "start_from"))
    ],
    labels: Annotated[LabelsConfig, opt.Keys(("classes", "drawn"))],
    seed: opt.Seed,
    files: TrainFiles,
    out: opt.Out,
    compute: Compute,
) -> None:
    """Train CaCL on the selected tiles.

    Example: cacl train --tiles chosen.parquet --store atlas.zarr --out model
    """
    from cacl.steps import train as step

    with opt.report_errors():
        step.train(files, out, config, labels, seed=seed, compute=compute)


def reuse_model(
    labels: Annotated[LabelsConfig, opt.Keys(("classes",))],
    model: Annotated[
        Path, typer.Option(help="Folder of a model, or a file of `cacl export --model`.")
    ],
    out: opt.Out,
) -> None:
    """Use a model of another run: check it and copy it, in the place of training.

    Example: cacl reuse-model --model ../other/results/model --out model
    """
    from cacl.steps import reuse_model as step

    with opt.report_errors():
        step.reuse_model(model, out, labels.target_classes)
