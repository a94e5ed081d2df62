"""Simulate how often the 95 % intervals of a ratio cover the true one."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks._lib.report import write_up
from cacl.stats.intervals import ratio_ci, spatial_ci

SIDE = 8
MEAN = 0.05
MIN_TISSUE = 0.2
Float64 = NDArray[np.float64]
Interval = tuple[float | None, float | None]
Shape = Callable[[Float64], Float64]


def log_normal(spread: float) -> Shape:
    """Return what turns standard normal numbers into log-normal ones of mean 1."""
    return lambda normal: np.exp(spread * normal - spread**2 / 2)


def gamma(spread: float) -> Shape:
    """Return what turns them into gamma-distributed ones of mean 1 and this deviation."""
    return lambda normal: stats.gamma.ppf(stats.norm.cdf(normal), spread**-2, scale=spread**2)


def patches(share: float) -> Shape:
    """Return what turns them into 1 / share in patches of this share, 0 elsewhere."""
    return lambda normal: (normal > stats.norm.ppf(1.0 - share)) / share


def bell(spread: float) -> Shape:
    """Return what turns them into normal ones of mean 1, which must hardly reach 0."""
    return lambda normal: np.maximum(1.0 + spread * normal, 0.0)


def core(
    rng: np.random.Generator, reach: float, shape: Shape, own: float = 0.0, side: int = SIDE
) -> Interval:
    """Return the interval of one core of `side` x `side` tiles.

    The correlation of the normal numbers that two tiles' staining is made of is
    (1 - own) exp(-distance / reach).
    """
    place = np.indices((side, side)).reshape(2, -1).T.astype(np.float64)
    distance = np.hypot(*(place[:, None] - place[None]).transpose(2, 0, 1))
    correlation = (1.0 - own) * np.exp(-distance / reach) if reach else np.zeros(distance.shape)
    np.fill_diagonal(correlation, 1.0 + 1e-9)
    field = np.linalg.cholesky(correlation) @ rng.normal(size=side**2)
    radius = np.hypot(*(place - (side - 1) / 2).T)
    cell = rng.beta(8, 3, side**2) * 0.9 / (1.0 + np.exp(3.0 * (radius - 0.45 * side)))
    used = cell > MIN_TISSUE
    stained = cell * np.minimum(MEAN * shape(field), 1.0)
    rows, cols = np.nonzero(used.reshape(side, side))
    return spatial_ci(*pixels(stained[used], cell[used]), rows, cols)


def antibody(
    rng: np.random.Generator, patients: int, shape: Shape, cores: int = 1, noise: float = 0.0
) -> Interval:
    """Return the interval of one antibody; a patient's cores differ log-normally by `noise`."""
    groups = np.repeat(np.arange(patients), cores)
    cell = rng.uniform(0.4, 1.0, groups.size)
    own = np.exp(noise * rng.normal(size=groups.size) - noise**2 / 2)
    rate = MEAN * shape(rng.normal(size=patients))[groups] * own
    return ratio_ci(*pixels(cell * np.minimum(rate, 1.0), cell), groups)


