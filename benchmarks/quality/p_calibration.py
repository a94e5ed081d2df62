"""Simulated size and power of the p values of antibodies against few unstained ones.

Usage: python -m benchmarks.quality.p_calibration [--draws N] [--seed N] [--out FOLDER]

It writes `p_calibration.md` (size) and `p_power.md` (power and false discovery rate).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks._lib.report import RESULTS, write_table
from cacl.stats import tail_p
from cacl.stats.significance import benjamini_hochberg, empirical_p

NEGATIVES = (5, 16, 50, 500)
LEVELS = (0.05, 0.01, 0.001, 0.0001, 0.00001)
POOL = 4_000_000
"""Number of unstained antibodies whose p values define a size."""
GRID = 600
"""Number of ratios at which p is calculated, with equal steps of the log survival."""
ROUNDING = 1e-9
STAINED_RATIOS = (0.02, 0.05, 0.1)
STAINED, UNLABELLED = 24, 16
MAX_Q = 0.05
Float64 = NDArray[np.float64]
Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator, Shape], Float64]
"""Draws ratios of unstained antibodies, or of cores with the antibodies' cores on the last axis."""
Method = Callable[[Float64, Float64], Float64]
"""Maps ratios (values,) and those of the negatives (negatives,) to p values (values,)."""


def log_normal(median: float, sd: float) -> Draw:
    """Return log-normal ratios with this standard deviation of the logarithm."""
    return lambda rng, shape: median * np.exp(sd * rng.normal(size=shape))


def log_t(median: float, scale: float, freedom: int) -> Draw:
    """Return ratios whose logarithm is Student's t."""
    return lambda rng, shape: median * np.exp(scale * rng.standard_t(freedom, size=shape))


def gamma(mean: float, shape_parameter: float) -> Draw:
    """Return gamma-distributed ratios."""
    scale = mean / shape_parameter
    return lambda rng, shape: rng.gamma(shape_parameter, scale, size=shape)


def beta(first: float, second: float) -> Draw:
    """Return beta-distributed ratios."""
    return lambda rng, shape: rng.beta(first, second, size=shape)


def weibull(scale: float, shape_parameter: float) -> Draw:
    """Return Weibull-distributed ratios."""
    return lambda rng, shape: scale * rng.weibull(shape_parameter, size=shape)


def power_law(smallest: float, index: float) -> Draw:
    """Return Pareto-distributed ratios."""
    return lambda rng, shape: smallest * np.exp(rng.exponential(1.0 / index, size=shape))


def mixture(fraction: float, first: Draw, second: Draw) -> Draw:
    """Return ratios of which this expected fraction is from `first`."""

    def draw(rng: np.random.Generator, shape: Shape) -> Float64:
        return np.where(rng.random(shape) < fraction, first(rng, shape), second(rng, shape))

    return draw


def zeros(rng: np.random.Generator, shape: Shape) -> Float64:
    """Return ratios of 0."""
    return np.zeros(shape)


def pooled(
    between: float, within: float, cores: tuple[int, ...] = (1, 2, 3), gate: float = 0.0
) -> Draw:
    """Return antibodies of several cores; a core below the gate has no mask.

    Parameters
    ----------
    between, within
        Standard deviation of the log ratio between antibodies, and between cores of one.
    cores
        Numbers of cores of an antibody, equally likely.
    gate
        Ratios of cores below it are 0.
    """

    def draw(rng: np.random.Generator, shape: Shape) -> Float64:
        of_cores = core_ratios(between, within, gate)(rng, (*shape, max(cores)))
        cell = rng.uniform(0.4, 1.0, of_cores.shape)
        number = rng.choice(cores, size=shape)[..., None]
        cell *= np.arange(max(cores)) < number
        return np.asarray((cell * of_cores).sum(axis=-1) / cell.sum(axis=-1))

    return draw


def core_ratios(between: float, within: float, gate: float = 0.0) -> Draw:
    """Return the ratios of cores; the last axis holds the cores of one antibody."""

    def draw(rng: np.random.Generator, shape: Shape) -> Float64:
        antibody = between * rng.normal(size=(*shape[:-1], 1))
        ratios = 0.002 * np.exp(antibody + within * rng.normal(size=shape))
        return np.where(ratios < gate, 0.0, np.minimum(ratios, 1.0))

    return draw


