"""Which networks a preset trains, one after the other: teachers first."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from cacl.model.config import DistillConfig, Preset


@dataclass(frozen=True)
class Planned:
    """A network that is to be trained.

    Parameters
    ----------
    preset, steps
        How, and for how many steps.
    classes
        Places of the classes that it learns, among all of the training.
    """

    preset: Preset
    steps: int
    classes: tuple[int, ...]


def networks(preset: Preset, max_steps: int | None) -> list[Planned]:
    """Return each network in turn; `max_steps` are those of a member."""
    member = _lineage(preset, tuple(range(len(preset.network.class_codes))))
    ends = list(itertools.accumulate((one.steps for one in member), initial=0))
    part = 1.0 if max_steps is None else max_steps / ends[-1]
    steps = (round(end * part) - round(start * part) for start, end in itertools.pairwise(ends))
    plan = [
        Planned(one.preset, max(1, number), one.classes)
        for one, number in zip(member, steps, strict=True)
    ]
    return plan * preset.n_ensemble


def teachers(distill: DistillConfig, classes: Sequence[int]) -> list[int]:
    """Return the class of each teacher of a network that learns those classes.

    A teacher knows one class alone: small as it is, beside others it hardly learns it. Of several
    classes, each has half of the preset's number.
    """
    each = distill.n_teachers if len(classes) == 1 else -(-distill.n_teachers // 2)
    return [*classes] * each


def _lineage(preset: Preset, classes: tuple[int, ...]) -> list[Planned]:
    """Return a network's teachers, theirs before them, and it itself last."""
    last = Planned(preset, preset.optim.steps, classes)
    if preset.distill is None:
        return [last]
    known = ((place,) for place in teachers(preset.distill, classes))
    return [*itertools.chain(*(_lineage(preset.distill.teacher, one) for one in known)), last]
