"""Cores to measure on: real ones where they are at hand, else one tissue tile repeated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import simplejpeg
from skimage.data import immunohistochemistry

SIDE_PX = 3000
JPEG_QUALITY = 80
REAL = Path(__file__).parents[3] / "shared" / "data" / "cores"


def cores(folder: Path, number: int) -> tuple[list[Path], str]:
    """Return JPEGs of 3000 x 3000 px, and what they are in words; `folder` gets made-up ones."""
    real = sorted(REAL.glob("*.jpg"))[:number]
    if real:
        return real, f"{len(real)} cores of the Human Protein Atlas, 3000 x 3000 px"
    tile = immunohistochemistry()
    repeats = -(-SIDE_PX // tile.shape[0])
    whole = np.tile(tile, (repeats, repeats, 1))[:SIDE_PX, :SIDE_PX]
    made = []
    for place in range(number):
        path = folder / f"{place}.jpg"
        shifted = np.ascontiguousarray(np.roll(whole, 100 * place, 0))
        path.write_bytes(simplejpeg.encode_jpeg(shifted, JPEG_QUALITY))
        made.append(path)
    return made, f"{number} made-up cores (one tissue tile repeated), 3000 x 3000 px"
