"""Bit flags of each pixel that follow from the image alone; training and prediction share them."""

from __future__ import annotations

from enum import IntFlag
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cacl.image import stain, tissue_edge
from cacl.image.local_dab import FWHM_LEVEL, local_dab_mask
from cacl.stain.vectors import REFERENCE, StainVectors

EDGE_PX, CLOSING_PX = 14, 200
MAX_CORE_PX = 4096
Flags = TypeVar("Flags", bound=Any)


class PixelFlag(IntFlag):
    """What is known of a pixel."""

    LOCAL_DAB = 1  # DAB exceeds its surroundings, see `local_dab_mask`
    CELL = 2
    DAB = 4  # DAB-positive, see `stain.dab_mask`
    INTERIOR = 8  # not at the edge of a core, see `interior_mask`


DAB_FLAG = {"line": PixelFlag.LOCAL_DAB, "area": PixelFlag.DAB}


def interior_mask(cell: Any) -> NDArray[np.bool_]:
    """Return the pixels that are not at the edge of a core, (y, x) bool.

    Many antibodies stain the cut edge of a core, whatever they bind to (edge effect). An image of
    more than `MAX_CORE_PX` per side is a section and has no such edge.

    Parameters
    ----------
    cell
        (y, x) cell mask, an array or an object that can be read as one.
    """
    if max(cell.shape) > MAX_CORE_PX:
        return np.broadcast_to(np.True_, cell.shape)
    interior: NDArray[np.bool_] = (
        tissue_edge.edge_distance(np.asarray(cell[:]) > 0, CLOSING_PX) > EDGE_PX
    )
    return interior


def pixel_flags(
    rgb: NDArray[np.uint8],
    cell: NDArray[np.uint8],
    interior: NDArray[np.bool_],
    blur_sigma_px: float,
    level: float = FWHM_LEVEL,
    vectors: StainVectors = REFERENCE,
) -> NDArray[np.uint8]:
    """Return the sum of the `PixelFlag` of each pixel: (y, x) uint8.

    Parameters
    ----------
    rgb
        (3, y, x).
    cell
        (y, x) cell mask, 0 outside cells.
    interior
        (y, x) of `interior_mask`.
    blur_sigma_px, level, vectors
        See `local_dab_mask`.
    """
    flags = (
        PixelFlag.LOCAL_DAB * local_dab_mask(rgb, blur_sigma_px, level, vectors)
        + PixelFlag.CELL * (cell > 0)
        + PixelFlag.DAB * stain.dab_mask(rgb, vectors=vectors)
        + PixelFlag.INTERIOR * interior
    )
    return np.asarray(flags, dtype=np.uint8)


def candidate_mask(flags: Flags, shape: str) -> Any:
    """Return the pixels of cells that may show a class of a shape, `line` or `area`.

    `flags` is an array or tensor of `pixel_flags`; the mask is bool of its shape.
    """
    return ((flags & int(DAB_FLAG[shape])) > 0) & ((flags & int(PixelFlag.CELL)) > 0)


def edge_mask(flags: Flags) -> Any:
    """Return the pixels at the edge of a core, bool of the shape of their `pixel_flags`."""
    return (flags & int(PixelFlag.INTERIOR)) == 0
