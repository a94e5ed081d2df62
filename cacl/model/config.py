"""Presets: settings of a model's network, training and masks, in nested groups.

None switches off a group or a setting; an ablation is `dataclasses.replace(preset, mil=None)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Shape of a network; two networks of equal settings have the same tensors.

    Parameters
    ----------
    input
        Input channels computed from RGB; see `preprocess.network_input`.
    width
        Channels of the encoder's and decoder's feature maps, at half the tile's resolution.
    residual_channels
        Channels inside a residual block.
    blocks
        Residual blocks of the encoder and of the decoder, at half resolution.
    dilations_4x, dilations_8x
        Dilation of each residual block of the encoder's context branch at a quarter and at an
        eighth of the resolution; empty for no branch.
    batch_norm
        Whether batch normalisation follows the convolutions.
    embedding_channels
        Channels of an embedding and of a code.
    shared_codes
        Codes of the shared codebook S.
    class_codes
        Codes of each class codebook C_k, one codebook per class.
    split_channels
        Whether S uses the first channels and each C_k its own later ones, the rest being zero
        (the paper); otherwise every code uses all channels.
    unit_length
        Whether embeddings and codes are scaled to length 1.
    temperature
        T of the soft assignment to codes, `softmax(-d^2 / T)`; None for the nearest code.
    """

    input: Literal["rgb", "stains", "stain_contrast"]
    width: int
    residual_channels: int
    blocks: int
    embedding_channels: int
    dilations_4x: tuple[int, ...] = ()
    dilations_8x: tuple[int, ...] = ()
    batch_norm: bool = False
    shared_codes: int = 27
    class_codes: tuple[int, ...] = (5,)
    split_channels: bool = False
    unit_length: bool = False
    temperature: float | None = None


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimisation by Adam.

    Parameters
    ----------
    steps
        Training steps, unless the caller sets another number.
    batch_size
        Tiles per step and device. Half of them are positive; a batch of one is positive or
        negative at random.
    learning_rate, cosine
        Learning rate: constant, or with a short warm-up and a cosine decay to 0.
    clip_norm
        Largest norm of the gradient; None for no clipping.
    ema_decay
        Decay of the exponential moving average (EMA) of the weights, which is the final model;
        None for the weights of the last step.
    patience
        Training stops after this many checks in a row without a lower validation loss; None for
        no early stopping.
    """

    steps: int
    batch_size: int
    learning_rate: float
    cosine: bool = False
    clip_norm: float | None = None
    ema_decay: float | None = None
    patience: int | None = None


@dataclass(frozen=True, kw_only=True)
class CodebookConfig:
    """Initialisation and update of the codes.

    Parameters
    ----------
    decay
        Decay of the codes' EMA.
    warmup_steps
        Steps as a plain auto-encoder before k-means sets the codes, at most a quarter of all
        steps; None for codes drawn at random in the first step.
    replace_dead
        Whether unused codes are reset.
    min_separation
        A code of S at a smaller squared distance to a code of any C_k is reset too; None to allow
        any distance.
    shared_from_background_only
        Whether the EMA of S uses only positions that cannot show a class.
    """

    decay: float = 0.98
    warmup_steps: int | None = None
    replace_dead: bool = False
    min_separation: float | None = None
    shared_from_background_only: bool = False


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weight of each loss of `cacl.model.training.losses`; a loss without a weight is not computed.

    `mapping` needs a critic, `hard_negative_bce` and `topk_positive` need `mil`, and
    `pseudo_label_bce` needs tiles with pseudo-labels, `drawn_bce` tiles with drawn labels.
    """

    commitment: float = 0.25
    reconstruction: float = 1.0
    discriminative: float | None = None
    mapping: float | None = None
    negative_bce: float | None = None
    hard_negative_bce: float | None = None
    background_bce: float | None = None
    topk_positive: float | None = None
    self_training: float | None = None
    pseudo_label_bce: float | None = None
    drawn_bce: float | None = None


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation beyond flips and quarter turns, which every preset uses.

    Parameters
    ----------
    stain_jitter
        Standard deviation of the log of each stain's factor; see `preprocess.jitter_stain`.
    blur
        Largest strength of the blur, 0 to 1; see `preprocess.random_blur`.
    cutmix
        Fraction of a positive tile that is replaced by squares of negative tiles, 0 to 1.
    """

    stain_jitter: float | None = None
    blur: float | None = None
    cutmix: float | None = None


@dataclass(frozen=True, kw_only=True)
class PositiveFraction:
    """Smallest fraction of a positive tile that must show its class, 0 to 1.

    It decays from `start` by the factor `decay` per step to `end`. After the first relabelling
    every tile has its own; see `pseudo_labels.relabel_instances`.
    """

    start: float
    end: float
    decay: float


@dataclass(frozen=True, kw_only=True)
class MilConfig:
    """Multiple-instance learning: an image is a bag, its tiles are the instances.

    Parameters
    ----------
    relabel_at
        Fractions of the training, 0 to 1, after which the model relabels the tiles of positive
        images.
    positive_fraction
        See `PositiveFraction`.
    hard_negatives_px
        Pixels of a negative tile that `hard_negative_bce` uses, those of the highest score.
    """

    relabel_at: tuple[float, ...]
    positive_fraction: PositiveFraction
    hard_negatives_px: int


@dataclass(frozen=True, kw_only=True)
class CriticConfig:
    """The critic of the paper, eqs. (5) and (6), with its own Adam.

    Parameters
    ----------
    learning_rate, every
        Learning rate, and training steps between two updates.
    pool_size
        Past reconstructions of each label that it learns from.
    """

    learning_rate: float
    every: int
    pool_size: int


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """Teachers whose most confident pixels become the pseudo-labels of the student.

    Parameters
    ----------
    teacher
        Preset of the teachers.
    n_teachers
        Teachers to train, each with its own seed and for one class; for several classes see
        `plan.teacher_classes`.
    top_k
        Teachers of each class that are used; see `pseudo_labels.select_teachers`.
    extra_rounds
        Further students, each taught by the one before, where the teachers separate too little;
        see `pseudo_labels.MIN_SEPARATION`.
    """

    teacher: Preset
    n_teachers: int
    top_k: int
    extra_rounds: int = 0


@dataclass(frozen=True, kw_only=True)
class PostConfig:
    """From scores to masks; see `masks.Thresholds`.

    Parameters
    ----------
    high_probability
        Probability that a pixel above the high threshold shows the class, see
        `thresholds.class_probability`; None for even odds in place of all thresholds: without a
        temperature, the nearest code.
    low_probability
        The same of the low threshold; None for the high threshold in its place.
    image_fnr
        Fraction of the images of each label that the image gate may get wrong; None for no gate.
    min_core_fraction
        Fraction of a connected component that must exceed the high threshold, at least one pixel;
        None for one pixel.
    min_core_px
        So many such pixels are always enough, analysis px; None for no such limit.
    min_object_px
        Smaller connected components are removed, analysis px; None to keep all.
    n_tta
        Flips and quarter turns over which a score is averaged (test-time augmentation), 1 to 8.
    use_stain_prior
        Whether masks are restricted to local DAB maxima; see `cacl.image.local_dab`.
    fail_on_collapse
        Whether a model that uses C_k nowhere, or everywhere, is an error. Of several teachers, one
        that has not collapsed is enough.
    """

    high_probability: float | None = None
    low_probability: float | None = None
    image_fnr: float | None = None
    min_core_fraction: float | None = None
    min_core_px: int | None = None
    min_object_px: int | None = None
    n_tta: int = 1
    use_stain_prior: bool = False
    fail_on_collapse: bool = False


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How a model is built, trained and turned into masks.

    Parameters
    ----------
    name
        Name in `model.json` and in messages.
    network, optim, codebook, loss, augment, mil, critic, distill, post
        See the class of each; None for a group that is not used.
    n_ensemble
        Models of consecutive seeds, each with its own teachers, whose scores are averaged.
    """

    name: str
    network: NetworkConfig
    optim: OptimConfig
    codebook: CodebookConfig = CodebookConfig()
    loss: LossWeights
    augment: AugmentConfig | None = None
    mil: MilConfig | None = None
    critic: CriticConfig | None = None
    distill: DistillConfig | None = None
    post: PostConfig = PostConfig()
    n_ensemble: int = 1
