"""Simulate how often the 95 % intervals of a ratio cover the true one."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from write_up import write_up

from cacl.intervals import ratio_interval, tiles_interval

SIDE = 8
MEAN = 0.05
MIN_TISSUE = 0.2
Float64 = NDArray[np.float64]
Interval = tuple[float | None, float | None]


def core(rng: np.random.Generator, reach: float, spread: float) -> Interval:
    """Return the interval of one core: 8 x 8 tiles, staining log-normal, correlated over tiles.

    The correlation of two tiles' log staining is exp(-distance / reach).
    """
    place = np.indices((SIDE, SIDE)).reshape(2, -1).T.astype(np.float64)
    distance = np.hypot(*(place[:, None] - place[None]).transpose(2, 0, 1))
    correlation = np.exp(-distance / reach) if reach else np.eye(SIDE**2)
    field = np.linalg.cholesky(correlation + 1e-9 * np.eye(SIDE**2)) @ rng.normal(size=SIDE**2)
    radius = np.hypot(*(place - (SIDE - 1) / 2).T)
    cell = rng.beta(8, 3, SIDE**2) * 0.9 / (1.0 + np.exp(3.0 * (radius - 3.6)))
    used = cell > MIN_TISSUE
    stained = cell * MEAN * np.exp(spread * field - spread**2 / 2)
    rows, cols = np.nonzero(used.reshape(SIDE, SIDE))
    return tiles_interval(*pixels(stained[used], cell[used]), rows, cols)


def antibody(rng: np.random.Generator, patients: int, spread: float) -> Interval:
    """Return the interval of one antibody: patients' ratios log-normal, a core of each."""
    cell = rng.uniform(0.4, 1.0, patients)
    stained = cell * MEAN * np.exp(spread * rng.normal(size=patients) - spread**2 / 2)
    return ratio_interval(*pixels(stained, cell), np.arange(patients))


def pixels(stained: Float64, cell: Float64) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return shares of a tile as areas in pixels."""
    scale = 128**2
    return np.rint(stained * scale).astype(np.int64), np.rint(cell * scale).astype(np.int64)


def covered(intervals: list[Interval]) -> tuple[float, float]:
    """Return the share of intervals that hold the truth, and their median high / low."""
    known = [(low, high) for low, high in intervals if low is not None and high is not None]
    inside = np.mean([low <= MEAN <= high for low, high in known])
    return float(inside), float(np.median([high / low for low, high in known]))


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/coverage.md"))
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    table = []
    for reach in (0.0, 0.3, 0.5, 1.0, 2.0):
        for spread in (0.3, 0.6, 1.0):
            inside, width = covered([core(rng, reach, spread) for _ in range(chosen.draws)])
            near = f"{np.exp(-1 / reach) if reach else 0.0:.2f}"
            table.append(["image", f"tiles correlated {near}", f"{spread}", inside, width])
    for patients in (2, 3, 6):
        for spread in (0.2, 0.5, 0.8):
            drawn = [antibody(rng, patients, spread) for _ in range(chosen.draws)]
            table.append(["antibody", f"{patients} patients", f"{spread}", *covered(drawn)])
    write_up(
        chosen.out,
        "Coverage of the 95 % intervals",
        [
            f"{chosen.draws} draws a row, seed {chosen.seed}; target: 93 to 97 %",
            "correlation is that of log staining in neighbouring tiles of one core; spread is the "
            "deviation of log staining between tiles, or between patients",
            "width is the median of upper / lower end",
            "covered is the mean over all tissue of this kind (over all patients), not only "
            "that of this core, of which every tile is measured",
        ],
        ("interval of", "regime", "spread", "covers", "width", "93 to 97 %"),
        [
            [
                *words,
                f"{100 * inside:.1f} %",
                f"{width:.2f}",
                "yes" if 0.93 <= inside <= 0.97 else "no",
            ]
            for *words, inside, width in table
        ],
    )


if __name__ == "__main__":
    main()
