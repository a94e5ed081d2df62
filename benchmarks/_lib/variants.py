"""The method without one of its parts: what `ablation.py` trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection

from cacl.model.config import ROBUST, TEACHER, Preset

WHOLE = "robust"
Change = Callable[[Preset], Preset]

SCOUTS, PUPILS = {"scout"}, {"robust", "first pupil"}
ALL = SCOUTS | PUPILS


def changed(names: Collection[str], **changes: object) -> Change:
    """Change the presets of these names, wherever they are in the line of teachers."""

    def change(preset: Preset) -> Preset:
        teacher = change(preset.teacher) if preset.teacher else None
        own = changes if preset.name in names else {}
        return dataclasses.replace(preset, **{"teacher": teacher, **own})  # type: ignore[arg-type]

    return change


def shape(names: Collection[str] = frozenset(PUPILS), **changes: object) -> Change:
    """Change the architecture of these presets, all alike."""
    known = (TEACHER if names == SCOUTS else ROBUST).architecture
    architecture = dataclasses.replace(known, **changes)  # type: ignore[arg-type]
    return changed(names, architecture=architecture)


def weight(**changes: float) -> Change:
    """Change the weights of the scouts' losses."""
    return changed(SCOUTS, weights=dataclasses.replace(TEACHER.weights, **changes))


def second_pupil(preset: Preset) -> Preset:
    """Let the whole teach one more network like itself."""
    first = dataclasses.replace(preset, name="first pupil")
    return dataclasses.replace(preset, teacher=first, teachers=1, heard=1)


VARIANTS: dict[str, Change] = {
    WHOLE: lambda preset: preset,
    "the scout alone": lambda preset: TEACHER,
    "a second pupil": second_pupil,
    "one scout": changed({"robust"}, teachers=1),
    "every scout is heard": changed({"robust"}, heard=ROBUST.teachers),
    "pupils of 300 steps": changed(PUPILS, steps=300),
    "a rim like the rest": lambda preset: preset,
    "two seeds": changed({"robust"}, members=2),
    "pupils see no eighth of the resolution": shape(far_context=()),
    "pupils see stains, not relief": shape(view="stains"),
    "pupils see colours alone": shape(view="colours"),
    "pupils without moving average": changed(PUPILS, average=0.0),
    "pupils' S follows the pattern too": changed(PUPILS, clear_shared=False),
    "pupils' codes of S may crowd C": changed(PUPILS, apart=0.0),
    "pupils without stain jitter": changed(PUPILS, jitter=0.0),
    "pupils without blur": changed(PUPILS, blur=0.0),
    "scouts without mosaics": changed(SCOUTS, mosaic=0.0),
    "no edge by half of the light": changed(ALL, contrast=False),
}
OF_A_SCOUT: dict[str, Change] = {
    "scout": lambda preset: preset,
    "sees colours alone": shape(SCOUTS, view="colours"),
    "embeddings of any length": shape(SCOUTS, unit_length=False),
    "random codes, not k-means": changed(SCOUTS, warmup=0),
    "no revival": changed(SCOUTS, revive=False),
    "codes of S may crowd C": changed(SCOUTS, apart=0.0),
    "a quarter of the batch, four times the steps": changed(SCOUTS, batch=4, steps=1600),
    "no clipping": changed(SCOUTS, clip=float("inf")),
    "no cosine": changed(SCOUTS, cosine=False),
    "does not judge its tiles again": changed(SCOUTS, rescore=()),
    "does not insist": weight(insist=0.0),
    "does not avoid the highest": weight(avoid_top=0.0),
    "no stain jitter": changed(SCOUTS, jitter=0.0),
    "no blur": changed(SCOUTS, blur=0.0),
    "no mosaics": changed(SCOUTS, mosaic=0.0),
}
OF = {WHOLE: (ROBUST, VARIANTS), "scout": (TEACHER, OF_A_SCOUT)}
RIMS = {"a rim like the rest": -1}
