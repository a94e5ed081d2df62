"""Train CaCL: teachers on image labels first, then the student on their pseudo-labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cacl.config import TargetClass
from cacl.errors import ConfigError, StoppedError
from cacl.hpa.pixel_labels import DrawnLabels, read_drawn
from cacl.hpa.target_class import SINGLE_CLASS
from cacl.model.config import Preset
from cacl.model.data.dataset import (
    TileDataset,
    calibration_tiles,
    count_drawn,
    data_digest,
    read_rows,
    training_tiles,
)
from cacl.model.data.training_record import describe_training_data
from cacl.model.device import make_fabric
from cacl.model.presets import ROBUST, with_classes
from cacl.model.training.networks import STATES, TrainingPlan, train_networks
from cacl.model.training.plan import continued_stages, stages
from cacl.model.training.pseudo_labels import require_tiles
from cacl.model.training.start import read_start
from cacl.model.training_data import ENTRY
from cacl.runtime.compute import DEFAULT_COMPUTE, Compute
from cacl.runtime.distributed import launch
from cacl.store import Store
from cacl.tables.selection import LABELS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingLimits:
    """Limits of a training; None for no limit.

    Parameters
    ----------
    max_steps
        Steps of each model, its teachers included; None for those of the preset. The learning
        rate's schedule ends there.
    max_minutes
        Time limit, minutes; with one, the result depends on the speed of the machine.
    """

    max_steps: int | None = None
    max_minutes: float | None = None


NO_LIMITS = TrainingLimits()


@dataclass(frozen=True)
class TrainingFiles:
    """What a model is trained on.

    Parameters
    ----------
    tiles
        Table of `cacl select` (`TileRow`).
    store
        The OME-Zarr store.
    drawn
        Folder of drawings, see `read_drawn`; None for image-wise labels only.
    catalog
        Table of the catalog, for the record of pixel sizes; see `describe_training_data`.
    start_from
        Model whose training continues: a folder, or a file of `write_model_file`; None to start
        from random weights.
    """

    tiles: Path
    store: Path
    drawn: Path | None = None
    catalog: Path | None = None
    start_from: Path | None = None


def train(
    files: TrainingFiles,
    out: Path,
    *,
    preset: Preset = ROBUST,
    classes: Sequence[TargetClass] = (),
    limits: TrainingLimits = NO_LIMITS,
    seed: int = 0,
    compute: Compute = DEFAULT_COMPUTE,
) -> None:
    """Train a model on labelled tiles and write it to the folder `out`.

    Equal tiles, drawings, preset, steps and seed give equal bytes on CPUs with equal threads and
    instruction set; `trained_on` in `model.json` states both. On a CPU, teachers are trained in
    parallel, see `train_in_parallel`. A stopped run resumes at its last saved step; SIGTERM saves
    one more before it stops. With several devices, each step uses one batch per device. Only labels
    of images and of drawn pixels are read, no mask.

    Parameters
    ----------
    files
        Tiles, store, drawings, and a model whose training continues; see `continued_stages`.
    out
        Gets `checkpoint.safetensors`, `model.json`, `training.csv` and `speed.csv`.
    preset
        Settings of the method. Its `n_ensemble` models have consecutive seeds from `seed`; their
        logits are averaged.
    classes
        Target classes, with one codebook each; none for one class, the column `label`.
    limits
        Limits of steps and time.
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
    classes = tuple(classes) or (SINGLE_CLASS,)
    preset = with_classes(preset, len(classes))
    start = None if files.start_from is None else read_start(files.start_from, preset, classes)
    opened, rows = Store(files.store), read_rows(files.tiles)
    drawn = None if files.drawn is None else _drawn(files.drawn, opened, rows, preset)
    training = training_tiles(rows, opened, seed, classes, drawn)
    if preset.distill:
        require_tiles(training)
    held_out, split = calibration_tiles(rows, opened, seed, classes)
    calibrated = preset.post.high_probability is not None
    source = f"image-wise labels, {split} negatives" if calibrated else "nearest code"
    record = describe_training_data(rows, training, opened, files.catalog)
    attributes: dict[str, Any] = {
        "training_data_digest": data_digest(rows, opened, drawn),
        "seed": seed,
        "threshold_source": source,
    }
    if start is not None:
        record = record.merge(start.training_data)
        attributes["start_from"] = start.model.digest
    attributes[ENTRY] = record.entry
    if drawn is not None:
        attributes["drawn"] = _describe(drawn, training)
    (out / STATES).mkdir(parents=True, exist_ok=True)
    plan = TrainingPlan(
        preset=preset,
        networks=(stages if start is None else continued_stages)(preset, limits.max_steps),
        tiles=training,
        held_out=held_out,
        out=out,
        attributes=attributes,
        seed=seed,
        max_minutes=limits.max_minutes,
        extra_rounds=_extra_rounds(preset, limits) if start is None else 0,
        start=start.model.networks if start else (),
    )
    fabric = make_fabric(compute.devices, deterministic=compute.deterministic)
    if not launch(fabric, compute.threads, train_networks, plan):
        raise StoppedError(
            f"Training was stopped by SIGTERM and saved in {out / STATES}; the same "
            "command resumes it"
        )


def _extra_rounds(preset: Preset, limits: TrainingLimits) -> int:
    """Return the number of further rounds that the limits leave room for."""
    return preset.distill.extra_rounds if preset.distill and limits == NO_LIMITS else 0


def _drawn(folder: Path, store: Store, rows: pd.DataFrame, preset: Preset) -> DrawnLabels | None:
    """Return the drawn labels of the images of the rows; None if no pixel is labelled."""
    if preset.loss.drawn_bce is None:
        raise ConfigError(
            f"The preset {preset.name} learns from labels of images alone and cannot use drawings; "
            "set train.preset to robust, or remove labels.drawn"
        )
    drawn = read_drawn(folder, store, sorted(set(rows["image_id"])))
    if not drawn.labels:
        log.warning("train: no drawing below %s labels a pixel of a training image", folder)
        return None
    return drawn


def _describe(drawn: DrawnLabels, tiles: TileDataset) -> dict[str, int | str]:
    """Return the entry of `model.json`: what is drawn, and its candidate pixels."""
    entry = drawn.describe() | count_drawn(tiles)
    log.info("train: drawn labels: %s", ", ".join(f"{name} {entry[name]}" for name in entry))
    for label in LABELS:
        if entry[f"{label}_px"] and not entry[f"{label}_candidate_px"]:
            log.warning(
                "train: no pixel that is drawn %s has more DAB than its surroundings on a cell, as "
                "masks need, so these drawings change nothing",
                label,
            )
    return entry
