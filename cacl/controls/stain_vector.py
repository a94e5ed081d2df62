"""The direction of DAB in the optical densities of a run's images."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from cacl.errors import StoreError
from cacl.image.stain import DAB_OD, dab_direction
from cacl.runtime.resources import raise_if_short
from cacl.store import Store
from cacl.tables.selection import POSITIVE

log = logging.getLogger(__name__)

Vector = tuple[float, float, float]
MAX_TILES = 200


def run_dab_vector(store: Store, rows: pd.DataFrame, seed: int) -> Vector:
    """Return the direction of DAB in tiles of positive images; `DAB_OD` if they hold too little.

    Parameters
    ----------
    store
        The store.
    rows
        Columns of `TileRow`.
    seed
        Seed of the choice of at most `MAX_TILES` tiles.
    """
    positive = rows[(rows["label"] == POSITIVE) & rows["selected"]].reset_index(drop=True)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(positive))[:MAX_TILES])
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
    return dab_direction(np.concatenate(pixels, axis=1)) or DAB_OD
