"""Exceptions of a run, and reason codes for the failure of a single image."""

from __future__ import annotations

from enum import StrEnum

MAX_MESSAGE = 2000
"""Longest message of the failure of an image, in characters; the remedy at its end stays."""


class CaclError(Exception):
    """A run cannot continue; the message says what happened, where, and how to fix it."""


class ConfigError(CaclError):
    """An option or a configuration key is unknown, has a wrong type or is out of range."""


class ManifestError(CaclError):
    """A manifest cannot be read as a table of images."""


class DearrayError(CaclError):
    """No array of cores is found on a slide, or its map or grid does not fit to it."""


class CatalogError(CaclError):
    """The annotation of the Human Protein Atlas cannot be converted to a catalog."""


class TableError(CaclError):
    """A table is missing, damaged, or was written by another version of this software."""


class StoreError(CaclError):
    """An OME-Zarr store is damaged or was written by another version of this software."""


class StainError(CaclError):
    """The stain vectors of a run cannot be estimated, or its images have different ones."""


class TrainingError(CaclError):
    """The labelled tiles cannot train a model, or training has diverged."""


class CheckpointError(CaclError):
    """A model folder is missing, damaged, or has another architecture or version."""


class StoppedError(CaclError):
    """A run was stopped by a signal after it saved its state; the next run continues from there."""


class ClusterError(CaclError):
    """A dask scheduler, or the cluster of a profile, is not usable."""


class DiskError(CaclError):
    """A full or read-only disk prevented images from being written; the step must run again."""


class ResourceError(CaclError):
    """Memory, file handles, threads or the network were short; the step must run again."""


class LockedError(CaclError):
    """A process uses the run's folder, so that its lock cannot be removed."""


class StrictError(CaclError):
    """Some images failed and `--strict` is set."""


class Reason(StrEnum):
    """Why an image is missing from a census; the docstring of a member explains it."""

    def __new__(cls, code: str, doc: str) -> Reason:
        """Create a member from its code and its docstring."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.__doc__ = doc
        return member

    UNKNOWN_NAME = "unknown_name", "The source has no gene or antibody of this name."
    BAD_ANNOTATION = "bad_annotation", "The annotation file is truncated, damaged or unsafe."
    NOT_FOUND = "not_found", "The source has no such file: HTTP 404 or 410, or no file at the path."
    REFUSED = "refused", "The host refuses the file: HTTP 401, 403 or another client error."
    UNREACHABLE = "unreachable", "The host gave no valid response within the allowed retries."
    POSTPONED = "postponed", "The time limit for requests was reached; the next run continues."
    UNSAFE_URL = "unsafe_url", "The URL is outside the hosts or the folder that this run may read."
    UNSAFE_ID = "unsafe_id", "The antibody or image id is not valid as a file name."
    NOT_AN_IMAGE = "not_an_image", "The file is no image: empty, text, HTML, or another format."
    DAMAGED = "damaged", "The image is truncated or cannot be decoded."
    CHANGED = "changed", "The file differs from the one that was acquired: its digest differs."
    TOO_LARGE = (
        "too_large",
        "More bytes or pixels than can be read at once; a pyramidal TIFF may be larger.",
    )
    TOO_SMALL = "too_small", "The image is smaller than one tile."
    OUTSIDE_IMAGE = "outside_image", "The region of the manifest reaches beyond its image."
    SEVERAL_IMAGES = (
        "several_images",
        "The file contains several images of full resolution; it is open which one is meant.",
    )
    UNSUPPORTED_PIXELS = "unsupported_pixels", "Not 8-bit colour: grey, CMYK, 16-bit or float."
    NO_TISSUE = "no_tissue", "No tile contains enough tissue to be measured."
    UNEXPECTED = "unexpected", "An error without a code of its own; the log has its traceback."

    @property
    def is_temporary(self) -> bool:
        """Whether the failure can pass although configuration and image stay as they are.

        The next run tries such an image again. An image that failed for good is read again only
        when its file changes.
        """
        return self not in _FOR_GOOD


_FOR_GOOD = frozenset(
    (
        Reason.UNKNOWN_NAME,
        Reason.UNSAFE_URL,
        Reason.UNSAFE_ID,
        Reason.TOO_LARGE,
        Reason.TOO_SMALL,
        Reason.OUTSIDE_IMAGE,
        Reason.SEVERAL_IMAGES,
        Reason.UNSUPPORTED_PIXELS,
        Reason.NO_TISSUE,
    )
)


class ImageError(CaclError):
    """One image cannot be used; a step writes it as a row of `failures.csv`.

    Parameters
    ----------
    reason
        Code for the table.
    message
        One sentence: what happened, expected and got, how to fix it.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(_shortened(message))
        self.reason = reason


def _shortened(message: str) -> str:
    """Return a message for a table; a host may send a status line of 64 KB, which is quoted."""
    if len(message) <= MAX_MESSAGE:
        return message
    return f"{message[: MAX_MESSAGE - 400]} ... {message[-300:]}"
