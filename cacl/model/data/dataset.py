"""The training set: tiles as one uint8 tensor, with the pixel flags of each tile."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from cacl import tables
from cacl.config import TargetClass
from cacl.errors import ConfigError, TrainingError
from cacl.hpa.pixel_labels import DrawnLabels, PseudoLabel
from cacl.hpa.target_class import SINGLE_CLASS, class_labels_of
from cacl.image.local_dab import FWHM_LEVEL, edge_blur_sigma
from cacl.image.pixel_flags import candidate_mask, interior_mask, pixel_flags
from cacl.model.networks.autoencoder import SIZE_DIVISOR
from cacl.runtime.digest import digest_of
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.store import Store, run_vectors
from cacl.tables.schemas import TileRow
from cacl.tables.selection import NEGATIVE, POSITIVE, SelectionReason, Split

WHITE = 255
FLAGS, PSEUDO_LABELS = 3, 4  # channels of `TileDataset.pixels`
MARGIN_PX = 16
CENTRE_PX = 1024
UNSELECTED_PER_SELECTED = 1
MAX_CALIBRATION_TILES = 2000
CALIBRATION_SPLITS = (Split.VALIDATION, Split.TRAIN)


@dataclass(frozen=True, eq=False)
class TileDataset:
    """Tiles of one split.

    Parameters
    ----------
    pixels
        (n, 4, y, x) uint8: red, green, blue and `pixel_flags`. With pseudo-labels (n, 4 + k, y, x):
        one `PseudoLabel` channel for each class.
    positive, negative
        (n, k) bool: label of the tile's image in each of k classes; both False without a label.
    selected
        (n,) bool: tiles that `cacl select` selected. The others are of positive images.
    image_index
        (n,) index of the tile's image.
    manual
        (n, k) bool: tiles with a label of their own, which relabelling keeps.
    classes
        The k classes.
    drawn
        (n, y, x) uint8: `PseudoLabel` of the pixels in the first class that a person drew; None
        without any.
    stain_vectors
        Stain vectors of the tiles.
    """

    pixels: Tensor
    positive: Tensor
    negative: Tensor
    selected: Tensor
    image_index: Tensor
    manual: Tensor
    classes: tuple[TargetClass, ...]
    drawn: Tensor | None = None
    stain_vectors: StainVectors = REFERENCE

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def has_positive_pixels(self) -> Tensor:
        """(n, k) bool: tiles with a pixel whose pseudo-label is positive in each class."""
        return (self.pixels[:, PSEUDO_LABELS:] == int(PseudoLabel.POSITIVE)).flatten(2).any(2)

    def for_classes(self, class_indices: Sequence[int]) -> TileDataset:
        """Return the same tiles with the labels of some classes, in order."""
        indices = list(class_indices)
        return dataclasses.replace(
            self,
            positive=self.positive[:, indices],
            negative=self.negative[:, indices],
            manual=self.manual[:, indices],
            classes=tuple(self.classes[class_index] for class_index in indices),
            drawn=self.drawn if indices[0] == 0 else None,
        )

    def describe(self, class_index: int) -> str:
        """Return ` of the class <name>` for a message; nothing if the only class has no name."""
        if self.classes == (SINGLE_CLASS,):
            return ""
        return f" of the class {self.classes[class_index].name}"


def read_rows(path: Path) -> pd.DataFrame:
    """Return the rows of `training/tiles.parquet`.

    Raises
    ------
    TableError
        The table is missing or damaged.
    """
    return tables.read_frame([path], TileRow)


def data_digest(rows: pd.DataFrame, store: Store, drawn: DrawnLabels | None = None) -> str:
    """Return a digest of the rows, of the images that they refer to, and of drawn labels."""
    table = hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest()
    images = sorted(set(rows["image_id"]))
    labels = [] if drawn is None else [drawn.digest]
    return digest_of(table, *(store.meta(image_id).digest for image_id in images), *labels)


def class_labels(rows: pd.DataFrame, classes: Sequence[TargetClass]) -> pd.DataFrame:
    """Return the label of each row in each class, one column per class.

    Raises
    ------
    ConfigError
        The table has no labels of a class.
    """
    pairs = list(zip(rows["label"], rows["class_labels"], strict=True))
    labels: dict[tuple[str, str], tuple[str, ...]] = {
        (label, text): class_labels_of(str(label), str(text), classes) for label, text in set(pairs)
    }
    columns = [target_class.name for target_class in classes]
    return pd.DataFrame([labels[pair] for pair in pairs], index=rows.index, columns=columns)


def training_tiles(
    rows: pd.DataFrame,
    store: Store,
    seed: int,
    classes: Sequence[TargetClass] = (SINGLE_CLASS,),
    drawn: DrawnLabels | None = None,
) -> TileDataset:
    """Read the selected tiles of the training split, and unselected tiles of its positive images.

    Raises
    ------
    TrainingError
        A class has no selected tile of one label.
    StainError
        The images have different stain vectors.
    ConfigError
        The rows have no labels of a class, or tiles with drawn labels are not selected.
    """
    train = rows[rows["split"] == Split.TRAIN]
    if drawn is not None:
        _check_drawn(train, store, drawn)
    labels = class_labels(train, classes)
    selected = train[train["selected"]]
    for target_class in classes:
        for label in (POSITIVE, NEGATIVE):
            if not (labels.loc[selected.index, target_class.name] == label).any():
                suffix = f" of the class {target_class.name}" if len(classes) > 1 else ""
                raise TrainingError(
                    f"The training split has no {label} tile{suffix}, so nothing can be learned; "
                    f"label more images {label} (labels.overrides, CSV image_id,label), or single "
                    "tiles (image_id,row,col,label), or lower tiles.min_tissue_fraction"
                )
    unselected = train[~train["selected"] & (labels == POSITIVE).any(axis=1)]
    unselected = unselected[unselected["reason"] != SelectionReason.LITTLE_TISSUE]
    limit = min(len(unselected), UNSELECTED_PER_SELECTED * len(selected))
    sample = unselected.sample(limit, random_state=seed)
    return _read_tiles(pd.concat([selected, sample]), store, classes, drawn)


def _check_drawn(train: pd.DataFrame, store: Store, drawn: DrawnLabels) -> None:
    """Check that tiles with drawn labels are selected for training, as `cacl select` does."""
    selected = train[train["selected"]]
    tiles = set(zip(selected["image_id"], selected["row"], selected["col"], strict=True))
    missing = [
        image_id
        for image_id in drawn.labels
        for row, col in drawn.touched_tiles(image_id, store.meta(image_id).tile_px)
        if (image_id, row, col) not in tiles
    ]
    if missing:
        raise ConfigError(
            f"{len(missing)} tiles with drawn labels, the first of {missing[0]}, are not selected "
            "for training; run `cacl select` with the same --drawn, then train again"
        )


def count_drawn(tiles: TileDataset) -> dict[str, int]:
    """Return the number of candidate pixels of the first class that are drawn, by label.

    A training learns only from these; `drawn` is not None.
    """
    candidate = candidate_mask(tiles.pixels[:, FLAGS], tiles.classes[0].shape)
    return {
        f"{label.name.lower()}_candidate_px": int(((tiles.drawn == int(label)) & candidate).sum())
        for label in (PseudoLabel.POSITIVE, PseudoLabel.NEGATIVE)
    }


def calibration_tiles(
    rows: pd.DataFrame, store: Store, seed: int, classes: Sequence[TargetClass] = (SINGLE_CLASS,)
) -> tuple[TileDataset, str]:
    """Read the negative tiles for the calibration of thresholds; return them and their split.

    They are of the validation split; of the training split for a class without any there.

    Raises
    ------
    TrainingError
        A class has no negative tile.
    """
    rows = rows[rows["selected"]]
    labels = class_labels(rows, classes)
    samples, sources = {}, []
    for target_class in classes:
        negative = rows[labels[target_class.name] == NEGATIVE]
        by_split = {split: negative[negative["split"] == split] for split in CALIBRATION_SPLITS}
        split = next((split for split, part in by_split.items() if len(part)), None)
        if split is None:
            raise TrainingError(
                "There is no negative tile to set the threshold on; label an image negative "
                "(labels.overrides, CSV image_id,label)"
            )
        limit = min(len(by_split[split]), MAX_CALIBRATION_TILES)
        samples[target_class.name] = by_split[split].sample(limit, random_state=seed).index
        sources.append(str(split))
    union = rows[np.logical_or.reduce([rows.index.isin(index) for index in samples.values()])]
    in_order = _sorted(union)
    sampled = np.stack([in_order.index.isin(index) for index in samples.values()], axis=1)
    tiles = _read_tiles(union, store, classes)
    tiles = dataclasses.replace(tiles, negative=tiles.negative & torch.from_numpy(sampled))
    return tiles, "/".join(dict.fromkeys(sources))


def _sorted(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["image_id", "row", "col"], kind="stable")


def _read_tiles(
    rows: pd.DataFrame,
    store: Store,
    classes: Sequence[TargetClass],
    drawn: DrawnLabels | None = None,
) -> TileDataset:
    """Read tiles image by image, padded with white to a multiple of `SIZE_DIVISOR`."""
    rows = _sorted(rows)
    metas = [store.meta(image_id) for image_id in sorted(set(rows["image_id"]))]
    sizes = {meta.tile_px for meta in metas}
    if len(sizes) > 1:
        raise TrainingError(
            f"The store holds tiles of {sorted(sizes)} px, expected one size; run `cacl tile` "
            "again for all images with one tiles.tile_px"
        )
    size, vectors = sizes.pop(), run_vectors(metas)
    padded = -(-size // SIZE_DIVISOR) * SIZE_DIVISOR
    pixels = np.zeros((len(rows), 4, padded, padded), np.uint8)
    pixels[:, :3] = WHITE
    labels_drawn = np.zeros((len(rows) if drawn else 0, padded, padded), np.uint8)
    index = 0
    for image_id, of_image in rows.groupby("image_id", sort=False):
        image, cell = store.image(str(image_id)), store.label(str(image_id), "cell")
        interior, blur_sigma_px = interior_mask(cell), edge_blur_sigma(_centre(image), vectors)
        of_person = drawn.labels.get(str(image_id)) if drawn else None
        for row in sorted({int(row) for row in of_image["row"]}):
            # The row of tiles with a margin, as flags depend on the surroundings.
            top = max(0, row * size - MARGIN_PX)
            rgb = np.asarray(image[:, top : (row + 1) * size + MARGIN_PX])
            strip = slice(top, top + rgb.shape[1])
            tile_rows = slice(row * size - top, row * size - top + size)
            cells = np.asarray(cell[strip])
            flags = pixel_flags(rgb, cells, interior[strip], blur_sigma_px, FWHM_LEVEL, vectors)[
                tile_rows
            ]
            for col in of_image.loc[of_image["row"] == row, "col"].astype(int):
                tile_cols = slice(col * size, (col + 1) * size)
                pixels[index, :FLAGS, :size, :size] = rgb[:, tile_rows, tile_cols]
                pixels[index, FLAGS, :size, :size] = flags[:, tile_cols]
                if of_person is not None:
                    labels_drawn[index, :size, :size] = of_person[
                        row * size : (row + 1) * size, tile_cols
                    ]
                index += 1
    labels = class_labels(rows, classes)
    manual = np.zeros((len(rows), len(classes)), bool)
    manual[:, 0] = rows["reason"] == SelectionReason.OVERRIDE
    if drawn is not None:
        manual[:, 0] |= (labels_drawn == int(PseudoLabel.POSITIVE)).any(axis=(1, 2))
    return TileDataset(
        pixels=torch.from_numpy(pixels),
        positive=torch.tensor((labels == POSITIVE).to_numpy(bool)),
        negative=torch.tensor((labels == NEGATIVE).to_numpy(bool)),
        selected=torch.tensor(rows["selected"].to_numpy(bool)),
        image_index=torch.from_numpy(pd.factorize(rows["image_id"])[0]),
        manual=torch.from_numpy(manual),
        classes=tuple(classes),
        drawn=None if drawn is None else torch.from_numpy(labels_drawn),
        stain_vectors=vectors,
    )


def _centre(image: Any) -> NDArray[np.uint8]:
    """Return the centre of an image (3, y, x), which holds a whole core, to measure its blur."""
    _, height, width = image.shape
    rows, columns = (
        slice(max(0, (side - CENTRE_PX) // 2), (side + CENTRE_PX) // 2) for side in (height, width)
    )
    return np.asarray(image[:, rows, columns])
