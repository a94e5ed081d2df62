"""Columnar epithelium: cells along the contour of the lumen, goblet cells, the brush border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.phantom.anatomy import CRYPT, VILLUS, Anatomy, Mask
from cacl.phantom.ellipses import NUCLEUS_THRESHOLD, draw_ellipses
from cacl.phantom.fields import Float32, blur, ramp, smooth_noise, within
from cacl.phantom.nuclei import Nuclei, draw_dense_nuclei, draw_nuclei
from cacl.phantom.nucleus_rows import nuclei_in_rows
from cacl.phantom.stain_maps import StainMaps

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
STEP_PX = 1.5


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of the epithelium; lengths in work pixels."""

    middle: Int64  # per cell: contour pixel at the middle of its surface
    start: Int64  # per cell: contour pixel of its first side wall
    width: Float64  # per cell
    goblet: Mask  # per cell
    height: Float32  # per contour pixel
    cell_index: Int64  # per contour pixel


def render_epithelium(
    rng: np.random.Generator, maps: StainMaps, anatomy: Anatomy, coverage: float
) -> None:
    """Render the epithelium, its mask and the ground truth of its structures.

    Parameters
    ----------
    rng
        Random generator of the core.
    maps
        Changed in place.
    anatomy
        Tissue of the core.
    coverage
        Fraction of the villus surface with a stained brush border in a positive core, 0 to 1.
    """
    staining, densities = maps.staining, maps.setting.densities
    cells = _divide_into_cells(rng, maps, anatomy)
    pixels, depth, relative_depth = _epithelium_pixels(anatomy, cells)
    contour = anatomy.contour.ravel()[pixels]
    nuclei, vacuoles, walls = _draw_cell_structures(rng, maps, anatomy, cells)
    nucleus, stained_nucleus = nuclei.reshape(-1, 2)[pixels].T
    vacuole = vacuoles.ravel()[pixels]
    wall = walls.ravel()[pixels] * (1.0 - vacuole)
    nucleus = nucleus * (1.0 - vacuole)
    stained_nucleus = stained_nucleus * (1.0 - vacuole)
    any_nucleus = np.maximum(nucleus, stained_nucleus)
    nucleus_mask = np.minimum(any_nucleus * 2.0, 1.0)
    fine, middle = maps.fine.ravel()[pixels], maps.middle.ravel()[pixels]
    patchiness = 1.0 + 0.16 * smooth_noise(rng, maps.size, 9.0 * maps.px).ravel()[pixels]

    border_width, border_level = _brush_border(rng, maps, anatomy, cells, coverage)
    width = border_width[contour] * (1.0 + 0.12 * middle)
    border = np.clip(width - depth + np.float32(0.5), 0.0, 1.0) * (1.0 - vacuole)
    level = border_level[contour]

    cytoplasm = within(rng, densities.cytoplasm_h_od) * patchiness
    cytoplasm = cytoplasm * (1.0 + 0.1 * fine + 0.1 * middle)
    hematoxylin = cytoplasm * (1.0 - 0.45 * border) * (1.0 - vacuole)
    hematoxylin = hematoxylin + 0.05 * vacuole + 0.05 * wall
    hematoxylin += within(rng, densities.nucleus_h_od) * nucleus * (1.0 + 0.14 * fine)

    apical = 1.0 + np.float32(staining.apical) * (0.25 - 0.7 * relative_depth)
    lateral = 1.0 - 0.4 * np.float32(staining.lateral) + np.float32(1.3 * staining.lateral) * wall
    dab = staining.cytoplasm_od * apical * lateral * patchiness * (1.0 - 0.75 * nucleus_mask)
    dab *= (1.0 + 0.13 * fine + 0.12 * middle) * (1.0 - vacuole)
    dab += staining.nuclei_od * stained_nucleus * (1.0 + 0.15 * fine)
    dab += staining.mucus_od * vacuole * (1.0 + 0.12 * middle)
    dab += staining.background_od
    if staining.positive:
        has_border = level > 0
        gradient = 1.08 - 0.25 * depth / width.clip(1.0)
        border_dab = staining.border_od * level * gradient * (1.0 + 0.08 * fine) + 0.45 * dab
        dab = np.where(has_border, dab * (1.0 - border) + border * border_dab, dab)
        maps.border.ravel()[pixels] = (border > 0.5) & has_border
    in_nucleus = any_nucleus > NUCLEUS_THRESHOLD
    if staining.nuclei_od > 0:
        maps.nuclei.ravel()[pixels] = stained_nucleus > NUCLEUS_THRESHOLD
    if staining.cytoplasm_od > 0:
        maps.cytoplasm.ravel()[pixels] = ~in_nucleus & (vacuole < 0.5)

    maps.hematoxylin.ravel()[pixels] = hematoxylin
    maps.dab.ravel()[pixels] = dab
    maps.cell.ravel()[pixels] = True  # including vacuoles: the mucus is inside a goblet cell
    maps.any_nucleus.ravel()[pixels] = any_nucleus
    maps.epithelium.ravel()[pixels] = True
    maps.without_grains.ravel()[pixels] = np.maximum(border, vacuole)


