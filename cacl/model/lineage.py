"""Which networks a preset trains, one after the other: teachers first."""

from __future__ import annotations

import itertools

from cacl.model.preset import Preset


def networks(preset: Preset, max_steps: int | None) -> list[tuple[Preset, int]]:
    """Return how each network is trained in turn, and for how many steps; `max_steps` a member."""
    member = _lineage(preset)
    ends = list(itertools.accumulate((one.steps for one in member), initial=0))
    part = 1.0 if max_steps is None else max_steps / ends[-1]
    steps = (round(end * part) - round(start * part) for start, end in itertools.pairwise(ends))
    plan = [(one, max(1, number)) for one, number in zip(member, steps, strict=True)]
    return plan * preset.members


def _lineage(preset: Preset) -> list[Preset]:
    """Return how a network's teachers are trained, theirs before them, and it itself last."""
    before = _lineage(preset.teacher) * preset.teachers if preset.teacher else []
    return [*before, preset]
