"""Cores to measure on: the real ones beside the checkout, or a tissue tile that is repeated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from skimage.data import immunohistochemistry

from benchmarks._lib.report import CHECKOUT
from cacl.image.readers import open_source
from cacl.image.tile_grid import TileGrid
from cacl.store import ImageMeta

UInt8 = NDArray[np.uint8]

SIDE_PX = 3000
SOURCE_PX, TILE_PX = 375, 128
ANALYSIS_PX = SIDE_PX * TILE_PX // SOURCE_PX
JPEG_QUALITY = 80
TISSUE_TILE_PX = 512
"""Side of the tissue tile of scikit-image."""
REAL_CORES = CHECKOUT.parent / "shared" / "data" / "cores"


def repeated_tissue(side_px: int) -> UInt8:
    """Return (side_px, side_px, 3) uint8: one tissue tile, repeated."""
    tile: UInt8 = immunohistochemistry()
    repeats = -(-side_px // tile.shape[0])
    return np.tile(tile, (repeats, repeats, 1))[:side_px, :side_px]


def cores(folder: Path, number: int) -> tuple[list[Path], str]:
    """Return JPEG files of 3000 x 3000 px and their description.

    Parameters
    ----------
    folder
        Where synthetic cores are written if there are no real ones.
    number
        Maximum number of real cores; number of synthetic ones.
    """
    real = sorted(REAL_CORES.glob("*.jpg"))[:number]
    if real:
        return real, f"{len(real)} cores of the Human Protein Atlas, 3000 x 3000 px"
    tissue = repeated_tissue(SIDE_PX)
    paths = [folder / f"{index}.jpg" for index in range(number)]
    for index, path in enumerate(paths):
        shifted = np.ascontiguousarray(np.roll(tissue, 100 * index, 0))
        path.write_bytes(simplejpeg.encode_jpeg(shifted, JPEG_QUALITY))
    return paths, f"{number} synthetic cores (one tissue tile repeated), 3000 x 3000 px"


def analysis_pixels(path: Path) -> UInt8:
    """Return a core as the store has it: (3, y, x) uint8, 375 source px to 128 px."""
    with open_source(path) as source:
        grid = TileGrid(source.height, source.width, SOURCE_PX, TILE_PX)
        return source.read(grid, range(grid.rows), range(grid.cols))


def real_cores() -> Iterator[tuple[str, UInt8]]:
    """Yield name and RGB image (3, 1024, 1024) of each real core beside the checkout."""
    for path in sorted(REAL_CORES.glob("*.jpg")):
        yield path.stem, downsample(simplejpeg.decode_jpeg(path.read_bytes()))


def downsample(image: UInt8) -> UInt8:
    """Return an image (y, x, 3) at analysis resolution: (3, 1024, 1024)."""
    size = (ANALYSIS_PX, ANALYSIS_PX)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small.transpose(2, 0, 1))


def image_meta(image_id: str, pixels: UInt8) -> ImageMeta:
    """Return the metadata of an image (3, y, x) at analysis resolution."""
    height, width = (size // TILE_PX * SOURCE_PX for size in pixels.shape[-2:])
    return ImageMeta(
        image_id=image_id,
        source_sha256="",
        source_height=height,
        source_width=width,
        source_px=SOURCE_PX,
        tile_px=TILE_PX,
        mpp=None,
        digest="",
    )
