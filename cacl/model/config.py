"""What a model is made of and how it is trained: two presets of one set of numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from cacl.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The shape of a model; two models of equal architecture have the same tensors.

    Parameters
    ----------
    view
        What the encoder sees of a pixel: `colours`, `stains` or `relief`; see
        `inputs.network_input`.
    width
        Channels of the encoder's and decoder's feature maps, at half the tile's resolution.
    residual
        Channels inside a residual block.
    blocks
        Residual blocks of the encoder and of the decoder at half resolution.
    context, far_context
        Dilation of each residual block at a quarter and at an eighth of the resolution, where
        the encoder sees the surroundings; empty for none.
    normalise
        Whether convolutions are followed by batch normalisation.
    channels
        Channels of an embedding and of a code.
    shared_codes
        Codes of the shared codebook S.
    class_codes
        Codes of each discriminative codebook C_k, one codebook a class.
    split_channels
        Whether S lives in the first channels and each C_k in its own later ones, the rest
        being zero (the paper); else every code uses all channels.
    unit_length
        Whether embeddings and codes are scaled to length 1.
    temperature
        T of the soft share of a code, `softmax(-d^2 / T)`; 0 for the nearest code alone.
    """

    view: str
    width: int
    residual: int
    blocks: int
    context: tuple[int, ...]
    far_context: tuple[int, ...]
    normalise: bool
    channels: int
    shared_codes: int
    class_codes: tuple[int, ...]
    split_channels: bool
    unit_length: bool
    temperature: float


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weight of each loss; a loss of weight 0 is not computed."""

    commitment: float = 0.25
    reconstruction: float = 1.0
    discriminative: float = 0.0
    mapping: float = 0.0
    avoid_mean: float = 0.0
    avoid_top: float = 0.0
    elsewhere: float = 0.0
    claim: float = 0.0
    insist: float = 0.0
    told: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How a model is trained.

    Parameters
    ----------
    name
        `robust`, `paper`, or that of a teacher.
    teacher
        How a model is trained first whose surest pixels this one is then taught; None to learn
        from the image-wise labels alone.
    teachers
        Teachers of as many seeds: one alone may take for the pattern what others do not. Each
        knows one class; of several, see `lineage.teachers`.
    heard
        How many of them, the best of each class, are believed; see `elect.elect`.
    members
        Models of as many seeds, each with teachers of its own, whose scores are averaged.
    architecture, weights
        The model's shape and the losses' weights.
    steps, batch
        Steps of training unless the caller says otherwise, and tiles a step, half of them
        positive where there are two or more.
    learning_rate, critic_learning_rate
        Of Adam; the generator's follows a cosine to 0 if `cosine`.
    clip
        Largest norm of the gradient; infinite for no limit.
    decay
        Of the codes' moving average.
    average
        Decay of the weights' moving average, which is the model that is delivered; 0 for the
        weights of the last step.
    warmup
        Steps as a plain auto-encoder before k-means sets the codes, at most a quarter of all; 0
        for random codes.
    clear_shared
        Whether S follows only places that cannot show any class; see `codes.clear`.
    revive
        Whether codes out of use are set again.
    apart
        Squared distance below which a code of S is too near to one of C, and is set again; see
        `ClassAwareCodebook.crowding`.
    jitter
        Strength of the stain jitter, see `inputs.jitter_stain`.
    blur
        Largest blur, see `inputs.random_blur`.
    mosaic
        Share of a positive tile that is replaced by parts of negative ones; see `draw`.
    critic_every, pool
        Rounds between two updates of the critic, and past fakes it keeps of each kind; 0 for
        no critic.
    rescore
        Parts of the training after which the model judges the tiles of positive cores.
    patience
        Training ends when `judge.unease` was not lower this many times in a row; 0 for never.
    share
        Share of a positive tile that must be C to begin with; see `losses.claim`. From the
        first judgement on, each tile has its own.
    share_end, share_decay
        That share is multiplied by `share_decay` each step until it is `share_end`.
    top
        Pixels of a negative tile that `losses.avoid` takes for its second part.
    likely_area
        Share of negative pixels that may exceed the lower threshold of a mask; see
        `mask.Thresholds`.
    sure_part
        Share of the pixels of each part of a mask that exceed the higher threshold, at least one.
    sure_px
        So many are always enough, analysis px.
    surest
        Part of the pattern that exceeds the higher threshold, and that a teacher shows its pupil;
        see `levels`. 0 for even odds instead of thresholds: without a temperature, the nearest
        code's choice.
    missed
        Part of the images of each label that the least share of sure cells may get wrong, see
        `levels.between`; 0 for no gate.
    flips
        Symmetries over which a score is averaged.
    contrast
        Whether a mask keeps only what stands out in DAB; see `cacl.image.local_dab`.
    min_px
        Smaller parts of a mask are dropped, analysis px.
    refuse_collapse
        Whether a model whose C is used nowhere, or everywhere, is an error, not delivered. Teachers
        may be so, if not all of them are: the best are heard.
    """

    name: str
    teacher: Preset | None
    teachers: int
    heard: int
    members: int
    architecture: Architecture
    weights: Weights
    steps: int
    batch: int
    learning_rate: float
    critic_learning_rate: float
    cosine: bool
    clip: float
    decay: float
    average: float
    warmup: int
    clear_shared: bool
    revive: bool
    apart: float
    jitter: float
    blur: float
    mosaic: float
    critic_every: int
    pool: int
    rescore: tuple[float, ...]
    patience: int
    share: float
    share_end: float
    share_decay: float
    top: int
    likely_area: float
    sure_part: float
    sure_px: int
    surest: float
    missed: float
    flips: int
    contrast: bool
    min_px: int
    refuse_collapse: bool


