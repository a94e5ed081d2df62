"""One harness for all methods: scores, thresholds, masks, sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cacl.benchmark import thresholds
from cacl.benchmark.evaluation_set import Atlas, Core
from cacl.benchmark.method import Method
from cacl.benchmark.metric_sums import SUMS, Tally
from cacl.benchmark.metrics import MIN_TRUTH_PX, agreement, boundary_f1

Bool = NDArray[np.bool_]
BEST_FOR = {"dice": "best for Dice", "dice_positive": "best on positive tiles"}


@dataclass(frozen=True, eq=False)
class Outcome:
    """One method at one threshold on one atlas.

    Parameters
    ----------
    name
        The method, and what its threshold is best for.
    tallies
        One an antibody.
    masks
        (n, y, x) of the sample's tiles; None if they are not to be pictured.
    """

    name: str
    tallies: tuple[Tally, ...]
    masks: Bool | None


def evaluate(method: Method, atlas: Atlas, seed: int) -> list[Outcome]:
    """Run a method on all cores of an atlas.

    Returns
    -------
    One outcome; two for a method without a threshold, at that which is best for Dice in the
    paper's convention, and at that which is best on positive tiles.
    """
    scores = [method.score(core) for core in atlas.cores]
    chosen: Mapping[str, float]
    if method.threshold is None:
        chosen = thresholds.best(atlas.sample.cut(scores), atlas.sample.truth)
    else:
        chosen = {"": method.threshold}
    outcomes = []
    for criterion, threshold in chosen.items():
        masks = [score > threshold for score in scores]
        name = f"{method.name}, {BEST_FOR[criterion]}" if criterion else method.name
        shown = method.pictured and criterion != "dice"
        quoted = threshold if method.threshold is None else None
        outcomes.append(
            Outcome(
                name,
                tally(name, masks, atlas, seed=seed, threshold=quoted),
                atlas.sample.cut(masks) if shown else None,
            )
        )
    return outcomes


def tally(
    name: str, masks: Sequence[Bool], atlas: Atlas, *, seed: int, threshold: float | None
) -> tuple[Tally, ...]:
    """Return the sums of each antibody.

    Parameters
    ----------
    name
        The method.
    masks
        (y, x) bool of each core.
    atlas
        The cores and the sample.
    seed, threshold
        Quoted.
    """
    sample = atlas.sample
    tiles = sample.cut(masks)
    of_tiles = agreement(tiles, sample.truth)
    positive = sample.truth.sum(axis=(1, 2)) >= MIN_TRUTH_PX
    boundary = np.zeros(len(tiles))
    boundary[positive] = boundary_f1(tiles[positive], sample.truth[positive])
    tile_sums = {
        "tiles": np.ones(len(tiles)),
        "dice": of_tiles.dice,
        "recall": of_tiles.recall,
        "precision": of_tiles.precision,
        "bce": of_tiles.bce,
        "positive_tiles": positive.astype(np.float64),
        "dice_positive": of_tiles.dice * positive,
        "boundary_f1": boundary,
    }
    core_sums = [_of_core(core, mask) for core, mask in zip(atlas.cores, masks, strict=True)]
    found = []
    for antibody in sorted({core.antibody_id for core in atlas.cores}):
        chosen = sample.antibody == antibody
        sums = {key: float(values[chosen].sum()) for key, values in tile_sums.items()}
        for core, values in zip(atlas.cores, core_sums, strict=True):
            if core.antibody_id == antibody:
                for key, value in values.items():
                    sums[key] = sums.get(key, 0.0) + value
        found.append(
            Tally(
                atlas=atlas.name,
                seed=seed,
                method=name,
                threshold=threshold,
                antibody_id=antibody,
                **{key: sums[key] for key in SUMS},
            )
        )
    return tuple(found)


def _of_core(core: Core, mask: Bool) -> dict[str, float]:
    """Return what a core adds to its antibody's sums; only tiles with tissue count."""
    tested = np.zeros_like(mask)
    without = np.zeros_like(mask)
    for window in core.windows:
        tested[window] = True
        without[window] = not core.truth[window].any()
    stained = mask & core.cell & tested
    found = int(stained.sum()) / max(1, int((core.cell & tested).sum()))
    wanted = int((core.truth & tested).sum()) / max(1, int((core.true_cell & tested).sum()))
    return {
        "negative_stained_px": float((stained & without).sum()),
        "negative_cell_px": float((core.cell & without).sum()),
        "cores": 1.0,
        "found": found,
        "wanted": wanted,
        "found_squared": found**2,
        "wanted_squared": wanted**2,
        "found_wanted": found * wanted,
    }
