"""Where codes come from: k-means after the warm-up, and new places for codes out of use."""

from __future__ import annotations

import torch
from torch import Tensor

from cacl.model.networks.autoencoder import AutoEncoder, flat
from cacl.model.networks.codebook import SHARED, ClassAwareCodebook, kmeans, squared_distances
from cacl.model.training.objective import Batch, Breakdown

POINTS = 20_000
FARTHEST_SHARE = 0.25
LIKELIEST = 50


@torch.no_grad()
def place_by_kmeans(
    model: AutoEncoder, batch: Batch, features: Tensor, rng: torch.Generator
) -> None:
    """Set S from the negative tiles of a batch, and C_k from what only its positive tiles show.

    C_k's codes are centres of those embeddings of positive tiles, where the pattern may be, that
    are farthest from every code of S, and from what tiles show that are known to have another
    class and not this one: else all codebooks would begin at the same, most stained places.

    Parameters
    ----------
    model
        Its codebook is set.
    batch, features
        Tiles of both classes and their embeddings (b, d, y, x).
    rng
        On the CPU.
    """
    book = model.codebook
    vectors, positive = flat(features), batch.positive.any(1)
    chosen = torch.randperm(len(vectors), generator=rng)[:POINTS].to(vectors.device)
    vectors = vectors[chosen]
    from_positive = positive.repeat_interleave(features[0, 0].numel())[chosen]
    places = batch.coded_possible.transpose(0, 1).flatten(1)[:, chosen]
    shared = book.book == SHARED
    rest = vectors[~from_positive] if not bool(from_positive.all()) else vectors
    book.place(kmeans(rest, int(shared.sum()), rng), shared)
    for number, possible in enumerate(places, start=1):
        own = book.book == number
        only = vectors[possible] if bool(possible.any()) else vectors
        known = book.codes[shared]
        without = batch.coded_other_classes[:, number - 1].flatten()[chosen]
        if bool(without.any()):
            known = torch.cat([known, kmeans(vectors[without], int(shared.sum()), rng)])
        distance = squared_distances(only, known).amin(1)
        farthest = distance.topk(max(1, round(FARTHEST_SHARE * len(only)))).indices
        book.place(kmeans(only[farthest], int(own.sum()), rng), own)


def place_at_random(codebook: ClassAwareCodebook, features: Tensor, rng: torch.Generator) -> None:
    """Set every code to an embedding of the first batch (b, d, y, x)."""
    vectors = flat(features)
    drawn = torch.randint(len(vectors), (len(codebook.book),), generator=rng)
    everywhere = torch.ones_like(codebook.book, dtype=torch.bool)
    codebook.place(vectors[drawn.to(vectors.device)], everywhere)


def clear(batch: Batch) -> Tensor:
    """Return the places (b * y / 2 * x / 2,) bool that cannot show any class.

    S is to describe what negative tiles show, too. Where it may follow the pattern itself, a code
    of S settles on it, and C never gets clearly nearer than that.
    """
    return ~batch.coded_possible.any(1).flatten()


@torch.no_grad()
def revive(
    codebook: ClassAwareCodebook,
    batch: Batch,
    found: Breakdown,
    followed: Tensor,
    apart: float | None,
    rng: torch.Generator,
) -> None:
    """Set codes that hardly anybody chooses to new places, and those of S that crowd C.

    A code of S goes to any embedding of the batch that is `followed` (n,), one of C_k to one of the
    embeddings of its positive tiles that are most surely C_k.
    """
    dead = codebook.dead()
    if apart is not None:
        dead = dead | codebook.crowding(apart)
    vectors = flat(found.features)
    for book in range(int(codebook.book.max()) + 1):
        which = dead & (codebook.book == book)
        number = int(which.sum())
        if not number:
            continue
        pool = torch.nonzero(followed).flatten()
        if book != SHARED:
            if not bool(batch.shown[:, book - 1].any()):
                continue
            possible = batch.coded_possible[:, book - 1]
            surely = found.logits[:, book - 1].masked_fill(~possible, -torch.inf).flatten()
            pool = surely.topk(min(LIKELIEST, len(vectors))).indices
        drawn = torch.randint(len(pool), (number,), generator=rng).to(pool.device)
        codebook.place(vectors[pool[drawn]], which)
