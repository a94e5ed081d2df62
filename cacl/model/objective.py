"""All losses of one batch, by name, as a preset weighs them (eq. 7)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cacl.model import losses
from cacl.model.autoencoder import FOLD, AutoEncoder
from cacl.model.codebook import SHARED, class_logit
from cacl.model.critic import Critic
from cacl.model.preset import Preset

INSIST_ABOVE = -1.0


@dataclass(frozen=True, eq=False)
class Batch:
    """Augmented tiles.

    Parameters
    ----------
    rgb
        (b, 3, y, x) float levels from 0 to 255.
    candidate
        (b, y, x) bool: where DAB stands out on a cell.
    pasted
        (b, y, x) bool: parts of positive tiles that come from negative ones.
    positive
        (b,) bool.
    share
        (b,) of each tile's pixels that `losses.claim` asks for.
    """

    rgb: Tensor
    candidate: Tensor
    pasted: Tensor
    positive: Tensor
    share: Tensor

    @property
    def coded_candidate(self) -> Tensor:
        """(b, y / 2, x / 2) bool: the codes that hold a candidate pixel."""
        return F.max_pool2d(self.candidate.float()[:, None], FOLD)[:, 0] > 0

    @property
    def coded_possible(self) -> Tensor:
        """(b, y / 2, x / 2) bool: the codes that may show the pattern."""
        own = self.positive[:, None, None] & ~self.pasted[:, ::FOLD, ::FOLD]
        return self.coded_candidate & own


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
        (b, y, x) log odds of C; empty before there are codes.
    assignment
        (b, y, x) code of each embedding, from those that its tile may use.
    r_n, r_p
        (b, 3, y, x) reconstructions from S and from S and C; empty if not needed.
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
    named = {"reconstruction": preset.weights.reconstruction * error}
    return Breakdown(named, features, none, none, none, none)


def coded_losses(
    model: AutoEncoder, batch: Batch, preset: Preset, critic: Critic | None
) -> Breakdown:
    """Return the losses of a batch.

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
    weights, book = preset.weights, model.codebook.book
    image, positive = batch.rgb / 255.0, batch.positive
    features, distances = model(batch.rgb)
    shared = (book == SHARED).expand(len(image), -1)
    e = model.codebook.encode(features, distances, shared | positive[:, None])
    logits = class_logit(distances, book, preset.architecture.temperature)
    logits = logits.view(len(image), *features.shape[2:])
    named = {"commitment": weights.commitment * losses.commitment(features, e.raw)}

    if weights.discriminative or weights.mapping:
        e_n = model.codebook.encode(features, distances, shared)
        e_p = model.codebook.encode(features, distances, torch.ones_like(shared))
        r_n, r_p = model.decoder(e_n.codes), model.decoder(e_p.codes)
        error = losses.reconstruction(image, r_p, r_n, positive)
        support = model.codebook.support[book != SHARED].any(0)
        # The gradient enters through e_P alone: through both codes it would cancel.
        difference = losses.discriminative(e_n.raw, e_p.codes, positive, support)
        named["discriminative"] = weights.discriminative * difference
    else:
        r_n = r_p = features.new_zeros(0)
        error = F.mse_loss(model.decoder(e.codes), image)
    named["reconstruction"] = weights.reconstruction * error

    if critic is not None and weights.mapping:
        judge = critic.eval()
        wrong = losses.mapping(judge(r_p), judge(r_n), positive)
        named["mapping"] = weights.mapping * wrong
    if weights.claim:
        candidate, possible = batch.coded_candidate, batch.coded_possible
        everywhere, highest = losses.avoid(logits, candidate & ~possible, preset.top // FOLD**2)
        named["avoid_mean"] = weights.avoid_mean * everywhere
        named["avoid_top"] = weights.avoid_top * highest
        named["elsewhere"] = weights.elsewhere * losses.elsewhere(logits, candidate)
        named["claim"] = weights.claim * losses.claim(logits, possible, batch.share)
        named["insist"] = weights.insist * losses.insist(logits, possible, INSIST_ABOVE)
    return Breakdown(named, features.detach(), logits.detach(), e.assignment, r_n, r_p)
