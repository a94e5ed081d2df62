"""How well stain vectors fit: residual optical density of fixed and of estimated vectors.

Images: the real cores of the Human Protein Atlas, fields of Ki67, scikit-image's example of
immunohistochemistry, and synthetic cores; colon stained with haematoxylin and eosin (GlaS) shows
what a misfit is. Images of Ki67 and GlaS are for measuring only; nothing of them is kept.

Usage: python -m benchmarks.quality.stain_vectors [--ki67 FOLDER] [--glas FOLDER] [--out FILE]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.data import immunohistochemistry

from benchmarks._lib.images import UInt8, real_cores
from benchmarks._lib.painted_cores import read_image
from benchmarks._lib.report import RESULTS, write_table
from benchmarks.quality.artefacts import in_analysis_px
from benchmarks.quality.cell_area import synthetic_core
from benchmarks.quality.ki67 import KI67
from benchmarks.quality.ki67 import SOURCE_PX as KI67_PX
from benchmarks.quality.ki67 import TILE_PX as KI67_TILE_PX
from benchmarks.quality.real_tissue import GLAS
from cacl.errors import StainError
from cacl.image import stain
from cacl.image.cell_mask import cell_mask
from cacl.image.qc import MAX_RESIDUAL_FRACTION
from cacl.image.readers import open_source
from cacl.image.stain_estimate import (
    MAX_OD,
    MIN_OD,
    estimate_vectors,
    extreme_directions,
    stained_pixels,
)
from cacl.image.tile_grid import TileGrid
from cacl.phantom.settings import SETTINGS
from cacl.stain.vectors import REFERENCE, StainVectors, angle

Float64 = NDArray[np.float64]

EVERY_NTH_COLON = 6
HEADER = (
    "image",
    "residual, fixed",
    "of all density",
    "residual, estimated for the run",
    "of all density",
    "residual, estimated",
    "of all density",
    "haematoxylin",
    "DAB",
    "DAB of pure pixels",
    "DAB area, fixed",
    "DAB area, estimated for the run",
)
Row = tuple[str, UInt8]


def images(ki67: Path, glas: Path) -> Iterator[tuple[str, list[Row]]]:
    """Yield the name of a set, and names and images (3, y, x) in pixels of about 1 um."""
    yield "HPA core", list(real_cores())
    fields = [(path.stem, _read(path, KI67_PX, KI67_TILE_PX)) for path in _files(ki67, "*.jpg")]
    yield "Ki67", fields
    example = np.ascontiguousarray(immunohistochemistry().transpose(2, 0, 1))
    yield "scikit-image", [("immunohistochemistry", example)]
    for name, setting in SETTINGS.items():
        cores = [(f"core {number}", synthetic_core(setting, number, 1).rgb) for number in (1, 2)]
        yield f"phantom {name}", cores
    colon = _files(glas / "images", "*.png")[::EVERY_NTH_COLON]
    yield "H&E colon", [(path.stem, in_analysis_px(read_image(path))) for path in colon]


def densities(rgb: UInt8) -> Float64:
    """Return the optical density of R, G and B in the cell area, (3, n)."""
    return stain.optical_density(rgb)[:, cell_mask(rgb)].astype(np.float64)


def estimate(density: Float64) -> Float64:
    """Return the vectors of haematoxylin and DAB of one image, (2, 3), as QuPath estimates them."""
    total = density.mean(axis=0)
    used = density[:, (total > MIN_OD) & (total < MAX_OD)]
    return np.stack(extreme_directions(used))


def estimate_of_run(images: Sequence[UInt8]) -> StainVectors | str:
    """Return the vectors of `stain.vectors: estimated` for a run of images, or why there are none.

    As `cacl estimate-stain`, from every stained pixel of whole images.
    """
    pixels = np.concatenate([stained_pixels(rgb) for rgb in images], axis=1)
    try:
        return estimate_vectors(stain.optical_density(pixels).astype(np.float64))
    except StainError as error:
        return str(error)


def residual(density: Float64, vectors: Float64) -> tuple[float, float]:
    """Return the root mean square of the residual's density, and its fraction of all density."""
    normal = np.cross(*vectors)
    amount = normal / np.linalg.norm(normal) @ density
    squares = float(np.square(amount).mean())
    return float(np.sqrt(squares)), float(np.sqrt(squares / np.square(density).sum(0).mean()))


