"""The losses, each a pure function, and their weighted sum for a batch (eq. 7).

Equation numbers are those of Deng et al. 2020. All losses are means, so they do not depend on the
batch size. BCE is the binary cross entropy of p, the soft assignment to class codebook C_k.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cacl.hpa.pixel_labels import PseudoLabel
from cacl.model.config import Preset
from cacl.model.data.batches import Batch
from cacl.model.networks.autoencoder import DOWNSCALE, AutoEncoder, class_logits
from cacl.model.networks.codebook import SHARED
from cacl.model.networks.critic import REAL_NEGATIVE, REAL_POSITIVE, Critic

SELF_TRAINING_LOGIT = -1.0


def commitment(features: Tensor, codes: Tensor) -> Tensor:
    """Return ||sg[e] - E(I)||^2, eq. (1).

    Parameters
    ----------
    features, codes
        (b, d, y, x): E(I), and e_P for positive and e_N for negative tiles.
    """
    return F.mse_loss(features, codes.detach())


def reconstruction(image: Tensor, r_p: Tensor, r_n: Tensor, positive: Tensor) -> Tensor:
    """Return the squared error of R_P for positive and of R_N for negative tiles, eq. (3).

    Parameters
    ----------
    image, r_p, r_n
        (b, 3, y, x) from 0 to 1.
    positive
        (b,) bool.
    """
    selected = torch.where(positive[:, None, None, None], r_p, r_n)
    return F.mse_loss(selected, image)


def discriminative(e_n: Tensor, e_p: Tensor, positive: Tensor, channel_mask: Tensor) -> Tensor:
    """Return K ||e_N - e_P||^2 on the channels of C, eq. (4): K = 1 negative, -1 positive.

    Unbounded below for positive tiles, as published.

    Parameters
    ----------
    e_n, e_p
        (b, d, y, x) quantised with S alone, and with S and C.
    positive
        (b,) bool.
    channel_mask
        (d,) bool: the channels of C.
    """
    sign = torch.where(positive, -1.0, 1.0)
    difference = (e_n - e_p)[:, channel_mask].square().mean(dim=(1, 2, 3))
    return (sign * difference).mean()


def mapping(critic_p: Tensor, critic_n: Tensor, positive: Tensor) -> Tensor:
    """Return the cross entropy of the critic: R_P has the label of I, R_N is negative, eq. (6).

    Parameters
    ----------
    critic_p, critic_n
        (b, 4) logits of the critic for R_P and R_N.
    positive
        (b,) bool.
    """
    target = torch.where(positive, REAL_POSITIVE, REAL_NEGATIVE)
    negative = torch.full_like(target, REAL_NEGATIVE)
    return F.cross_entropy(critic_p, target) + F.cross_entropy(critic_n, negative)


def negative_bce(logits: Tensor, negative: Tensor, hardest: int) -> tuple[Tensor, Tensor]:
    """Return -log(1 - p) at negative positions: the mean, and the mean of the hardest ones.

    Bounded below by 0, in contrast to eq. (4).

    Parameters
    ----------
    logits
        (b, y, x) of a class.
    negative
        (b, y, x) bool: candidate positions with a negative label.
    hardest
        Number of positions per tile, those of the highest loss, in the second mean.
    """
    cost = F.softplus(logits) * negative
    highest = cost.flatten(1).topk(min(hardest, cost[0].numel()), dim=1).values
    return cost.sum() / negative.sum().clamp_min(1), highest.mean()


def background_bce(logits: Tensor, candidate: Tensor) -> Tensor:
    """Return the mean of -log(1 - p) at the positions that are no candidates.

    Parameters
    ----------
    logits
        (b, y, x) of a class.
    candidate
        (b, y, x) bool: positions that may show the class.
    """
    return (F.softplus(logits) * ~candidate).sum() / (~candidate).sum().clamp_min(1)


def topk_positive(logits: Tensor, allowed: Tensor, fraction: Tensor) -> Tensor:
    """Return -log p at the allowed positions of each tile with the highest logits.

    A bounded loss of a positive bag: it vanishes once a fraction of the tile's positions is
    assigned to C, wherever they are.

    Parameters
    ----------
    logits
        (b, y, x) of a class.
    allowed
        (b, y, x) bool: positions of positive tiles that may show the class.
    fraction
        (b,) of each tile's positions, 0 to 1.
    """
    costs = []
    for tile, mask, part in zip(logits, allowed, fraction.tolist(), strict=True):
        values = tile[mask]
        k = min(max(1, round(part * tile.numel())), values.numel())
        if k:
            costs.append(F.softplus(-values.topk(k).values).mean())
    return torch.stack(costs).mean() if costs else logits.sum() * 0.0


def self_training(logits: Tensor, allowed: Tensor, min_logit: float) -> Tensor:
    """Return the mean of -log p at the allowed positions whose logit already exceeds `min_logit`.

    Parameters
    ----------
    logits
        (b, y, x) of a class.
    allowed
        (b, y, x) bool: positions of positive tiles that may show the class.
    min_logit
        Logit above which a position is taken for positive.
    """
    confident = allowed & (logits.detach() > min_logit)
    return (F.softplus(-logits) * confident).sum() / confident.sum().clamp_min(1)


def pseudo_label_bce(logits: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Return the mean BCE over the pixels with a label, of teachers or drawn.

    Parameters
    ----------
    logits
        (b, y, x) of a class.
    positive, negative
        (b, y, x) bool: pixels of each label.
    """
    cost = F.softplus(-logits) * positive + F.softplus(logits) * negative
    return cost.sum() / (positive | negative).sum().clamp_min(1)


