"""Correlation of an image's confidence with the Dice of its mask.

Confidence is the agreement of a model's single views of a core; here it is compared with the Dice
of the core's mask and its ground truth. Needs finished runs on the synthetic atlas with their
external sets (`make demo`, then `make benchmark SEEDS=3`).

Example: python -m benchmarks.quality.confidence --runs . results/seeds/1 results/seeds/2
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks._lib.external_sets import evaluation_sets
from benchmarks._lib.report import RESULTS, write_table
from cacl.benchmark.evaluation_set import EvaluationImage
from cacl.model.checkpoint import Model, load_model
from cacl.model.inference.blocks import predict_masks
from cacl.model.inference.masks import MAX_VIEWS, Morphology
from cacl.model.inference.uncertainty import ViewAgreement
from cacl.stats.intervals import BOOTSTRAP_DRAWS

LEAST_CONFIDENT = 0.25
HEADER = (
    "set",
    "cores with a mask",
    "rank correlation of confidence and Dice",
    "Dice of the least confident quarter",
    "Dice of the rest",
    "stained cores without a mask",
    "unstained cores with a mask",
)


def evaluate_core(model: Model, core: EvaluationImage) -> tuple[float | None, float | None, bool]:
    """Return confidence and Dice of a core (None without a mask), and whether it is stained."""
    agreement = ViewAgreement(min(MAX_VIEWS, len(model.networks) * model.preset.post.n_tta))
    meta = core.store.meta(core.image_id)
    [predicted] = predict_masks(core.store, meta, model, Morphology(), agreement=agreement)
    mask = np.asarray(predicted)
    stained = bool(core.ground_truth.any())
    if not mask.any():
        return None, None, stained
    dice = (
        2.0 * float((mask & core.ground_truth).sum()) / float(mask.sum() + core.ground_truth.sum())
    )
    return agreement.confidence, dice, stained


def row(name: str, cores: pd.DataFrame) -> list[str]:
    """Return a row of the table."""
    known = cores.dropna()
    confidence, dice = known["confidence"].to_numpy(), known["dice"].to_numpy()
    least_confident = confidence <= np.quantile(confidence, LEAST_CONFIDENT)
    low, high = interval(known)
    masked, stained = cores["dice"].notna(), cores["stained"]
    return [
        name,
        str(int(masked.sum())),
        f"{stats.spearmanr(confidence, dice).statistic:.2f} ({low:.2f} to {high:.2f})",
        f"{dice[least_confident].mean():.3f}",
        f"{dice[~least_confident].mean():.3f}",
        f"{int((stained & ~masked).sum())} of {int(stained.sum())}",
        f"{int((~stained & masked).sum())} of {int((~stained).sum())}",
    ]


def interval(known: pd.DataFrame) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the rank correlation over antibodies."""
    rng = np.random.default_rng(0)
    groups = [
        of_antibody[["confidence", "dice"]].to_numpy()
        for _, of_antibody in known.groupby("antibody")
    ]
    correlations = []
    for _ in range(BOOTSTRAP_DRAWS):
        chosen = rng.integers(0, len(groups), len(groups))
        sample = np.concatenate([groups[index] for index in chosen])
        correlations.append(stats.spearmanr(sample[:, 0], sample[:, 1]).statistic)
    low, high = np.nanquantile(correlations, [0.025, 0.975])
    return float(low), float(high)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, segment, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, nargs="+", default=[Path()], help="of seeds 0, 1, ...")
    parser.add_argument("--out", type=Path, default=RESULTS / "confidence.md")
    options = parser.parse_args(arguments)
    records = []
    for seed, run in enumerate(options.runs):
        model = load_model(run / "results/model")
        for evaluation_set in evaluation_sets(run, seed):
            name = evaluation_set.name
            for core in evaluation_set.images:
                confidence, dice, stained = evaluate_core(model, core)
                antibody = f"{name} {seed} {core.antibody_id}"
                records.append((name, antibody, confidence, dice, stained))
            print(f"seed {seed}, {name}: {len(evaluation_set.images)} cores")
    columns = ["set", "antibody", "confidence", "dice", "stained"]
    cores = pd.DataFrame(records, columns=columns).astype({"confidence": float, "dice": float})
    notes = [
        f"seeds 0 to {len(options.runs) - 1}, each with an atlas and a training of its own",
        "Dice of a core's whole mask with its ground truth; in brackets: 95 % bootstrap "
        "intervals over antibodies",
        "a core without a mask has no confidence; the gate rejected those that are stained",
    ]
    rows = [row(str(name), of_set) for name, of_set in cores.groupby("set", sort=False)]
    rows.append(row("all", cores))
    write_table(options.out, "Confidence and Dice", notes, HEADER, rows, runs=options.runs)


if __name__ == "__main__":
    main()
