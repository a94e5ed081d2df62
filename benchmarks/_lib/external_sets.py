"""The evaluation sets of a finished run, and the metric sums of a method on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cacl.benchmark.cacl_methods import cacl_methods
from cacl.benchmark.evaluate import evaluate
from cacl.benchmark.evaluation_set import (
    EXTERNAL_TILES,
    OWN_SET,
    EvaluationSet,
    EvaluationSource,
    read_evaluation_set,
)
from cacl.benchmark.ground_truth import PhantomTruth
from cacl.benchmark.method import Method
from cacl.benchmark.metric_sums import SUMS
from cacl.model.checkpoint import Model
from cacl.model.inference.masks import Morphology

FINAL = "final method"
EXTERNAL_SETS = Path("results/benchmark/external")
"""Folder of the external sets below the working directory of a run."""


def evaluation_sets(run: Path, seed: int) -> list[EvaluationSet]:
    """Return the run's own test split, then its external sets; `seed` selects the images."""
    tiles, store = run / "results/training/tiles.parquet", run / "results/atlas.zarr"
    folders = sorted((run / EXTERNAL_SETS).iterdir())
    sources = [
        EvaluationSource(OWN_SET, tiles, store, PhantomTruth(run / "resources/phantom/truth")),
        *(EvaluationSource.external(path) for path in folders if (path / EXTERNAL_TILES).exists()),
    ]
    return [read_evaluation_set(source, seed=seed) for source in sources]


def final_method(model: Model) -> Method:
    """Return the method that gives the same masks as `cacl segment`."""
    methods = cacl_methods(model, None, Morphology())
    [final] = [method for method in methods if method.name == FINAL]
    return final


def sums_by(method: Method, evaluation_set: EvaluationSet, seed: int) -> NDArray[np.float64]:
    """Return the metric sums of a method: (antibodies, k), columns in the order of `SUMS`."""
    [outcome] = evaluate(method, evaluation_set, seed)
    rows = [[getattr(sums, name) for name in SUMS] for sums in outcome.sums]
    return np.array(rows, np.float64)
