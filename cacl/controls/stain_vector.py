"""The direction of DAB in the optical densities of a run's images."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pandas as pd

from cacl.errors import StoreError
from cacl.image.stain import dab_direction
from cacl.runtime.resources import raise_if_short
from cacl.stain.vectors import StainVectors, Vector
from cacl.store import ImageMeta, Store, run_vectors
from cacl.tables.selection import POSITIVE

log = logging.getLogger(__name__)

MAX_TILES = 200


def run_dab_vector(store: Store, rows: pd.DataFrame, seed: int) -> Vector:
    """Return the direction of DAB in tiles of positive images.

    It is that of the run's stain vectors if they hold too little DAB.

    Parameters
    ----------
    store
        The store.
    rows
        Columns of `TileRow`.
    seed
        Seed of the choice of at most `MAX_TILES` tiles.

    Raises
    ------
    StainError
        The images have different stain vectors.
    """
    positive = rows[(rows["label"] == POSITIVE) & rows["selected"]].reset_index(drop=True)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(positive))[:MAX_TILES])
    vectors = _vectors_of(store, rows)
    columns = (positive.loc[chosen, name].tolist() for name in ("image_id", "row", "col"))
    pixels = [np.zeros((3, 0), np.uint8)]
    for image_id, row, col in zip(*columns, strict=True):
        try:
            tile = store.tile(image_id, row, col)
        except StoreError as error:
            raise_if_short(error, f"controls: {image_id}")
            log.warning("controls: %s", error)
            continue
        pixels.append(tile.reshape(3, -1))
    return dab_direction(np.concatenate(pixels, axis=1), vectors) or vectors.dab


def _vectors_of(store: Store, rows: pd.DataFrame) -> StainVectors:
    """Return the stain vectors of the run; an image that cannot be read has none."""

    def metas() -> Iterator[ImageMeta]:
        for image_id in sorted(set(map(str, rows["image_id"]))):
            try:
                yield store.meta(image_id)
            except StoreError as error:
                raise_if_short(error, f"controls: {image_id}")

    return run_vectors(metas())
