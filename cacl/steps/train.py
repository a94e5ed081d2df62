"""Train CaCL on the selected tiles."""

from __future__ import annotations

from pathlib import Path

from cacl.config import LabelsConfig, TrainConfig
from cacl.model.presets import get_preset
from cacl.model.training import train as training
from cacl.runtime.compute import DEFAULT_COMPUTE, Compute
from cacl.steps.parameters import TrainFiles


def train(
    files: TrainFiles,
    out: Path,
    config: TrainConfig,
    labels: LabelsConfig,
    *,
    seed: int = 0,
    compute: Compute = DEFAULT_COMPUTE,
) -> None:
    """Train the preset of the configuration; see `cacl.model.training.train.train`.

    Parameters
    ----------
    files
        Table of `cacl select` (`TileRow`), the OME-Zarr store, the catalog.
    out
        Folder of the model.
    config
        Preset, number of seeds, limits, and the model from which training continues.
    labels
        Target classes and drawings.
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
        The file of a saved run is damaged, or training cannot continue from the given model.
    """
    training.train(
        training.TrainingFiles(
            files.tiles, files.store, labels.drawn, files.catalog, config.start_from
        ),
        out,
        preset=get_preset(config.preset, config.seeds),
        classes=labels.target_classes,
        limits=training.TrainingLimits(config.max_steps, config.max_minutes),
        seed=seed,
        compute=compute,
    )