def mean_of_cores(draw: Draw) -> Draw:
    """Return the mean over the last axis of a drawing of cores."""
    return lambda rng, shape: draw(rng, shape).mean(axis=-1)


def extrapolated(ratios: Float64, negatives: Float64) -> Float64:
    """Return the p values of this software."""
    is_negative = np.arange(ratios.size + negatives.size) >= ratios.size
    return tail_p.one_sided_p(np.concatenate([ratios, negatives]), is_negative)[: ratios.size]


def counted(ratios: Float64, negatives: Float64) -> Float64:
    """Return empirical p values."""
    is_negative = np.arange(ratios.size + negatives.size) >= ratios.size
    return empirical_p(np.concatenate([ratios, negatives]), is_negative)[: ratios.size]


def t_predictive(ratios: Float64, negatives: Float64) -> Float64:
    """Return Student's t predictive p values of the log ratio."""
    logs, reference = (np.log(np.maximum(x, tail_p.MIN_RATIO)) for x in (ratios, negatives))
    deviation = max(float(reference.std(ddof=1)), 1e-9) * np.sqrt(1.0 + 1.0 / reference.size)
    distance = (logs - reference.mean()) / deviation
    return np.asarray(stats.t.sf(distance, reference.size - 1))


def fitted_pareto(ratios: Float64, negatives: Float64) -> Float64:
    """Return p values of a maximum-likelihood generalised Pareto tail of the upper half."""
    logs, reference = (np.log(np.maximum(x, tail_p.MIN_RATIO)) for x in (ratios, negatives))
    reference = np.sort(reference)
    half = reference.size // 2
    threshold = (reference[-half - 1] + reference[-half]) / 2.0
    excess = reference[-half:] - threshold
    p_values = counted(ratios, negatives)
    if excess.min() <= 0.0:
        return p_values
    shape, _, scale = stats.genpareto.fit(excess, floc=0.0)
    tail = half / reference.size * stats.genpareto.sf(logs - threshold, shape, scale=scale)
    return np.where(logs > threshold, tail, p_values)


@dataclass(frozen=True, kw_only=True)
class Regime:
    """A simulated distribution of unstained antibodies.

    Parameters
    ----------
    name
        Description.
    draw
        Ratios of the negatives.
    tested
        Ratios of the antibodies compared; None if they are drawn as the negatives.
    known
        Whether the method was chosen with this regime in view.
    holds
        Whether the assumption of `one_sided_p` holds.
    """

    name: str
    draw: Draw
    tested: Draw | None = None
    known: bool = True
    holds: bool = True


def regimes() -> list[Regime]:
    """Return all regimes; the position in the list seeds the random numbers."""
    background = log_normal(0.003, 0.7)
    of_cores = pooled(0.7, 0.7)
    return [
        Regime(name="log-normal, median 0.3 %, sd 0.5", draw=log_normal(0.003, 0.5)),
        Regime(name="log-normal, 0.1 %, sd 1", draw=log_normal(0.001, 1.0)),
        Regime(name="log-normal, 0.2 %, sd 1.5", draw=log_normal(0.002, 1.5)),
        Regime(name="gamma, mean 0.3 %, shape 0.5", draw=gamma(0.003, 0.5)),
        Regime(name="beta(0.5, 200)", draw=beta(0.5, 200.0)),
        Regime(name="60 % zeros, log-normal 0.3 %, sd 0.7", draw=mixture(0.6, zeros, background)),
        Regime(name="90 % zeros, log-normal 0.3 %, sd 0.7", draw=mixture(0.9, zeros, background)),
        Regime(name="power law from 0.1 %, index 1", draw=power_law(0.001, 1.0)),
        Regime(name="1-3 cores, sd 0.7 between, 0.7 within", draw=of_cores),
        Regime(name="1-3 cores, 0.7 and 1, gate 0.4 %", draw=pooled(0.7, 1.0, gate=0.004)),
        Regime(name="Weibull, 0.2 %, shape 0.4", draw=weibull(0.002, 0.4), known=False),
        Regime(name="beta(2, 50)", draw=beta(2.0, 50.0), known=False),
        Regime(
            name="80 % zeros, gamma, mean 1 %, shape 0.3",
            draw=mixture(0.8, zeros, gamma(0.01, 0.3)),
            known=False,
        ),
        Regime(
            name="99 % zeros, log-normal 1 %, sd 1",
            draw=mixture(0.99, zeros, log_normal(0.01, 1.0)),
            known=False,
        ),
        Regime(name="power law from 0.5 %, index 2", draw=power_law(0.005, 2.0), known=False),
        Regime(
            name="1-6 cores, sd 1 between, 0.5 within",
            draw=pooled(1.0, 0.5, (1, 3, 6)),
            known=False,
        ),
        Regime(name="log-t, 4 df, 0.2 %, scale 0.5", draw=log_t(0.002, 0.5, 4), holds=False),
        Regime(name="log-t, 4 df, 0.2 %, scale 1", draw=log_t(0.002, 1.0, 4), holds=False),
        Regime(
            name="log-t, 3 df, 0.3 %, scale 0.3",
            draw=log_t(0.003, 0.3, 3),
            known=False,
            holds=False,
        ),
        Regime(
            name="10 % high: 0.1 % or 2 %, sd 0.5",
            draw=mixture(0.9, log_normal(0.001, 0.5), log_normal(0.02, 0.5)),
            holds=False,
        ),
        Regime(
            name="3 % high: 0.3 % or 5 %, sd 0.5",
            draw=mixture(0.97, log_normal(0.003, 0.5), log_normal(0.05, 0.5)),
            known=False,
            holds=False,
        ),
        Regime(
            name="negatives with 3 cores, compared with 1 core",
            draw=pooled(0.7, 0.7, (3,)),
            tested=pooled(0.7, 0.7, (1,)),
            known=False,
            holds=False,
        ),
    ]