@dataclass(frozen=True, eq=False)
class LossBreakdown:
    """The weighted losses by name, and the inputs of the codebook update.

    Parameters
    ----------
    losses
        Weighted loss by name; training minimises their sum.
    features
        (b, d, y, x) E(I).
    logits
        (b, k, y, x) of each C_k; empty before the codes are initialised.
    indices
        (b, y, x) code of each embedding, among those that its tile may use.
    r_n, r_p
        (b, 3, y, x) reconstructions from S, and from S and all C_k; empty if not needed.
    """

    losses: dict[str, Tensor]
    features: Tensor
    logits: Tensor
    indices: Tensor
    r_n: Tensor
    r_p: Tensor

    @property
    def total(self) -> Tensor:
        """The sum of all losses."""
        return torch.stack(list(self.losses.values())).sum()


def warmup_losses(model: AutoEncoder, batch: Batch, preset: Preset) -> LossBreakdown:
    """Return the loss of a plain auto-encoder, before the codes are initialised."""
    features = model.embed(batch.rgb)
    empty = features.new_zeros(0)
    error = F.mse_loss(model.decoder(features), batch.rgb / 255.0)
    losses = {"reconstruction": preset.loss.reconstruction * error}
    return LossBreakdown(losses, features, empty, empty, empty, empty)


def batch_losses(
    model: AutoEncoder, batch: Batch, preset: Preset, critic: Critic | None
) -> LossBreakdown:
    """Return the losses of a batch; those of several classes are added by name.

    Parameters
    ----------
    model
        In training mode.
    batch
        Tiles.
    preset
        Weights of the losses; one without a weight is not computed.
    critic
        For the mapping loss; None to leave it out.
    """
    weights, codebook_id = preset.loss, model.codebook.codebook_id
    image, positive = batch.rgb / 255.0, batch.positive.any(1)
    features, distances = model(batch.rgb, batch.stain_vectors)
    shared = (codebook_id == SHARED).expand(len(image), -1)
    allowed = allowed_codes(codebook_id, batch.positive)
    quantized = model.codebook.quantize(features, distances, allowed)
    logits = class_logits(model, features, distances)
    losses = {"commitment": weights.commitment * commitment(features, quantized.codes)}

    r_n = r_p = features.new_zeros(0)
    if weights.discriminative is None and (weights.mapping is None or critic is None):
        error = F.mse_loss(model.decoder(quantized.straight_through), image)
    else:
        e_n = model.codebook.quantize(features, distances, shared)
        e_p = model.codebook.quantize(features, distances, torch.ones_like(shared))
        r_n, r_p = model.decoder(e_n.straight_through), model.decoder(e_p.straight_through)
        error = reconstruction(image, r_p, r_n, positive)
        if weights.discriminative is not None:
            losses["discriminative"] = features.new_zeros(())
            for class_index, label in enumerate(batch.positive.unbind(1)):
                mask = model.codebook.channel_mask[codebook_id == class_index + 1].any(0)
                # The gradient flows through e_P alone: through both codes it would cancel.
                difference = discriminative(e_n.codes, e_p.straight_through, label, mask)
                weighted = weights.discriminative * difference
                losses["discriminative"] = losses["discriminative"] + weighted
    losses["reconstruction"] = weights.reconstruction * error
    if critic is not None and weights.mapping is not None:
        critic.eval()
        losses["mapping"] = weights.mapping * mapping(critic(r_p), critic(r_n), positive)
    for class_index in range(logits.shape[1]):
        class_losses = _class_losses(logits[:, class_index], batch, class_index, preset)
        for name, loss in class_losses.items():
            losses[name] = losses[name] + loss if name in losses else loss
    return LossBreakdown(losses, features.detach(), logits.detach(), quantized.indices, r_n, r_p)


