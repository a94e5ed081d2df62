"""Where codes come from: k-means after the warm-up, and new places for codes out of use."""

from __future__ import annotations

import torch
from torch import Tensor

from cacl.model.autoencoder import AutoEncoder, flat
from cacl.model.codebook import SHARED, ClassAwareCodebook, kmeans, squared_distances
from cacl.model.objective import Batch, Breakdown

POINTS = 20_000
FARTHEST_SHARE = 0.25
LIKELIEST = 50


@torch.no_grad()
def place_by_kmeans(
    model: AutoEncoder, batch: Batch, features: Tensor, rng: torch.Generator
) -> None:
    """Set S from the negative tiles of a batch, and C from what only its positive tiles show.

    C's codes are centres of those embeddings of positive tiles, where DAB stands out, that are
    farthest from every code of S.

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
    vectors, positive = flat(features), batch.positive
    chosen = torch.randperm(len(vectors), generator=rng)[:POINTS].to(vectors.device)
    vectors = vectors[chosen]
    from_positive = positive.repeat_interleave(features[0, 0].numel())[chosen]
    possible = batch.coded_possible.flatten()[chosen]
    shared = book.book == SHARED
    rest = vectors[~from_positive] if not bool(from_positive.all()) else vectors
    book.place(kmeans(rest, int(shared.sum()), rng), shared)
    only = vectors[possible] if bool(possible.any()) else vectors
    distance = squared_distances(only, book.codes[shared]).amin(1)
    number = max(1, round(FARTHEST_SHARE * len(only)))
    book.place(kmeans(only[distance.topk(number).indices], int((~shared).sum()), rng), ~shared)


def place_at_random(codebook: ClassAwareCodebook, features: Tensor, rng: torch.Generator) -> None:
    """Set every code to an embedding of the first batch (b, d, y, x)."""
    vectors = flat(features)
    drawn = torch.randint(len(vectors), (len(codebook.book),), generator=rng)
    everywhere = torch.ones_like(codebook.book, dtype=torch.bool)
    codebook.place(vectors[drawn.to(vectors.device)], everywhere)


@torch.no_grad()
def revive(
    codebook: ClassAwareCodebook, batch: Batch, found: Breakdown, rng: torch.Generator
) -> None:
    """Set codes that hardly anybody chooses to new places.

    A code of S goes to any embedding of the batch, one of C to one of the embeddings of its
    positive tiles that are most surely C.
    """
    dead = codebook.dead()
    shared = codebook.book == SHARED
    vectors = flat(found.features)
    for which in (dead & shared, dead & ~shared):
        number = int(which.sum())
        if not number:
            continue
        pool = torch.arange(len(vectors), device=vectors.device)
        if bool((which & ~shared).any()):
            if not bool(batch.positive.any()):
                continue
            surely = found.logits.masked_fill(~batch.coded_possible, -torch.inf).flatten()
            pool = surely.topk(min(LIKELIEST, len(vectors))).indices
        drawn = torch.randint(len(pool), (number,), generator=rng).to(pool.device)
        codebook.place(vectors[pool[drawn]], which)