def line(name: str, rgb: UInt8, of_run: StainVectors | str) -> list[str]:
    """Return the table's row of an image."""
    density = densities(rgb)
    own = estimate(density)
    estimated = of_run if isinstance(of_run, StainVectors) else None
    cells = [name]
    for vectors in (as_array(REFERENCE), as_array(estimated) if estimated else None, own):
        cells += ["refused", ""] if vectors is None else _numbers(residual(density, vectors))
    pure = stain.dab_direction(rgb[:, cell_mask(rgb)])
    areas = [dab_area(rgb, vectors) if vectors else "" for vectors in (REFERENCE, estimated)]
    return [*cells, *map(_shown, own), "" if pure is None else _shown(pure), *areas]


def errors(estimated: StainVectors, true: StainVectors) -> str:
    """Return the angles between vectors and the known ones, of the estimate and of the fixed."""
    angles = [
        f"haematoxylin {angle(vectors.hematoxylin, true.hematoxylin):.1f}, "
        f"DAB {angle(vectors.dab, true.dab):.1f}"
        for vectors in (estimated, REFERENCE)
    ]
    return f"degrees from the true vectors: {angles[0]}; of the fixed: {angles[1]}"


def as_array(vectors: StainVectors) -> Float64:
    """Return the vectors of haematoxylin and DAB, (2, 3)."""
    return np.array([vectors.hematoxylin, vectors.dab])


def dab_area(rgb: UInt8, vectors: StainVectors) -> str:
    """Return the DAB-positive fraction of the cell area, both with these vectors."""
    cell = cell_mask(rgb, vectors=vectors)
    dab = stain.dab_mask(rgb, vectors=vectors) & cell
    return f"{dab.sum() / max(1, cell.sum()):.1%}"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ki67", type=Path, default=KI67, help="folder of the Ki67 fields")
    parser.add_argument("--glas", type=Path, default=GLAS, help="folder of the GlaS images")
    parser.add_argument("--out", type=Path, default=RESULTS / "stain_vectors.md")
    options = parser.parse_args()
    rows, estimates = [], []
    true = {
        f"phantom {name}": StainVectors.of(setting.colours.hematoxylin, setting.colours.dab)
        for name, setting in SETTINGS.items()
    }
    for kind, named in images(options.ki67, options.glas):
        of_run = estimate_of_run([rgb for _, rgb in named])
        rows += [line(f"{kind} {name}".strip(), rgb, of_run) for name, rgb in named]
        vectors = of_run
        if isinstance(of_run, StainVectors):
            of_run = f"{of_run.describe()}, {of_run.difference(REFERENCE):.0f} degrees from fixed"
        estimates.append(f"estimated for the run {kind}: {of_run}")
        if kind in true and isinstance(vectors, StainVectors):
            estimates[-1] += f"; {errors(vectors, true[kind])}"
    notes = [
        "residual: root mean square over the cell area of the optical density at right angles to "
        "both vectors; of all density: over the root mean square of the norm of R, G and B",
        f"fixed: haematoxylin {_shown(stain.HEMATOXYLIN_OD)}, DAB {_shown(stain.DAB_OD)} (Ruifrok "
        "& Johnston 2001), of norm 1; estimated for the run: as `stain.vectors: estimated`, from "
        "all images of the set together",
        *estimates,
        "estimated: from the image itself, the extreme directions of its densities as in QuPath; "
        "the next columns show them",
        "DAB area: DAB-positive fraction of the cell area, above 0.25 OD",
        "DAB of pure pixels: the median direction of pixels with DAB alone, as the controls use it",
        f"the QC flag `stain vectors` needs a fraction above {MAX_RESIDUAL_FRACTION} with the "
        "fixed vectors",
    ]
    write_table(options.out, "Fit of the stain vectors", notes, HEADER, rows)


def _files(folder: Path, pattern: str) -> list[Path]:
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no images {pattern}; name their folder")
    return paths


def _read(path: Path, source_px: int, tile_px: int) -> UInt8:
    with open_source(path) as source:
        grid = TileGrid(source.height, source.width, source_px, tile_px)
        return source.read(grid, range(grid.rows), range(grid.cols))


def _numbers(values: tuple[float, float]) -> list[str]:
    return [f"{value:.3f}" for value in values]


def _shown(vector: Sequence[float] | Float64) -> str:
    unit = np.asarray(vector) / np.linalg.norm(vector)
    return " ".join(f"{value:.2f}" for value in unit)


if __name__ == "__main__":
    main()
