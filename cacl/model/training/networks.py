"""Train the networks of a plan, teachers before their student, and write the model."""

from __future__ import annotations

import dataclasses
import logging
import math
import operator
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cacl.model.checkpoint import save_model
from cacl.model.config import Preset
from cacl.model.data.dataset import TileDataset
from cacl.model.device import describe_arithmetic
from cacl.model.inference.thresholds import calibrate_thresholds
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.training.loop import Stage, StageResult, train_stage
from cacl.model.training.monitor import (
    codebook_usage_warnings,
    raise_if_collapsed,
    write_metrics,
)
from cacl.model.training.parallel_networks import train_in_parallel
from cacl.model.training.plan import PlannedNetwork, independent_networks, teacher_classes
from cacl.model.training.pseudo_labels import MIN_SEPARATION, add_pseudo_labels, warn_if_weak
from cacl.model.training.start import as_teachers
from cacl.runtime.digest import digest_of
from cacl.runtime.distributed import World
from cacl.runtime.signals import StopFlag

log = logging.getLogger(__name__)
STATES = "states"


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """All that a training needs in each of its processes.

    Parameters
    ----------
    preset
        Settings of the final networks.
    networks
        Networks in the order of their training.
    tiles, held_out
        Tiles of the training split, and held-out negative tiles.
    out
        Folder of the model; saved runs are in its folder `states`.
    attributes
        Entries of `model.json` that are known before the training; they identify it.
    seed
        Seed of the first network; the others count on.
    max_minutes
        Time limit; None for no limit.
    extra_rounds
        Further rounds of self-training where the teachers separate too little.
    start
        Networks of the ensemble whose training continues, which also take the place of the
        teachers; none to train from random weights.
    """

    preset: Preset
    networks: list[PlannedNetwork]
    tiles: TileDataset
    held_out: TileDataset
    out: Path
    attributes: dict[str, Any]
    seed: int
    max_minutes: float | None = None
    extra_rounds: int = 0
    start: tuple[AutoEncoder, ...] = ()


def train_networks(world: World, stop_requested: StopFlag, plan: TrainingPlan) -> bool:
    """Train all networks as one process of a world and write the model.

    Returns
    -------
    Whether the training reached its end.
    """
    final, deadline, seconds = plan.preset, time.monotonic(), 60.0 * (plan.max_minutes or math.inf)
    results: list[StageResult] = []
    networks: list[AutoEncoder] = []
    warnings: list[tuple[Preset, dict[str, str]]] = []
    queue = list(plan.networks)
    next_group = 0
    for number, planned in enumerate(queue):
        preset, class_indices = planned.preset, planned.class_indices
        if number >= next_group and (group := _independent_networks(plan, queue, number, world)):
            next_group = number + len(group)
            if not train_in_parallel(group, plan.out / STATES, stop_requested):
                return False
        tiles = plan.tiles.for_classes(class_indices)
        start = plan.start[number] if plan.start else None
        distill = preset.distill
        if distill:
            if start is not None:
                by_class = as_teachers(start, world.fabric.device)
            elif planned.round:
                warnings.pop()
                by_class = as_teachers(networks.pop(), world.fabric.device)
            else:
                class_of_teacher = teacher_classes(distill, class_indices)
                count = len(class_of_teacher)
                if final.post.fail_on_collapse:
                    raise_if_collapsed([found for _, found in warnings[-count:]])
                teachers, networks = networks[-count:], networks[:-count]
                pairs = list(zip(teachers, class_of_teacher, strict=True))
                by_class = [
                    [model for model, index in pairs if index == wanted] for wanted in class_indices
                ]
            tiles, separation = add_pseudo_labels(by_class, tiles, distill.teacher, distill.top_k)
            world.broadcast([tiles.pixels, separation])
            if preset == final and planned.round == plan.extra_rounds:
                warn_if_weak(float(separation))
            elif preset == final and float(separation) < MIN_SEPARATION:
                queue.insert(number + 1, dataclasses.replace(planned, round=planned.round + 1))
        total_steps = sum(each.steps for each in queue)
        deadline = max(deadline, time.monotonic()) + seconds * planned.steps / total_steps
        stage = dataclasses.replace(
            _stage(plan, queue, number, world), tiles=tiles, start=start, deadline=deadline
        )
        result = train_stage(stage, world, stop_requested)
        if result is None:
            return False
        found = codebook_usage_warnings(result.network, tiles, result.positive)
        warnings.append((preset, found))
        for warning in filter(None, found.values()):
            log.warning("train: %s: %s", stage.name, warning)
        results.append(result)
        networks.append(result.network)
        if preset == final and final.post.fail_on_collapse:
            raise_if_collapsed([found])
    if world.is_main:
        arithmetic = describe_arithmetic(results[-1].network.codebook.codes.device)
        _write_model(plan, results, networks, warnings, arithmetic)
    return True


def _independent_networks(
    plan: TrainingPlan, queue: Sequence[PlannedNetwork], number: int, world: World
) -> list[Stage]:
    """Return the trainings from `number` on that need no network and can run in parallel.

    There are none on a GPU, which trains faster than processes on the CPU, and with a time limit,
    which is divided among networks in order.
    """
    on_cpu = world.size == 1 and world.fabric.device.type == "cpu"
    if not on_cpu or plan.max_minutes is not None or plan.start:
        return []
    count = independent_networks(queue, number)
    group = range(number, number + count) if count > 1 else range(0)
    return [_stage(plan, queue, index, world) for index in group]


def _stage(plan: TrainingPlan, queue: Sequence[PlannedNetwork], number: int, world: World) -> Stage:
    """Return the training of a network from labels of images, without a deadline."""
    planned = queue[number]
    tiles = plan.tiles.for_classes(planned.class_indices)
    of_class = tiles.describe(0) if len(planned.class_indices) == 1 else ""
    return Stage(
        name=f"{planned.preset.name}{of_class}, network {number + 1}",
        class_indices=planned.class_indices,
        tiles=tiles,
        held_out=plan.held_out.for_classes(planned.class_indices),
        preset=planned.preset,
        steps=planned.steps,
        seed=plan.seed + number,
        deadline=math.inf,
        path=plan.out / STATES / f"{number}.safetensors",
        fingerprint=digest_of(
            *("train", plan.attributes, plan.preset, queue[: number + 1], tiles.classes),
            world.size,
        ),
        count_done=partial(operator.add, sum(each.steps for each in queue[:number])),
        all_steps=sum(each.steps for each in queue),
    )


def _write_model(
    plan: TrainingPlan,
    results: Sequence[StageResult],
    networks: Sequence[AutoEncoder],
    warnings: Sequence[tuple[Preset, dict[str, str]]],
    arithmetic: str,
) -> None:
    """Calibrate the thresholds of the final networks and write the model's folder."""
    thresholds = calibrate_thresholds(networks, plan.tiles, plan.held_out, plan.preset)
    final_warnings = [found for preset, found in warnings if preset == plan.preset]
    attributes = plan.attributes | {
        "trained_on": arithmetic,
        "steps": sum(result.steps for result in results),
        "positive_tiles": int(results[-1].positive.any(1).sum()),
        "warnings": [text for texts in final_warnings for text in texts.values() if text],
    }
    write_metrics(
        plan.out, [result.history for result in results], [result.speed for result in results]
    )
    save_model(
        plan.out,
        [network.cpu() for network in networks],
        plan.preset,
        classes=plan.tiles.classes,
        thresholds=thresholds,
        attributes=attributes,
    )
    shutil.rmtree(plan.out / STATES)
    log.info("train: done after %d steps; %s", attributes["steps"], thresholds)
