"""What can go wrong: exception classes for a run, reason codes for a single image."""

from __future__ import annotations

from enum import StrEnum


class CaclError(Exception):
    """A run cannot go on; the message says what happened, where, and how to mend it."""


class ConfigError(CaclError):
    """An option or a config key has no meaning, a wrong type, or a value out of range."""


class ManifestError(CaclError):
    """A user's manifest cannot be read as a table of images."""


class CatalogError(CaclError):
    """The atlas's annotation cannot be turned into a catalog."""


class TableError(CaclError):
    """A table is missing, damaged, or was written by another version of this software."""


class StoreError(CaclError):
    """An OME-Zarr store is damaged or was written by another version of this software."""


class TrainingError(CaclError):
    """The labelled tiles cannot train a model, or training has diverged."""


class CheckpointError(CaclError):
    """A model folder is missing, damaged, or of another architecture or version."""


class StoppedError(CaclError):
    """A run was asked to stop, has saved where it was, and goes on from there when run again."""


class ClusterError(CaclError):
    """A dask scheduler, or a cluster that a profile names, cannot do what it is asked for."""


class DiskError(CaclError):
    """Images could not be written, which is no fault of theirs: the step has to run again."""


class StrictError(CaclError):
    """Some images failed and the caller asked for none to (`--strict`)."""


class Reason(StrEnum):
    """Why one image is missing from a census; each member's docstring says what it means."""

    def __new__(cls, code: str, doc: str) -> Reason:
        """Make a member from its code and its docstring."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.__doc__ = doc
        return member

    UNKNOWN_NAME = "unknown_name", "The source has no gene or antibody of this name."
    BAD_ANNOTATION = "bad_annotation", "The atlas's annotation is cut short, damaged or unsafe."
    NOT_FOUND = "not_found", "The source has no such file: HTTP 404 or 410, or no file at the path."
    REFUSED = "refused", "The host refuses the file: HTTP 401, 403 or another client error."
    UNREACHABLE = "unreachable", "The host gave no usable answer within the retries allowed."
    POSTPONED = "postponed", "The time for asking the host was over; the next run goes on."
    UNSAFE_URL = "unsafe_url", "The URL leaves the hosts or the folder that this run may read."
    UNSAFE_ID = "unsafe_id", "An antibody or image id that cannot be a file name."
    NOT_AN_IMAGE = "not_an_image", "The bytes are no image: empty, text, HTML, or another format."
    DAMAGED = "damaged", "An image whose bytes are cut short or cannot be decoded."
    CHANGED = "changed", "The file is not the one that was acquired: its digest differs."
    TOO_LARGE = "too_large", "More bytes or pixels than may be read at once; a pyramidal TIFF may."
    TOO_SMALL = "too_small", "The image is smaller than one tile."
    UNSUPPORTED_PIXELS = "unsupported_pixels", "Not 8-bit colour: grey, CMYK, 16-bit or float."
    NO_TISSUE = "no_tissue", "No tile holds enough tissue to be measured."
    UNWRITABLE = "unwritable", "The product could not be written: disk full or no permission."
    UNEXPECTED = "unexpected", "An error without a code of its own; the log holds its traceback."


class ImageError(CaclError):
    """One image cannot be used; a step turns it into a row of `failures.csv`.

    Parameters
    ----------
    reason
        The code for the table.
    message
        One sentence: what happened, expected and got, how to mend it.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
