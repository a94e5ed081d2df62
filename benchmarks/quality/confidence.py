"""Whether an image's confidence tells how good its mask is.

Confidence is how well a model's single views of a core agree; here it is compared with the Dice of
the core's mask and its true one. Needs finished runs on the synthetic atlas with their unseen
atlases (`make demo`, then `make benchmark SEEDS=3`).

Example: python benchmarks/confidence.py --runs . results/seeds/1 results/seeds/2
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks._lib.external_sets import atlases
from benchmarks._lib.report import write_up
from cacl.benchmark.evaluation_set import EvaluationImage
from cacl.model.checkpoint import Model, load_model
from cacl.model.inference.masks import MAX_VIEWS, Morphology
from cacl.model.inference.predict import predict_masks
from cacl.model.inference.uncertainty import ViewAgreement
from cacl.stats.intervals import BOOTSTRAP_DRAWS

DOUBTED = 0.25
HEADER = (
    "atlas",
    "cores with a mask",
    "rank correlation of confidence and Dice",
    "Dice of the least confident quarter",
    "Dice of the rest",
    "stained cores without a mask",
    "unstained cores with one",
)


def judged(model: Model, core: EvaluationImage) -> tuple[float | None, float | None, bool]:
    """Return a core's confidence and Dice, None without a mask, and whether it is stained."""
    votes = ViewAgreement(min(MAX_VIEWS, len(model.networks) * model.preset.post.n_tta))
    meta = core.store.meta(core.image_id)
    [found] = predict_masks(core.store, meta, model, Morphology(), agreement=votes)
    mask = np.asarray(found)
    stained = bool(core.ground_truth.any())
    if not mask.any():
        return None, None, stained
    dice = (
        2.0 * float((mask & core.ground_truth).sum()) / float(mask.sum() + core.ground_truth.sum())
    )
    return votes.confidence, dice, stained


def row(name: str, cores: pd.DataFrame) -> list[str]:
    """Return a line of the table."""
    known = cores.dropna()
    confidence, dice = known["confidence"].to_numpy(), known["dice"].to_numpy()
    doubted = confidence <= np.quantile(confidence, DOUBTED)
    low, high = interval(known)
    masked, stained = cores["dice"].notna(), cores["stained"]
    return [
        name,
        str(int(masked.sum())),
        f"{stats.spearmanr(confidence, dice).statistic:.2f} ({low:.2f} to {high:.2f})",
        f"{dice[doubted].mean():.3f}",
        f"{dice[~doubted].mean():.3f}",
        f"{int((stained & ~masked).sum())} of {int(stained.sum())}",
        f"{int((~stained & masked).sum())} of {int((~stained).sum())}",
    ]


def interval(known: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the correlation's 95 % bootstrap interval over antibodies."""
    rng = np.random.default_rng(0)
    parts = [part[["confidence", "dice"]].to_numpy() for _, part in known.groupby("antibody")]
    drawn = []
    for _ in range(BOOTSTRAP_DRAWS):
        chosen = rng.integers(0, len(parts), len(parts))
        both = np.concatenate([parts[number] for number in chosen])
        drawn.append(stats.spearmanr(both[:, 0], both[:, 1]).statistic)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, segment, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, nargs="+", default=[Path()], help="by seed, from 0")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/confidence.md"))
    options = parser.parse_args(arguments)
    found = []
    for seed, run in enumerate(options.runs):
        model = load_model(run / "results/model")
        for atlas in atlases(run, seed):
            for core in atlas.images:
                confidence, dice, stained = judged(model, core)
                antibody = f"{atlas.name} {seed} {core.antibody_id}"
                found.append((atlas.name, antibody, confidence, dice, stained))
            print(f"seed {seed}, {atlas.name}: {len(atlas.images)} cores")
    columns = ["atlas", "antibody", "confidence", "dice", "stained"]
    cores = pd.DataFrame(found, columns=columns).astype({"confidence": float, "dice": float})
    notes = [
        f"seeds 0 to {len(options.runs) - 1}, each of an atlas and a training of its own",
        "Dice of a core's whole mask with its true one; in brackets: 95 % bootstrap intervals over "
        "antibodies",
        "a core without a mask has no confidence; those that are stained were missed by the gate",
    ]
    rows = [row(str(name), part) for name, part in cores.groupby("atlas", sort=False)]
    rows.append(row("all", cores))
    write_up(options.out, "Does confidence tell how good a mask is", notes, HEADER, rows)


if __name__ == "__main__":
    main()