def _divide_into_cells(rng: np.random.Generator, maps: StainMaps, anatomy: Anatomy) -> Cells:
    """Divide the epithelium into cells along the contour of the lumen."""
    geometry, px = maps.setting.geometry, maps.px
    villus = within(rng, geometry.epithelium_um) * px
    crypt = within(rng, geometry.crypt_epithelium_um) * px
    height_factor = 1.0 + 0.1 * smooth_noise(rng, maps.size, 30.0 * px).ravel()[anatomy.position]
    height = np.where(anatomy.lining == VILLUS, villus, crypt) * height_factor

    # Cells that line a narrow tube are wedges: the surface is narrower than the base.
    wedge = np.array([1.0, geometry.crypt_wedge, geometry.gland_wedge])[anatomy.lining]
    along = np.cumsum(np.diff(anatomy.along, prepend=np.float32(0.0)) * wedge)
    length = float(along[-1]) if along.size else 0.0
    count = int(length / (geometry.cell_width_um[0] * px)) + 2
    draws = rng.random(count)
    widths = rng.uniform(*geometry.cell_width_um, count) * px
    widths = np.where(draws < geometry.goblet_fraction_villus, 1.3 * widths, widths)
    ends = np.cumsum(widths)
    used = int(np.searchsorted(ends, length)) + 1
    starts, widths, draws = (ends - widths)[:used], widths[:used], draws[:used]
    last = max(along.size - 1, 0)
    middle = np.searchsorted(along, starts + 0.5 * widths).clip(0, last)
    lining = anatomy.lining[middle]
    goblet_fraction = np.where(lining == CRYPT, geometry.goblet_fraction_crypt, 0.0)
    goblet_fraction = np.where(lining == VILLUS, geometry.goblet_fraction_villus, goblet_fraction)
    return Cells(
        middle=middle,
        start=np.searchsorted(along, starts).clip(0, last),
        width=widths,
        goblet=draws < goblet_fraction,
        height=height.astype(np.float32),
        cell_index=(np.searchsorted(starts, along, side="right") - 1).clip(0),
    )


def _epithelium_pixels(anatomy: Anatomy, cells: Cells) -> tuple[Int64, Float32, Float32]:
    """Return flat indices of the epithelium, depth (work pixels), and depth / cell height."""
    near = anatomy.solid & anatomy.tissue & (anatomy.depth < float(cells.height.max()))
    pixels = np.flatnonzero(near)
    depth = anatomy.depth.ravel()[pixels] - np.float32(0.5)
    relative_depth = depth / cells.height[anatomy.contour.ravel()[pixels]]
    keep = relative_depth < 1.0
    return pixels[keep], depth[keep], relative_depth[keep]


