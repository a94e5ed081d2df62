"""Detection of simulated tissue folds and pen strokes.

Usage: python -m benchmarks.quality.artefacts [--phantoms N] [--glas FOLDER] [--out FILE]

Colon of GlaS (Sirinukunwattana et al., Med Image Anal 2017) shows how often dense tissue without a
fold is flagged. Its images are for research use; nothing of them is kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import simplejpeg

from benchmarks._lib.counterstain import (
    CYTOPLASM_OD,
    NUCLEUS_OD,
    counterstain,
    draw_camera,
    render,
    separate_he,
)
from benchmarks._lib.images import ANALYSIS_PX, JPEG_QUALITY, TILE_PX, UInt8, real_cores
from benchmarks._lib.painted_cores import SOURCE_PX, read_image, read_sections, write_cores
from benchmarks._lib.report import RESULTS, write_table
from benchmarks.quality.cell_area import synthetic_core
from benchmarks.quality.real_tissue import GLAS
from cacl.image import tile_stats, tissue_folds
from cacl.image.cell_mask import cell_mask
from cacl.image.tile_grid import TileGrid
from cacl.phantom.fields import generator, within
from cacl.phantom.settings import SETTINGS
from tests.fixtures.pictures import darken, with_fold

FOLDED_CORE = "55449_A_1_3"
FOLDS = ((10, 900), (16, 600), (30, 600), (60, 400))
STROKE = np.s_[20:70, 30:990]
INKS = {
    "blue": (0.9, 0.5, 0.15),
    "green": (0.9, 0.3, 0.6),
    "red": (0.1, 0.8, 0.7),
    "black": (1.2, 1.2, 1.2),
    "dark grey": (0.7, 0.7, 0.7),
    "grey": (0.5, 0.5, 0.5),
    "pale grey": (0.25, 0.25, 0.25),
}
MAX_INK_FRACTION = 0.2
PAINTED_ANTIBODIES, PAINTED_CORES = 64, 3
FOLD_MAPS = ("cell_map", "hematoxylin_map", "dab_map")


def cores(phantoms: int) -> Iterator[tuple[str, UInt8]]:
    """Yield name and RGB image (3, y, x) of the real cores, then of synthetic ones."""
    yield from real_cores()
    for setting in SETTINGS.values():
        for seed in range(1, phantoms + 1):
            yield f"{setting.name}, seed {seed}", synthetic_core(setting, seed, 1).rgb


def recompressed(rgb: UInt8) -> UInt8:
    """Return an image after JPEG compression at the quality of the HPA."""
    pixels = np.ascontiguousarray(rgb.transpose(1, 2, 0))
    decoded = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(pixels, JPEG_QUALITY))
    return np.ascontiguousarray(decoded.transpose(2, 0, 1))


def detected_fold_fraction(rgb: UInt8) -> float:
    """Return the fraction of a core's tissue that is detected as folded."""
    cell = cell_mask(rgb)
    stats = [
        tile_stats.compute_row_stats(
            rgb[:, top : top + TILE_PX], cell[top : top + TILE_PX], cell[top : top + TILE_PX]
        )
        for top in range(0, rgb.shape[1], TILE_PX)
    ]
    maps = (np.concatenate([getattr(row, name) for row in stats]) for name in FOLD_MAPS)
    return tissue_folds.fold_fraction(*maps)


def colon(folder: Path) -> Iterator[tuple[str, list[UInt8]]]:
    """Yield kind and images (3, y, x) at analysis resolution of colon without a fold.

    The images of GlaS as they are, with their haematoxylin alone as a counterstain, and painted
    with DAB as in `benchmarks.quality.real_tissue`.
    """
    images = [read_image(path) for path in sorted((folder / "images").glob("*.png"))]
    yield "colon, H&E", [in_analysis_px(rgb) for rgb in images]
    yield (
        "colon, counterstain alone",
        [in_analysis_px(counterstained(rgb, seed)) for seed, rgb in enumerate(images)],
    )
    with TemporaryDirectory() as run:
        write_cores(
            Path(run),
            read_sections(folder),
            antibodies=PAINTED_ANTIBODIES,
            cores=PAINTED_CORES,
            seed=0,
        )
        paths = sorted((Path(run) / "images").rglob("*.jpg"))
        yield "colon, painted cores", [in_analysis_px(read_image(path)) for path in paths]


def counterstained(rgb: UInt8, seed: int) -> UInt8:
    """Return an H&E image (y, x, 3) as a counterstain without DAB."""
    rng = generator("counterstain of folds", seed)
    density = counterstain(separate_he(rgb), within(rng, NUCLEUS_OD), within(rng, CYTOPLASM_OD))
    return render(density, np.zeros_like(density), draw_camera(rng), rng)


