"""True masks of test images: what gives them, and those of the phantom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.errors import ConfigError
from cacl.image.mask_grid import at_grid
from cacl.image.tile_grid import TileGrid
from cacl.store import Store

STAINED_VALUE = 2
Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TrueMasks:
    """The true masks of an image, (y, x) in analysis pixels.

    Parameters
    ----------
    stained
        Pixels of the target class.
    cell
        Cells, the stained ones included.
    """

    stained: Bool
    cell: Bool


@dataclass(frozen=True, eq=False)
class Truth:
    """The true masks of test images.

    Parameters
    ----------
    masks
        By image id; an image without a true mask is missing and is not evaluated.
    facts
        What the table must be read with, as text by subject.
    """

    masks: Mapping[str, TrueMasks]
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TruthRequest:
    """The images whose true masks are asked for.

    Parameters
    ----------
    image_ids
        Images of test antibodies.
    other_ids
        Further images of the run, which are not evaluated.
    store
        The store, which knows their sizes and cell masks.
    target_class
        Name of the target class.
    """

    image_ids: tuple[str, ...]
    other_ids: frozenset[str]
    store: Store
    target_class: str


class GroundTruth(Protocol):
    """A source of true masks; no other part of a run reads them."""

    def read(self, request: TruthRequest) -> Truth:
        """Return the true masks of images.

        Raises
        ------
        ConfigError
            The masks cannot be used.
        """
        ...


@dataclass(frozen=True)
class PhantomTruth:
    """The true masks of synthetic images; every test image has one.

    Parameters
    ----------
    folder
        See `read_ground_truth`.
    value
        Value of the target class in the files.
    """

    folder: Path
    value: int = STAINED_VALUE

    def read(self, request: TruthRequest) -> Truth:
        """Return the true masks of images; see `GroundTruth.read`."""
        masks = {}
        for image_id in request.image_ids:
            grid = request.store.meta(image_id).grid
            masks[image_id] = TrueMasks(*read_ground_truth(self.folder, image_id, grid, self.value))
        return Truth(masks)


def read_ground_truth(
    folder: Path, image_id: str, grid: TileGrid, value: int = STAINED_VALUE
) -> tuple[Bool, Bool]:
    """Return the phantom's true masks of the class and of the cells, (y, x) in analysis pixels.

    Parameters
    ----------
    folder
        Folder with `<antibody_id>/<name>.png`: 0 = background, 1 = cell, 2 and more = stained
        cell.
    image_id
        `<antibody_id>/<name>`.
    grid
        Tiles of the image. An analysis pixel belongs to a mask if more than half of its area does.
    value
        Value of the class in the file.

    Raises
    ------
    ConfigError
        There is no such file, or its size differs from that of the image.
    """
    path = folder / f"{image_id}.png"
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.exists() else None
    expected = (grid.source_height, grid.source_width)
    if values is None or values.shape != expected:
        actual = "no readable file" if values is None else f"{values.shape} px"
        raise ConfigError(
            f"The benchmark needs a ground truth mask of {expected} px at {path}, found {actual}; "
            "write the masks of the synthetic images again with `cacl phantom`, or name a folder "
            "of your own masks in benchmark.truth"
        )
    return at_grid(values == value, grid), at_grid(values > 0, grid)
