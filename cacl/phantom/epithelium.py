"""Columnar epithelium: cells side by side along the lumen, goblet cells, the brush border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.phantom.anatomy import CRYPT, VILLUS, Anatomy, Mask
from cacl.phantom.canvas import Canvas
from cacl.phantom.fields import Float32, blur, ramp, smooth_noise, within
from cacl.phantom.stamps import NUCLEUS_TONE, stamp

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
MARCH_PX = 1.5


@dataclass(frozen=True, eq=False)
class Cells:
    """The epithelium's cells; arrays (cells,) but for `height` and `of`: (contour pixels,)."""

    middle: Int64  # contour pixel at the middle of the cell's surface
    side: Int64  # contour pixel where the cell begins
    width: Float64
    goblet: Mask
    height: Float32
    of: Int64


def paint_epithelium(
    rng: np.random.Generator, canvas: Canvas, anatomy: Anatomy, cover: float
) -> Mask:
    """Paint the epithelium and the truth of its patterns; return where the epithelium is.

    `cover` is the share of the villi's surface whose border is stained, in a positive core.
    """
    staining, strengths = canvas.staining, canvas.setting.strengths
    cells = _cells(rng, canvas, anatomy)
    pixels, depth, deep = _pixels(anatomy, cells)
    contour = anatomy.contour.ravel()[pixels]
    nuclei, vacuoles, walls = _stamped(rng, canvas, anatomy, cells)
    nucleus, vacuole = nuclei.ravel()[pixels], vacuoles.ravel()[pixels]
    wall = walls.ravel()[pixels] * (1.0 - vacuole)
    nucleus *= 1.0 - vacuole
    inside = np.minimum(nucleus * 2.0, 1.0)
    fine, middle = canvas.fine.ravel()[pixels], canvas.middle.ravel()[pixels]
    patchy = 1.0 + 0.16 * smooth_noise(rng, canvas.size, 9.0 * canvas.px).ravel()[pixels]

    width, level = _border(rng, canvas, anatomy, cells, cover)
    reach = width[contour] * (1.0 + 0.12 * middle)
    band = np.clip(reach - depth + np.float32(0.5), 0.0, 1.0) * (1.0 - vacuole)
    shine = level[contour]

    body = within(rng, strengths.cytoplasm_h_od) * patchy * (1.0 + 0.1 * fine + 0.1 * middle)
    blue = body * (1.0 - 0.45 * band) * (1.0 - vacuole) + 0.05 * vacuole + 0.05 * wall
    blue += within(rng, strengths.nucleus_h_od) * nucleus * (1.0 + 0.14 * fine)

    apical = 1.0 + np.float32(staining.apical) * (0.25 - 0.7 * deep)
    lateral = 1.0 - 0.4 * np.float32(staining.lateral) + np.float32(1.3 * staining.lateral) * wall
    brown = staining.cytoplasm_od * apical * lateral * patchy * (1.0 - 0.75 * inside)
    brown *= (1.0 + 0.13 * fine + 0.12 * middle) * (1.0 - vacuole)
    brown += staining.nuclei_od * nucleus * (1.0 + 0.15 * fine)
    brown += staining.mucus_od * vacuole * (1.0 + 0.12 * middle)
    brown += staining.background_od
    if staining.positive:
        lit = shine > 0
        fading = 1.08 - 0.25 * depth / reach.clip(1.0)
        stained = staining.border_od * shine * fading * (1.0 + 0.08 * fine) + 0.45 * brown
        brown = np.where(lit, brown * (1.0 - band) + band * stained, brown)
        canvas.border.ravel()[pixels] = (band > 0.5) & lit
    in_nucleus = nucleus > NUCLEUS_TONE
    if staining.nuclei_od > 0:
        canvas.nuclei.ravel()[pixels] = in_nucleus
    if staining.cytoplasm_od > 0:
        canvas.cytoplasm.ravel()[pixels] = ~in_nucleus & (vacuole < 0.5)

    canvas.hematoxylin.ravel()[pixels] = blue
    canvas.dab.ravel()[pixels] = brown
    canvas.cell.ravel()[pixels] = True  # goblet cells whole: their mucus lies inside a cell
    epithelium = np.zeros_like(canvas.cell)
    epithelium.ravel()[pixels] = True
    return epithelium


