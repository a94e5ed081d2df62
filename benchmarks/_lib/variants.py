"""Ablations of the method: the presets that `benchmarks.ablation.ablation` trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from cacl.model.config import Preset
from cacl.model.presets import FIRST_STUDENT, ROBUST, SECOND_STUDENT, TEACHER

DEFAULT = "robust"
Change = Callable[[Preset], Preset]


def with_changes(group: str, **changes: object) -> Change:
    """Return a function that changes fields of one group of a preset."""

    def change(preset: Preset) -> Preset:
        settings = dataclasses.replace(getattr(preset, group), **changes)
        return dataclasses.replace(preset, **{group: settings})

    return change


def without(group: str) -> Change:
    """Return a function that switches a group of a preset off."""
    return lambda preset: dataclasses.replace(preset, **{group: None})  # type: ignore[arg-type]


def of_teachers(change: Change) -> Change:
    """Return a function that changes the teachers that learn from labels of images."""

    def changed(preset: Preset) -> Preset:
        if preset.distill is None:
            return change(preset)
        return with_changes("distill", teacher=changed(preset.distill.teacher))(preset)

    return changed


def of_students(change: Change) -> Change:
    """Return a function that changes the student of each round."""

    def changed(preset: Preset) -> Preset:
        if preset.distill is None:
            return preset
        return change(with_changes("distill", teacher=changed(preset.distill.teacher))(preset))

    return changed


def of_first_student(**changes: object) -> Change:
    """Return a function that changes how the first student uses its teachers."""
    first = with_changes("distill", **changes)(FIRST_STUDENT)
    second = with_changes("distill", teacher=first)(SECOND_STUDENT)
    return with_changes("distill", teacher=second)


def fourth_student(preset: Preset) -> Preset:
    """Return the preset of a student in one more round."""
    third = dataclasses.replace(SECOND_STUDENT, name="third student", distill=preset.distill)
    return with_changes("distill", teacher=third)(preset)


def no_stain_prior(preset: Preset) -> Preset:
    """Return the preset without the restriction to local DAB maxima, for its teachers too."""
    change = with_changes("post", use_stain_prior=False)
    return of_teachers(change)(of_students(change)(preset))


VARIANTS: dict[str, Change] = {
    DEFAULT: lambda preset: preset,
    "teacher alone, no student": lambda preset: TEACHER,
    "one student": lambda preset: dataclasses.replace(preset, distill=FIRST_STUDENT.distill),
    "two students": with_changes("distill", teacher=FIRST_STUDENT),
    "four students": fourth_student,
    "one teacher": of_first_student(n_teachers=1),
    "all teachers selected": of_first_student(top_k=4),
    "student trained for 300 steps": with_changes("optim", steps=300),
    "no tissue edge": lambda preset: preset,
    "two seeds": lambda preset: dataclasses.replace(preset, n_ensemble=2),
    "students without context branch at an eighth of the resolution": of_students(
        with_changes("network", dilations_8x=())
    ),
    "students with input stains": of_students(with_changes("network", input="stains")),
    "students with input rgb": of_students(with_changes("network", input="rgb")),
    "students without weight EMA": of_students(with_changes("optim", ema_decay=None)),
    "students: S updated from all positions": of_students(
        with_changes("codebook", shared_from_background_only=False)
    ),
    "students without minimum distance of S to C": of_students(
        with_changes("codebook", min_separation=None)
    ),
    "students without stain jitter": of_students(with_changes("augment", stain_jitter=None)),
    "students without blur": of_students(with_changes("augment", blur=None)),
    "teachers without CutMix": of_teachers(with_changes("augment", cutmix=None)),
    "no stain prior": no_stain_prior,
}
VARIANTS_OF_TEACHER: dict[str, Change] = {
    TEACHER.name: lambda preset: preset,
    "input rgb": with_changes("network", input="rgb"),
    "no unit-length embeddings": with_changes("network", unit_length=False),
    "random codes instead of k-means": with_changes("codebook", warmup_steps=None),
    "dead codes not replaced": with_changes("codebook", replace_dead=False),
    "no minimum distance of S to C": with_changes("codebook", min_separation=None),
    "a quarter of the batch, four times the steps": with_changes("optim", batch_size=4, steps=1600),
    "no gradient clipping": with_changes("optim", clip_norm=None),
    "constant learning rate": with_changes("optim", cosine=False),
    "no relabelling (MIL)": with_changes("mil", relabel_at=()),
    "no multiple-instance learning": without("mil"),
    "no self-training loss": with_changes("loss", self_training=None),
    "no hard negatives": with_changes("loss", hard_negative_bce=None),
    "no stain jitter": with_changes("augment", stain_jitter=None),
    "no blur": with_changes("augment", blur=None),
    "no CutMix": with_changes("augment", cutmix=None),
}
ABLATIONS = {DEFAULT: (ROBUST, VARIANTS), TEACHER.name: (TEACHER, VARIANTS_OF_TEACHER)}
"""Base preset and its variants by the value of `--of`."""
EDGE_WIDTHS_PX = {"no tissue edge": -1}
"""Width of the tissue edge by variant, where it differs from the default."""
