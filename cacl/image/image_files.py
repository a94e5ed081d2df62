"""Which file of the user's folder is of which image: `<image_id><suffix>`, where / may be _."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cacl.errors import ConfigError

DRAWING_SUFFIXES = (".geojson",)


@dataclass(frozen=True)
class ImageNames:
    """The images that the name of a file, without its suffix, can mean.

    Parameters
    ----------
    images
        Images by name: the image id, and the id with `_` for `/`.
    """

    images: dict[str, set[str]]

    @classmethod
    def of(cls, image_ids: Iterable[str]) -> ImageNames:
        """Return the names of images."""
        images: dict[str, set[str]] = {}
        for image_id in image_ids:
            for name in (image_id, image_id.replace("/", "_")):
                images.setdefault(name, set()).add(image_id)
        return cls(images)

    def __contains__(self, stem: str) -> bool:
        return stem in self.images

    def image_of(self, path: Path, stem: str, what: str) -> str:
        """Return the image of a file.

        Parameters
        ----------
        path
            The file, for messages.
        stem
            Its path relative to the folder, without suffix; a known name.
        what
            What the file is, such as `true mask`.

        Raises
        ------
        ConfigError
            The name with `_` for `/` is that of several images.
        """
        if len(self.images[stem]) > 1:
            first, second, *_ = sorted(self.images[stem])
            raise ConfigError(
                f"{path} can be the {what} of {first} and of {second}; move it to "
                "<antibody_id>/<name>, with a folder for the antibody"
            )
        return next(iter(self.images[stem]))


def list_files(folder: Path, suffixes: Collection[str], key: str, remedy: str) -> list[str]:
    """Return the paths of files relative to a folder, with `/`, at most one folder deep; sorted.

    Hidden files and folders are left out.

    Parameters
    ----------
    folder
        The folder.
    suffixes
        Suffixes of the files, in lower case; a file may have them in any case.
    key
        Key of the configuration that names the folder, for messages.
    remedy
        What the user does if the folder cannot be read.

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
            f"{key}: the folder {folder} cannot be read ({error.strerror or error}); {remedy}"
        ) from error
    return sorted(name for name in names if PurePosixPath(name).suffix.lower() in suffixes)


def drawing_names(folder: Path) -> list[str]:
    """Return the paths of the drawings of `labels.drawn` relative to their folder; sorted.

    Raises
    ------
    ConfigError
        The folder does not exist or cannot be read.
    """
    return list_files(
        folder, DRAWING_SUFFIXES, "labels.drawn", "name a folder with one GeoJSON file per image"
    )
