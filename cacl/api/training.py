"""Train a model on images with labels, by the steps of the workflow."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image

from cacl.api.arrays import as_rgb
from cacl.api.loading import PathLike, load_model
from cacl.config import LabelsConfig, SourceConfig, TilesConfig, TrainConfig
from cacl.errors import ManifestError
from cacl.model.checkpoint import Model
from cacl.runtime.compute import Compute
from cacl.stain.vectors import REFERENCE
from cacl.steps.acquire import acquire
from cacl.steps.catalog import catalog
from cacl.steps.parameters import AcquireOptions, ImageJobs, SelectionFiles, TrainFiles
from cacl.steps.select import select
from cacl.steps.tile import tile
from cacl.steps.train import train as train_on_tiles

IMAGE = "image_path"


def train(
    manifest: PathLike | pd.DataFrame,
    out: PathLike,
    *,
    tiles: TilesConfig | None = None,
    preset: Literal["robust", "quick", "paper"] = "robust",
    max_steps: int | None = None,
    seed: int = 0,
    threads: int = 2,
    work: PathLike | None = None,
) -> Model:
    """Train a model on images that are labelled as a whole, and write it to a folder.

    The images are tiled, tiles are selected, and the antibodies are split, as in the workflow; an
    image that cannot be used raises instead of becoming a row of `failures.csv`. Haematoxylin and
    DAB are separated with the fixed vectors of the default `stain.vectors`.

    Parameters
    ----------
    manifest
        Table with a row per image, or the path of one in CSV: `image_path`, `antibody_id`,
        `patient_id`, `label` (positive or negative), and optionally the other columns of a manifest
        (docs/guides/own_images.md). In a table, `image_path` may hold images themselves, (y, x, 3)
        uint8.
    out
        Folder of the model. If it holds a stopped training of the same data, that one continues.
    tiles
        How an image is cut into tiles; None for the default, which fits cores of the HPA.
    preset
        Settings of the method.
    max_steps
        Training steps; None for those of the preset.
    seed
        Seed of the split, of the selection and of the training.
    threads
        CPU threads.
    work
        Folder for the store and tables; None for a temporary one.

    Returns
    -------
    The trained model, as `load_model(out)`.

    Raises
    ------
    ManifestError
        The table cannot be read, or lacks a column.
    StrictError
        An image cannot be used.
    TrainingError
        There are too few images of a label, or the training has failed.

    Examples
    --------
    >>> import cacl
    >>> model = cacl.train("manifest.csv", "model")  # doctest: +SKIP
    >>> cacl.segment("core.jpg", model, mpp=0.4).ratio  # doctest: +SKIP
    """
    tiles = tiles or TilesConfig()
    settings = TrainConfig(preset=preset, max_steps=max_steps)
    with tempfile.TemporaryDirectory(prefix="cacl-train-") as temporary:
        folder = Path(temporary if work is None else work)
        if isinstance(manifest, pd.DataFrame):
            path = _write_manifest(manifest, folder)
        else:
            path = Path(manifest)
        source = SourceConfig(kind="manifest", manifest=path)
        failures, images = folder / "failures.csv", folder / "catalog" / "images.parquet"
        acquired, store = folder / "acquired.parquet", folder / "atlas.zarr"
        catalog(folder / "catalog", failures, source, LabelsConfig(), shards=1)
        acquire(
            folder / "catalog" / "shards" / "0.parquet",
            folder / "images",
            acquired,
            failures,
            source,
            AcquireOptions(jobs=threads, strict=True),
        )
        all_tiles, selected = folder / "tiles.parquet", folder / "selected.parquet"
        image_jobs = ImageJobs(jobs=threads, strict=True)
        tile(acquired, store, all_tiles, failures, tiles, image_jobs, REFERENCE)
        select(
            SelectionFiles(images=images, tiles=[all_tiles], store=store),
            selected,
            min_tissue_fraction=tiles.min_tissue_fraction,
            max_tiles=settings.max_tiles,
            seed=seed,
        )
        train_on_tiles(
            TrainFiles(tiles=selected, store=store, catalog=images),
            Path(out),
            settings,
            LabelsConfig(),
            seed=seed,
            compute=Compute(threads=threads),
        )
    return load_model(out)


def _write_manifest(table: pd.DataFrame, folder: Path) -> Path:
    """Write a table and the images in it, as PNG, below `folder`; return the path of the CSV."""
    if IMAGE not in table:
        raise ManifestError(
            f"The table has the columns {', '.join(map(str, table))}, and no {IMAGE}; give each "
            "image's path or its pixels there"
        )
    pixels = folder / "pixels"
    pixels.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, image in enumerate(table[IMAGE]):
        path = Path(str(image)).absolute() if isinstance(image, (str, Path)) else None
        if path is None:
            path = pixels / f"{number}.png"
            Image.fromarray(np.ascontiguousarray(as_rgb(image))).save(path)
        paths.append(str(path))
    manifest = folder / "manifest.csv"
    table.assign(**{IMAGE: paths}).to_csv(manifest, index=False, lineterminator="\n")
    return manifest
