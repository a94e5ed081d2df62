"""The atlases of a finished run that have hidden truth, and what a method finds on them."""

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
from cacl.benchmark.method import Method
from cacl.benchmark.metric_sums import SUMS
from cacl.model.checkpoint import Model
from cacl.model.inference.masks import Morphology

FINAL = "final method"


def atlases(run: Path, seed: int) -> list[EvaluationSet]:
    """Return the run's own test split, then the unseen ones; samples are those of the seed."""
    tiles, store = run / "results/training/tiles.parquet", run / "results/atlas.zarr"
    places = sorted((run / "results/benchmark/external").iterdir())
    sources = [
        EvaluationSource(OWN_SET, tiles, store, run / "resources/phantom/truth"),
        *(EvaluationSource.external(at) for at in places if (at / EXTERNAL_TILES).exists()),
    ]
    return [read_evaluation_set(source, seed=seed) for source in sources]


def final_method(model: Model) -> Method:
    """Return what `segment` does with a model."""
    [final] = [one for one in cacl_methods(model, None, Morphology()) if one.name == FINAL]
    return final


def sums_by(method: Method, atlas: EvaluationSet, seed: int) -> NDArray[np.float64]:
    """Return (antibodies, k) sums, in the order of `SUMS`, by the masks of a method."""
    [outcome] = evaluate(method, atlas, seed)
    found = [[getattr(one, name) for name in SUMS] for one in outcome.sums]
    return np.array(found, np.float64)
