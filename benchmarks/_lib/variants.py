"""Ablations of the method: the presets that `ablation.py` trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from cacl.model.config import ROBUST, TEACHER, DistillConfig, Preset

WHOLE = "robust"
Change = Callable[[Preset], Preset]


def changed(group: str, **changes: object) -> Change:
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
    return lambda preset: changed("distill", teacher=change(TEACHER))(preset)


def second_student(preset: Preset) -> Preset:
    """Return the preset of a student whose teacher is the preset itself."""
    first = dataclasses.replace(preset, name="first student")
    distill = DistillConfig(teacher=first, n_teachers=1, top_k=1)
    return dataclasses.replace(preset, distill=distill)


def no_stain_prior(preset: Preset) -> Preset:
    """Return the preset without the restriction to local DAB maxima, for its teacher too."""
    change = changed("post", use_stain_prior=False)
    return of_teacher(change)(change(preset))


VARIANTS: dict[str, Change] = {
    WHOLE: lambda preset: preset,
    "the teacher alone": lambda preset: TEACHER,
    "a second student": second_student,
    "one teacher": changed("distill", n_teachers=1),
    "all teachers are used": changed("distill", top_k=8),
    "student of 300 steps": changed("optim", steps=300),
    "no tissue edge": lambda preset: preset,
    "two seeds": lambda preset: dataclasses.replace(preset, n_ensemble=2),
    "student without context at an eighth of the resolution": changed("network", dilations_8x=()),
    "student's input is stains": changed("network", input="stains"),
    "student's input is RGB": changed("network", input="rgb"),
    "student without EMA of the weights": changed("optim", ema_decay=None),
    "student's S uses all positions": changed("codebook", shared_from_background_only=False),
    "student's codes of S at any distance to C": changed("codebook", min_separation=None),
    "student without stain jitter": changed("augment", stain_jitter=None),
    "student without blur": changed("augment", blur=None),
    "teachers without CutMix": of_teacher(changed("augment", cutmix=None)),
    "no stain prior": no_stain_prior,
}
VARIANTS_OF_TEACHER: dict[str, Change] = {
    TEACHER.name: lambda preset: preset,
    "input is RGB": changed("network", input="rgb"),
    "embeddings of any length": changed("network", unit_length=False),
    "random codes instead of k-means": changed("codebook", warmup_steps=None),
    "dead codes are not replaced": changed("codebook", replace_dead=False),
    "codes of S at any distance to C": changed("codebook", min_separation=None),
    "a quarter of the batch, four times the steps": changed("optim", batch_size=4, steps=1600),
    "no gradient clipping": changed("optim", clip_norm=None),
    "constant learning rate": changed("optim", cosine=False),
    "tiles are not relabelled": changed("mil", relabel_at=()),
    "no multiple-instance learning": without("mil"),
    "no self-training": changed("loss", self_training=None),
    "no hard negatives": changed("loss", hard_negative_bce=None),
    "no stain jitter": changed("augment", stain_jitter=None),
    "no blur": changed("augment", blur=None),
    "no CutMix": changed("augment", cutmix=None),
}
OF = {WHOLE: (ROBUST, VARIANTS), TEACHER.name: (TEACHER, VARIANTS_OF_TEACHER)}
EDGE_WIDTHS_PX = {"no tissue edge": -1}
