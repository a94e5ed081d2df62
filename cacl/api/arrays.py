"""Checks of arrays that a caller passes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cacl.errors import ConfigError, ImageError, Reason
from cacl.image.readers.source import MPP_MAX, MPP_MIN

UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]


def as_rgb(image: Any) -> UInt8:
    """Return an image as (y, x, 3) uint8.

    Raises
    ------
    ImageError
        It is no array, or has another type or shape.
    """
    array = _as_array(image, "The image")
    if array.dtype != np.uint8:
        raise ImageError(
            Reason.UNSUPPORTED_PIXELS,
            f"The image has values of type {array.dtype}, expected uint8 from 0 to 255; convert it,"
            " such as (255 * image).round().astype('uint8') for floats from 0 to 1",
        )
    if array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(
            Reason.UNSUPPORTED_PIXELS,
            f"The image has the shape {array.shape}, expected (y, x, 3) with red, green and blue; "
            + _remedy(array.shape),
        )
    if not array.size:
        raise ImageError(Reason.TOO_SMALL, f"The image is empty: its shape is {array.shape}")
    return np.ascontiguousarray(array)


def _as_array(values: Any, name: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ImageError(
            Reason.UNSUPPORTED_PIXELS, f"{name} is no array ({error}); pass one of numpy"
        ) from error


def _remedy(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] == 3:
        return "move the channels to the end: image.transpose(1, 2, 0)"
    if len(shape) == 3 and shape[2] == 4:
        return "remove the alpha channel: image[..., :3]"
    return "pass one image in colour"


def as_mask(mask: Any, name: str, shape: tuple[int, int]) -> Bool:
    """Return a mask of a shape (y, x) as bool.

    Raises
    ------
    ImageError
        It has another shape, or values that are neither boolean nor integer.
    """
    array = _as_array(mask, name)
    if array.dtype.kind not in "bui":
        raise ImageError(
            Reason.UNSUPPORTED_PIXELS,
            f"{name} has values of type {array.dtype}, expected bool or integers above 0 where "
            "the mask is",
        )
    if array.shape != shape:
        raise ImageError(
            Reason.UNSUPPORTED_PIXELS,
            f"{name} has the shape {array.shape}, expected that of the image, {shape}",
        )
    return array > 0


def check_mpp(mpp: float | None) -> None:
    """Check the size of a pixel in um; None is unknown.

    Raises
    ------
    ConfigError
        No microscope has pixels of this size.
    """
    if mpp is not None and not MPP_MIN <= mpp <= MPP_MAX:
        raise ConfigError(
            f"mpp is {mpp} um per pixel, expected {MPP_MIN} to {MPP_MAX}; cores of the Human "
            "Protein Atlas have 0.4"
        )