def sizes(method: Method, negatives: Float64, pool: Float64) -> Float64:
    """Return P(p <= level) / level for each of `LEVELS`, (levels,).

    Parameters
    ----------
    method
        Maps ratios and negatives to p values that fall with the ratio.
    negatives
        Ratios of the negatives, (draws, negatives).
    pool
        Ratios of unstained antibodies, sorted, (pool,).
    """
    survival = np.logspace(0.0, -np.log10(pool.size / 2), GRID)
    grid = pool[np.minimum(((1.0 - survival) * pool.size).astype(int), pool.size - 1)]
    probability = 1.0 - np.searchsorted(pool, grid, side="left") / pool.size
    reached: Float64 = np.zeros(len(LEVELS))
    for row in negatives:
        p_values = method(grid, row)
        for index, level in enumerate(LEVELS):
            reaches = p_values <= level * (1.0 + ROUNDING)
            reached[index] += probability[int(np.argmax(reaches))] if reaches.any() else 0.0
    size: Float64 = reached / len(negatives) / np.array(LEVELS)
    return size


def one_to(draw: Draw) -> Draw:
    """Return ratios that are at most 1."""
    return lambda rng, shape: np.minimum(draw(rng, shape), 1.0)


def size_rows(draws: int, seed: int) -> list[list[str]]:
    """Return the rows of the table of sizes: all regimes, then a comparison with other methods."""
    rows = []
    for number, regime in enumerate(regimes()):
        rng = np.random.default_rng([seed, number])
        draw = one_to(regime.draw)
        pool = np.sort(one_to(regime.tested or regime.draw)(rng, (POOL,)))
        cells = [_cell(sizes(extrapolated, draw(rng, (draws, count)), pool)) for count in NEGATIVES]
        known, holds = ("yes" if flag else "no" for flag in (regime.known, regime.holds))
        rows.append([regime.name, "this software", holds, known, *cells])
        print(rows[-1], flush=True)
    return [*rows, *_comparison_rows(draws, seed)]


