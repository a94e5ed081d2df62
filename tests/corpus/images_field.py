"""The picture in every image of the corpus, and how a case must end.

The field has three flat colours in places that tell every rotation and mirroring apart: white
background, blue tissue and, within it, brown (DAB). Its measures follow from its construction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cacl.errors import Reason

Pixels = NDArray[np.uint8]
Writer = Callable[[Path], object]

HEIGHT, WIDTH = 400, 480
TILE_PX = 80
"""Side of a tile of the corpus: a divisor of both sides, so that nothing is padded or resampled."""

WHITE, BLUE, BROWN = (244, 244, 246), (150, 140, 190), (120, 80, 50)
TISSUE = (slice(40, 360), slice(80, 440))
DAB = (slice(40, 200), slice(80, 280))
DAB_FRACTION = (160 * 200) / (320 * 360)
PATCHES: dict[str, tuple[tuple[slice, slice], tuple[int, int, int]]] = {
    "background": ((slice(370, 395), slice(10, 470)), WHITE),
    "tissue": ((slice(210, 350), slice(90, 430)), BLUE),
    "DAB": ((slice(50, 190), slice(90, 270)), BROWN),
}
"""Where the colours are, away from their borders."""


def field() -> Pixels:
    """Return the field, uint8 (400, 480, 3)."""
    pixels = np.full((HEIGHT, WIDTH, 3), WHITE, np.uint8)
    pixels[TISSUE] = BLUE
    pixels[DAB] = BROWN
    return pixels


def other_field(height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """Return another core of any size: all tissue is blue, on the other side."""
    pixels = np.full((height, width, 3), WHITE, np.uint8)
    pixels[height // 2 :, : width // 2] = BLUE
    return pixels


def label(height: int = 90, width: int = 160) -> Pixels:
    """Return the picture of a slide's label: black letters on white."""
    pixels = np.full((height, width, 3), 250, np.uint8)
    pixels[20:70:10, 10:-10] = 10
    return pixels


def ycbcr(pixels: Pixels, weights: tuple[float, float, float] = (0.299, 0.587, 0.114)) -> Pixels:
    """Return RGB as full-range YCbCr by the definition of TIFF 6.0, section 21."""
    red, green, blue = np.moveaxis(pixels.astype(float), -1, 0)
    luma = weights[0] * red + weights[1] * green + weights[2] * blue
    cb = (blue - luma) / (2 - 2 * weights[2]) + 128
    cr = (red - luma) / (2 - 2 * weights[0]) + 128
    stored: Pixels = np.rint(np.stack([luma, cb, cr], -1)).clip(0, 255).astype(np.uint8)
    return stored


@dataclass(frozen=True)
class Measured:
    """The image is measured.

    Parameters
    ----------
    mpp
        Side of a pixel in um; None if the file states none.
    tolerance
        Largest difference of a patch's mean colour from the field, in grey levels.
    """

    mpp: float | None = None
    tolerance: float = 0.5


@dataclass(frozen=True)
class Refused:
    """The image becomes a row of failures.csv with this reason and this part of the remedy."""

    reason: Reason
    remedy: str


@dataclass(frozen=True)
class Case:
    """One file of the corpus.

    Parameters
    ----------
    name
        Name of the file, with the extension that its tool gives it.
    write
        Writes the file at a path.
    end
        How it must end.
    mpp
        Value in the column mpp of the manifest.
    """

    name: str
    write: Writer
    end: Measured | Refused
    mpp: str = ""


READ = Measured()
JPEG_READ = Measured(tolerance=2.5)
"""Chroma is stored at half the resolution, and colours are rounded by quantisation."""

DAMAGED = Refused(Reason.DAMAGED, "copy or download it again")
NO_COLOUR = Refused(Reason.UNSUPPORTED_PIXELS, "export the image in colour")
SAVE_AS_RGB = Refused(Reason.UNSUPPORTED_PIXELS, "save it as 8-bit RGB")
SEVERAL = Refused(Reason.SEVERAL_IMAGES, "save each as a file of its own")
