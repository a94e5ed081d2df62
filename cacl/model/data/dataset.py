"""The training set: tiles as one uint8 tensor, with what the image alone says of each pixel."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from cacl import tables
from cacl.config import TargetClass
from cacl.errors import TrainingError
from cacl.hpa.target_class import SINGLE_CLASS, class_labels_of
from cacl.image import stain, tissue_edge
from cacl.image.local_dab import FWHM_LEVEL, edge_blur_sigma, local_dab_mask
from cacl.model.data.selection import NEGATIVE, POSITIVE, SelectionReason, Split
from cacl.model.networks.autoencoder import SIZE_DIVISOR
from cacl.runtime.digest import digest_of
from cacl.store import Store
from cacl.tables.schemas import TileRow

WHITE = 255
STAINED, CELL, BROWN, INNER = 1, 2, 4, 8
UNKNOWN, LACKS, SHOWS = 0, 1, 2
MARK_OF_SHAPE = {"line": STAINED, "area": BROWN}
Marks = TypeVar("Marks", Tensor, NDArray[np.uint8])
MARGIN_PX = 16
RIM_PX, GAP_PX = 14, 200
LARGEST_CORE_PX = 4096
CORE_PX = 1024
CANDIDATES_PER_TILE = 1
MAX_CALIBRATION_TILES = 2000
CALIBRATING = (Split.VALIDATION, Split.TRAIN)


@dataclass(frozen=True, eq=False)
class TileDataset:
    """Tiles of one split.

    Parameters
    ----------
    pixels
        (n, 4, y, x) uint8: red, green, blue, and the sum of `pixel_flags`; once a first model has
        said what it is sure of, one more layer for each class, see `teach`.
    positive, negative
        (n, k) bool, from the image's label in each of k classes; neither where it has none.
    kept
        (n,) bool, whether `select` chose the tile; the others are candidates.
    image
        (n,) number of the tile's image.
    fixed
        (n, k) bool, whether somebody labelled this very tile, so that no rule may drop it.
    patterns
        The k classes.
    """

    pixels: Tensor
    positive: Tensor
    negative: Tensor
    kept: Tensor
    image: Tensor
    fixed: Tensor
    classes: tuple[TargetClass, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def shown(self) -> Tensor:
        """(n, k) bool: the tiles that surely show each class somewhere."""
        return (self.pixels[:, 4:] == SHOWS).flatten(2).any(2)

    def only(self, classes: Sequence[int]) -> TileDataset:
        """Return the same tiles with the labels of some classes, by their places."""
        chosen = list(classes)
        return dataclasses.replace(
            self,
            positive=self.positive[:, chosen],
            negative=self.negative[:, chosen],
            fixed=self.fixed[:, chosen],
            classes=tuple(self.classes[place] for place in chosen),
        )

    def of_class(self, place: int) -> str:
        """Return ` of the class <name>` for a message, or nothing if classes have no names."""
        return (
            "" if self.classes == (SINGLE_CLASS,) else f" of the class {self.classes[place].name}"
        )


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


def class_labels(rows: pd.DataFrame, classes: Sequence[TargetClass]) -> pd.DataFrame:
    """Return the label of each row in each class, one column a class.

    Raises
    ------
    ConfigError
        The table has no such class.
    """
    said: dict[tuple[str, str], tuple[str, ...]] = {
        (label, text): class_labels_of(str(label), str(text), classes)
        for label, text in set(zip(rows["label"], rows["class_labels"], strict=True))
    }
    found = [said[pair] for pair in zip(rows["label"], rows["class_labels"], strict=True)]
    return pd.DataFrame(found, index=rows.index, columns=[one.name for one in classes])


def training_tiles(
    rows: pd.DataFrame, store: Store, seed: int, classes: Sequence[TargetClass] = (SINGLE_CLASS,)
) -> TileDataset:
    """Read the kept tiles of the training split, and the candidates of its positive images.

    Raises
    ------
    TrainingError
        One of the labels of one of the classes has no tile.
    ConfigError
        The rows have no such class.
    """
    train = rows[rows["split"] == Split.TRAIN]
    labels = class_labels(train, classes)
    kept = train[train["selected"]]
    for target_class in classes:
        for label in (POSITIVE, NEGATIVE):
            if not (labels.loc[kept.index, target_class.name] == label).any():
                of_class = f" of the class {target_class.name}" if len(classes) > 1 else ""
                raise TrainingError(
                    f"The training split has no {label} tile{of_class}, so nothing can be learned; "
                    f"label more images {label} (labels.overrides, CSV image_id,label), or single "
                    "tiles (image_id,row,col,label), or lower tiles.min_tissue_fraction"
                )
    left_out = train[~train["selected"] & (labels == POSITIVE).any(axis=1)]
    left_out = left_out[left_out["reason"] != SelectionReason.LITTLE_TISSUE]
    limit = min(len(left_out), CANDIDATES_PER_TILE * len(kept))
    candidates = left_out.sample(limit, random_state=seed)
    return _read(pd.concat([kept, candidates]), store, classes)


def calibration_tiles(
    rows: pd.DataFrame, store: Store, seed: int, classes: Sequence[TargetClass] = (SINGLE_CLASS,)
) -> tuple[TileDataset, str]:
    """Read the negative tiles that set each class's threshold, and say where they come from.

    They are those of the validation split; where it has none, those of the training split.
    """
    rows = rows[rows["selected"]]
    labels = class_labels(rows, classes)
    chosen, sources = {}, []
    for target_class in classes:
        negative = rows[labels[target_class.name] == NEGATIVE]
        parts = {split: negative[negative["split"] == split] for split in CALIBRATING}
        split = next((split for split, part in parts.items() if len(part)), None)
        if split is None:
            raise TrainingError(
                "There is no negative tile to set the threshold on; label an image negative "
                "(labels.overrides, CSV image_id,label)"
            )
        limit = min(len(parts[split]), MAX_CALIBRATION_TILES)
        chosen[target_class.name] = parts[split].sample(limit, random_state=seed).index
        sources.append(str(split))
    union = rows[np.logical_or.reduce([rows.index.isin(index) for index in chosen.values()])]
    in_order = _sorted(union)
    used = np.stack([in_order.index.isin(index) for index in chosen.values()], axis=1)
    tiles = _read(union, store, classes)
    tiles = dataclasses.replace(tiles, negative=tiles.negative & torch.from_numpy(used))
    return tiles, "/".join(dict.fromkeys(sources))


def _sorted(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["image_id", "row", "col"], kind="stable")


def _read(rows: pd.DataFrame, store: Store, classes: Sequence[TargetClass]) -> TileDataset:
    """Read tiles image by image; edges are padded white to a multiple of `SIZE_DIVISOR`."""
    rows = _sorted(rows)
    sizes = {store.meta(image_id).tile_px for image_id in sorted(set(rows["image_id"]))}
    if len(sizes) > 1:
        raise TrainingError(
            f"The store holds tiles of {sorted(sizes)} px, expected one size; run `cacl tile` "
            "again for all images with one tiles.tile_px"
        )
    size = sizes.pop()
    padded = -(-size // SIZE_DIVISOR) * SIZE_DIVISOR
    pixels = np.zeros((len(rows), 4, padded, padded), np.uint8)
    pixels[:, :3] = WHITE
    place = 0
    for image_id, part in rows.groupby("image_id", sort=False):
        image, cell = store.image(str(image_id)), store.label(str(image_id), "cell")
        inner, softness_px = interior_mask(cell), edge_blur_sigma(_middle(image))
        for row in sorted({int(row) for row in part["row"]}):
            top = max(0, row * size - MARGIN_PX)
            seen = np.asarray(image[:, top : (row + 1) * size + MARGIN_PX])
            part_of = slice(top, top + seen.shape[1])
            own = slice(row * size - top, row * size - top + size)
            cells = np.asarray(cell[part_of])
            marks = pixel_flags(seen, cells, inner[part_of], softness_px)[own]
            for col in part.loc[part["row"] == row, "col"].astype(int):
                across = slice(col * size, (col + 1) * size)
                pixels[place, :3, :size, :size] = seen[:, own, across]
                pixels[place, 3, :size, :size] = marks[:, across]
                place += 1
    labels = class_labels(rows, classes)
    fixed = np.zeros((len(rows), len(classes)), bool)
    fixed[:, 0] = rows["reason"] == SelectionReason.OVERRIDE
    return TileDataset(
        pixels=torch.from_numpy(pixels),
        positive=torch.tensor((labels == POSITIVE).to_numpy(bool)),
        negative=torch.tensor((labels == NEGATIVE).to_numpy(bool)),
        kept=torch.tensor(rows["selected"].to_numpy(bool)),
        image=torch.from_numpy(pd.factorize(rows["image_id"])[0]),
        fixed=torch.from_numpy(fixed),
        classes=tuple(classes),
    )


def _middle(image: Any) -> NDArray[np.uint8]:
    """Return the middle of an image (3, y, x), all of a core, to see how sharp it is."""
    _, height, width = image.shape
    rows, columns = (
        slice(max(0, (side - CORE_PX) // 2), (side + CORE_PX) // 2) for side in (height, width)
    )
    return np.asarray(image[:, rows, columns])


def interior_mask(cell: Any) -> NDArray[np.bool_]:
    """Return what is not a core's rim, (y, x) bool.

    Where a core was cut, many antibodies leave a line (edge effect), whatever they bind to. An
    image of more than `LARGEST_CORE_PX` a side is a section and has no such rim.

    Parameters
    ----------
    cell
        (y, x) mask, an array or what can be read as one.
    """
    if max(cell.shape) > LARGEST_CORE_PX:
        return np.broadcast_to(np.True_, cell.shape)
    inner: NDArray[np.bool_] = tissue_edge.edge_distance(np.asarray(cell[:]) > 0, GAP_PX) > RIM_PX
    return inner


def pixel_flags(
    rgb: NDArray[np.uint8],
    cell: NDArray[np.uint8],
    inner: NDArray[np.bool_],
    softness_px: float,
    height: float = FWHM_LEVEL,
) -> NDArray[np.uint8]:
    """Return the sum of what the image alone says of each pixel: (y, x) of (3, y, x).

    1 where DAB stands out, see `local_dab_mask`, 2 where there are cells, 4 where it is DAB-positive, 8
    where it is not a core's rim.
    """
    marks = (
        STAINED * local_dab_mask(rgb, softness_px, height)
        + CELL * (cell > 0)
        + BROWN * stain.dab_mask(rgb)
    )
    return np.asarray(marks + INNER * inner, dtype=np.uint8)


def candidate_mask(marks: Marks, target_class: TargetClass) -> Any:
    """Return where a cell may show a pattern, bool of the shape of its `pixel_flags`."""
    return ((marks & MARK_OF_SHAPE[target_class.shape]) > 0) & ((marks & CELL) > 0)


def on_rim(marks: Marks) -> Any:
    """Return where a core's rim is, bool of the shape of its `pixel_flags`."""
    return (marks & INNER) == 0
