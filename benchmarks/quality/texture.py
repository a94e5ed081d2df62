"""Texture of real tissue: the numbers of `cacl/phantom/texture.py`.

Measured on real cores of the Human Protein Atlas (CC BY-SA, Uhlen et al., Science 2015), in squares
that were chosen by eye, and on Ki67 fields for stained nuclei. Of the images only these numbers are
kept. A texture is the relative deviation of the optical density from its local mean: its standard
deviation by octave band, and its quantiles.

Usage: python -m benchmarks.quality.texture [--cores FOLDER] [--ki67 FOLDER] [--out FILE]
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks._lib.painted_cores import read_image
from benchmarks._lib.report import CHECKOUT, RESULTS, write_table
from benchmarks.quality.ki67 import KI67, SOURCE_PX, TILE_PX
from cacl.image import stain
from cacl.image.stain import UInt8
from cacl.phantom.fields import Float32, blur
from cacl.phantom.texture import BAND_SIGMAS_PX, PROBABILITIES, TEXTURES

CORES = CHECKOUT.parent / "shared" / "data" / "cores"
Mask = NDArray[np.bool_]

SQUARE_PX = 500
# Least density of tissue, and the density of haematoxylin that separates nuclei from the rest.
TISSUE_OD, NUCLEUS_OD = 0.05, 0.28
UNSTAINED_OD, STAINED_OD = 0.12, 0.2
# Fraction of a reduced pixel that a mask of a nucleus covers.
DRAWN = 0.9


@dataclass(frozen=True)
class Square:
    """A square of a core, by the pixel of its corner, and the textures measured in it."""

    core: str
    y: int
    x: int
    textures: tuple[str, ...]


SQUARES = (
    Square("55449_A_1_2", 150, 1700, ("stroma", "nucleus")),
    Square("55449_A_1_2", 1000, 1800, ("nucleus",)),
    Square("55449_A_1_2", 2300, 2500, ("stroma", "nucleus")),
    Square("55449_A_1_1", 1500, 700, ("cytoplasm",)),
    Square("55449_A_1_1", 1500, 1500, ("stained cytoplasm",)),
    Square("55449_A_1_3", 1200, 1700, ("stained cytoplasm",)),
    Square("7921_A_1_2", 1200, 1500, ("stained cytoplasm",)),
    Square("7921_A_1_2", 1700, 400, ("stained cytoplasm",)),
)


def band_deviations(relative: Float32, inside: Mask) -> list[float]:
    """Return the standard deviation of each octave band of a field, over the pixels of a mask."""
    low = [relative, *(_masked_blur(relative, inside, sigma) for sigma in BAND_SIGMAS_PX)]
    return [float((fine - broad)[inside].std()) for fine, broad in itertools.pairwise(low)]


def deviation(density: Float32, inside: Mask) -> Float32:
    """Return the relative deviation of a density (y, x) from its local mean inside a mask."""
    mean = _masked_blur(density, inside, BAND_SIGMAS_PX[-1])
    relative = density / np.maximum(mean, 1e-3) - 1.0
    return np.asarray(np.where(inside, relative, 0.0), np.float32)


def _masked_blur(values: Float32, inside: Mask, sigma_px: float) -> Float32:
    weight = inside.astype(np.float32)
    total = np.maximum(blur(weight, sigma_px), 1e-3)
    return np.asarray(blur(values * weight, sigma_px) / total, np.float32)


def _regions(rgb: UInt8) -> dict[str, Mask]:
    """Return the masks of the textures in an image (y, x, 3), without the limits of structures."""
    hematoxylin, dab = (blur(stained, 1.0) for stained in stain.separate_stains(_planes(rgb)))
    tissue = blur(_density(rgb), 1.0) > TISSUE_OD
    nucleus, unstained = hematoxylin > NUCLEUS_OD, dab < UNSTAINED_OD
    masks = {
        "stroma": tissue & ~nucleus & unstained,
        "cytoplasm": tissue & ~nucleus & (dab < STAINED_OD),
        "nucleus": nucleus & unstained,
        "stained cytoplasm": (blur(dab, 3.0) > STAINED_OD) & ~nucleus,
    }
    return {name: _erode(mask) for name, mask in masks.items()}


def _erode(mask: Mask) -> Mask:
    eroded = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(eroded, bool)


def samples(cores: Path, ki67: Path) -> Iterator[tuple[str, Float32, Mask]]:
    """Yield the name of a texture, the relative deviation and its mask."""
    for square in SQUARES:
        rows, columns = (slice(start, start + SQUARE_PX) for start in (square.y, square.x))
        rgb = read_image(cores / f"{square.core}.jpg")[rows, columns]
        density, masks = _density(rgb), _regions(rgb)
        for name in square.textures:
            yield name, deviation(density, masks[name]), masks[name]
    for path in sorted(ki67.glob("*.jpg")):
        rgb = _to_core_scale(read_image(path))
        drawn = _to_core_scale(read_image(path.with_name(f"{path.stem}_positive.png")))[..., 0]
        dab = stain.separate_stains(_planes(rgb))[1]
        inside = _erode((drawn > DRAWN * drawn.max()) & (blur(dab, 1.0) > STAINED_OD))
        yield "stained nucleus", deviation(_density(rgb), inside), inside


def _to_core_scale(field: UInt8) -> UInt8:
    """Return a Ki67 field (y, x, 3) at about 0.4 um per pixel, as `ki67` estimates it."""
    scale = TILE_PX / SOURCE_PX
    resized = cv2.resize(field, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def _planes(rgb: UInt8) -> UInt8:
    return np.ascontiguousarray(rgb.transpose(2, 0, 1))


def _density(rgb: UInt8) -> Float32:
    return stain.mean_density(_planes(rgb))


def measure(cores: Path, ki67: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Return the deviations by band and the quantiles of each texture, means over its samples."""
    bands: dict[str, list[list[float]]] = {name: [] for name in TEXTURES}
    quantiles: dict[str, list[list[float]]] = {name: [] for name in TEXTURES}
    for name, relative, inside in samples(cores, ki67):
        bands[name].append(band_deviations(relative, inside))
        quantiles[name].append(np.quantile(relative[inside], PROBABILITIES).tolist())
    return {
        name: (np.mean(bands[name], axis=0).tolist(), np.mean(quantiles[name], axis=0).tolist())
        for name in TEXTURES
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, measure, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=Path, default=CORES, help="folder of the real cores")
    parser.add_argument("--ki67", type=Path, default=KI67, help="folder of the Ki67 fields")
    parser.add_argument("--out", type=Path, default=RESULTS / "texture.md")
    options = parser.parse_args(arguments)
    measured = measure(options.cores, options.ki67)
    ends = [0, *BAND_SIGMAS_PX]
    header = ["texture"]
    header += [f"s.d., {low:g} to {high:g} px" for low, high in itertools.pairwise(ends)]
    header += [f"{100 * probability:g} %" for probability in PROBABILITIES]
    notes = [
        "real cores of the Human Protein Atlas (CC BY-SA), 0.4 um/px; squares chosen by eye",
        "stained nucleus: Ki67 fields, at an eighth of their size",
        "relative deviation of the optical density from its local mean; octave bands by Gaussian "
        "filters, in px; then quantiles",
    ]
    rows = [
        [name, *(f"{value:.3f}" for value in (*bands, *quantiles))]
        for name, (bands, quantiles) in measured.items()
    ]
    write_table(options.out, "Texture of real tissue", notes, header, rows)


if __name__ == "__main__":
    main()
