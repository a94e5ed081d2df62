"""Commands from tiles to a trained model: select, train."""

from __future__ import annotations

from typing import Annotated

from cacl.cli import options as opt
from cacl.config import LabelsConfig, TrainConfig
from cacl.runtime.compute import Compute
from cacl.steps.parameters import SelectionFiles

MaxTiles = Annotated[int, opt.Key(TrainConfig, "max_tiles")]


def select(
    min_tissue_fraction: opt.MinTissueFraction,
    labels: Annotated[LabelsConfig, opt.Keys(("overrides", "drawn"))],
    max_tiles: MaxTiles,
    seed: opt.Seed,
    files: SelectionFiles,
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
        )


def train(
    config: Annotated[TrainConfig, opt.Keys(("preset", "seeds", "max_steps", "max_minutes"))],
    labels: Annotated[LabelsConfig, opt.Keys(("classes", "drawn"))],
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
            drawn=labels.drawn,
            seed=seed,
            compute=compute,
        )
