"""Test images with ground truth, and a balanced sample of their tiles as in the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cacl import tables
from cacl.benchmark.ground_truth import GroundTruth, PhantomTruth, TrueMasks, TruthRequest
from cacl.benchmark.metrics import MIN_POSITIVE_PX
from cacl.errors import TrainingError
from cacl.hpa.target_class import SINGLE_CLASS
from cacl.store import Store
from cacl.tables.schemas import TileRow
from cacl.tables.selection import Split

Bool = NDArray[np.bool_]
Window = tuple[slice, slice]

OWN_SET = "test split"
EXTERNAL_TILES, EXTERNAL_STORE, EXTERNAL_TRUTH = "tiles.parquet", "atlas.zarr", "truth"
SAMPLE_TILES = 200


@dataclass(frozen=True)
class EvaluationSource:
    """The files of an evaluation set.

    Parameters
    ----------
    name
        Name in the table.
    tiles
        Table of `TileRow`; its selected tiles of the test split are used.
    store
        The OME-Zarr store.
    ground_truth
        What gives the true masks.
    """

    name: str
    tiles: Path
    store: Path
    ground_truth: GroundTruth

    @classmethod
    def external(cls, folder: Path) -> EvaluationSource:
        """Return the files of a synthetic external set, named as its folder."""
        truth = PhantomTruth(folder / EXTERNAL_TRUTH)
        return cls(folder.name, folder / EXTERNAL_TILES, folder / EXTERNAL_STORE, truth)


@dataclass(frozen=True, eq=False)
class EvaluationImage:
    """One test image with all data that a method or a metric needs; arrays are (y, x).

    Parameters
    ----------
    store
        The store of the image.
    image_id, antibody_id
        Identifiers.
    rgb
        (3, y, x) uint8.
    cell
        Cell mask of the store.
    ground_truth, true_cell
        True masks of the class and of the cells.
    windows
        Position of each tile with tissue.
    """

    store: Store
    image_id: str
    antibody_id: str
    rgb: NDArray[np.uint8]
    cell: Bool
    ground_truth: Bool
    true_cell: Bool
    windows: tuple[Window, ...]


@dataclass(frozen=True, eq=False)
class TileSample:
    """The tiles of the paper's metrics, half of them positive.

    Parameters
    ----------
    positions
        Index of the image and window of each tile.
    ground_truth
        (n, y, x) bool.
    antibody_ids
        Antibody of each tile, (n,).
    """

    positions: tuple[tuple[int, Window], ...]
    ground_truth: Bool
    antibody_ids: NDArray[np.str_]

    def crop(self, arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Return the sample's tiles (n, y, x) of one array (y, x) per image."""
        return np.stack([arrays[index][window] for index, window in self.positions])


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """Images of test antibodies, and the sample of their tiles.

    Parameters
    ----------
    name
        Name in the table.
    images
        Images with true masks.
    sample
        Tiles of the images.
    facts
        What the table must be read with, as text by subject.
    """

    name: str
    images: tuple[EvaluationImage, ...]
    sample: TileSample
    facts: Mapping[str, str] = field(default_factory=dict)


def read_evaluation_set(
    source: EvaluationSource, *, seed: int, target_class: str = SINGLE_CLASS.name
) -> EvaluationSet:
    """Read the test split of a store with its ground truth; images without any are left out.

    Parameters
    ----------
    source
        The files.
    seed
        Seed of the sample.
    target_class
        Name of the target class.

    Raises
    ------
    TrainingError
        There is no test tile, or no positive or no negative one.
    ConfigError
        The true masks cannot be used.
    StoreError
        An image is missing.
    """
    all_rows = tables.read_frame([source.tiles], TileRow)
    rows = all_rows[(all_rows["split"] == Split.TEST) & all_rows["selected"]]
    if rows.empty:
        raise TrainingError(
            f"{source.tiles} has no tile in its test split, so there is nothing to evaluate; a "
            "label needs at least three antibodies for one of them to be in the test split"
        )
    store = Store(source.store)
    image_ids = tuple(sorted(map(str, rows["image_id"].unique())))
    other_ids = frozenset(map(str, all_rows["image_id"].unique())) - {*image_ids}
    truth = source.ground_truth.read(TruthRequest(image_ids, other_ids, store, target_class))
    images = tuple(
        _read_image(store, str(image_id), group, truth.masks[str(image_id)])
        for image_id, group in rows.groupby("image_id")
        if image_id in truth.masks
    )
    return EvaluationSet(source.name, images, sample_balanced_tiles(images, seed), truth.facts)


def _read_image(
    store: Store, image_id: str, rows: pd.DataFrame, true_masks: TrueMasks
) -> EvaluationImage:
    grid = store.meta(image_id).grid
    tiles = sorted((int(row), int(col)) for row, col in zip(rows["row"], rows["col"], strict=True))
    return EvaluationImage(
        store=store,
        image_id=image_id,
        antibody_id=image_id.split("/")[0],
        rgb=np.asarray(store.image(image_id)[:], dtype=np.uint8),
        cell=np.asarray(store.label(image_id, "cell")[:]) > 0,
        ground_truth=true_masks.stained,
        true_cell=true_masks.cell,
        windows=tuple(grid.window(row, col) for row, col in tiles),
    )


def sample_balanced_tiles(
    images: Sequence[EvaluationImage], seed: int, max_tiles: int = SAMPLE_TILES
) -> TileSample:
    """Sample equally many positive and negative tiles, evenly over the antibodies.

    A tile is positive if at least `MIN_POSITIVE_PX` of its pixels belong to the class, and
    negative if none does; other tiles are not sampled. Tiles are drawn from the antibodies in
    turn, so that an antibody with many tiles does not dominate the sample.

    Raises
    ------
    TrainingError
        There is no positive or no negative tile.
    """
    positions = [(index, window) for index, image in enumerate(images) for window in image.windows]
    frame = pd.DataFrame(
        {
            "antibody": [images[index].antibody_id for index, _ in positions],
            "true_px": [
                int(images[index].ground_truth[window].sum()) for index, window in positions
            ],
        }
    )
    frame["order"] = np.random.default_rng(seed).permutation(len(frame))
    frame = frame.sort_values("order")
    positive, negative = frame[frame["true_px"] >= MIN_POSITIVE_PX], frame[frame["true_px"] == 0]
    n_per_label = min(max_tiles // 2, len(positive), len(negative))
    if n_per_label == 0:
        label = "positive" if positive.empty else "negative"
        raise TrainingError(
            f"None of the {len(frame)} test tiles is {label}, so methods cannot be compared; add "
            "antibodies of both labels, or true masks of both"
        )
    sampled: list[int] = []
    for group in (positive, negative):
        turn = group.groupby("antibody").cumcount().sort_values(kind="stable")
        sampled += sorted(turn.index[:n_per_label])
    sample = tuple(positions[index] for index in sampled)
    return TileSample(
        positions=sample,
        ground_truth=np.stack([images[index].ground_truth[window] for index, window in sample]),
        antibody_ids=np.array([images[index].antibody_id for index, _ in sample]),
    )
