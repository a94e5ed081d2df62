"""Train CaCL on the selected tiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cacl.config import TargetClass, TrainConfig
from cacl.model.config import get_preset
from cacl.model.training import train as training
from cacl.runtime.compute import DEFAULT_COMPUTE, Compute


def train(
    tiles: Path,
    store: Path,
    out: Path,
    config: TrainConfig,
    *,
    classes: Sequence[TargetClass] = (),
    drawn: Path | None = None,
    seed: int = 0,
    compute: Compute = DEFAULT_COMPUTE,
) -> None:
    """Train the preset of the configuration; see `cacl.model.training.train.train`.

    Parameters
    ----------
    tiles
        Table of `cacl select` (`TileRow`).
    store
        The OME-Zarr store.
    out
        Folder of the model.
    config
        Preset, number of seeds, and limits.
    classes
        Target classes; none for one class, the column `label`.
    drawn
        Folder of drawings (`labels.drawn`); None for image-wise labels only.
    seed
        Seed of all random numbers.
    compute
        Threads and devices.

    Raises
    ------
    StoppedError
        SIGTERM stopped the training.
    TrainingError
        A class has no or too few tiles, a loss is not finite, or a codebook has collapsed.
    ConfigError
        The tiles have no labels of a class, a drawing cannot be used, or the preset cannot learn
        from drawings.
    CheckpointError
        The file of a saved run is damaged.
    """
    training.train(
        training.TrainingFiles(tiles, store, drawn),
        out,
        preset=get_preset(config.preset, config.seeds),
        classes=classes,
        limits=training.TrainingLimits(config.max_steps, config.max_minutes),
        seed=seed,
        compute=compute,
    )