def _cells(rng: np.random.Generator, canvas: Canvas, anatomy: Anatomy) -> Cells:
    """Cut the epithelium into cells along the lumen's contour."""
    geometry, px = canvas.setting.geometry, canvas.px
    villus = within(rng, geometry.epithelium_um) * px
    crypt = within(rng, geometry.crypt_epithelium_um) * px
    swell = 1.0 + 0.1 * smooth_noise(rng, canvas.size, 30.0 * px).ravel()[anatomy.position]
    height = np.where(anatomy.lining == VILLUS, villus, crypt) * swell

    # Cells are wedges where they line a narrow tube: many small surfaces, bases of full width.
    narrow = np.array([1.0, geometry.crypt_wedge, geometry.gland_wedge])[anatomy.lining]
    along = np.cumsum(np.diff(anatomy.along, prepend=np.float32(0.0)) * narrow)
    length = float(along[-1]) if along.size else 0.0
    count = int(length / (geometry.cell_width_um[0] * px)) + 2
    odds = rng.random(count)
    widths = rng.uniform(*geometry.cell_width_um, count) * px
    widths = np.where(odds < geometry.goblet_share_villus, 1.3 * widths, widths)
    ends = np.cumsum(widths)
    used = int(np.searchsorted(ends, length)) + 1
    starts, widths, odds = (ends - widths)[:used], widths[:used], odds[:used]
    last = max(along.size - 1, 0)
    middle = np.searchsorted(along, starts + 0.5 * widths).clip(0, last)
    lining = anatomy.lining[middle]
    share = np.where(lining == CRYPT, geometry.goblet_share_crypt, 0.0)
    share = np.where(lining == VILLUS, geometry.goblet_share_villus, share)
    return Cells(
        middle=middle,
        side=np.searchsorted(along, starts).clip(0, last),
        width=widths,
        goblet=odds < share,
        height=height.astype(np.float32),
        of=(np.searchsorted(starts, along, side="right") - 1).clip(0),
    )


def _pixels(anatomy: Anatomy, cells: Cells) -> tuple[Int64, Float32, Float32]:
    """Return the epithelium's pixels, their depth (work pixels), and depth / height."""
    near = anatomy.solid & anatomy.tissue & (anatomy.depth < float(cells.height.max()))
    pixels = np.flatnonzero(near)
    depth = anatomy.depth.ravel()[pixels] - np.float32(0.5)
    deep = depth / cells.height[anatomy.contour.ravel()[pixels]]
    keep = deep < 1.0
    return pixels[keep], depth[keep], deep[keep]


