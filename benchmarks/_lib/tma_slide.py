"""Slides of tissue microarrays, composed of phantom cores, whose places are known.

Optical densities add up, so that cores that touch overlap as on glass. A slide is small: a core has
a diameter of about 100 to 300 px.
"""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cacl.phantom import write_phantom
from cacl.phantom.settings import setting_by_name

Float32 = NDArray[np.float32]
UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]

FOUND, MISSING, SPLIT = "found", "missing", "split"
NOISE_OD = 0.02
TISSUE_OD = 0.06
DRAWN_PX = 400
TOUCHING = 1.02
FIELD = 1.09
"""Side of the image of a core over the diameter of the core."""


@dataclass(frozen=True, kw_only=True)
class SlideSetting:
    """A slide of a tissue microarray.

    Parameters
    ----------
    rows, cols
        Size of the grid.
    diameter_px
        Diameter of a core.
    gap
        Gap between cores over the diameter.
    rotation_deg
        Rotation of the array, anticlockwise.
    jitter
        Standard deviation of the displacement of a core along each axis, over the gap.
    missing, split, touching, faint
        Fractions of the cores that are missing, in two parts that lie apart, moved until they touch
        a neighbour, or of 30 % of the density.
    block_cols, block_gap
        Columns after which a wider gap follows, and its width over the diameter; 0 for none.
    density
        Factor of all optical densities.
    background
        Level of R, G and B without tissue.
    debris
        Number of pieces of tissue beside the cores, with 1 to 6 % of the area of a core.
    margin
        Space around the array over the diameter.
    """

    rows: int
    cols: int
    diameter_px: int = 120
    gap: float = 0.35
    rotation_deg: float = 0.0
    jitter: float = 0.1
    missing: float = 0.08
    split: float = 0.04
    touching: float = 0.06
    faint: float = 0.04
    block_cols: int = 0
    block_gap: float = 0.0
    density: float = 1.0
    background: tuple[int, int, int] = (243, 243, 244)
    debris: int = 10
    margin: float = 1.2


@dataclass(frozen=True, eq=False)
class TrueCore:
    """A place of the array.

    Parameters
    ----------
    row, col
        From 0.
    x, y
        Centre of the core in pixels of the slide; of the place, if it is missing.
    status
        `FOUND`, `MISSING` or `SPLIT`.
    box
        Left, top, right and bottom of its tissue in pixels of the slide; zeros if it is missing.
    touches
        Whether another core is nearer than 1.02 diameters.
    """

    row: int
    col: int
    x: float
    y: float
    status: str
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    touches: bool = False


@dataclass(frozen=True, eq=False)
class Slide:
    """A slide, uint8 (y, x, 3), and its cores."""

    pixels: UInt8
    cores: tuple[TrueCore, ...]


def draw_cores(folder: Path | None = None, seed: int = 11) -> list[Float32]:
    """Return the optical densities (y, x, 3) of 24 phantom cores.

    Parameters
    ----------
    folder
        Where the phantom is kept; None for a temporary folder.
    seed
        Seed of the phantom.
    """
    setting = setting_by_name("duodenum-a")
    diameter_um = setting.geometry.core_diameter_um
    geometry = dataclasses.replace(setting.geometry, mpp=FIELD * diameter_um / DRAWN_PX)
    small = dataclasses.replace(setting, name="tma", geometry=geometry)
    with tempfile.TemporaryDirectory() as temporary:
        root = folder or Path(temporary)
        host, truth = root / "host", root / "truth"
        write_phantom(
            host, truth, antibodies=8, patients=3, seed=seed, jobs=1, setting=small,
            core_px=DRAWN_PX,
        )  # fmt: skip
        images = [np.asarray(Image.open(path)) for path in sorted(host.rglob("*.jpg"))]
    y, x = np.indices((DRAWN_PX, DRAWN_PX)) - (DRAWN_PX - 1) / 2
    fade = np.clip((0.5 * DRAWN_PX - np.hypot(y, x)) / 4, 0, 1)[..., None]
    return [_density(image) * fade.astype(np.float32) for image in images]


