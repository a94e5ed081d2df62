"""The order in which the networks of a preset are trained: teachers before their student."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from cacl.model.config import DistillConfig, Preset

STEPS_DIVISOR = 4


@dataclass(frozen=True)
class PlannedNetwork:
    """A network to be trained.

    Parameters
    ----------
    preset
        Its settings.
    steps
        Training steps.
    class_indices
        The classes that it learns, as indices into all classes of the training.
    round
        Round of self-training: 0 for a network whose teachers learn from labels of images, else
        the student of the round before is its teacher.
    """

    preset: Preset
    steps: int
    class_indices: tuple[int, ...]
    round: int = 0


def stages(preset: Preset, max_steps: int | None) -> list[PlannedNetwork]:
    """Return the networks in the order of their training.

    `max_steps` are the steps of one model of the ensemble, its teachers included; None for those
    of the presets.
    """
    model = _with_teachers(preset, tuple(range(len(preset.network.class_codes))))
    ends = list(itertools.accumulate((network.steps for network in model), initial=0))
    scale = 1.0 if max_steps is None else max_steps / ends[-1]
    steps = (round(end * scale) - round(start * scale) for start, end in itertools.pairwise(ends))
    plan = [
        PlannedNetwork(network.preset, max(1, number), network.class_indices)
        for network, number in zip(model, steps, strict=True)
    ]
    return plan * preset.n_ensemble


def continued_stages(preset: Preset, max_steps: int | None) -> list[PlannedNetwork]:
    """Return the networks whose training continues from a model: the models of the ensemble alone.

    The model takes the place of the teachers. Each network has a quarter of the steps of
    `stages(preset, None)`, or `max_steps`.
    """
    class_indices = tuple(range(len(preset.network.class_codes)))
    from_scratch = sum(network.steps for network in _with_teachers(preset, class_indices))
    steps = max_steps or max(1, from_scratch // STEPS_DIVISOR)
    return [PlannedNetwork(preset, steps, class_indices)] * preset.n_ensemble


def independent_networks(networks: Sequence[PlannedNetwork], number: int) -> int:
    """Return how many networks from `number` on learn from labels of images and need no other."""
    independent = itertools.takewhile(
        lambda planned: planned.preset.distill is None, networks[number:]
    )
    return sum(1 for _ in independent)


def most_extra_steps(preset: Preset) -> int:
    """Return the steps of all further rounds of self-training; see `DistillConfig.extra_rounds`."""
    rounds = preset.distill.extra_rounds if preset.distill else 0
    return rounds * preset.optim.steps * preset.n_ensemble


def teacher_classes(distill: DistillConfig, class_indices: Sequence[int]) -> list[int]:
    """Return the class of each teacher of a network that learns some classes.

    A teacher learns one class: a network of its size hardly learns a class beside others. With
    several classes, each has half of `n_teachers`.
    """
    per_class = distill.n_teachers if len(class_indices) == 1 else -(-distill.n_teachers // 2)
    return [*class_indices] * per_class


def _with_teachers(preset: Preset, class_indices: tuple[int, ...]) -> list[PlannedNetwork]:
    """Return a network's teachers, each after its own teachers, and the network last."""
    network = PlannedNetwork(preset, preset.optim.steps, class_indices)
    if preset.distill is None:
        return [network]
    teachers = [
        _with_teachers(preset.distill.teacher, (class_index,))
        for class_index in teacher_classes(preset.distill, class_indices)
    ]
    return [*itertools.chain(*teachers), network]