def _draw_cell_structures(
    rng: np.random.Generator, maps: StainMaps, anatomy: Anatomy, cells: Cells
) -> tuple[Float32, Float32, Float32]:
    """Return maps of nuclei, vacuoles (y, x) and side walls (y, x), from 0 to about 1.

    That of the nuclei is (y, x, 2): all of them, and those that an antibody of nuclei stains.
    """
    shape, detail = maps.dab.shape, maps.setting.detail
    nuclei, vacuoles = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)
    steps = int(float(cells.height.max()) / STEP_PX) + 1
    smooth = blur(anatomy.depth, 2.5)
    gradient: Any = (cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    paths = _inward_paths(anatomy.position[cells.middle], gradient, steps)
    height = cells.height[cells.middle].astype(np.float64)
    count = len(height)

    if detail:
        height_map = cells.height[anatomy.contour]
        in_rows = nuclei_in_rows(rng, anatomy, height_map, detail.rows, maps.px)
        draw_dense_nuclei(rng, nuclei, in_rows, maps.staining.epithelial_nuclei)
    else:
        draw_nuclei(rng, nuclei, _nuclei_of_cells(rng, paths, cells, anatomy), (0.7, 0.6, 0.8))

    depth = rng.uniform(0.24, 0.36, count)
    centres, angle, reached = _point_at_depth(paths, depth * height, anatomy)
    valid = cells.goblet & (reached > 0.8)
    long = rng.uniform(0.2, 0.3, count) * height
    across = rng.uniform(0.6, 0.8, count) * cells.width
    draw_ellipses(
        rng,
        vacuoles,
        centres[valid],
        (long[valid], across[valid]),
        angle[valid],
        np.ones(valid.sum()),
        roughness=0.04,
    )

    lines = _inward_paths(anatomy.position[cells.start], gradient, steps)[::4].transpose(1, 0, 2)
    walls = np.zeros(shape, np.uint8)
    cv2.polylines(walls, list(np.ascontiguousarray(np.rint(lines), np.int32)), False, 255, 1)
    wall = blur(walls.astype(np.float32), 0.8) / np.float32(160.0)
    return blur(nuclei, 0.7), blur(vacuoles, 0.7), wall


def _nuclei_of_cells(
    rng: np.random.Generator, paths: Float64, cells: Cells, anatomy: Anatomy
) -> Nuclei:
    """Return one nucleus for each cell, where the cell is deep enough."""
    height = cells.height[cells.middle].astype(np.float64)
    count = len(height)
    depth = np.where(cells.goblet, 0.86, rng.normal(0.68, 0.08, count)).clip(0.4, 0.88)
    centres, angle, reached = _point_at_depth(paths, depth * height, anatomy)
    long = np.where(cells.goblet, 0.09, rng.uniform(0.13, 0.19, count)) * height
    level = rng.normal(0.85, 0.16, count).clip(0.4, 1.2)
    valid = reached > 0.8
    half_axes = (long[valid], (0.46 * cells.width)[valid])
    return Nuclei(centres[valid], half_axes, angle[valid], level[valid])


def _inward_paths(
    position: NDArray[np.int32], gradient: tuple[Float32, Float32], steps: int
) -> Float64:
    """Follow the gradient of the depth from surface pixels; (steps, cells, 2) as x, y."""
    size = gradient[0].shape[0]
    points = np.stack([position % size, position // size], axis=1).astype(np.float64)
    path = np.empty((steps, len(points), 2))
    for step in range(steps):
        path[step] = points
        x, y = np.rint(points).astype(np.int64).clip(0, size - 1).T
        vector = np.stack([gradient[0][y, x], gradient[1][y, x]], axis=1).astype(np.float64)
        norm = np.hypot(vector[:, 0], vector[:, 1]) + 1e-3
        points = points + STEP_PX * vector / norm[:, None]
    return path.clip(0, size - 1)


def _point_at_depth(
    path: Float64, depth: Float64, anatomy: Anatomy
) -> tuple[Float64, Float64, Float64]:
    """Return point and direction (radians) of each path at a depth, and the fraction reached."""
    step = np.rint(depth / STEP_PX).astype(np.int64).clip(1, len(path) - 1)
    cell = np.arange(path.shape[1])
    point, previous = path[step, cell], path[step - 1, cell]
    vector = point - previous
    x, y = np.rint(point).astype(np.int64).T
    reached = anatomy.depth[y, x] / np.maximum(depth, 1.0)
    return point, np.arctan2(vector[:, 1], vector[:, 0]), reached


def _brush_border(
    rng: np.random.Generator, maps: StainMaps, anatomy: Anatomy, cells: Cells, coverage: float
) -> tuple[Float32, Float32]:
    """Return width (work pixels) and relative density of the border per contour pixel."""
    px, size = maps.px, maps.size
    low, high = maps.setting.geometry.border_um
    thickness = ramp(smooth_noise(rng, size, 20.0 * px).ravel()[anatomy.position], -1.6, 1.6)
    width = np.float32(low * px) + np.float32((high - low) * px) * thickness
    noise = smooth_noise(rng, size, 55.0 * px) + 0.35 * smooth_noise(rng, size, 10.0 * px)
    presence = noise.ravel()[anatomy.position]
    eligible = (anatomy.lining == VILLUS) & anatomy.tissue.ravel()[anatomy.position]
    threshold = np.quantile(presence[eligible], 1.0 - coverage) if eligible.any() else np.inf
    level = (0.84 + 0.14 * smooth_noise(rng, size, 12.0 * px)).ravel()[anatomy.position]
    is_goblet = cells.goblet[cells.cell_index]
    has_border = (presence > threshold) & (anatomy.lining == VILLUS) & ~is_goblet
    return width, np.where(has_border, level.clip(0.62, 1.0), 0.0).astype(np.float32)