def pixels(stained: Float64, cell: Float64) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return shares of a tile as areas in pixels."""
    scale = 128**2
    return np.rint(stained * scale).astype(np.int64), np.rint(cell * scale).astype(np.int64)


def covered(intervals: list[Interval]) -> tuple[float, float]:
    """Return the share of intervals that hold the truth, and their median high / low."""
    known = [(low, high) for low, high in intervals if low is not None and high is not None]
    inside = np.mean([low <= MEAN <= high for low, high in known])
    return float(inside), float(np.median([high / low for low, high in known]))


Draw = Callable[[np.random.Generator], Interval]


def regimes() -> list[tuple[str, str, str, str, Draw]]:
    """Return all regimes: whether the methods were chosen on it, interval of, regime, spread."""
    found: list[tuple[str, str, str, str, Draw]] = []
    for reach in (0.0, 0.3, 0.5, 1.0, 2.0):
        near = f"tiles correlated {np.exp(-1 / reach) if reach else 0.0:.2f}"
        for spread in (0.3, 0.6, 1.0):
            shape = log_normal(spread)
            found.append(
                ("yes", "image", near, f"{spread}", lambda r, a=reach, s=shape: core(r, a, s))
            )
    for patients in (2, 3, 6):
        for spread in (0.2, 0.5, 0.8):
            shape = log_normal(spread)
            found.append(
                (
                    "yes",
                    "antibody",
                    f"{patients} patients",
                    f"{spread}",
                    lambda r, n=patients, s=shape: antibody(r, n, s),
                )
            )
    return [
        *found,
        ("yes", "image", "gamma, correlated 0.24", "0.8", lambda r: core(r, 0.7, gamma(0.8))),
        ("yes", "image", "normal, correlated 0.51", "0.3", lambda r: core(r, 1.5, bell(0.3))),
        (
            "yes",
            "image",
            "patches on half, correlated 0.29",
            "1.0",
            lambda r: core(r, 0.8, patches(0.5)),
        ),
        ("no", "antibody", "5 patients, gamma", "0.7", lambda r: antibody(r, 5, gamma(0.7))),
        ("no", "antibody", "4 patients, normal", "0.3", lambda r: antibody(r, 4, bell(0.3))),
        (
            "no",
            "antibody",
            "3 patients with 3 cores each",
            "0.6",
            lambda r: antibody(r, 3, log_normal(0.6), 3, 0.3),
        ),
        ("no", "image", "gamma, correlated 0.14", "0.6", lambda r: core(r, 0.5, gamma(0.6))),
        ("no", "image", "normal, correlated 0.08", "0.3", lambda r: core(r, 0.4, bell(0.3))),
        ("no", "image", "tiles correlated 0.46", "0.8", lambda r: core(r, 1.3, log_normal(0.8))),
        (
            "no",
            "image",
            "5 x 5 tiles, correlated 0.14",
            "0.6",
            lambda r: core(r, 0.5, log_normal(0.6), side=5),
        ),
        (
            "yes",
            "image",
            "patches on a quarter, correlated 0.37",
            "1.7",
            lambda r: core(r, 1.0, patches(0.25)),
        ),
        (
            "yes",
            "image",
            "half a tile's own, half correlated 0.61",
            "0.6",
            lambda r: core(r, 2.0, log_normal(0.6), own=0.5),
        ),
    ]


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/coverage.md"))
    chosen = parser.parse_args()
    table = []
    for number, (known, *words, draw) in enumerate(regimes()):
        rng = np.random.default_rng([chosen.seed, number])
        inside, width = covered([draw(rng) for _ in range(chosen.draws)])
        within = "yes" if 0.93 <= inside <= 0.97 else "no"
        table.append([*words, known, f"{100 * inside:.1f} %", f"{width:.2f}", within])
    write_up(
        chosen.out,
        "Coverage of the 95 % intervals",
        [
            f"{chosen.draws} draws a row, seed {chosen.seed}; target: 93 to 97 %",
            "log-normal staining unless another distribution is named; correlation is that of "
            "neighbouring tiles of one core; spread is the deviation (of log staining, where "
            "log-normal) between tiles, or between patients",
            "chosen on: whether the methods were chosen, or looked at while choosing, with this "
            "regime known; the others were written down afterwards and changed nothing, though "
            "gamma-distributed patients had been looked at in other numbers",
            "what the intervals over tiles cannot know: that a tile has a spread of its own on top "
            "of one shared with tiles far away (last row, too narrow: 50 tiles do not tell that "
            "from no correlation; a method that allows for it covers 98 % where there is none); "
            "how much lies outside a core with few stained patches (last row but one, a little "
            "too narrow); and, with 5 x 5 tiles, that there is no correlation (a little too wide)",
            "width is the median of upper / lower end",
            "covered is the mean over all tissue of this kind (over all patients), not only "
            "that of this core, of which every tile is measured",
        ],
        ("interval of", "regime", "spread", "chosen on", "covers", "width", "93 to 97 %"),
        table,
    )


if __name__ == "__main__":
    main()