TEACHER = Preset(
    name="scout",
    teacher=None,
    teachers=0,
    heard=0,
    members=1,
    architecture=Architecture(
        view="stains",
        width=32,
        residual=32,
        blocks=1,
        context=(1,),
        far_context=(),
        normalise=True,
        channels=32,
        shared_codes=27,
        class_codes=(5,),
        split_channels=False,
        unit_length=True,
        temperature=0.2,
    ),
    weights=Weights(
        commitment=0.25,
        reconstruction=10.0,
        avoid_mean=1.0,
        avoid_top=0.5,
        elsewhere=0.3,
        claim=1.0,
        insist=0.3,
    ),
    steps=400,
    batch=16,
    learning_rate=4e-3,
    critic_learning_rate=1e-4,
    cosine=True,
    clip=1.0,
    decay=0.98,
    average=0.0,
    warmup=30,
    clear_shared=False,
    revive=True,
    apart=0.3,
    jitter=0.45,
    blur=0.5,
    mosaic=0.4,
    critic_every=0,
    pool=0,
    rescore=(0.35, 0.6, 0.8),
    patience=0,
    share=0.05,
    share_end=0.02,
    share_decay=0.98,
    top=40,
    likely_area=0.01,
    sure_part=0.25,
    sure_px=16,
    surest=0.5,
    missed=0.05,
    flips=2,
    contrast=True,
    min_px=12,
    refuse_collapse=True,
)

ROBUST = dataclasses.replace(
    TEACHER,
    name="robust",
    teacher=TEACHER,
    teachers=8,
    heard=2,
    architecture=dataclasses.replace(
        TEACHER.architecture, view="relief", context=(1, 2), far_context=(1, 2)
    ),
    weights=Weights(commitment=0.25, reconstruction=2.0, elsewhere=0.3, told=1.0),
    learning_rate=3e-3,
    average=0.98,
    clear_shared=True,
    apart=0.4,
    mosaic=0.0,
    steps=900,
    rescore=(),
    patience=10,
    surest=0.9,
    blur=1.0,
)

# Of the networks of `robust` one of each kind, to see how fast they are trained.
TIMING = dataclasses.replace(ROBUST, name="rehearsal", teachers=1, heard=1, refuse_collapse=False)

# To the letter, with three liberties: eq. (4) pulls through e_P alone (`objective.coded_losses`),
# tiles are flipped and turned, and the paper's many epochs of 1,480 tiles are one.
PAPER = Preset(
    name="paper",
    teacher=None,
    teachers=0,
    heard=0,
    members=1,
    architecture=Architecture(
        view="colours",
        width=128,
        residual=32,
        blocks=2,
        context=(),
        far_context=(),
        normalise=False,
        channels=64,
        shared_codes=27,
        class_codes=(5,),
        split_channels=True,
        unit_length=False,
        temperature=0.0,
    ),
    weights=Weights(commitment=0.25, reconstruction=100.0, discriminative=50.0, mapping=1.0),
    steps=1480,
    batch=1,
    learning_rate=3e-4,
    critic_learning_rate=1e-4,
    cosine=False,
    clip=float("inf"),
    decay=0.98,
    average=0.0,
    warmup=0,
    clear_shared=False,
    revive=False,
    apart=0.0,
    jitter=0.0,
    blur=0.0,
    mosaic=0.0,
    critic_every=10,
    pool=64,
    rescore=(),
    patience=0,
    share=0.0,
    share_end=0.0,
    share_decay=1.0,
    top=0,
    likely_area=0.0,
    sure_part=0.0,
    sure_px=0,
    surest=0.0,
    missed=0.0,
    flips=1,
    contrast=False,
    min_px=0,
    refuse_collapse=False,
)

PRESETS = {preset.name: preset for preset in (ROBUST, TEACHER, TIMING, PAPER)}


def with_classes(preset: Preset, classes: int) -> Preset:
    """Return the preset with as many codebooks C_k, each of the size of its first.

    Its teachers keep theirs; see `lineage.teachers`.
    """
    codes = preset.architecture.class_codes[:1] * classes
    architecture = dataclasses.replace(preset.architecture, class_codes=codes)
    return dataclasses.replace(preset, architecture=architecture)


def named(name: str, members: int = 1) -> Preset:
    """Return the preset of that name, with so many members.

    Raises
    ------
    ConfigError
        There is none.
    """
    if name not in PRESETS:
        raise ConfigError(f"No preset {name!r}; choose one of {', '.join(sorted(PRESETS))}")
    return dataclasses.replace(PRESETS[name], members=members)
