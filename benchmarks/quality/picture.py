"""Draw the README's picture from a finished demo: a core, its truth, the model's mask.

Example: python benchmarks/picture.py --run . --image HPA900006/900006_A_8_2 --out docs/demo.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from cacl.benchmark.ground_truth import read_ground_truth
from cacl.store import Store

GREEN, BLUE = (0, 158, 115), (0, 114, 178)
SIDE_PX, TOP_PX, LEFT_PX, GAP_PX = 420, 300, 300, 12


def painted(rgb: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Return the picture with a mask in one colour."""
    picture = rgb.copy()
    picture[mask] = colour
    return picture


def main() -> None:
    """Read the command line and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(), help="working directory of the demo")
    parser.add_argument("--image", default="HPA900006/900006_A_8_2")
    parser.add_argument("--out", type=Path, default=Path("docs/demo.jpg"))
    options = parser.parse_args()
    store = Store(options.run / "results" / "atlas.zarr")
    meta = store.meta(options.image)
    truth = read_ground_truth(options.run / "resources/phantom/truth", options.image, meta.grid)[0]
    rgb = np.ascontiguousarray(np.moveaxis(np.asarray(store.image(options.image)[:]), 0, -1))
    mask = np.asarray(store.label(options.image, "stain")[:]) > 0
    panels = [rgb, painted(rgb, truth, GREEN), painted(rgb, mask, BLUE)]
    window = np.s_[TOP_PX : TOP_PX + SIDE_PX, LEFT_PX : LEFT_PX + SIDE_PX]
    gap = np.full((SIDE_PX, GAP_PX, 3), 255, np.uint8)
    row = [part for panel in panels for part in (panel[window], gap)][:-1]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.out), np.hstack(row)[..., ::-1])


if __name__ == "__main__":
    main()
