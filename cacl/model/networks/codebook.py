"""Class-aware codebook: codes shared by all tiles (S) and codes of one class each (C_k).

An embedding is replaced by its nearest code. The caller chooses which codes a tile may use: the
shared codebook S alone (e_N of the paper) or S and the class codebooks C_k (e_P). The codes are
updated with an exponential moving average (EMA) of the embeddings assigned to them, which
minimises eq. (2) of Deng et al. 2020 without a gradient (van den Oord et al. 2017, appendix A.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SHARED = 0
EPS = 1e-5
DEAD_CLUSTER_SIZE = 0.5
KMEANS_POINTS = 20_000
FARTHEST_FRACTION = 0.25
N_CANDIDATE_POSITIONS = 50


def unit_length(vectors: Tensor, dim: int) -> Tensor:
    """Scale vectors along `dim` to length 1."""
    return nn.functional.normalize(vectors, dim=dim, eps=1e-6)


def flatten_positions(features: Tensor) -> Tensor:
    """Return (b, d, y, x) feature maps as (b * y * x, d) vectors."""
    return features.permute(0, 2, 3, 1).flatten(0, 2)


def squared_distances(embeddings: Tensor, codes: Tensor) -> Tensor:
    """Return squared Euclidean distances (n, k) of (n, d) embeddings to (k, d) codes."""
    lengths = embeddings.square().sum(1, keepdim=True) + codes.square().sum(1)
    return torch.addmm(lengths, embeddings, codes.T, alpha=-2.0).clamp_min(0.0)


def class_logit(
    distances: Tensor, codebook_id: Tensor, temperature: float | None, class_id: int = 1
) -> Tensor:
    """Return the logit of one class codebook C_k against all other codebooks.

    The soft assignment to a code is `softmax(-d^2 / T)` over all codes. The probability p of a
    codebook is the sum over its codes, and the logit is `log p - log (1 - p)`. Without a
    temperature the assignment is hard, as in the paper, and the logit is the squared distance to
    the nearest code of another codebook minus that to the nearest code of C_k.

    Parameters
    ----------
    distances
        (n, k) squared distances.
    codebook_id
        (k,) the codebook of each code: 0 = S, 1... = C_1...
    temperature
        T, in units of the squared distance; None for the hard assignment.
    class_id
        The class, from 1.

    Returns
    -------
    (n,) logits; above 0 where C_k has the larger probability, or the nearest code.
    """
    # One row per code: reductions over few rows are faster than over few columns.
    by_code = distances.T.contiguous()
    class_codes, other = by_code[codebook_id == class_id], by_code[codebook_id != class_id]
    if temperature is None:
        return other.amin(0) - class_codes.amin(0)
    return (class_codes / -temperature).logsumexp(0) - (other / -temperature).logsumexp(0)


def perplexity(cluster_size: Tensor) -> Tensor:
    """Return the effective number of used codes, `exp(entropy)`: 1 for one code, k for equal use.

    `cluster_size` (k,) is the number of embeddings assigned to each code.
    """
    probability = cluster_size / cluster_size.sum().clamp_min(EPS)
    return torch.exp(-(probability * probability.clamp_min(1e-12).log()).sum())


def kmeans(points: Tensor, k: int, generator: torch.Generator, iterations: int = 12) -> Tensor:
    """Return `k` centres of (n, d) points by Lloyd's algorithm from a k-means++ start.

    With fewer points than centres, points are repeated.
    """
    first = torch.randint(len(points), (1,), generator=generator).to(points.device)
    centres = points[first]
    for _ in range(k - 1):
        nearest = squared_distances(points, centres).min(1).values.double()
        cumulative = nearest.cumsum(0)
        drawn = torch.rand(1, generator=generator, dtype=torch.float64).to(points.device)
        chosen = torch.searchsorted(cumulative, drawn * cumulative[-1])
        centres = torch.cat([centres, points[chosen.clamp_max(len(points) - 1)]])
    for _ in range(iterations):
        nearest_centre = squared_distances(points, centres).argmin(1)
        cluster_size, sums = _cluster_sums(points, nearest_centre, k)
        filled = cluster_size > 0
        centres = torch.where(filled[:, None], sums / cluster_size.clamp_min(1)[:, None], centres)
    return centres


def _cluster_sums(points: Tensor, indices: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the number of points assigned to each code (k,) and their sums (k, d)."""
    one_hot = nn.functional.one_hot(indices, k).to(points.dtype)
    return one_hot.sum(0), one_hot.T @ points


def _identity(values: Tensor) -> Tensor:
    return values


@dataclass(frozen=True)
class Quantized:
    """Quantized feature maps.

    Parameters
    ----------
    straight_through
        (b, d, y, x) nearest codes, with the straight-through gradient to the embeddings.
    codes
        (b, d, y, x) nearest codes, without gradient.
    indices
        (b, y, x) index of the nearest code.
    """

    straight_through: Tensor
    codes: Tensor
    indices: Tensor


