"""Draw the picture of the README from a finished demo: a core, its ground truth, its mask.

Example: python -m benchmarks.quality.picture --run . --image HPA900006/900006_A_8_2
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._lib.images import UInt8
from benchmarks._lib.report import CHECKOUT
from cacl.benchmark.ground_truth import read_ground_truth
from cacl.store import Store

GREEN, BLUE = (0, 158, 115), (0, 114, 178)
SIDE_PX, TOP_PX, LEFT_PX, GAP_PX = 420, 300, 300, 12


def overlay(rgb: UInt8, mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> UInt8:
    """Return the image (y, x, 3) with a mask (y, x) in one colour."""
    image = rgb.copy()
    image[mask] = colour
    return image


def main() -> None:
    """Read the command line and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(), help="working directory of the demo")
    parser.add_argument("--image", default="HPA900006/900006_A_8_2")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "docs" / "demo.jpg")
    options = parser.parse_args()
    store = Store(options.run / "results" / "atlas.zarr")
    meta = store.meta(options.image)
    truth = read_ground_truth(options.run / "resources/phantom/truth", options.image, meta.grid)[0]
    rgb = np.ascontiguousarray(np.moveaxis(np.asarray(store.image(options.image)[:]), 0, -1))
    mask = np.asarray(store.label(options.image, "stain")[:]) > 0
    panels = [rgb, overlay(rgb, truth, GREEN), overlay(rgb, mask, BLUE)]
    window = np.s_[TOP_PX : TOP_PX + SIDE_PX, LEFT_PX : LEFT_PX + SIDE_PX]
    gap = np.full((SIDE_PX, GAP_PX, 3), 255, np.uint8)
    row = [image for panel in panels for image in (panel[window], gap)][:-1]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.out), np.hstack(row)[..., ::-1])


if __name__ == "__main__":
    main()