def _class_losses(
    logits: Tensor, batch: Batch, class_index: int, preset: Preset
) -> dict[str, Tensor]:
    """Return the weighted losses of the logits (b, y, x) of one class, by name."""
    weights, mil = preset.loss, preset.mil
    candidate = batch.candidate_positions[:, class_index]
    allowed = batch.class_positions[:, class_index]
    losses: dict[str, Tensor] = {}
    if weights.negative_bce is not None or weights.hard_negative_bce is not None:
        hardest = mil.hard_negatives_px // DOWNSCALE**2 if mil else 1
        mean, hard = negative_bce(logits, batch.negative_positions[:, class_index], hardest)
        if weights.negative_bce is not None:
            losses["negative_bce"] = weights.negative_bce * mean
        if weights.hard_negative_bce is not None and mil:
            losses["hard_negative_bce"] = weights.hard_negative_bce * hard
    if weights.background_bce is not None:
        losses["background_bce"] = weights.background_bce * background_bce(logits, candidate)
    if weights.topk_positive is not None and mil:
        fraction = batch.positive_fraction[:, class_index]
        losses["topk_positive"] = weights.topk_positive * topk_positive(logits, allowed, fraction)
    if weights.self_training is not None:
        confident = self_training(logits, allowed, SELF_TRAINING_LOGIT)
        losses["self_training"] = weights.self_training * confident
    if weights.pseudo_label_bce is not None and batch.pseudo_label.shape[1]:
        bce = _pixel_bce(logits, batch.pseudo_label[:, class_index])
        losses["pseudo_label_bce"] = weights.pseudo_label_bce * bce
    if weights.drawn_bce is not None and batch.drawn is not None and class_index == 0:
        # A person draws an area around the stain: only the pixels that a mask can hold count.
        bce = _pixel_bce(logits, batch.drawn * batch.candidate[:, 0])
        losses["drawn_bce"] = weights.drawn_bce * bce
    return losses


def _pixel_bce(logits: Tensor, label: Tensor) -> Tensor:
    """Return `pseudo_label_bce` of logits (b, y / 2, x / 2) and `PseudoLabel`s (b, y, x)."""
    pixels = F.interpolate(logits[:, None], scale_factor=float(DOWNSCALE), mode="bilinear")
    positive, negative = label == int(PseudoLabel.POSITIVE), label == int(PseudoLabel.NEGATIVE)
    return pseudo_label_bce(pixels[:, 0], positive, negative)


def allowed_codes(codebook_id: Tensor, positive: Tensor) -> Tensor:
    """Return the codes that each tile may use: S, and each C_k that it is positive for.

    Parameters
    ----------
    codebook_id
        (c,) the codebook of each code: 0 = S, 1... = C_1...
    positive
        (b, k) bool.

    Returns
    -------
    (b, c) bool.
    """
    return (codebook_id == SHARED) | positive[:, (codebook_id - 1).clamp_min(0)]
