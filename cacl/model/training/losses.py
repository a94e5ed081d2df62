"""The losses, each a pure function; numbers in brackets are the paper's equations.

All are means, not sums, so that they do not depend on the size of a batch. `positive` is (b,)
bool: which tiles are labelled positive.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cacl.model.networks.critic import REAL_NEGATIVE, REAL_POSITIVE


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
    chosen = torch.where(positive[:, None, None, None], r_p, r_n)
    return F.mse_loss(chosen, image)


def discriminative(e_n: Tensor, e_p: Tensor, positive: Tensor, support: Tensor) -> Tensor:
    """Return K ||e_N - e_P||^2 on the channels of C, eq. (4): K = 1 negative, -1 positive.

    Unbounded below for positive tiles, as published.

    Parameters
    ----------
    e_n, e_p
        (b, d, y, x) coded with S alone, and with S and C.
    positive
        (b,) bool.
    support
        (d,) bool: the channels of C.
    """
    sign = torch.where(positive, -1.0, 1.0)
    difference = (e_n - e_p)[:, support].square().mean(dim=(1, 2, 3))
    return (sign * difference).mean()


def mapping(critic_p: Tensor, critic_n: Tensor, positive: Tensor) -> Tensor:
    """Return how far the critic is from calling R_P what I is, and R_N negative, eq. (6).

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


def avoid(logits: Tensor, negative: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Return -log(1 - p) over known negatives: the mean, and the mean of each tile's highest.

    p is the soft share of C; bounded below by 0, where eq. (4) is not bounded.

    Parameters
    ----------
    logits
        (b, y, x) log odds of C.
    negative
        (b, y, x) bool: places that could be taken for the pattern and are known not to be it.
    top
        How many of a tile's places the second part takes.
    """
    cost = F.softplus(logits) * negative
    highest = cost.flatten(1).topk(min(top, cost[0].numel()), dim=1).values
    return cost.sum() / negative.sum().clamp_min(1), highest.mean()


def elsewhere(logits: Tensor, candidate: Tensor) -> Tensor:
    """Return -log(1 - p) over the places where there is no stain to see.

    Parameters
    ----------
    logits
        (b, y, x) log odds of C.
    candidate
        (b, y, x) bool: where DAB stands out on a cell.
    """
    return (F.softplus(logits) * ~candidate).sum() / (~candidate).sum().clamp_min(1)


def claim(logits: Tensor, possible: Tensor, share: Tensor) -> Tensor:
    """Return -log p over the places of each tile that are most surely C, a share of all places.

    A bounded wish to use C: it vanishes once that many places do, wherever they are.

    Parameters
    ----------
    logits
        (b, y, x) log odds of C.
    possible
        (b, y, x) bool: places of positive tiles that may be the pattern.
    share
        (b,) of each tile's places, 0 to 1.
    """
    costs = []
    for tile, places, part in zip(logits, possible, share.tolist(), strict=True):
        found = tile[places]
        number = min(max(1, round(part * tile.numel())), found.numel())
        if number:
            costs.append(F.softplus(-found.topk(number).values).mean())
    return torch.stack(costs).mean() if costs else logits.sum() * 0.0


def insist(logits: Tensor, possible: Tensor, floor: float) -> Tensor:
    """Return -log p over the possible places whose log odds already exceed `floor`.

    Self-training: what is likely becomes sure, unless known negatives look the same.

    Parameters
    ----------
    logits
        (b, y, x) log odds of C.
    possible
        (b, y, x) bool: places of positive tiles that may be the pattern.
    floor
        Log odds.
    """
    likely = possible & (logits.detach() > floor)
    return (F.softplus(-logits) * likely).sum() / likely.sum().clamp_min(1)


def told(logits: Tensor, shows: Tensor, lacks: Tensor) -> Tensor:
    """Return the cross entropy over the places whose truth a teacher is sure of.

    Parameters
    ----------
    logits
        (b, y, x) log odds of C.
    shows, lacks
        (b, y, x) bool: places that surely are the pattern, and surely are not.
    """
    cost = F.softplus(-logits) * shows + F.softplus(logits) * lacks
    return cost.sum() / (shows | lacks).sum().clamp_min(1)
