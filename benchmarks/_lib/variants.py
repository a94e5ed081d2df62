"""Ablations of the method: the presets that `benchmarks.ablation.ablation` trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from cacl.model.config import DistillConfig, Preset
from cacl.model.presets import ROBUST, TEACHER

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


def of_teacher(change: Change) -> Change:
    """Return a function that changes the teacher of a preset."""
    return lambda preset: with_changes("distill", teacher=change(TEACHER))(preset)


def second_student(preset: Preset) -> Preset:
    """Return the preset of a student whose teacher is the preset itself."""
    first = dataclasses.replace(preset, name="first student")
    distill = DistillConfig(teacher=first, n_teachers=1, top_k=1)
    return dataclasses.replace(preset, distill=distill)


def no_stain_prior(preset: Preset) -> Preset:
    """Return the preset without the restriction to local DAB maxima, for its teacher too."""
    change = with_changes("post", use_stain_prior=False)
    return of_teacher(change)(change(preset))


VARIANTS: dict[str, Change] = {
    DEFAULT: lambda preset: preset,
    "teacher alone, no student": lambda preset: TEACHER,
    "second student": second_student,
    "one teacher": with_changes("distill", n_teachers=1),
    "all teachers selected": with_changes("distill", top_k=8),
    "student trained for 300 steps": with_changes("optim", steps=300),
    "no tissue edge": lambda preset: preset,
    "two seeds": lambda preset: dataclasses.replace(preset, n_ensemble=2),
    "student without context branch at an eighth of the resolution": with_changes(
        "network", dilations_8x=()
    ),
    "student with input stains": with_changes("network", input="stains"),
    "student with input rgb": with_changes("network", input="rgb"),
    "student without weight EMA": with_changes("optim", ema_decay=None),
    "student's S updated from all positions": with_changes(
        "codebook", shared_from_background_only=False
    ),
    "student without minimum distance of S to C": with_changes("codebook", min_separation=None),
    "student without stain jitter": with_changes("augment", stain_jitter=None),
    "student without blur": with_changes("augment", blur=None),
    "teachers without CutMix": of_teacher(with_changes("augment", cutmix=None)),
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
