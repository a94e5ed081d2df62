"""The presets: named settings of the method."""

from __future__ import annotations

import dataclasses

from cacl.errors import ConfigError
from cacl.model.config import (
    AugmentConfig,
    CodebookConfig,
    CriticConfig,
    DistillConfig,
    LossWeights,
    MilConfig,
    NetworkConfig,
    OptimConfig,
    PositiveFraction,
    PostConfig,
    Preset,
)
from cacl.runtime.digest import digest_of

TEACHER = Preset(
    name="teacher",
    network=NetworkConfig(
        input="stains",
        width=32,
        residual_channels=32,
        blocks=1,
        dilations_4x=(1,),
        batch_norm=True,
        embedding_channels=32,
        unit_length=True,
        temperature=0.2,
    ),
    optim=OptimConfig(steps=400, batch_size=16, learning_rate=4e-3, cosine=True, clip_norm=1.0),
    codebook=CodebookConfig(warmup_steps=30, replace_dead=True, min_separation=0.3),
    loss=LossWeights(
        reconstruction=10.0,
        negative_bce=1.0,
        hard_negative_bce=0.5,
        background_bce=0.3,
        topk_positive=1.0,
        self_training=0.3,
        drawn_bce=1.0,
    ),
    augment=AugmentConfig(stain_jitter=0.45, blur=0.5, cutmix=0.4),
    mil=MilConfig(
        relabel_at=(0.35, 0.6, 0.8),
        positive_fraction=PositiveFraction(start=0.05, end=0.02, decay=0.98),
        hard_negatives_px=40,
    ),
    post=PostConfig(
        high_probability=0.85,
        low_probability=0.3,
        image_fnr=0.05,
        min_core_fraction=0.25,
        min_core_px=16,
        min_object_px=12,
        n_tta=2,
        use_stain_prior=True,
        fail_on_collapse=True,
    ),
)

ROBUST = Preset(
    name="robust",
    network=dataclasses.replace(
        TEACHER.network, input="stain_contrast", dilations_4x=(1, 2), dilations_8x=(1, 2)
    ),
    optim=dataclasses.replace(
        TEACHER.optim, steps=900, learning_rate=3e-3, ema_decay=0.98, patience=10
    ),
    codebook=dataclasses.replace(
        TEACHER.codebook, min_separation=0.4, shared_from_background_only=True
    ),
    loss=LossWeights(reconstruction=2.0, background_bce=0.3, pseudo_label_bce=1.0, drawn_bce=1.0),
    augment=AugmentConfig(stain_jitter=0.45, blur=1.0),
    distill=DistillConfig(teacher=TEACHER, n_teachers=8, top_k=2, extra_rounds=2),
    post=TEACHER.post,
)

# A sixth of the arithmetic; what that costs: benchmarks/results/presets.md.
QUICK = dataclasses.replace(
    ROBUST,
    name="quick",
    optim=dataclasses.replace(ROBUST.optim, steps=475, batch_size=8),
    distill=DistillConfig(
        teacher=dataclasses.replace(
            TEACHER, optim=dataclasses.replace(TEACHER.optim, batch_size=8)
        ),
        n_teachers=2,
        top_k=2,
    ),
)

# Deviations from the paper: docs/method.md, section 3.
PAPER = Preset(
    name="paper",
    network=NetworkConfig(
        input="rgb",
        width=128,
        residual_channels=32,
        blocks=2,
        embedding_channels=64,
        split_channels=True,
    ),
    optim=OptimConfig(steps=1480, batch_size=1, learning_rate=3e-4),
    loss=LossWeights(reconstruction=100.0, discriminative=50.0, mapping=1.0),
    critic=CriticConfig(learning_rate=1e-4, every=10, pool_size=64),
)

PRESETS = {preset.name: preset for preset in (ROBUST, QUICK, PAPER)}


def with_classes(preset: Preset, n_classes: int) -> Preset:
    """Return the preset with `n_classes` codebooks C_k, each of the size of its first.

    Its teachers stay as they are: each learns one class.
    """
    codes = preset.network.class_codes[:1] * n_classes
    network = dataclasses.replace(preset.network, class_codes=codes)
    return dataclasses.replace(preset, network=network)


def get_preset(name: str, n_ensemble: int = 1) -> Preset:
    """Return the preset of that name for an ensemble of `n_ensemble` models.

    Raises
    ------
    ConfigError
        No preset has that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"No preset {name!r}; choose one of {', '.join(sorted(PRESETS))}")
    return dataclasses.replace(PRESETS[name], n_ensemble=n_ensemble)


def preset_digest(name: str) -> str:
    """Return a digest of all settings of the preset of that name.

    A release that changes them makes models of earlier ones out of date.

    Raises
    ------
    ConfigError
        No preset has that name.
    """
    return digest_of(get_preset(name))
