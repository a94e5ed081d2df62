"""The atlases of a finished run that have hidden truth, and what a method finds on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cacl.benchmark.cacl_methods import methods
from cacl.benchmark.evaluate import evaluate
from cacl.benchmark.evaluation_set import Atlas, read_atlas
from cacl.benchmark.external import STORE, TILES, TRUTH
from cacl.benchmark.method import Method
from cacl.benchmark.metric_sums import SUMS
from cacl.model.checkpoint import Model

OWN, FINAL = "test split", "final method"


def atlases(run: Path, seed: int) -> list[Atlas]:
    """Return the run's own test split, then the unseen ones; samples are those of the seed."""
    tiles, store = run / "results/training/tiles.parquet", run / "results/atlas.zarr"
    places = sorted((run / "results/benchmark/unseen").iterdir())
    return [
        read_atlas(OWN, tiles, store, run / "resources/phantom/truth", seed=seed),
        *(
            read_atlas(at.name, at / TILES, at / STORE, at / TRUTH, seed=seed)
            for at in places
            if (at / TILES).exists()
        ),
    ]


def final_method(model: Model) -> Method:
    """Return what `segment` does with a model."""
    [final] = [one for one in methods(model, None, "none", 0) if one.name == FINAL]
    return final


def sums_by(method: Method, atlas: Atlas, seed: int) -> NDArray[np.float64]:
    """Return (antibodies, k) sums, in the order of `SUMS`, by the masks of a method."""
    [outcome] = evaluate(method, atlas, seed)
    found = [[getattr(one, name) for name in SUMS] for one in outcome.tallies]
    return np.array(found, np.float64)
