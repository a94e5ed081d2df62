"""Labels of pixels: what they can be, and those that a person drew (`labels.drawn`)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from cacl.errors import ConfigError
from cacl.image.image_files import ImageNames, drawing_names
from cacl.image.polygon_file import read_drawing
from cacl.image.tile_grid import TileGrid
from cacl.runtime.resources import raise_if_short
from cacl.store import Store
from cacl.tables.selection import LABELS, NEGATIVE, POSITIVE

UInt8 = NDArray[np.uint8]

WHAT = "drawing"
MAX_PROBLEMS = 10


class PseudoLabel(IntEnum):
    """Label of a pixel in one class, from the predictions of teachers or drawn."""

    IGNORE = 0
    NEGATIVE = 1
    POSITIVE = 2


@dataclass(frozen=True, eq=False)
class DrawnLabels:
    """The pixels that a person labelled, in the first class.

    Parameters
    ----------
    labels
        (y, x) uint8 of `PseudoLabel` in analysis pixels by image id, `IGNORE` where nothing is
        drawn; only images with at least one labelled pixel, sorted.
    contradictory_px
        Number of pixels by image id that are drawn positive and negative, and are ignored.
    ignored
        Number of objects of other classes, by class as the files name it.
    empty
        Images of the run whose drawing labels no pixel.
    unused
        Images of the run with a drawing that were not asked for.
    unknown
        Files whose names are of no image of the run, relative to the folder.
    """

    labels: Mapping[str, UInt8]
    contradictory_px: Mapping[str, int]
    ignored: Mapping[str, int]
    empty: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The SHA-256 of the labels: of what a training learns, not of the form of the files."""
        digest = hashlib.sha256()
        for image_id, labels in self.labels.items():
            digest.update(f"{image_id}\0{labels.shape}\0".encode())
            digest.update(labels.tobytes())
        return digest.hexdigest()

    def describe(self) -> dict[str, int | str]:
        """Return the entry of `model.json`: images, pixels of each class, and the digest."""
        return {
            "images": len(self.labels),
            "positive_px": self._count(PseudoLabel.POSITIVE),
            "negative_px": self._count(PseudoLabel.NEGATIVE),
            "contradictory_px": sum(self.contradictory_px.values()),
            "sha256": self.digest,
        }

    def touched_tiles(self, image_id: str, tile_px: int) -> dict[tuple[int, int], bool]:
        """Return the tiles (row, col) of an image with a label, and whether one is positive.

        Parameters
        ----------
        image_id
            An image of `labels`.
        tile_px
            Side of a tile in analysis pixels.
        """
        labels = self.labels[image_id]
        rows, cols = (side // tile_px for side in labels.shape)
        highest = labels.reshape(rows, tile_px, cols, tile_px).max(axis=(1, 3))
        return {
            (int(row), int(col)): bool(highest[row, col] == PseudoLabel.POSITIVE)
            for row, col in np.argwhere(highest)
        }

    def _count(self, label: PseudoLabel) -> int:
        return sum(int((labels == label).sum()) for labels in self.labels.values())


def read_drawn(
    folder: Path, store: Store, image_ids: Collection[str], other_ids: Collection[str] = ()
) -> DrawnLabels:
    """Read the drawings of images: polygons of the classes `positive` and `negative`, in any case.

    The drawing of the image `A/b` is `A/b.geojson` or `A_b.geojson`, in pixels of the upright
    original image; see `read_drawing`. A pixel of both classes is ignored.

    Parameters
    ----------
    folder
        The folder.
    store
        The store, which knows the sizes of the images.
    image_ids
        Images whose drawings are read.
    other_ids
        Further images of the run.

    Raises
    ------
    ConfigError
        The folder or a drawing cannot be read, a drawing exceeds its image, an image has several
        drawings, or a name with `_` for `/` is that of several images. Up to ten drawings that
        cannot be used are named, one per line.
    StoreError
        An image is missing in the store.
    """
    paths, unknown = _files_by_image(folder, {*image_ids, *other_ids})
    labels: dict[str, UInt8] = {}
    contradictory_px: dict[str, int] = {}
    ignored: Counter[str] = Counter()
    problems, empty = [], []
    for image_id in sorted(paths.keys() & set(image_ids)):
        try:
            drawn, count, others = read_labels(paths[image_id], store.meta(image_id).grid)
        except ConfigError as error:
            raise_if_short(error, f"labels.drawn: {paths[image_id]}")
            problems.append(str(error))
            continue
        ignored.update(others)
        if count:
            contradictory_px[image_id] = count
        if drawn.any():
            labels[image_id] = drawn
        else:
            empty.append(image_id)
    if problems:
        more = len(problems) - MAX_PROBLEMS
        further = [f"and {more} further drawings"] if more > 0 else []
        raise ConfigError("\n".join(problems[:MAX_PROBLEMS] + further))
    unused = tuple(sorted(paths.keys() - set(image_ids)))
    return DrawnLabels(labels, contradictory_px, ignored, tuple(empty), unused, unknown)


def read_labels(path: Path, grid: TileGrid) -> tuple[UInt8, int, Mapping[str, int]]:
    """Return the labels of a drawing, its contradictory pixels, and its objects of other classes.

    Parameters
    ----------
    path
        GeoJSON of QuPath.
    grid
        Tiles of the image.

    Returns
    -------
    Labels (y, x) of `PseudoLabel` in analysis pixels, the number of pixels of both classes, and
    the number of ignored objects by class.

    Raises
    ------
    ConfigError
        See `read_drawing`.
    """
    drawing = read_drawing(path, grid, {label: (label,) for label in LABELS})
    positive, negative = drawing.masks[POSITIVE], drawing.masks[NEGATIVE]
    labels = np.full(positive.shape, int(PseudoLabel.IGNORE), np.uint8)
    labels[positive & ~negative] = int(PseudoLabel.POSITIVE)
    labels[negative & ~positive] = int(PseudoLabel.NEGATIVE)
    return labels, int((positive & negative).sum()), drawing.ignored


def _files_by_image(folder: Path, image_ids: set[str]) -> tuple[dict[str, Path], tuple[str, ...]]:
    names, unknown = ImageNames.of(image_ids), []
    paths: dict[str, Path] = {}
    for name in drawing_names(folder):
        path, stem = folder / name, name.removesuffix(PurePosixPath(name).suffix)
        if stem not in names:
            unknown.append(name)
            continue
        image_id = names.image_of(path, stem, WHAT)
        if image_id in paths:
            raise ConfigError(
                f"The image {image_id} has several drawings, {paths[image_id]} and {path}; keep "
                "one of them"
            )
        paths[image_id] = path
    return paths, tuple(unknown)