def in_analysis_px(rgb: UInt8) -> UInt8:
    """Return an image (y, x, 3) of `SOURCE_PX` per tile as (3, y, x), padded with white."""
    grid = TileGrid(len(rgb), rgb.shape[1], SOURCE_PX, TILE_PX)
    below, right = grid.rows * SOURCE_PX - len(rgb), grid.cols * SOURCE_PX - rgb.shape[1]
    padded = np.pad(rgb, ((0, below), (0, right), (0, 0)), constant_values=255)
    small = cv2.resize(padded, (grid.width, grid.height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small.transpose(2, 0, 1))


def flagged_row(kind: str, images: list[UInt8]) -> list[str]:
    """Return kind, no fraction, and images flagged."""
    flagged = sum(detected_fold_fraction(rgb) > tissue_folds.MAX_FOLD_FRACTION for rgb in images)
    return [f"no fold: {kind}", "", f"{flagged} of {len(images)}"]


def with_stroke(rgb: UInt8, ink: tuple[float, float, float], seed: int) -> UInt8:
    """Draw a pen stroke of 50 px with noise in its density over the upper edge."""
    noise = np.random.default_rng(seed).normal(size=(ANALYSIS_PX, ANALYSIS_PX))
    smooth_noise = cv2.GaussianBlur(noise, (0, 0), 2)
    density = np.zeros((3, ANALYSIS_PX, ANALYSIS_PX), dtype=np.float32)
    density[:, *STROKE] = (np.array(ink)[:, None, None] * (1.0 + 0.5 * smooth_noise))[:, *STROKE]
    return recompressed(darken(rgb, density))


def fold_rows(named: list[tuple[str, UInt8]]) -> Iterator[list[str]]:
    """Yield kind, mean fraction of the cell area, and cores flagged; cores without a fold first."""
    plain = [rgb for name, rgb in named if name != FOLDED_CORE]
    yield flagged_row("cores", plain)
    for width, length in FOLDS:
        flagged, true_fractions = 0, []
        for rgb in plain:
            folded, strip = with_fold(rgb, width, length)
            cell = cell_mask(rgb)
            true_fractions.append((strip & cell).sum() / cell.sum())
            detected = detected_fold_fraction(recompressed(folded))
            flagged += detected > tissue_folds.MAX_FOLD_FRACTION
        mean = f"{100 * np.mean(true_fractions):.1f} %"
        yield [f"fold of {width} x {length} px", mean, f"{flagged} of {len(plain)}"]


def ink_rows(named: list[tuple[str, UInt8]]) -> Iterator[list[str]]:
    """Yield kind, mean fraction of the stroke in the cell mask, and cores that exclude it."""
    for ink, density in INKS.items():
        fractions = [
            cell_mask(with_stroke(rgb, density, seed))[STROKE].mean()
            for seed, (_, rgb) in enumerate(named)
        ]
        excluded = sum(fraction < MAX_INK_FRACTION for fraction in fractions)
        mean = f"{100 * np.mean(fractions):.0f} %"
        yield [f"stroke of {ink} ink", mean, f"{excluded} of {len(named)}"]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantoms", type=int, default=2, help="synthetic cores per setting")
    parser.add_argument("--glas", type=Path, default=GLAS, help="folder of the GlaS images")
    parser.add_argument("--out", type=Path, default=RESULTS / "artefacts.md")
    options = parser.parse_args()
    named = list(cores(options.phantoms))
    notes = [
        f"{len(named)} cores at analysis resolution ({ANALYSIS_PX} px, about 1 um each): real ones "
        "of the Human Protein Atlas if they are beside the checkout, and synthetic ones",
        "fold: a blurred layer of the core's own tissue on a strip; fraction: of the cell area; "
        "detected: cores flagged. The real core with a fold of its own is left out",
        "colon: images of GlaS, none with a fold; the thresholds were chosen on these images, on "
        "the real cores, and on folds in them and in six synthetic cores",
        "stroke: 50 px wide, on glass and some tissue; fraction: of the stroke in the cell mask; "
        "detected: cores where that is less than a fifth",
    ]
    without_fold = [flagged_row(kind, images) for kind, images in colon(options.glas)]
    rows = [*without_fold, *fold_rows(named), *ink_rows(named)]
    write_table(options.out, "Folds and ink", notes, ("artefact", "fraction", "detected"), rows)


if __name__ == "__main__":
    main()
