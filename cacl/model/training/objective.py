"""All losses of one batch, by name, as a preset weighs them (eq. 7)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cacl.model.config import Preset
from cacl.model.data.dataset import LACKS, SHOWS
from cacl.model.networks.autoencoder import DOWNSCALE, AutoEncoder, class_logits
from cacl.model.networks.codebook import SHARED
from cacl.model.networks.critic import Critic
from cacl.model.training import losses

INSIST_ABOVE = -1.0


@dataclass(frozen=True, eq=False)
class Batch:
    """Augmented tiles.

    Parameters
    ----------
    rgb
        (b, 3, y, x) float levels from 0 to 255.
    candidate
        (b, k, y, x) bool: where a cell may show each of k classes; see `data.candidate_mask`.
    rim
        (b, y, x) bool: where a core was cut; what is stained there says nothing of its label.
    pasted
        (b, y, x) bool: parts of positive tiles that come from negative ones.
    positive, negative
        (b, k) bool, labels of the tiles' images; neither where one has no label in a class.
    shown
        (b, k) bool: the classes that a tile itself counts as positive in; see `state.State`.
    pasted_negative
        (b, k) bool: the classes that the pasted parts are known not to show.
    share
        (b, k) of each tile's pixels that `losses.claim` asks for.
    told
        (b, k, y, x) uint8: what a teacher is sure of, see `teach`; or (b, 0, y, x).
    """

    rgb: Tensor
    candidate: Tensor
    rim: Tensor
    pasted: Tensor
    positive: Tensor
    negative: Tensor
    shown: Tensor
    pasted_negative: Tensor
    share: Tensor
    told: Tensor

    @property
    def coded_candidate(self) -> Tensor:
        """(b, k, y / 2, x / 2) bool: the codes that hold a candidate pixel."""
        return F.max_pool2d(self.candidate.float(), DOWNSCALE) > 0

    @property
    def coded_possible(self) -> Tensor:
        """(b, k, y / 2, x / 2) bool: the codes that may show a class, off the rim."""
        own = self.shown[:, :, None, None] & ~self._coded_pasted
        inner = self.candidate & ~self.rim[:, None]
        return (F.max_pool2d(inner.float(), DOWNSCALE) > 0) & own

    @property
    def coded_negative(self) -> Tensor:
        """(b, k, y / 2, x / 2) bool: the candidates that are known not to show a class."""
        own, pasted = (label[:, :, None, None] for label in (self.negative, self.pasted_negative))
        return self.coded_candidate & torch.where(self._coded_pasted, pasted, own)

    @property
    def coded_other_classes(self) -> Tensor:
        """(b, k, y / 2, x / 2) bool: tiles known to have another class and not this one."""
        tiles = self.negative & self.positive.any(1, keepdim=True)
        return tiles[:, :, None, None] & ~self._coded_pasted

    @property
    def _coded_pasted(self) -> Tensor:
        return self.pasted[:, None, ::DOWNSCALE, ::DOWNSCALE]


@dataclass(frozen=True, eq=False)
class Breakdown:
    """The weighted losses by name, and what the codebook update needs.

    Parameters
    ----------
    losses
        Name to weighted loss; their sum is minimised.
    features
        (b, d, y, x) E(I).
    logits
        (b, k, y, x) log odds of each C_k; empty before there are codes.
    assignment
        (b, y, x) code of each embedding, from those that its tile may use.
    r_n, r_p
        (b, 3, y, x) reconstructions from S and from S and all C_k; empty if not needed.
    """

    losses: dict[str, Tensor]
    features: Tensor
    logits: Tensor
    assignment: Tensor
    r_n: Tensor
    r_p: Tensor

    @property
    def total(self) -> Tensor:
        """The sum of all losses."""
        return torch.stack(list(self.losses.values())).sum()


def warmup_losses(model: AutoEncoder, batch: Batch, preset: Preset) -> Breakdown:
    """Return the loss of a plain auto-encoder, before there are codes."""
    features = model.embed(batch.rgb)
    none = features.new_zeros(0)
    error = F.mse_loss(model.decoder(features), batch.rgb / 255.0)
    named = {"reconstruction": preset.loss.reconstruction * error}
    return Breakdown(named, features, none, none, none, none)


def coded_losses(
    model: AutoEncoder, batch: Batch, preset: Preset, critic: Critic | None
) -> Breakdown:
    """Return the losses of a batch, those of several classes added up by name.

    A tile is decoded a second time only where a loss compares both codings.

    Parameters
    ----------
    model
        In training mode.
    batch
        Tiles.
    preset
        The weights.
    critic
        Needed for the mapping loss alone.
    """
    weights, book = preset.loss, model.codebook.codebook_id
    image, positive = batch.rgb / 255.0, batch.positive.any(1)
    features, distances = model(batch.rgb)
    shared = (book == SHARED).expand(len(image), -1)
    e = model.codebook.quantize(features, distances, allowed_codes(book, batch.positive))
    logits = class_logits(model, features, distances)
    named = {"commitment": weights.commitment * losses.commitment(features, e.codes)}

    mapped = weights.mapping is not None and critic is not None
    if weights.discriminative is not None or mapped:
        e_n = model.codebook.quantize(features, distances, shared)
        e_p = model.codebook.quantize(features, distances, torch.ones_like(shared))
        r_n, r_p = model.decoder(e_n.straight_through), model.decoder(e_p.straight_through)
        error = losses.reconstruction(image, r_p, r_n, positive)
        if weights.discriminative is not None:
            named["discriminative"] = features.new_zeros(())
            for place, label in enumerate(batch.positive.unbind(1)):
                support = model.codebook.channel_mask[book == place + 1].any(0)
                # The gradient enters through e_P alone: through both codes it would cancel.
                difference = losses.discriminative(e_n.codes, e_p.straight_through, label, support)
                weighted = weights.discriminative * difference
                named["discriminative"] = named["discriminative"] + weighted
    else:
        r_n = r_p = features.new_zeros(0)
        error = F.mse_loss(model.decoder(e.straight_through), image)
    named["reconstruction"] = weights.reconstruction * error

    if critic is not None and weights.mapping is not None:
        judge = critic.eval()
        wrong = losses.mapping(judge(r_p), judge(r_n), positive)
        named["mapping"] = weights.mapping * wrong
    for place in range(logits.shape[1]):
        for name, loss in _class_losses(logits[:, place], batch, place, preset).items():
            named[name] = named[name] + loss if name in named else loss
    return Breakdown(named, features.detach(), logits.detach(), e.indices, r_n, r_p)


def _class_losses(own: Tensor, batch: Batch, place: int, preset: Preset) -> dict[str, Tensor]:
    """Return the losses of one class, by its place among the classes."""
    weights, mil = preset.loss, preset.mil
    candidate, possible = batch.coded_candidate[:, place], batch.coded_possible[:, place]
    named: dict[str, Tensor] = {}
    if weights.negative_bce is not None or weights.hard_negative_bce is not None:
        top = mil.hard_negatives_px // DOWNSCALE**2 if mil else 1
        everywhere, highest = losses.avoid(own, batch.coded_negative[:, place], top)
        if weights.negative_bce is not None:
            named["avoid_mean"] = weights.negative_bce * everywhere
        if weights.hard_negative_bce is not None and mil:
            named["avoid_top"] = weights.hard_negative_bce * highest
    if weights.background_bce is not None:
        named["elsewhere"] = weights.background_bce * losses.elsewhere(own, candidate)
    if weights.topk_positive is not None and mil:
        claim = losses.claim(own, possible, batch.share[:, place])
        named["claim"] = weights.topk_positive * claim
    if weights.self_training is not None:
        named["insist"] = weights.self_training * losses.insist(own, possible, INSIST_ABOVE)
    if weights.pseudo_label_bce is not None and batch.told.shape[1]:
        fine = F.interpolate(own[:, None], scale_factor=float(DOWNSCALE), mode="bilinear")[:, 0]
        told = batch.told[:, place]
        by_teacher = losses.told(fine, told == SHOWS, told == LACKS)
        named["told"] = weights.pseudo_label_bce * by_teacher
    return named


def allowed_codes(book: Tensor, positive: Tensor) -> Tensor:
    """Return the codes that each tile may use: S, and each C_k that it is positive for.

    Parameters
    ----------
    book
        (c,) the codebook of each code: 0 = S, 1... = C_1...
    positive
        (b, k) bool.

    Returns
    -------
    (b, c) bool.
    """
    return (book == SHARED) | positive[:, (book - 1).clamp_min(0)]
