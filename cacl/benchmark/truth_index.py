"""Which file of a folder holds the true mask of which image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cacl.errors import ConfigError
from cacl.image.image_files import ImageNames, list_files

MASK_SUFFIXES = (".png", ".geojson")
WHAT = "true mask"
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
    names = ImageNames.of(image_ids)
    masks: dict[str, list[Path]] = {}
    cells: dict[str, list[Path]] = {}
    unknown = []
    for name in mask_names(folder):
        suffix = PurePosixPath(name).suffix
        stem = name.removesuffix(suffix)
        path = folder / name
        if stem in names:
            masks.setdefault(names.image_of(path, stem, WHAT), []).append(path)
        elif suffix.lower() == ".png" and stem.removesuffix(CELL_MARK) in names:
            image_id = names.image_of(path, stem.removesuffix(CELL_MARK), WHAT)
            cells.setdefault(image_id, []).append(path)
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


def mask_names(folder: Path) -> list[str]:
    """Return the paths of masks relative to a folder, with `/`, at most one folder deep; sorted.

    Raises
    ------
    ConfigError
        The folder does not exist or cannot be read.
    """
    return list_files(
        folder, MASK_SUFFIXES, "benchmark.truth", "name a folder with one mask per image"
    )
