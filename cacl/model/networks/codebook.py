"""The class-aware codebook: codes shared by all tiles (S) and codes of one class each (C_k).

An embedding is replaced by its nearest code. Which codes a tile may use is the caller's choice:
S alone (e_N of the paper) or S and C (e_P). Codes follow the embeddings that chose them by an
exponential moving average, which minimises eq. (2) of the paper without a gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SHARED = 0
MIN_COUNT = 1e-5
DEAD_COUNT = 0.5


def unit_length(vectors: Tensor, dim: int) -> Tensor:
    """Scale vectors along `dim` to length 1."""
    return nn.functional.normalize(vectors, dim=dim, eps=1e-6)


def squared_distances(embeddings: Tensor, codes: Tensor) -> Tensor:
    """Return squared Euclidean distances.

    Parameters
    ----------
    embeddings
        (n, d).
    codes
        (k, d).

    Returns
    -------
    (n, k), at least 0.
    """
    lengths = embeddings.square().sum(1, keepdim=True) + codes.square().sum(1)
    return torch.addmm(lengths, embeddings, codes.T, alpha=-2.0).clamp_min(0.0)


def class_logit(
    distances: Tensor, book: Tensor, temperature: float | None, number: int = 1
) -> Tensor:
    """Return the log odds that an embedding belongs to class `number` rather than to any other.

    The soft share of a code is `softmax(-d^2 / T)` over all codes; the share p of a codebook is
    the sum over its codes, and the logit is `log p - log (1 - p)`. Without a temperature (None) it
    is the hard choice of the paper, the nearest other code's squared distance less the nearest
    own code's.

    Parameters
    ----------
    distances
        (n, k) squared distances.
    book
        (k,) the codebook of each code: 0 = S, 1... = C_1...
    temperature
        T, in squared distance.
    number
        The class, from 1.

    Returns
    -------
    (n,) logits; above 0 where the class has the larger share, or the nearest code.
    """
    # A row a code: sums over few codes of many embeddings, not over few neighbours many times.
    by_code = distances.T.contiguous()
    own, other = by_code[book == number], by_code[book != number]
    if temperature is None:
        return other.amin(0) - own.amin(0)
    return (own / -temperature).logsumexp(0) - (other / -temperature).logsumexp(0)


def perplexity(counts: Tensor) -> Tensor:
    """Return how many codes are in use, `exp(entropy)`: 1 for one code, k for k alike."""
    share = counts / counts.sum().clamp_min(MIN_COUNT)
    return torch.exp(-(share * share.clamp_min(1e-12).log()).sum())


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
        counts, sums = _gather(points, nearest_centre, k)
        filled = counts > 0
        centres = torch.where(filled[:, None], sums / counts.clamp_min(1)[:, None], centres)
    return centres


def _gather(points: Tensor, assignment: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return how many points chose each code (k,) and their sums (k, d)."""
    chosen = nn.functional.one_hot(assignment, k).to(points.dtype)
    return chosen.sum(0), chosen.T @ points


@dataclass(frozen=True)
class Coded:
    """A batch of feature maps after coding.

    Parameters
    ----------
    codes
        (b, d, y, x) the chosen codes; gradients pass straight through to the embeddings.
    raw
        (b, d, y, x) the chosen codes, without gradient.
    assignment
        (b, y, x) index of the chosen code.
    """

    codes: Tensor
    raw: Tensor
    assignment: Tensor


class ClassAwareCodebook(nn.Module):
    """Codebook S and one codebook C_k a class.

    Parameters
    ----------
    channels
        Channels d of a code.
    shared_codes, class_codes
        Codes of S, and of each C_k.
    split_channels
        S lives in the first `d // (1 + classes)` channels, C_1 in the next as many and so on;
        a code is 0 elsewhere (the paper, section 3: 32 of 64 channels each).
    unit
        Codes are kept at length 1.
    """

    codes: Tensor
    counts: Tensor
    sums: Tensor
    book: Tensor
    support: Tensor

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
        book = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        support = torch.ones(len(book), channels)
        if split_channels:
            owner = torch.arange(channels) // (channels // len(sizes))
            support = (owner.clamp_max(len(sizes) - 1)[None] == book[:, None]).float()
        self.unit = unit
        self.register_buffer("book", book)
        self.register_buffer("support", support)
        self.register_buffer("codes", torch.zeros(len(book), channels))
        self.register_buffer("counts", torch.ones(len(book)))
        self.register_buffer("sums", torch.zeros(len(book), channels))

    def place(self, codes: Tensor, which: Tensor) -> None:
        """Set the codes where `which` (k,) is true; their EMA counts start at 1."""
        codes = codes * self.support[which]
        self.codes[which] = unit_length(codes, 1) if self.unit else codes
        self.counts[which] = 1.0
        self.sums[which] = self.codes[which]

    def distances(self, embeddings: Tensor) -> Tensor:
        """Return squared distances of (n, d) embeddings to all codes: (n, k)."""
        return squared_distances(embeddings, self.codes.clone())

    def dead(self) -> Tensor:
        """Return which codes (k,) hardly any embedding chose of late."""
        return self.counts < DEAD_COUNT

    def crowding(self, apart: float) -> Tensor:
        """Return which codes (k,) of S are nearer to a code of a class than `apart`, squared.

        What negative tiles show is sometimes like the pattern. A code of S that settles there, for
        the sake of a few pixels, takes from the pattern itself all that makes it C rather than S.
        """
        shared = self.book == SHARED
        near = torch.zeros_like(shared)
        distances = squared_distances(self.codes[shared], self.codes[~shared])
        near[shared] = distances.amin(1) < apart
        return near

    def encode(self, features: Tensor, distances: Tensor, allowed: Tensor) -> Coded:
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
        far = distances.detach().view(batch, height * width, -1)
        far = far.masked_fill(~allowed[:, None], torch.inf)
        assignment = far.argmin(2)
        raw = self.codes[assignment].view(batch, height, width, -1).permute(0, 3, 1, 2)
        straight = features + (raw - features).detach()
        return Coded(straight, raw, assignment.view(batch, height, width))

    @torch.no_grad()
    def follow(
        self,
        embeddings: Tensor,
        assignment: Tensor,
        decay: float,
        total: Callable[[Tensor], Tensor] = torch.Tensor.contiguous,
    ) -> Tensor:
        """Move the chosen codes towards the embeddings that chose them.

        Counts and sums decay together, so that a code nobody chose keeps its place; counts
        start at 1, not 0 (METHOD, section 2, defect 1).

        Parameters
        ----------
        embeddings
            (n, d).
        assignment
            (n,) code of each.
        decay
            0.98 in the paper.
        total
            Adds up over the processes of a run, see `team.Team.total`; for one alone, nothing.

        Returns
        -------
        (k,) how many embeddings chose each code.
        """
        counts, sums = map(total, _gather(embeddings, assignment, len(self.codes)))
        self.counts.mul_(decay).add_(counts, alpha=1 - decay)
        self.sums.mul_(decay).add_(sums * self.support, alpha=1 - decay)
        codes = self.sums / self.counts.clamp_min(MIN_COUNT)[:, None]
        codes = unit_length(codes, 1) if self.unit else codes
        self.codes.copy_(torch.where(self.counts[:, None] > MIN_COUNT, codes, self.codes))
        return counts