def _stamped(
    rng: np.random.Generator, canvas: Canvas, anatomy: Anatomy, cells: Cells
) -> tuple[Float32, Float32, Float32]:
    """Return maps of nuclei, vacuoles and side walls, 0 to about 1."""
    shape = canvas.dab.shape
    nuclei, vacuoles = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    steps = int(float(cells.height.max()) / MARCH_PX) + 1
    smooth = blur(anatomy.depth, 2.5)
    slope: Any = (cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    inward = _march(anatomy.position[cells.middle], slope, steps)
    height = cells.height[cells.middle].astype(np.float64)
    count = len(height)

    place = np.where(cells.goblet, 0.86, rng.normal(0.68, 0.08, count)).clip(0.4, 0.88)
    centres, angle, reached = _at(inward, place * height, anatomy)
    long = np.where(cells.goblet, 0.09, rng.uniform(0.13, 0.19, count)) * height
    tone = rng.normal(0.85, 0.16, count).clip(0.4, 1.2)
    ok = reached > 0.8
    across = 0.46 * cells.width
    stamp(rng, nuclei, centres[ok], (long[ok], across[ok]), angle[ok], tone[ok])
    stamp(rng, nuclei, centres[ok], (0.7 * long[ok], 0.6 * across[ok]), angle[ok], 0.8 * tone[ok])

    centres, angle, reached = _at(inward, rng.uniform(0.24, 0.36, count) * height, anatomy)
    ok = cells.goblet & (reached > 0.8)
    long = rng.uniform(0.2, 0.3, count) * height
    across = rng.uniform(0.6, 0.8, count) * cells.width
    stamp(
        rng,
        vacuoles,
        centres[ok],
        (long[ok], across[ok]),
        angle[ok],
        np.ones(ok.sum()),
        ragged=0.04,
    )

    lines = _march(anatomy.position[cells.side], slope, steps)[::4].transpose(1, 0, 2)
    walls = np.zeros(shape, np.uint8)
    cv2.polylines(walls, list(np.ascontiguousarray(np.rint(lines), np.int32)), False, 255, 1)
    wall = blur(walls.astype(np.float32), 0.8) / np.float32(160.0)
    return blur(nuclei, 0.7), blur(vacuoles, 0.7), wall


def _march(position: NDArray[np.int32], slope: tuple[Float32, Float32], steps: int) -> Float64:
    """Walk from the surface inwards, against the depth's slope; (steps, cells, 2) as x, y."""
    size = slope[0].shape[0]
    at = np.stack([position % size, position // size], axis=1).astype(np.float64)
    path = np.empty((steps, len(at), 2))
    for step in range(steps):
        path[step] = at
        x, y = np.rint(at).astype(np.int64).clip(0, size - 1).T
        way = np.stack([slope[0][y, x], slope[1][y, x]], axis=1).astype(np.float64)
        at = at + MARCH_PX * way / (np.hypot(way[:, 0], way[:, 1]) + 1e-3)[:, None]
    return path.clip(0, size - 1)


def _at(path: Float64, depth: Float64, anatomy: Anatomy) -> tuple[Float64, Float64, Float64]:
    """Return place and direction of the paths at a depth, and which share of it they reach."""
    step = np.rint(depth / MARCH_PX).astype(np.int64).clip(1, len(path) - 1)
    cell = np.arange(path.shape[1])
    here, before = path[step, cell], path[step - 1, cell]
    way = here - before
    x, y = np.rint(here).astype(np.int64).T
    return here, np.arctan2(way[:, 1], way[:, 0]), anatomy.depth[y, x] / np.maximum(depth, 1.0)


def _border(
    rng: np.random.Generator, canvas: Canvas, anatomy: Anatomy, cells: Cells, cover: float
) -> tuple[Float32, Float32]:
    """Return the border's width (work pixels) and relative density per contour pixel."""
    px, size = canvas.px, canvas.size
    low, high = canvas.setting.geometry.border_um
    thick = ramp(smooth_noise(rng, size, 20.0 * px).ravel()[anatomy.position], -1.6, 1.6)
    width = np.float32(low * px) + np.float32((high - low) * px) * thick
    where = smooth_noise(rng, size, 55.0 * px) + 0.35 * smooth_noise(rng, size, 10.0 * px)
    presence = where.ravel()[anatomy.position]
    eligible = (anatomy.lining == VILLUS) & anatomy.tissue.ravel()[anatomy.position]
    limit = np.quantile(presence[eligible], 1.0 - cover) if eligible.any() else np.inf
    level = (0.84 + 0.14 * smooth_noise(rng, size, 12.0 * px)).ravel()[anatomy.position]
    shown = (presence > limit) & (anatomy.lining == VILLUS) & ~cells.goblet[cells.of]
    return width, np.where(shown, level.clip(0.62, 1.0), 0.0).astype(np.float32)
