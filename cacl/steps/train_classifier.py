"""Train the image-wise classifier that the CAM methods of the benchmark explain."""

from __future__ import annotations

from pathlib import Path

from cacl.benchmark import classifier


def train_classifier(
    tiles: Path,
    store: Path,
    out: Path,
    *,
    steps: int = classifier.STEPS,
    seed: int = 0,
    threads: int = 2,
) -> None:
    """Train a ResNet-18 on the training split of the tiles that CaCL is trained on.

    Parameters
    ----------
    tiles
        Table of `cacl select` (`TileRow`).
    store
        The OME-Zarr store.
    out
        Folder that gets `classifier.safetensors`.
    steps
        Training steps of 16 tiles each.
    seed, threads
        Seed of every random choice; CPU threads.

    Raises
    ------
    TrainingError
        A class has no tile.
    """
    classifier.train_classifier(tiles, store, out, steps=steps, seed=seed, threads=threads)
