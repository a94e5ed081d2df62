"""Find an image file by the path that a person wrote in a manifest."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cacl.errors import ManifestError
from cacl.runtime.resources import raise_if_short

DRIVE = re.compile(r"[A-Za-z]:[\\/]")
QUOTES = (('"', '"'), ("'", "'"), ("\u201c", "\u201d"), ("\u2018", "\u2019"))


def exists(path: Path) -> bool:
    """Return whether a file or folder exists; False for a path that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError) as error:  # too long, in a folder that may not be entered, NUL
        raise_if_short(error, str(path))
        return False


def local_path(text: str, folder: Path) -> Path:
    r"""Return the path of a file on this machine; it need not exist.

    Quotes around the path are removed. `file://` URLs, `~` and `\` between folders are read as the
    path that they mean. Accented letters may be composed or decomposed (a Mac's file system
    decomposes them): the form that exists is taken.

    Parameters
    ----------
    text
        What the manifest says.
    folder
        Folder of the manifest, against which a relative path resolves.

    Raises
    ------
    ManifestError
        A path of another machine (a Windows drive, a network share), a URL, or an unknown user.
    """
    text = _without_quotes(text)
    if exists(folder / text):
        return folder / text
    plain = _plain(text)
    return next(
        (folder / each for each in _forms(plain) if exists(folder / each)),
        _by_component(folder, plain),
    )


def _without_quotes(text: str) -> str:
    for first, last in QUOTES:
        if len(text) > 2 and text.startswith(first) and text.endswith(last):
            return text[1:-1].strip()
    return text


def _plain(text: str) -> str:
    """Return the path that a URL of a file, a home folder or a Windows path means."""
    if "://" in text:
        text = _path_of_url(text)
    if DRIVE.match(text) or text.startswith("\\\\"):
        raise ManifestError(
            f"image_path is the Windows path {text[:100]!r}; write it as this machine sees the "
            "file, such as /mnt/c/images/x.jpg, or relative to the manifest"
        )
    text = text.replace("\\", "/")
    if text.startswith("~"):
        try:
            text = str(Path(text).expanduser())
        except RuntimeError as problem:
            raise ManifestError(
                f"image_path {text[:100]!r} names a home folder that this machine does not have; "
                "write the whole path"
            ) from problem
    return text


def _path_of_url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme.lower() == "file" and parts.netloc in ("", "localhost"):
        return unquote(parts.path)
    raise ManifestError(
        f"image_path is the URL {text[:100]!r}; a manifest lists files on this machine, so "
        "download the image first"
    )


def _forms(text: str) -> Iterator[str]:
    yield text
    for form in ("NFC", "NFD"):
        yield unicodedata.normalize(form, text)


def _by_component(folder: Path, text: str) -> Path:
    """Return a path each of whose folders and files has the form that exists."""
    if text.isascii():
        return folder / text
    path = folder
    for part in Path(text).parts:
        path = next((path / form for form in _forms(part) if exists(path / form)), path / part)
    return path
