"""Small real pictures in every format that is accepted; each function writes one into a folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image
from skimage.data import immunohistochemistry

from cacl.grid import TileGrid
from cacl.slides import Source, open_source


def picture(height: int = 400, width: int = 420) -> np.ndarray:
    """Return a part of a real human IHC, uint8 (height, width, 3)."""
    return np.ascontiguousarray(immunohistochemistry()[:height, :width])


def enlarged(height: int, width: int) -> np.ndarray:
    """Return the whole of it, enlarged, uint8 (height, width, 3)."""
    return cv2.resize(immunohistochemistry(), (width, height), interpolation=cv2.INTER_CUBIC)


def jpeg(folder: Path, name: str = "core.jpg", **options: object) -> Path:
    path = folder / name
    Image.fromarray(picture()).save(path, format="JPEG", quality=95, **options)
    return path


def png(folder: Path, name: str = "core.png") -> Path:
    path = folder / name
    Image.fromarray(picture()).save(path, format="PNG")
    return path


def tiff(folder: Path, name: str = "core.tif", **options: object) -> Path:
    path = folder / name
    tifffile.imwrite(path, picture(), **{"photometric": "rgb", **options})
    return path


def grid_of(source: Source, source_px: int = 375, tile_px: int = 128) -> TileGrid:
    return TileGrid(source.height, source.width, source_px, tile_px)


def read_all(path: Path, source_px: int, tile_px: int) -> np.ndarray:
    with open_source(path) as source:
        return source.read(grid_of(source, source_px, tile_px), slice(None), slice(None))


def write_pyramid(path: Path, pixels: np.ndarray, levels: int = 3, **options: object) -> Path:
    """Write a tiled TIFF whose levels are reduced pages, as OpenSlide's generic TIFF has them."""
    with tifffile.TiffWriter(path) as file:
        for level in range(levels):
            file.write(
                pixels,
                tile=(256, 256),
                photometric="rgb",
                subfiletype=int(level > 0),
                metadata=None,
                **options,
            )
            size = pixels.shape[1] // 2, pixels.shape[0] // 2
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return path


def one_pixel(folder: Path) -> Path:
    """Write an image that opens but holds no tile: `too_small`."""
    path = folder / "pixel.png"
    Image.new("RGB", (1, 1), "white").save(path)
    return path


def blank(folder: Path) -> Path:
    """Write an image that opens but shows only glass: `no_tissue`."""
    path = folder / "blank.jpg"
    Image.new("RGB", (420, 400), (243, 242, 240)).save(path, quality=95)
    return path


def rgba_png(folder: Path) -> Path:
    """Write an accepted image, the left half of which is transparent (and black below)."""
    path = folder / "rgba.png"
    pixels = np.dstack([picture(), np.full((400, 420), 255, np.uint8)])
    pixels[:, :210] = 0
    Image.fromarray(pixels, "RGBA").save(path)
    return path


def palette_png(folder: Path) -> Path:
    """Write an accepted image of 256 colours."""
    path = folder / "palette.png"
    Image.fromarray(picture()).quantize(256).save(path)
    return path


def turned_jpeg(folder: Path, orientation: int = 6) -> Path:
    """Write an accepted image that EXIF says to turn."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return jpeg(folder, f"turned{orientation}.jpg", exif=exif)


def wide_jpeg(folder: Path) -> Path:
    """Write an accepted image of 20,000 x 3,000 px."""
    path = folder / "wide.jpg"
    tiled = np.tile(picture(400, 400), (8, 50, 1))[:3000]
    Image.fromarray(tiled).save(path, quality=80)
    return path
