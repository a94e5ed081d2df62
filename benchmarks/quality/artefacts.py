"""Lay folds and pen strokes on cores, and count what is found of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cell_area
import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from benchmarks._lib import images as cores
from benchmarks._lib.report import write_up
from cacl.image import stain, tile_stats, tissue_folds
from cacl.image.cell_mask import background_od, cell_mask
from cacl.phantom.settings import SETTINGS

UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]

SIDE, TILE = 1024, 128
FOLDED = "55449_A_1_3"
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
FINE = ("cell_map", "hematoxylin_map", "dab_map")


def pictures(phantoms: int) -> Iterator[tuple[str, UInt8]]:
    """Yield name and colours (3, y, x) of the real cores at hand, then of synthetic ones."""
    if cores.REAL.is_dir():
        for path in sorted(cores.REAL.glob("*.jpg")):
            picture = simplejpeg.decode_jpeg(path.read_bytes())
            small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            yield path.stem, np.ascontiguousarray(small.transpose(2, 0, 1))
    for setting in SETTINGS.values():
        for seed in range(1, phantoms + 1):
            yield f"{setting.name}, seed {seed}", cell_area.draw(setting, seed, 1).rgb


def darkened(rgb: UInt8, density: NDArray[np.float32]) -> UInt8:
    """Return a picture with more optical density, saved and read again as the atlas does."""
    levels = np.rint(256 * 10.0 ** -(stain.optical_density(rgb) + density) - 1)
    pixels = np.clip(levels, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    coded = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), 80)
    return np.ascontiguousarray(simplejpeg.decode_jpeg(coded).transpose(2, 0, 1))


def with_fold(rgb: UInt8, width: int, length: int) -> tuple[UInt8, Bool]:
    """Lay the tissue on itself, out of focus, along a slanted strip through the middle."""
    rows, columns = np.indices(rgb.shape[1:]) - rgb.shape[1] / 2
    along, across = 0.8 * columns + 0.6 * rows, 0.8 * rows - 0.6 * columns
    strip = (np.abs(along) < length / 2) & (np.abs(across) < width / 2)
    density = stain.optical_density(rgb)
    second = np.maximum(np.roll(density, (37, 23), (1, 2)) - background_od(rgb), 0.0)
    second = np.stack([cv2.GaussianBlur(part, (0, 0), 1.5) for part in second])
    soft = cv2.GaussianBlur(strip.astype(np.float32), (0, 0), 2.0)
    return darkened(rgb, soft * second), strip


def fold_share(rgb: UInt8) -> float:
    """Return the share of a core's tissue that is found folded."""
    cell = cell_mask(rgb)
    tops = range(0, SIDE, TILE)
    bands = [
        tile_stats.compute_row_stats(rgb[:, y : y + TILE], cell[y : y + TILE], cell[y : y + TILE])
        for y in tops
    ]
    maps = (np.concatenate([getattr(band, name) for band in bands]) for name in FINE)
    return tissue_folds.fold_fraction(*maps)


def with_stroke(rgb: UInt8, ink: tuple[float, float, float], seed: int) -> UInt8:
    """Draw a pen stroke of 50 px over the upper edge, a little uneven."""
    uneven = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(SIDE, SIDE)), (0, 0), 2)
    drawn = np.zeros((3, SIDE, SIDE), dtype=np.float32)
    drawn[:, *STROKE] = (np.array(ink)[:, None, None] * (1.0 + 0.5 * uneven))[:, *STROKE]
    return darkened(rgb, drawn)


def fold_rows(named: list[tuple[str, UInt8]]) -> Iterator[list[str]]:
    """Yield kind, mean share of tissue, cores flagged; cores without any fold come first."""
    plain = [(name, rgb) for name, rgb in named if name != FOLDED]
    shares = [fold_share(rgb) for _, rgb in plain]
    flagged = sum(share > tissue_folds.MAX_FOLD_FRACTION for share in shares)
    yield ["no fold", "", f"{flagged} of {len(plain)}"]
    for width, length in FOLDS:
        flagged, laid = 0, []
        for _, rgb in plain:
            folded, strip = with_fold(rgb, width, length)
            cell = cell_mask(rgb)
            laid.append((strip & cell).sum() / cell.sum())
            flagged += fold_share(folded) > tissue_folds.MAX_FOLD_FRACTION
        share = f"{100 * np.mean(laid):.1f} %"
        yield [f"fold of {width} x {length} px", share, f"{flagged} of {len(plain)}"]


def ink_rows(named: list[tuple[str, UInt8]]) -> Iterator[list[str]]:
    """Yield kind, share of the stroke taken for cells, cores where it is mostly left out."""
    for ink, density in INKS.items():
        shares = [
            cell_mask(with_stroke(rgb, density, seed))[STROKE].mean()
            for seed, (_, rgb) in enumerate(named)
        ]
        left_out = sum(share < 0.2 for share in shares)
        taken = f"{100 * np.mean(shares):.0f} %"
        yield [f"stroke of {ink} ink", taken, f"{left_out} of {len(named)}"]


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantoms", type=int, default=2, help="synthetic cores a setting")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/artefacts.md"))
    chosen = parser.parse_args()
    named = list(pictures(chosen.phantoms))
    write_up(
        chosen.out,
        "Folds and ink",
        [
            f"{len(named)} cores at analysis resolution ({SIDE} px, about 1 um each): real ones of "
            "the Human Protein Atlas where they are at hand, and synthetic ones",
            "a fold is the core's own tissue from elsewhere, out of focus, laid on a strip; share: "
            "its part of the cell area; found: cores flagged. The real core that is folded by "
            "itself is left out. The thresholds were chosen on folds in these cores; that nothing "
            "is found without a fold was then looked at in 68 other synthetic cores",
            "a stroke is 50 px wide and lies on glass, with some tissue below; share: its part "
            "that is taken for cells; found: cores where that is less than a fifth",
        ],
        ("laid on", "share", "found"),
        [*fold_rows(named), *ink_rows(named)],
    )


if __name__ == "__main__":
    main()
