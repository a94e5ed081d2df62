"""Masks in PNG files, as painting and annotation programs write them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from cacl.errors import ImageError, Reason
from cacl.image.readers import png, tiff
from cacl.image.readers.core import PILLOW_ERRORS, orientation_of
from cacl.image.readers.files import check_pixels, damaged, read_core, read_head, several_images
from cacl.image.readers.other_formats import describe

Bool = NDArray[np.bool_]
GREY, GREY_ALPHA = 0, 4
SIXTEEN_BITS = 16


@dataclass(frozen=True, eq=False)
class MaskFile:
    """A mask as its file holds it, upright.

    Parameters
    ----------
    mask
        (y, x), where the file has any colour but black, or any value but 0.
    second
        (y, x) of the second channel of a grey PNG with two channels, where it is not 0; None if
        there is none, or if it is the same everywhere, which makes it an opacity.
    has_several_values
        Whether the pixels of the mask differ in value or colour.
    """

    mask: Bool
    second: Bool | None
    has_several_values: bool


def read_mask(path: Path, height: int, width: int) -> MaskFile:
    """Read a mask from a PNG of any colour type.

    Transparent pixels of a palette or colour PNG are background.

    Parameters
    ----------
    path
        The file.
    height, width
        Size of the upright image that the mask belongs to.

    Raises
    ------
    ImageError
        The file cannot be read, is no PNG or another size, is damaged, or has 16 bits a channel and
        several channels.
    """
    head = read_head(path)
    if not head.startswith(png.MAGIC):
        content = describe(head)[0]
        raise ImageError(
            Reason.NOT_AN_IMAGE, f"{path} is {content}; expected a mask in PNG: save it as PNG"
        )
    data = read_core(path)
    try:
        stored_width, stored_height, bits, colours = png.HEADER.unpack_from(data)
        if stored_height * stored_width != height * width:
            raise _wrong_size(path, (stored_height, stored_width), (height, width))
        check_pixels(path, height, width)
        if bits == SIXTEEN_BITS and colours != GREY:
            raise ImageError(
                Reason.UNSUPPORTED_PIXELS,
                f"{path} has several channels of 16 bits, of which small values would be lost; "
                "save the mask in grey, or with 8 bits a channel",
            )
        if (frames := png.frame_count(data)) > 1:
            raise several_images(path, f"{frames} frames of an animation")
        with PngImagePlugin.PngImageFile(io.BytesIO(png.relevant_bytes(data))) as image:
            image.load()
            values, second = _values(image)
            orientation = orientation_of(image)
    except PILLOW_ERRORS as error:
        raise damaged(path, error) from error
    values = tiff.upright(values, orientation)
    if values.shape != (height, width):
        raise _wrong_size(path, values.shape, (height, width))
    mask = values > 0
    lowest = values.min(where=mask, initial=np.iinfo(values.dtype).max)
    return MaskFile(
        mask,
        None if second is None else tiff.upright(second, orientation),
        bool(values.max(initial=0) > lowest),
    )


def _wrong_size(path: Path, found: tuple[int, ...], expected: tuple[int, int]) -> ImageError:
    (height, width), (expected_height, expected_width) = found, expected
    return ImageError(
        Reason.DAMAGED,
        f"{path} has {width} x {height} px, but its image has {expected_width} x {expected_height} "
        "px; draw the mask on the original image at full resolution, upright",
    )


def _values(image: Image.Image) -> tuple[NDArray[np.uint32], Bool | None]:
    """Return one number per pixel, 0 for the background, and the second channel of grey pixels."""
    if image.mode == "LA":
        grey, alpha = np.moveaxis(np.asarray(image), -1, 0)
        varies = alpha.min() != alpha.max()
        return grey.astype(np.uint32), alpha > 0 if varies else None
    if image.mode in ("1", "L", "I", "I;16") and not image.has_transparency_data:
        return np.asarray(image).astype(np.uint32), None
    rgba = np.asarray(image.convert("RGBA"))
    values = rgba[..., 0].astype(np.uint32)
    for channel in (1, 2):
        values = values << 8 | rgba[..., channel]
    return np.where(rgba[..., 3] > 0, values, 0).astype(np.uint32), None