class ClassAwareCodebook(nn.Module):
    """Shared codebook S and one class codebook C_k per class.

    Buffers: `codes` (k, d); `codebook_id` (k,), 0 for S and 1... for C_1...; `channel_mask`
    (k, d), 1 where a code may differ from 0; `cluster_size` (k,) and `code_sums` (k, d), the EMA
    of the number of embeddings assigned to each code and of their sum.

    Parameters
    ----------
    channels
        Number of channels d of a code.
    shared_codes, class_codes
        Number of codes of S, and of each C_k.
    split_channels
        Whether S uses the first `d // (1 + classes)` channels, C_1 the next ones and so on; a code
        is 0 in the other channels (Deng et al. 2020, section 3: 32 of 64 channels each).
    unit
        Whether codes are scaled to length 1.
    """

    codes: Tensor
    cluster_size: Tensor
    code_sums: Tensor
    codebook_id: Tensor
    channel_mask: Tensor

    def __init__(
        self,
        channels: int,
        shared_codes: int,
        class_codes: tuple[int, ...],
        *,
        split_channels: bool,
        unit: bool,
    ) -> None:
        super().__init__()
        sizes = (shared_codes, *class_codes)
        codebook_id = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        channel_mask = torch.ones(len(codebook_id), channels)
        if split_channels:
            owner = torch.arange(channels) // (channels // len(sizes))
            channel_mask = owner.clamp_max(len(sizes) - 1)[None] == codebook_id[:, None]
        self.unit = unit
        self.register_buffer("codebook_id", codebook_id)
        self.register_buffer("channel_mask", channel_mask.float())
        self.register_buffer("codes", torch.zeros(len(codebook_id), channels))
        self.register_buffer("cluster_size", torch.ones(len(codebook_id)))
        self.register_buffer("code_sums", torch.zeros(len(codebook_id), channels))

    def set_codes(self, codes: Tensor, selected: Tensor) -> None:
        """Set the codes where `selected` (k,) is true; their cluster sizes restart at 1."""
        codes = codes * self.channel_mask[selected]
        self.codes[selected] = unit_length(codes, 1) if self.unit else codes
        self.cluster_size[selected] = 1.0
        self.code_sums[selected] = self.codes[selected]

    def distances(self, embeddings: Tensor) -> Tensor:
        """Return squared distances of (n, d) embeddings to all codes: (n, k)."""
        return squared_distances(embeddings, self.codes.clone())

    def dead(self) -> Tensor:
        """Return a mask (k,) of the codes with an EMA cluster size below `DEAD_CLUSTER_SIZE`."""
        return self.cluster_size < DEAD_CLUSTER_SIZE

    def too_close(self, min_separation: float) -> Tensor:
        """Return a mask (k,) of the codes of S that are too close to a class code.

        Negative tiles contain some structures that resemble the class. A code of S that settles
        there lowers the class probability of the class itself, so it is replaced.

        Parameters
        ----------
        min_separation
            Squared distance to the nearest class code below which a code of S is too close.
        """
        shared = self.codebook_id == SHARED
        close = torch.zeros_like(shared)
        distances = squared_distances(self.codes[shared], self.codes[~shared])
        close[shared] = distances.amin(1) < min_separation
        return close

    def quantize(self, features: Tensor, distances: Tensor, allowed: Tensor) -> Quantized:
        """Replace embeddings by the nearest code that their tile may use.

        Parameters
        ----------
        features
            (b, d, y, x) embeddings.
        distances
            (b * y * x, k) from `distances`.
        allowed
            (b, k) bool: the codes that each tile may use.
        """
        batch, _, height, width = features.shape
        masked = distances.detach().view(batch, height * width, -1)
        masked = masked.masked_fill(~allowed[:, None], torch.inf)
        indices = masked.argmin(2)
        codes = self.codes[indices].view(batch, height, width, -1).permute(0, 3, 1, 2)
        straight_through = features + (codes - features).detach()
        return Quantized(straight_through, codes, indices.view(batch, height, width))

    @torch.no_grad()
    def update_ema(
        self,
        embeddings: Tensor,
        indices: Tensor,
        decay: float,
        all_reduce_sum: Callable[[Tensor], Tensor] = _identity,
    ) -> Tensor:
        """Update the codes with the embeddings assigned to them.

        Cluster sizes and sums decay together, so a code without new embeddings does not move.
        Cluster sizes start at 1. With the 0 of the released code, a code that is not used in the
        first batch becomes far too long and is never the nearest one (docs/method.md).

        Parameters
        ----------
        embeddings
            (n, d).
        indices
            (n,) index of the code of each embedding.
        decay
            Decay of the EMA, 0 to 1; 0.98 in the paper.
        all_reduce_sum
            Sums a tensor over the processes of a distributed run.

        Returns
        -------
        (k,) number of embeddings assigned to each code.
        """
        cluster_size, sums = map(
            all_reduce_sum, _cluster_sums(embeddings, indices, len(self.codes))
        )
        self.cluster_size.mul_(decay).add_(cluster_size, alpha=1 - decay)
        self.code_sums.mul_(decay).add_(sums * self.channel_mask, alpha=1 - decay)
        codes = self.code_sums / self.cluster_size.clamp_min(EPS)[:, None]
        codes = unit_length(codes, 1) if self.unit else codes
        self.codes.copy_(torch.where(self.cluster_size[:, None] > EPS, codes, self.codes))
        return cluster_size


