"""Train CaCL: first networks on image-wise labels, then the one that they teach."""

from __future__ import annotations

import dataclasses
import logging
import math
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cacl.config import TargetClass
from cacl.errors import StoppedError
from cacl.hpa.target_class import SINGLE_CLASS
from cacl.model.checkpoint import save_model
from cacl.model.config import Preset, get_preset, with_classes
from cacl.model.data.dataset import (
    TileDataset,
    calibration_tiles,
    data_digest,
    read_rows,
    training_tiles,
)
from cacl.model.device import make_fabric
from cacl.model.inference.thresholds import calibrate_thresholds
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.training import judge
from cacl.model.training.distributed import Team, launch
from cacl.model.training.loop import Fitted, Task, fit
from cacl.model.training.metrics_log import write_curves
from cacl.model.training.plan import Planned, networks, teachers
from cacl.model.training.pseudo_labels import require_tiles, taught
from cacl.runtime.digest import digest_of
from cacl.store import Store

log = logging.getLogger(__name__)
STATES = "states"


def train(
    tiles: Path,
    store: Path,
    out: Path,
    *,
    preset: str | Preset = "robust",
    seeds: int = 1,
    max_steps: int | None = None,
    max_minutes: float | None = None,
    seed: int = 0,
    threads: int = 2,
    classes: Sequence[TargetClass] = (),
    devices: int | None = None,
    deterministic: bool = False,
) -> None:
    """Learn from labelled tiles where the pattern is, and write `out`/ whole.

    Equal tiles, preset, steps, seed and threads give equal bytes on a CPU. A run that was
    stopped goes on from its last saved step; SIGTERM saves one more before it stops. On several
    devices each takes a batch of its own. Only image-wise labels are read, no mask.

    Parameters
    ----------
    tiles
        Table of `cacl select` (`TileRow`).
    store
        The OME-Zarr store.
    out
        Gets `checkpoint.safetensors`, `model.json`, `training.csv` and `speed.csv`.
    preset
        `robust`, or `paper` for the published method to the letter; or a preset of one's own.
    seeds
        Models to train, from `seed` on; a score is the mean of theirs.
    max_steps
        Steps of each model's networks together; None for the preset's own number. The learning
        rate's schedule ends there.
    max_minutes
        Stop after this time; the result then depends on the machine's speed.
    seed
        Of everything random.
    threads
        CPU threads of each device's process.
    patterns
        Classes of the tiles' labels, one codebook each; none for one class, the column `label`.
    devices, deterministic
        See `device.make_fabric`.

    Raises
    ------
    StoppedError
        By SIGTERM.
    TrainingError
        A class without tiles, or with too few, a loss that is not a number, or a codebook that
        collapsed.
    ConfigError
        No such preset, or tiles without labels in one of several classes.
    CheckpointError
        The state of a stopped run is damaged.
    """
    classes = tuple(classes) or (SINGLE_CLASS,)
    if isinstance(preset, str):
        preset = get_preset(preset)
    p = dataclasses.replace(with_classes(preset, len(classes)), n_ensemble=seeds)
    atlas, rows = Store(store), read_rows(tiles)
    learning = training_tiles(rows, atlas, seed, classes)
    if p.distill:
        require_tiles(learning)
    negatives, source = calibration_tiles(rows, atlas, seed, classes)
    chosen = f"image-wise labels, {source} negatives" if p.post.high_recall else "nearest code"
    facts = {
        "training_data_digest": data_digest(rows, atlas),
        "seed": seed,
        "threshold_source": chosen,
    }
    (out / STATES).mkdir(parents=True, exist_ok=True)
    plan = networks(p, max_steps)
    fabric = make_fabric(devices, deterministic=deterministic)
    if not launch(fabric, threads, _learn, p, plan, learning, negatives, out, facts, max_minutes):
        raise StoppedError(
            f"Training was asked to stop (SIGTERM) and has saved where it was in {out / STATES}; "
            "the same command goes on from there"
        )


def _learn(
    team: Team,
    asked: threading.Event,
    p: Preset,
    plan: list[Planned],
    labelled: TileDataset,
    negatives: TileDataset,
    out: Path,
    facts: dict[str, Any],
    max_minutes: float | None,
) -> bool:
    """Train as one process of a team; return whether it came to the end."""
    seed, total = facts["seed"], sum(one.steps for one in plan)
    until, seconds = time.monotonic(), 60.0 * (max_minutes or math.inf)
    done: list[Fitted] = []
    members: list[AutoEncoder] = []
    collapsed: list[dict[str, str]] = []
    for number, planned in enumerate(plan):
        preset, steps = planned.preset, planned.steps
        learning, held_out = labelled.only(planned.classes), negatives.only(planned.classes)
        if preset.distill:
            known = teachers(preset.distill, planned.classes)
            if p.post.fail_on_collapse:
                judge.refuse(collapsed[-len(known) :])
            before, members = members[-len(known) :], members[: -len(known)]
            models = [
                [one for one, of in zip(before, known, strict=True) if of == place]
                for place in planned.classes
            ]
            learning = taught(models, learning, preset.distill.teacher, preset.distill.top_k)
            team.share([learning.pixels])
        until = max(until, time.monotonic()) + seconds * steps / total
        path = out / STATES / f"{number}.safetensors"
        key = digest_of("train", facts, p, plan, number, learning.classes, team.size)
        name = preset.name + (learning.of_class(0) if len(planned.classes) == 1 else "")
        told = (name, planned.classes)
        task = Task(*told, learning, held_out, preset, steps, seed + number, until, path, key)
        found = fit(task, team, asked)
        if found is None:
            return False
        collapsed.append(judge.collapses(found.network, learning, found.positive))
        for sentence in filter(None, collapsed[-1].values()):
            log.warning("train: %s, network %d: %s", name, number + 1, sentence)
        done.append(found)
        members.append(found.network)
        if preset == p and p.post.fail_on_collapse:
            judge.refuse(collapsed[-1:])
    if not team.leads:
        return True

    limits = calibrate_thresholds(members, labelled, negatives, p)
    delivered = [one for one, of in zip(collapsed, plan, strict=True) if of.preset == p]
    facts |= {
        "steps": sum(found.steps for found in done),
        "positive_tiles": int(done[-1].positive.any(1).sum()),
        "warnings": [sentence for one in delivered for sentence in one.values() if sentence],
    }
    write_curves(out, [found.curve for found in done])
    cpu = [network.cpu() for network in members]
    save_model(out, cpu, p, classes=labelled.classes, thresholds=limits, attributes=facts)
    shutil.rmtree(out / STATES)
    log.info("train: done after %d steps; %s", facts["steps"], limits)
    return True