def _comparison_rows(draws: int, seed: int) -> list[list[str]]:
    """Return the sizes of other methods with 16 negatives of three cores each."""
    rows = []
    settings = (
        ("sd 0.7 between, 0.7 within", core_ratios(0.7, 0.7)),
        ("sd 0.7 between, 0.7 within, gate 0.4 %", core_ratios(0.7, 0.7, 0.004)),
        ("sd 1 between, 0.2 within", core_ratios(1.0, 0.2)),
    )
    for number, (name, draw) in enumerate(settings):
        rng = np.random.default_rng([seed, 1000 + number])
        pool = np.sort(mean_of_cores(draw)(rng, (POOL, 3)))
        cores = draw(rng, (draws, 16, 3))
        antibodies = cores.mean(axis=-1)
        for title, method, negatives in (
            ("counted", counted, antibodies),
            ("this software", extrapolated, antibodies),
            ("cores as negatives", extrapolated, cores.reshape(draws, -1)),
            ("Student's t of logs", t_predictive, antibodies),
            ("generalised Pareto fit", fitted_pareto, antibodies[: draws // 10]),
        ):
            cell = _cell(sizes(method, negatives, pool))
            rows.append([f"3 cores, {name}", title, "yes", "no", "", cell, "", ""])
            print(rows[-1], flush=True)
    return rows


def _cell(values: Float64) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def power_rows(draws: int, seed: int) -> list[list[str]]:
    """Return the rows of the table of power: some regimes, all numbers of negatives."""
    rows = []
    for number, regime in list(enumerate(regimes()))[:10]:
        for count in NEGATIVES:
            rng = np.random.default_rng([seed, 2000 + number, count])
            background = one_to(regime.draw)(rng, (draws, count + UNLABELLED))
            stained = one_to(log_normal(0.04, 0.5))(rng, (draws, STAINED))
            values = np.concatenate([background, stained], axis=1)
            ratios = np.array(STAINED_RATIOS)
            medians = np.median([extrapolated(ratios, row[:count]) for row in background], axis=0)
            cells = []
            for method in (empirical_p, tail_p.one_sided_p):
                found, false = _discoveries(method, values, count)
                cells += [f"{100 * found:.0f} %", f"{100 * false:.1f} %"]
            p_text = ", ".join(f"{value:.2g}" for value in medians)
            rows.append([regime.name, str(count), f"{1 / (count + 1):.2g}", p_text, *cells])
            print(rows[-1], flush=True)
    return rows


def _discoveries(
    method: Callable[[Float64, NDArray[np.bool_]], Float64], values: Float64, count: int
) -> tuple[float, float]:
    """Return the found fraction of the stained, and the mean fraction of false discoveries."""
    is_negative = np.arange(values.shape[1]) < count
    is_stained = np.arange(values.shape[1]) >= count + UNLABELLED
    q_values = [benjamini_hochberg(method(row, is_negative)) for row in values]
    found = np.array(q_values) <= MAX_Q
    false = (found & ~is_stained).sum(axis=1) / np.maximum(found.sum(axis=1), 1)
    return float(found[:, is_stained].mean()), float(false.mean())


def main() -> None:
    """Simulate and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    levels = ", ".join(f"{level:g}" for level in LEVELS)
    notes = [
        f"{options.draws} sets of negatives per cell, each against {POOL:,} unstained antibodies; "
        f"seed {options.seed}",
        f"cells: P(p <= a) / a for a = {levels}; 1 is exact, below 1 is conservative, above 1 is "
        "too small a p; 0: no p is so small, as none is below 1 / (1000 (1 + n))",
        "assumption: whether the tail of the negatives' ratios is at most as heavy as a power law, "
        "and the antibody compared is drawn as they are",
        "chosen on: whether the method was chosen, or inspected meanwhile, with this regime",
        "counted: the empirical p value, 0 at levels below 1 / (1 + n)",
        "cores as negatives: the cores of the negatives count as independent negatives; "
        "generalised Pareto fit: maximum likelihood on the upper half of the logs, a tenth of the "
        "sets",
    ]
    header = ("negatives", "method", "assumption", "chosen on")
    columns = (f"n = {count}" for count in NEGATIVES)
    path = options.out / "p_calibration.md"
    title = "Size of the p values of antibodies"
    write_table(path, title, notes, (*header, *columns), size_rows(options.draws, options.seed))
    draws = options.draws // 5
    notes = [
        f"{draws} draws per row, seed {options.seed}",
        "p at 2, 5, 10 %: median p of an antibody with this ratio",
        f"found, false: of {STAINED} stained antibodies (log-normal, median 4 %, sd 0.5), "
        f"{UNLABELLED} unstained ones without a label and the negatives: fraction of the stained "
        f"with q <= {MAX_Q}, and mean fraction of the unstained among all with q <= {MAX_Q}",
    ]
    names = ("negatives", "n", "smallest counted p", "p at 2, 5, 10 %")
    methods = ("found, counted", "false, counted", "found", "false")
    path, title = options.out / "p_power.md", "Power of the p values of antibodies"
    write_table(path, title, notes, (*names, *methods), power_rows(draws, options.seed))


if __name__ == "__main__":
    main()