@torch.no_grad()
def init_kmeans(
    codebook: ClassAwareCodebook,
    features: Tensor,
    positive: Tensor,
    class_positions: Tensor,
    other_class_positions: Tensor,
    rng: torch.Generator,
) -> None:
    """Initialise S from negative tiles, and C_k from embeddings of its own tiles only (in place).

    The codes of C_k are k-means centres of the quarter of the embeddings at `class_positions` that
    is farthest from every code of S and from the centres of `other_class_positions`. Without the
    latter, all class codebooks would start from the same, most intensely stained positions.

    Parameters
    ----------
    codebook, features
        The codebook, and (b, d, y, x) embeddings of tiles of both labels.
    positive
        (b,) bool: tiles with a positive label in any class.
    class_positions
        (b, k, y, x) bool: positions that may show each class.
    other_class_positions
        (b, k, y, x) bool: positions of tiles that have another class and not this one.
    rng
        On the CPU.
    """
    vectors = flatten_positions(features)
    sample = torch.randperm(len(vectors), generator=rng)[:KMEANS_POINTS].to(vectors.device)
    vectors = vectors[sample]
    from_positive = positive.repeat_interleave(features[0, 0].numel())[sample]
    shared = codebook.codebook_id == SHARED
    n_shared = int(shared.sum())
    negative = vectors[~from_positive] if not bool(from_positive.all()) else vectors
    codebook.set_codes(kmeans(negative, n_shared, rng), shared)
    for class_index in range(class_positions.shape[1]):
        selected = codebook.codebook_id == class_index + 1
        in_class = class_positions[:, class_index].flatten()[sample]
        class_vectors = vectors[in_class] if bool(in_class.any()) else vectors
        known = codebook.codes[shared]
        of_others = other_class_positions[:, class_index].flatten()[sample]
        if bool(of_others.any()):
            known = torch.cat([known, kmeans(vectors[of_others], n_shared, rng)])
        distance = squared_distances(class_vectors, known).amin(1)
        farthest = distance.topk(max(1, round(FARTHEST_FRACTION * len(class_vectors)))).indices
        codebook.set_codes(kmeans(class_vectors[farthest], int(selected.sum()), rng), selected)


def init_random(codebook: ClassAwareCodebook, features: Tensor, rng: torch.Generator) -> None:
    """Set every code to a random embedding of a batch (b, d, y, x)."""
    vectors = flatten_positions(features)
    drawn = torch.randint(len(vectors), (len(codebook.codebook_id),), generator=rng)
    every_code = torch.ones_like(codebook.codebook_id, dtype=torch.bool)
    codebook.set_codes(vectors[drawn.to(vectors.device)], every_code)


def background_positions(class_positions: Tensor) -> Tensor:
    """Return the positions (b * y * x,) bool that cannot show any class.

    S must describe the content of negative tiles. If S were updated at positions that show a
    class, one of its codes would settle on that class, and no code of C would be clearly nearer.
    `class_positions` (b, k, y, x) bool may show each class.
    """
    return ~class_positions.any(1).flatten()


@torch.no_grad()
def replace_dead_codes(
    codebook: ClassAwareCodebook,
    features: Tensor,
    logits: Tensor,
    *,
    class_positions: Tensor,
    positive: Tensor,
    shared_positions: Tensor,
    min_separation: float | None,
    rng: torch.Generator,
) -> None:
    """Replace dead codes, and codes of S that are too close to a class code (in place).

    A code of S is set to a random embedding at `shared_positions`, a code of C_k to one of the
    `N_CANDIDATE_POSITIONS` embeddings at `class_positions` with the highest logits of C_k.

    Parameters
    ----------
    codebook, features, logits
        The codebook, (b, d, y, x) embeddings and their (b, k, y, x) logits of each C_k.
    class_positions
        (b, k, y, x) bool: positions that may show each class.
    positive
        (b, k) bool: tiles that count as positive in each class.
    shared_positions
        (b * y * x,) bool: positions from which S is updated.
    min_separation
        See `ClassAwareCodebook.too_close`; None to keep codes of S that are too close.
    rng
        On the CPU.
    """
    dead = codebook.dead()
    if min_separation is not None:
        dead = dead | codebook.too_close(min_separation)
    vectors = flatten_positions(features)
    for codebook_id in range(int(codebook.codebook_id.max()) + 1):
        selected = dead & (codebook.codebook_id == codebook_id)
        n_dead = int(selected.sum())
        if not n_dead:
            continue
        pool = torch.nonzero(shared_positions).flatten()
        if codebook_id != SHARED:
            class_index = codebook_id - 1
            if not bool(positive[:, class_index].any()):
                continue
            masked = logits[:, class_index].masked_fill(
                ~class_positions[:, class_index], -torch.inf
            )
            pool = masked.flatten().topk(min(N_CANDIDATE_POSITIONS, len(vectors))).indices
        drawn = torch.randint(len(pool), (n_dead,), generator=rng).to(pool.device)
        codebook.set_codes(vectors[pool[drawn]], selected)