def compose(setting: SlideSetting, seed: int, cores: list[Float32]) -> Slide:
    """Return a slide.

    Every row and column at the border of the array has at least one core, because no one can know
    of another one.

    Parameters
    ----------
    setting
        What is on it.
    seed
        Seed of everything that is drawn.
    cores
        Of `draw_cores`.
    """
    rng = np.random.default_rng([seed, setting.rows, setting.cols])
    status = _draw_status(rng, setting)
    centres = _draw_centres(rng, setting, status)
    low = centres.reshape(-1, 2).min(axis=0) - setting.diameter_px * (0.5 + setting.margin)
    centres = centres - low
    width, height = np.ceil(
        centres.reshape(-1, 2).max(axis=0) + setting.diameter_px * (0.5 + setting.margin)
    ).astype(int)
    density = np.zeros((height, width, 3), np.float32)
    placed = []
    for row, col in np.ndindex(status.shape):
        x, y = centres[row, col]
        kind = str(status[row, col])
        box = (0, 0, 0, 0)
        if kind != MISSING:
            core = _draw_core(rng, setting, cores, kind)
            box = _add(density, core, x, y)
        apart = np.linalg.norm(centres[status != MISSING] - centres[row, col], axis=1)
        touches = bool((apart < TOUCHING * setting.diameter_px).sum() > 1)
        placed.append(TrueCore(row, col, float(x), float(y), kind, box, touches))
    _add_debris(rng, setting, density, cores)
    noise = np.asarray(rng.normal(0.0, 1.2, density.shape), np.float32)
    white = np.asarray(setting.background, np.float32)
    level = white * np.power(np.float32(10), -np.float32(setting.density) * density)
    return Slide(np.clip(level + noise + 0.5, 0, 255).astype(np.uint8), tuple(placed))


def write_slide(path: Path, pixels: UInt8, mpp: float | None = None) -> Path:
    """Write a pyramidal TIFF of JPEG tiles, as OpenSlide reads it."""
    resolution = None if mpp is None else (1e4 / mpp, 1e4 / mpp)
    with tifffile.TiffWriter(path) as file:
        for level in range(3):
            file.write(
                pixels,
                tile=(256, 256),
                photometric="rgb",
                subfiletype=int(level > 0),
                metadata=None,
                compression="jpeg",
                compressionargs={"level": 90},
                resolution=resolution,
                resolutionunit=None if mpp is None else "CENTIMETER",
            )
            size = pixels.shape[1] // 2, pixels.shape[0] // 2
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return path


def _density(rgb: UInt8) -> Float32:
    white = np.percentile(rgb.reshape(-1, 3), 90, axis=0)
    density = np.log10((white + 1) / (rgb.astype(np.float32) + 1))
    return np.maximum(density - NOISE_OD, 0).astype(np.float32)


def _draw_status(rng: np.random.Generator, setting: SlideSetting) -> NDArray[np.str_]:
    shape = (setting.rows, setting.cols)
    chance = rng.random(shape)
    status = np.full(shape, FOUND, dtype="<U7")
    status[chance < setting.missing + setting.split] = SPLIT
    status[chance < setting.missing] = MISSING
    for border in (status[0], status[-1], status[:, 0], status[:, -1]):
        if (border == MISSING).all():
            border[rng.integers(len(border))] = FOUND
    return status


