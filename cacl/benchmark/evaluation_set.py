"""Test cores with their truth, and a sample of their tiles balanced as the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cacl import tables
from cacl.benchmark.ground_truth import STAINED_TRUTH, read_truth
from cacl.benchmark.metrics import MIN_TRUTH_PX
from cacl.errors import TrainingError
from cacl.store import Store
from cacl.tables.schemas import TileRow
from cacl.tables.selection import Split

Bool = NDArray[np.bool_]
Window = tuple[slice, slice]
SAMPLE_TILES = 200


@dataclass(frozen=True, eq=False)
class Core:
    """One test image with everything that a method or a measure needs; arrays are (y, x).

    Parameters
    ----------
    store
        Where it lies.
    image_id, antibody_id
        Which it is.
    rgb
        (3, y, x) uint8.
    cell
        Where the store says there are cells.
    truth, true_cell
        Where the pattern and the cells truly are.
    windows
        Places of its tiles with tissue.
    """

    store: Store
    image_id: str
    antibody_id: str
    rgb: NDArray[np.uint8]
    cell: Bool
    truth: Bool
    true_cell: Bool
    windows: tuple[Window, ...]


@dataclass(frozen=True, eq=False)
class Sample:
    """Tiles that the paper's measures are taken on, half of them with the pattern.

    Parameters
    ----------
    places
        Number of the core, and the tile's place in it.
    truth
        (n, y, x) bool.
    antibody
        (n,) of each tile.
    """

    places: tuple[tuple[int, Window], ...]
    truth: Bool
    antibody: NDArray[np.str_]

    def cut(self, images: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Return the sample's tiles (n, y, x) of one (y, x) array a core."""
        return np.stack([images[core][window] for core, window in self.places])


@dataclass(frozen=True, eq=False)
class Atlas:
    """Test antibodies that no training has seen."""

    name: str
    cores: tuple[Core, ...]
    sample: Sample


def read_atlas(
    name: str, tiles: Path, store: Path, truth: Path, *, seed: int, value: int = STAINED_TRUTH
) -> Atlas:
    """Read the test split of an atlas, with its truth.

    Parameters
    ----------
    name
        What the table calls it.
    tiles
        Table of `TileRow`; its test tiles that are kept.
    store
        The store.
    truth
        Folder of truth masks; see `truth.read_truth`.
    seed
        Of the sample.
    value
        What the pattern is in the truth masks.

    Raises
    ------
    TrainingError
        There is no test tile, or none with or none without the pattern.
    ConfigError
        A truth mask is missing.
    StoreError
        An image is missing.
    """
    rows = tables.read_frame([tiles], TileRow)
    rows = rows[(rows["split"] == Split.TEST) & rows["kept"]]
    if rows.empty:
        raise TrainingError(
            f"{tiles} has no tile in its test split, so there is nothing to benchmark on; a label "
            "needs at least three antibodies for one of them to be tested"
        )
    atlas = Store(store)
    cores = tuple(
        _core(atlas, truth, str(image), part, value) for image, part in rows.groupby("image_id")
    )
    return Atlas(name, cores, balanced(cores, seed))


def _core(store: Store, truth: Path, image_id: str, rows: pd.DataFrame, value: int) -> Core:
    grid = store.meta(image_id).grid
    stained, true_cell = read_truth(truth, image_id, grid, value)
    places = sorted((int(row), int(col)) for row, col in zip(rows["row"], rows["col"], strict=True))
    return Core(
        store=store,
        image_id=image_id,
        antibody_id=image_id.split("/")[0],
        rgb=np.asarray(store.image(image_id)[:], dtype=np.uint8),
        cell=np.asarray(store.label(image_id, "cell")[:]) > 0,
        truth=stained,
        true_cell=true_cell,
        windows=tuple(grid.window(row, col) for row, col in places),
    )


def balanced(cores: Sequence[Core], seed: int, most: int = SAMPLE_TILES) -> Sample:
    """Choose as many tiles with the pattern as without, from all antibodies alike.

    A tile holds the pattern if at least `MIN_TRUTH_PX` of its pixels do, and is without it if
    none does; what lies between is not chosen. Antibodies take turns, so that one with many
    tiles does not crowd out the others.

    Raises
    ------
    TrainingError
        There is no tile of one of the two kinds.
    """
    places = [(number, window) for number, core in enumerate(cores) for window in core.windows]
    frame = pd.DataFrame(
        {
            "antibody": [cores[number].antibody_id for number, _ in places],
            "truth_px": [int(cores[number].truth[window].sum()) for number, window in places],
        }
    )
    frame["luck"] = np.random.default_rng(seed).permutation(len(frame))
    frame = frame.sort_values("luck")
    kinds = [frame[frame["truth_px"] >= MIN_TRUTH_PX], frame[frame["truth_px"] == 0]]
    each = min(most // 2, *(len(kind) for kind in kinds))
    if each == 0:
        without = "the pattern" if kinds[0].empty else "cells free of the pattern"
        raise TrainingError(
            f"None of the {len(frame)} test tiles holds {without}, so methods cannot be compared; "
            "add antibodies of both labels"
        )
    chosen: list[int] = []
    for kind in kinds:
        turn = kind.groupby("antibody").cumcount().sort_values(kind="stable")
        chosen += sorted(turn.index[:each])
    kept = tuple(places[place] for place in chosen)
    return Sample(
        places=kept,
        truth=np.stack([cores[number].truth[window] for number, window in kept]),
        antibody=np.array([cores[number].antibody_id for number, _ in kept]),
    )
