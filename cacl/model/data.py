"""The training set: tiles as one uint8 tensor, with what the image alone says of each pixel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from cacl import tables
from cacl.errors import TrainingError
from cacl.model.autoencoder import MULTIPLE_PX
from cacl.model.choice import NEGATIVE, POSITIVE, Rule, Split
from cacl.model.contrast import stands_out
from cacl.records import TileRow
from cacl.store import Store, digest_of

WHITE = 255
STAINED, CELL = 1, 2
MARGIN_PX = 16
CANDIDATES_PER_TILE = 1
MAX_CALIBRATION_TILES = 2000


@dataclass(frozen=True, eq=False)
class TileSet:
    """Tiles of one split.

    Parameters
    ----------
    pixels
        (n, 4, y, x) uint8: red, green, blue, and per pixel 1 where DAB stands out plus 2 where
        there are cells.
    positive
        (n,) bool, from the image's label.
    kept
        (n,) bool, whether `select` chose the tile; the others are candidates.
    image
        (n,) number of the tile's image.
    fixed
        (n,) bool, whether somebody labelled this very tile, so that no rule may drop it.
    """

    pixels: Tensor
    positive: Tensor
    kept: Tensor
    image: Tensor
    fixed: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


def read_rows(path: Path) -> pd.DataFrame:
    """Return the rows of `training/tiles.parquet`.

    Raises
    ------
    TableError
        The table is missing or damaged.
    """
    return tables.read_frame([path], TileRow)


def data_digest(rows: pd.DataFrame, store: Store) -> str:
    """Return a digest of the chosen tiles and of the pixels they stand for."""
    chosen = hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest()
    images = sorted(set(rows["image_id"]))
    return digest_of(chosen, *(store.meta(image_id).digest for image_id in images))


def training_tiles(rows: pd.DataFrame, store: Store, seed: int) -> TileSet:
    """Read the kept tiles of the training split, and the candidates of its positive images.

    Raises
    ------
    TrainingError
        One of the classes has no tile.
    """
    train = rows[rows["split"] == Split.TRAIN]
    kept = train[train["kept"]]
    for label in (POSITIVE, NEGATIVE):
        if not (kept["label"] == label).any():
            raise TrainingError(
                f"The training split has no {label} tile, so nothing can be learned; label more "
                f"images {label} (labels.overrides, CSV image_id,label), or single tiles "
                "(image_id,row,col,label), or lower tiles.min_tissue_fraction"
            )
    left_out = train[~train["kept"] & (train["label"] == POSITIVE)]
    left_out = left_out[left_out["rule"] != Rule.LITTLE_TISSUE]
    limit = min(len(left_out), CANDIDATES_PER_TILE * len(kept))
    candidates = left_out.sample(limit, random_state=seed)
    return _read(pd.concat([kept, candidates]), store)


def calibration_tiles(rows: pd.DataFrame, store: Store, seed: int) -> tuple[TileSet, str]:
    """Read the negative tiles that set the threshold, and say where they come from.

    They are those of the validation split; where it has none, those of the training split.
    """
    negative = rows[rows["kept"] & (rows["label"] == NEGATIVE)]
    for split in (Split.VALIDATION, Split.TRAIN):
        chosen = negative[negative["split"] == split]
        if len(chosen):
            limit = min(len(chosen), MAX_CALIBRATION_TILES)
            return _read(chosen.sample(limit, random_state=seed), store), str(split)
    raise TrainingError(
        "There is no negative tile to set the threshold on; label an image negative "
        "(labels.overrides, CSV image_id,label)"
    )


def _read(rows: pd.DataFrame, store: Store) -> TileSet:
    """Read tiles image by image; edges are padded white to a multiple of four pixels."""
    rows = rows.sort_values(["image_id", "row", "col"], kind="stable")
    sizes = {store.meta(image_id).tile_px for image_id in sorted(set(rows["image_id"]))}
    if len(sizes) > 1:
        raise TrainingError(
            f"The store holds tiles of {sorted(sizes)} px, expected one size; run `cacl tile` "
            "again for all images with one tiles.tile_px"
        )
    size = sizes.pop()
    padded = -(-size // MULTIPLE_PX) * MULTIPLE_PX
    pixels = np.zeros((len(rows), 4, padded, padded), np.uint8)
    pixels[:, :3] = WHITE
    place = 0
    for image_id, part in rows.groupby("image_id", sort=False):
        image, cell = store.image(str(image_id)), store.label(str(image_id), "cell")
        for row in sorted({int(row) for row in part["row"]}):
            top = max(0, row * size - MARGIN_PX)
            seen = np.asarray(image[:, top : (row + 1) * size + MARGIN_PX])
            inner = slice(row * size - top, row * size - top + size)
            marks = pixel_marks(seen, np.asarray(cell[top : top + seen.shape[1]]))[inner]
            for col in part.loc[part["row"] == row, "col"].astype(int):
                across = slice(col * size, (col + 1) * size)
                pixels[place, :3, :size, :size] = seen[:, inner, across]
                pixels[place, 3, :size, :size] = marks[:, across]
                place += 1
    return TileSet(
        pixels=torch.from_numpy(pixels),
        positive=torch.tensor((rows["label"] == POSITIVE).to_numpy(bool)),
        kept=torch.tensor(rows["kept"].to_numpy(bool)),
        image=torch.from_numpy(pd.factorize(rows["image_id"])[0]),
        fixed=torch.tensor((rows["rule"] == Rule.OVERRIDE).to_numpy(bool)),
    )


def pixel_marks(rgb: NDArray[np.uint8], cell: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 1 where DAB stands out plus 2 where there are cells: (y, x) of (3, y, x)."""
    marks: NDArray[np.uint8] = (STAINED * stands_out(rgb) + CELL * (cell > 0)).astype(np.uint8)
    return marks
