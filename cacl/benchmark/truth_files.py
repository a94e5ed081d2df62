"""True masks of the user: PNG files, and polygons drawn in QuPath."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cacl.benchmark.ground_truth import Bool, TrueMasks, Truth, TruthRequest
from cacl.benchmark.truth_index import MaskPaths, TruthIndex, index_truth
from cacl.errors import ConfigError, ImageError
from cacl.export.geojson import qupath_class
from cacl.image.mask_grid import at_grid
from cacl.image.polygon_file import UNCLASSIFIED, read_drawing
from cacl.image.readers.files import MAX_CORE_PX
from cacl.image.readers.mask import MaskFile, read_mask
from cacl.image.tile_grid import TileGrid
from cacl.runtime.resources import raise_if_short

log = logging.getLogger(__name__)

STAINED_CLASSES = frozenset(
    (UNCLASSIFIED, "positive", "stained", "stain", qupath_class("stain").lower())
)
"""Classes of polygons, besides the name of the target class itself; in lower case."""

SUBJECT = "True masks"
MAX_EXAMPLES = 3
MAX_PROBLEMS = 10
MAX_CLASS_CHARACTERS = 40


@dataclass
class _Counts:
    """What was found while the masks were read."""

    several_values: list[str] = field(default_factory=list)
    only_ignored: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class TruthFiles:
    """A folder of the user with one true mask per image.

    Pixels of a PNG that are not 0 are stained; see `read_mask`. Polygons of a GeoJSON file are
    stained if they have no class or one of `STAINED_CLASSES` or of the target class. The cells are
    those of `<image_id>.cell.png`, else of the second channel of the PNG, else the cell mask of the
    store; stained pixels always count as cells.

    Parameters
    ----------
    folder
        See `index_truth` for the names of its files.
    """

    folder: Path

    def read(self, request: TruthRequest) -> Truth:
        """Return the true masks of the images that have one.

        Raises
        ------
        ConfigError
            No image has a mask, a mask cannot be read or has another size than its image, or no
            mask has a stained pixel. Up to ten masks that cannot be used are named, one per line.
        StoreError
            An image is missing in the store.
        """
        index = index_truth(self.folder, {*request.image_ids, *request.other_ids})
        if index.unknown:
            log.warning(
                "benchmark: masks below %s of no labelled image of this run, which are not used: "
                "%d (%s)",
                self.folder,
                len(index.unknown),
                _examples(index.unknown),
            )
        masks, problems, counts = {}, [], _Counts()
        for image_id in request.image_ids:
            if image_id in index.images:
                try:
                    masks[image_id] = _read(image_id, index.images[image_id], request, counts)
                except (ConfigError, ImageError) as error:
                    raise_if_short(error, f"benchmark: {index.images[image_id].mask}")
                    problems.append(str(error))
        if problems:
            more = len(problems) - MAX_PROBLEMS
            further = [f"and {more} further true masks"] if more > 0 else []
            raise ConfigError("\n".join(problems[:MAX_PROBLEMS] + further))
        if not masks:
            raise self._no_mask_error(request, index)
        empty = sum(not each.stained.any() for each in masks.values())
        if empty == len(masks):
            raise ConfigError(
                f"None of the {empty} true masks of test images below {self.folder} has a stained "
                f"pixel{_classes(counts)}, so methods cannot be compared; draw the stained pixels "
                "of at least one image (in QuPath without a class, or with the class Positive)"
            )
        for what, image_ids in (
            ("with several values or colours, which all count as stained", counts.several_values),
            (
                "with polygons of other classes only, which count as negative images",
                counts.only_ignored,
            ),
        ):
            if image_ids:
                log.warning(
                    "benchmark: true masks %s: %d (%s)", what, len(image_ids), _examples(image_ids)
                )
        return Truth(masks, {SUBJECT: self._fact(request, index, empty, counts)})

    def _no_mask_error(self, request: TruthRequest, index: TruthIndex) -> ConfigError:
        others = f" and {len(index.images)} of other images" if index.images else ""
        return ConfigError(
            f"{self.folder} holds no true mask of a test image{others}; draw some for the "
            f"{len(request.image_ids)} images of antibodies that training did not see, such as "
            f"{_examples(request.image_ids)}, in files such as "
            f"{self.folder / request.image_ids[0]}.png or .geojson"
        )

    def _fact(self, request: TruthRequest, index: TruthIndex, empty: int, counts: _Counts) -> str:
        """Return how many images are evaluated, and what was left out."""
        total = len(request.image_ids)
        used = sum(image_id in index.images for image_id in request.image_ids)
        unused = len(index.images) - used
        parts = [f"{used} of {total} test images, {total - used} without a mask are left out"]
        if empty:
            parts.append(f"empty: {empty}")
        if unused:
            parts.append(f"of images that are not tested: {unused}")
        if index.unknown:
            parts.append(f"of no labelled image: {len(index.unknown)}")
        if counts.ignored:
            number = counts.ignored.total()
            parts.append(f"ignored polygons of other classes: {number}{_classes(counts)}")
        return "; ".join(parts)


def _read(image_id: str, paths: MaskPaths, request: TruthRequest, counts: _Counts) -> TrueMasks:
    store = request.store
    grid = store.meta(image_id).grid
    cell: Bool | None = None
    if paths.mask.suffix.lower() == ".png":
        file = _read_png(paths.mask, grid)
        if file.has_several_values:
            counts.several_values.append(image_id)
        stained = at_grid(file.mask, grid)
        cell = None if file.second is None else at_grid(file.second, grid)
    else:
        names = {"stained": STAINED_CLASSES | {request.target_class.lower()}}
        drawing = read_drawing(paths.mask, grid, names)
        counts.ignored.update(drawing.ignored)
        stained = drawing.masks["stained"]
        if drawing.ignored and not stained.any():
            counts.only_ignored.append(image_id)
    if paths.cell is not None:
        if cell is not None:
            raise ConfigError(
                f"{paths.mask} has a second channel, the cells, and {paths.cell} gives them too; "
                "keep one of them"
            )
        cell = at_grid(_read_png(paths.cell, grid).mask, grid)
    if cell is None:
        cell = np.asarray(store.label(image_id, "cell")[:]) > 0
    return TrueMasks(stained, cell | stained)


def _read_png(path: Path, grid: TileGrid) -> MaskFile:
    height, width = grid.source_height, grid.source_width
    if height * width > MAX_CORE_PX:
        raise ConfigError(
            f"{path} is of an image of {width} x {height} px; masks are read of images of at most "
            f"{MAX_CORE_PX:,} px: remove it, or cut the image into smaller ones"
        )
    return read_mask(path, height, width)


def _classes(counts: _Counts) -> str:
    """Return the classes of ignored polygons in brackets; empty without any."""
    names = sorted(name[:MAX_CLASS_CHARACTERS] for name in counts.ignored)
    return f" (ignored classes: {_examples(names)})" if names else ""


def _examples(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_EXAMPLES]) + (", ..." if len(names) > MAX_EXAMPLES else "")