def _draw_centres(
    rng: np.random.Generator, setting: SlideSetting, status: NDArray[np.str_]
) -> NDArray[np.float64]:
    """Return the centres (rows, cols, 2) of x and y, around 0."""
    diameter, pitch = setting.diameter_px, setting.diameter_px * (1 + setting.gap)
    col = np.arange(setting.cols) * pitch
    if setting.block_cols:
        blocks = np.arange(setting.cols) // setting.block_cols
        col = col + blocks * setting.block_gap * diameter
    row = np.arange(setting.rows) * pitch
    places = np.stack(np.meshgrid(col, row), axis=-1)
    spread = setting.jitter * setting.gap * diameter
    shift = np.clip(rng.normal(0.0, spread, places.shape), -2 * spread, 2 * spread)
    shift[status == MISSING] = 0
    centres = places + shift
    for at in zip(*np.nonzero(rng.random(status.shape) < setting.touching), strict=True):
        axis = int(rng.integers(2))
        other = (at[0] + 1, at[1]) if axis else (at[0], at[1] + 1)
        if other[0] < setting.rows and other[1] < setting.cols and MISSING not in (
            status[at], status[other],
        ):  # fmt: skip
            apart = centres[other] - centres[at]
            length = float(np.hypot(*apart))
            move = (length - rng.uniform(0.94, 1.0) * diameter) / length * apart / 2
            centres[at] += move
            centres[other] -= move
    angle = np.deg2rad(setting.rotation_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(centres @ turn)


def _draw_core(
    rng: np.random.Generator, setting: SlideSetting, cores: list[Float32], kind: str
) -> Float32:
    """Return the densities of a core, turned, of its size, and in two parts if it is split."""
    core = cores[rng.integers(len(cores))]
    side = round(setting.diameter_px * FIELD)
    middle = (DRAWN_PX - 1) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), rng.uniform(0, 360), 1.0)
    turned = cv2.warpAffine(core, turn, (DRAWN_PX, DRAWN_PX))
    if rng.random() < 0.5:
        turned = turned[:, ::-1]
    small = np.asarray(cv2.resize(turned, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    strength = 0.3 if rng.random() < setting.faint else rng.uniform(0.75, 1.25)
    small *= np.float32(strength)
    return _torn(rng, small, setting) if kind == SPLIT else small


def _torn(rng: np.random.Generator, core: Float32, setting: SlideSetting) -> Float32:
    """Return a core torn along a line, its parts moved apart by a tenth to a fifth of it."""
    side = len(core)
    pad = side // 4
    padded = np.pad(core, ((pad, pad), (pad, pad), (0, 0)))
    y, x = np.indices(padded.shape[:2]) - (len(padded) - 1) / 2
    angle = rng.uniform(0, 2 * np.pi)
    distance = x * np.cos(angle) + y * np.sin(angle)
    first = distance > rng.uniform(-0.1, 0.1) * side
    apart = rng.uniform(0.10, 0.20) * setting.diameter_px / 2
    parts = np.zeros_like(padded)
    for part, sign in ((first, 1), (~first, -1)):
        along = sign * apart * np.array([[np.cos(angle)], [np.sin(angle)]])
        shift = np.hstack([np.eye(2), along])
        parts += cv2.warpAffine(padded * part[..., None].astype(np.float32), shift, parts.shape[:2])
    return parts


def _add(density: Float32, core: Float32, x: float, y: float) -> tuple[int, int, int, int]:
    """Add a core to a slide; return the box of its tissue."""
    left, top = round(x - core.shape[1] / 2), round(y - core.shape[0] / 2)
    rows = slice(max(0, -top), core.shape[0] - max(0, top + core.shape[0] - density.shape[0]))
    cols = slice(max(0, -left), core.shape[1] - max(0, left + core.shape[1] - density.shape[1]))
    density[top + rows.start : top + rows.stop, left + cols.start : left + cols.stop] += core[
        rows, cols
    ]
    tissue = cv2.GaussianBlur(core.max(axis=2), (0, 0), 1.0) > TISSUE_OD * core.max()
    where_y, where_x = np.nonzero(tissue)
    return (
        left + int(where_x.min()),
        top + int(where_y.min()),
        left + int(where_x.max()) + 1,
        top + int(where_y.max()) + 1,
    )


def _add_debris(
    rng: np.random.Generator, setting: SlideSetting, density: Float32, cores: list[Float32]
) -> None:
    for _ in range(setting.debris):
        core = cores[rng.integers(len(cores))]
        length = round(setting.diameter_px * np.sqrt(rng.uniform(0.01, 0.06)))
        at = rng.integers(DRAWN_PX // 4, DRAWN_PX // 2, 2)
        piece = core[at[0] : at[0] + length, at[1] : at[1] + length]
        y, x = np.indices(piece.shape[:2]) - (length - 1) / 2
        piece = piece * (np.hypot(y, x) < length / 2)[..., None]
        place = rng.uniform(length, np.array(density.shape[:2]) - length)
        _add_piece(density, piece.astype(np.float32), place)


def _add_piece(density: Float32, piece: Float32, place: NDArray[np.float64]) -> None:
    top, left = (round(float(value) - len(piece) / 2) for value in place)
    density[top : top + piece.shape[0], left : left + piece.shape[1]] += piece
