"""The atlases of a finished run that have hidden truth: its own test split, and the unseen ones."""

from __future__ import annotations

from pathlib import Path

from cacl.benchmark.atlas import Atlas, read_atlas
from cacl.benchmark.unseen import STORE, TESTED, TRUTH

OWN = "test split"


def atlases(run: Path, seed: int) -> list[Atlas]:
    """Return them in order; the samples of their tiles are those of the seed."""
    tiles, store = run / "results/training/tiles.parquet", run / "results/atlas.zarr"
    places = sorted((run / "results/benchmark/unseen").iterdir())
    return [
        read_atlas(OWN, tiles, store, run / "resources/phantom/truth", seed=seed),
        *(
            read_atlas(at.name, at / TESTED, at / STORE, at / TRUTH, seed=seed)
            for at in places
            if (at / TESTED).exists()
        ),
    ]
