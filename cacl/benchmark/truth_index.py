"""Which file of a folder holds the true mask of which image."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cacl.errors import ConfigError

MASK_SUFFIXES = (".png", ".geojson")
CELL_MARK = ".cell"
"""Ends the name of a PNG of cells: `<image_id>.cell.png`."""


@dataclass(frozen=True)
class MaskPaths:
    """The files of an image.

    Parameters
    ----------
    mask
        PNG or GeoJSON of the stained pixels.
    cell
        PNG of the cells, if there is one.
    """

    mask: Path
    cell: Path | None = None


@dataclass(frozen=True)
class TruthIndex:
    """The files of a folder by image.

    Parameters
    ----------
    images
        Files of the images that have a mask.
    unknown
        Files whose names are of no image, relative to the folder.
    """

    images: dict[str, MaskPaths]
    unknown: tuple[str, ...]


def index_truth(folder: Path, image_ids: Iterable[str]) -> TruthIndex:
    """Return the files of true masks by image.

    The mask of the image `A/b` is one of `A/b.png`, `A/b.geojson`, `A_b.png` and `A_b.geojson`, and
    its cells are `A/b.cell.png` or `A_b.cell.png`. Files of other suffixes, hidden ones and those
    of deeper folders are not looked at.

    Parameters
    ----------
    folder
        The folder.
    image_ids
        Images of the run.

    Raises
    ------
    ConfigError
        The folder does not exist or cannot be read, an image has several masks, or a name with `_`
        for `/` is that of several images.
    """
    by_name: dict[str, set[str]] = {}
    for image_id in image_ids:
        for name in (image_id, image_id.replace("/", "_")):
            by_name.setdefault(name, set()).add(image_id)
    masks: dict[str, list[Path]] = {}
    cells: dict[str, list[Path]] = {}
    unknown = []
    for name in mask_names(folder):
        suffix = PurePosixPath(name).suffix
        stem = name.removesuffix(suffix)
        if stem in by_name:
            masks.setdefault(_image_of(folder / name, by_name[stem]), []).append(folder / name)
        elif suffix.lower() == ".png" and stem.removesuffix(CELL_MARK) in by_name:
            image_id = _image_of(folder / name, by_name[stem.removesuffix(CELL_MARK)])
            cells.setdefault(image_id, []).append(folder / name)
        else:
            unknown.append(name)
    for of_kind in (masks, cells):
        for image_id, paths in of_kind.items():
            if len(paths) > 1:
                raise ConfigError(
                    f"The image {image_id} has several true masks of one kind, {paths[0]} and "
                    f"{paths[1]}; keep one of them"
                )
    for image_id in cells.keys() - masks.keys():
        unknown += [path.relative_to(folder).as_posix() for path in cells[image_id]]
    images = {
        image_id: MaskPaths(path, *cells.get(image_id, [])) for image_id, (path,) in masks.items()
    }
    return TruthIndex(images, tuple(sorted(unknown)))


def _image_of(path: Path, image_ids: set[str]) -> str:
    if len(image_ids) > 1:
        first, second, *_ = sorted(image_ids)
        raise ConfigError(
            f"{path} can be the true mask of {first} and of {second}; move it to "
            "<antibody_id>/<name>, with a folder for the antibody"
        )
    return next(iter(image_ids))


def mask_names(folder: Path) -> list[str]:
    """Return the paths of masks relative to a folder, with `/`, at most one folder deep; sorted.

    Raises
    ------
    ConfigError
        The folder does not exist or cannot be read.
    """
    names = []
    try:
        for entry in os.scandir(folder):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                inner = (f"{entry.name}/{each.name}" for each in os.scandir(entry.path))
                names += [name for name in inner if "/." not in name]
            else:
                names.append(entry.name)
    except OSError as error:
        raise ConfigError(
            f"benchmark.truth: the folder {folder} cannot be read ({error.strerror or error}); "
            "name a folder with one mask per image"
        ) from error
    return sorted(name for name in names if PurePosixPath(name).suffix.lower() in MASK_SUFFIXES)
