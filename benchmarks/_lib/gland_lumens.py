"""Lumens, goblet vacuoles and the apical surface of glands, by classical image analysis.

For images of colon with hand-drawn masks of glands (epithelium and lumen). A crypt is often full
of goblet cells, whose vacuoles are pale, too. A lumen differs from them by its place, at the medial
axis of the gland, and by its brightness: it is the palest of the pale regions. A gland in which
that cannot be decided has no lumen here.

Pure functions; densities are decadic optical densities, lengths are in um unless they end in `_px`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from cacl.image.apical_border import apical_border
from cacl.image.cell_mask import cell_mask, remove_small_objects
from cacl.image.stain import Bool, Float32, UInt8, mean_density

# Density relative to the palest and the median stained tissue of the same gland, 0 to 1.
LUMEN_LEVEL, VACUOLE_LEVEL = 0.3, 0.62
PALEST_PERCENTILE, STAINED_PERCENTILE = 2.0, 70.0
MIN_CONTRAST_OD = 0.08
SMOOTHING_UM = 0.75

# Place of a lumen: distance from the base of the epithelium, absolute and relative to the largest
# distance near it, at the deepest pixel and on average.
MIN_DEPTH_UM, VACUOLE_DEPTH_UM = 11.0, 5.0
RIDGE_UM = 25.0
MIN_RELATIVE_DEPTH, MIN_RIDGE_DEPTH, MIN_MEAN_DEPTH = 0.55, 0.85, 0.74

# Size: an opening separates vacuoles that touch the lumen.
OPENING_RADIUS_UM, MIN_LUMEN_UM2, MIN_GLAND_UM2 = 2.2, 50.0, 1500.0
VACUOLE_RADIUS_UM = 1.2
MAX_HOLE_UM2, MIN_BORDER_UM = 400.0, 20.0
# A vacuole that opens into the lumen has a neck; what remains of it after an erosion is small.
NECK_RADIUS_UM, MIN_PART_UM2 = 2.6, 90.0
# Small round components at some distance from the medial axis are vacuoles.
VACUOLE_UM2, VACUOLE_SOLIDITY, MIN_ROUND_DEPTH = 300.0, 0.9, 0.84
# Strands between pale, torn or cut vacuoles make a ragged component.
MIN_SOLIDITY = 0.45
# A gland that is paler than this is torn or full of mucus.
MAX_PALE_FRACTION = 0.6

# Empty glass inside a gland is a lumen wherever it lies.
GLASS_OD, MIN_GLASS_UM2, GLASS_DEPTH_UM = 0.045, 350.0, 4.0
GLASS_RADIUS_UM = 3.2

ANALYSIS_MPP = 1.17
PADDING_UM = 50.0


@dataclass(frozen=True, eq=False)
class Glands:
    """Structures of the epithelium of an image; masks are (y, x) bool.

    Parameters
    ----------
    lumen
        Lumens of crypts, and the empty glass that surface epithelium faces.
    apical
        Tissue beside a lumen that is the apical side of epithelium, one pixel wide.
    vacuole
        Goblet vacuoles inside the glands.
    cell
        Tissue: no lumen, no glass.
    """

    lumen: Bool
    apical: Bool
    vacuole: Bool
    cell: Bool


def find_glands(rgb: UInt8, counterstained: UInt8, gland: Bool, mpp: float) -> Glands:
    """Return the structures of the epithelium.

    Parameters
    ----------
    rgb
        (y, x, 3) uint8, stained with haematoxylin and eosin.
    counterstained
        The same with a haematoxylin counterstain instead.
    gland
        (y, x) bool: masks of the glands.
    mpp
        Side of a pixel in um.
    """
    density = smooth_density(rgb, mpp)
    lumen, vacuole = crypt_lumens(density, gland, mpp)
    glass = _opened((density < GLASS_OD) & ~lumen, 1.0 / mpp)
    in_gland = gland & ~(glass & (gland_depth(gland, mpp)[0] < MIN_DEPTH_UM))
    surface_lumen, surface = surface_border(counterstained, mpp)
    surface &= ~_dilated(lumen | vacuole, 2)
    cell = ~lumen & (in_gland | ~glass)
    all_lumens = lumen | (surface_lumen & ~cell)
    ring = _dilated(all_lumens, 1) & ~all_lumens & ~_frame(lumen.shape, 2)
    near_surface = _dilated(surface, round(2.5 / mpp))
    apical = ring & cell & (_dilated(lumen, 1) | near_surface)
    apical = remove_small_objects(apical, round(MIN_BORDER_UM / mpp))
    # The blurred rim of a lumen is no vacuole.
    return Glands(all_lumens, apical, _opened(vacuole & cell, VACUOLE_RADIUS_UM / mpp), cell)


def smooth_density(rgb: UInt8, mpp: float) -> Float32:
    """Return the mean optical density of (y, x, 3) uint8 above that of glass, smoothed: (y, x)."""
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    density = mean_density(planes)
    glass = np.percentile(density, 0.5)
    return _blurred(np.asarray(density - glass, np.float32), SMOOTHING_UM / mpp)


def gland_depth(gland: Bool, mpp: float) -> tuple[Float32, Float32]:
    """Return the distance of each pixel from the outline of its gland, in um, and its maximum near.

    The edge of the image is no outline: a gland is continued beyond it.
    """
    pad = round(PADDING_UM / mpp)
    padded = np.pad(gland, pad, mode="edge")
    distance: Any = cv2.distanceTransform(padded.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    depth = np.asarray(distance * mpp, np.float32)
    side = 2 * round(RIDGE_UM / mpp) + 1
    ridge: Any = cv2.dilate(depth, np.ones((side, side), np.uint8))
    inside = (slice(pad, -pad), slice(pad, -pad))
    return depth[inside], np.asarray(ridge, np.float32)[inside]


def crypt_lumens(density: Float32, gland: Bool, mpp: float) -> tuple[Bool, Bool]:
    """Return the lumens inside glands, and their goblet vacuoles.

    Parameters
    ----------
    density
        (y, x) smoothed mean density; see `smooth_density`.
    gland
        (y, x) bool: masks of the glands.
    mpp
        Side of a pixel in um.
    """
    lumen, vacuole = np.zeros(gland.shape, bool), np.zeros(gland.shape, bool)
    count, labels, stats, _ = _components(gland)
    depth, ridge = gland_depth(gland, mpp)
    glass = gland & (density < GLASS_OD) & (depth > GLASS_DEPTH_UM)
    glass = remove_small_objects(
        _opened(glass, GLASS_RADIUS_UM / mpp), round(MIN_GLASS_UM2 / mpp**2)
    )
    for index in range(1, count):
        if stats[index, cv2.CC_STAT_AREA] * mpp**2 < MIN_GLAND_UM2:
            continue
        window = _window(stats[index])
        inside = labels[window] == index
        found = _lumen_of_gland(
            density[window], inside, glass[window], (depth[window], ridge[window]), mpp
        )
        lumen[window] |= found[0]
        vacuole[window] |= found[1]
    return lumen, vacuole & ~lumen


def surface_border(rgb: UInt8, mpp: float) -> tuple[Bool, Bool]:
    """Return empty glass and the apical surface of the epithelium that faces it.

    See `cacl.image.apical_border`, which is applied at `ANALYSIS_MPP`. White padding and empty
    corners are glass; the image's edge is no surface.
    """
    height, width = rgb.shape[:2]
    size = (round(width * mpp / ANALYSIS_MPP), round(height * mpp / ANALYSIS_MPP))
    small: Any = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    planes = np.ascontiguousarray(np.asarray(small, np.uint8).transpose(2, 0, 1))
    border = apical_border(planes, cell_mask(planes), mpp * width / size[0])
    lumen, surface = (
        np.asarray(
            cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
            > 0.5
        )
        for mask in (border.lumen, border.surface)
    )
    return lumen, surface


def _lumen_of_gland(
    density: Float32, inside: Bool, glass: Bool, depths: tuple[Float32, Float32], mpp: float
) -> tuple[Bool, Bool]:
    """Return lumens and pale pixels of one gland."""
    depth, ridge = depths
    glass = glass & inside
    core = inside & (depth > MIN_DEPTH_UM)
    stained = inside & ~glass
    if not core.any() or not stained.any():
        return _filled(glass, mpp), np.zeros_like(inside)
    palest = float(np.percentile(density[core], PALEST_PERCENTILE))
    typical = float(np.percentile(density[stained], STAINED_PERCENTILE))
    contrast = typical - palest
    if contrast < MIN_CONTRAST_OD:
        return _filled(glass, mpp), np.zeros_like(inside)
    pale = inside & (depth > VACUOLE_DEPTH_UM) & (density < palest + VACUOLE_LEVEL * contrast)
    if glass.any():
        return _filled(glass, mpp), pale & ~glass
    lumen = np.zeros_like(inside)
    if pale.sum() > MAX_PALE_FRACTION * inside.sum():
        return lumen, pale
    relative = np.asarray(depth / np.maximum(ridge, np.float32(1.0)), np.float32)
    bright = core & (density < palest + LUMEN_LEVEL * contrast) & (relative > MIN_RELATIVE_DEPTH)
    opened = _opened(bright, OPENING_RADIUS_UM / mpp)
    count, labels, _, _ = _components(opened)
    components = [labels == index for index in range(1, count)]
    components = [without_vacuoles(one, relative, mpp) for one in components]
    components = [one for one in components if is_lumen(one, relative, mpp)]
    components.sort(key=lambda one: float(relative[one].sum() * relative[one].mean()), reverse=True)
    reach = 2 * round(RIDGE_UM / mpp) + 1
    for component in components:
        near: Any = cv2.dilate(lumen.astype(np.uint8), np.ones((reach, reach), np.uint8))
        large = component.sum() * mpp**2 > VACUOLE_UM2
        if large or not (near[component] > 0).any():
            lumen |= component
    return _filled(lumen, mpp), pale


def is_lumen(component: Bool, relative_depth: Float32, mpp: float) -> bool:
    """Return whether a pale component is the lumen of a gland by its place, size and shape.

    Parameters
    ----------
    component
        (y, x) bool: one connected component.
    relative_depth
        (y, x): distance from the outline of the gland, over the largest one near, 0 to 1.
    mpp
        Side of a pixel in um.
    """
    area = float(component.sum()) * mpp**2
    depths = relative_depth[component]
    if area < MIN_LUMEN_UM2 or depths.max() < MIN_RIDGE_DEPTH or depths.mean() < MIN_MEAN_DEPTH:
        return False
    points = np.argwhere(component).astype(np.int32)
    hull = float(cv2.contourArea(cv2.convexHull(points))) * mpp**2
    if area < MIN_SOLIDITY * hull:
        return False
    is_round = area > VACUOLE_SOLIDITY * hull
    return not (area < VACUOLE_UM2 and is_round and depths.mean() < MIN_ROUND_DEPTH)


def without_vacuoles(component: Bool, relative_depth: Float32, mpp: float) -> Bool:
    """Return a pale component without the vacuoles that open into it through a neck.

    Of the parts that remain after an erosion, the one nearest to the medial axis is the lumen, and
    so is every part that is too large for a vacuole.

    Parameters
    ----------
    component, relative_depth, mpp
        See `is_lumen`.
    """
    kernel = _disc(NECK_RADIUS_UM / mpp)
    count, labels, stats, _ = _components(
        np.asarray(cv2.erode(component.astype(np.uint8), kernel) > 0)
    )
    if count <= 2:
        return component
    depths = [float(relative_depth[labels == index].mean()) for index in range(1, count)]
    is_large = stats[1:, cv2.CC_STAT_AREA] * mpp**2 > MIN_PART_UM2
    keep = is_large | (np.arange(1, count) == 1 + int(np.argmax(depths)))
    parts = np.concatenate([[False], keep])[labels]
    return component & _dilated(parts, round(NECK_RADIUS_UM / mpp) + 1)


def _components(mask: Bool) -> tuple[int, Any, Any, Any]:
    count, labels, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return count, labels, stats, centres


def _window(stats: Any) -> tuple[slice, slice]:
    left, top = int(stats[cv2.CC_STAT_LEFT]), int(stats[cv2.CC_STAT_TOP])
    width, height = int(stats[cv2.CC_STAT_WIDTH]), int(stats[cv2.CC_STAT_HEIGHT])
    return slice(top, top + height), slice(left, left + width)


def _filled(mask: Bool, mpp: float) -> Bool:
    """Return a mask without small holes: debris inside a lumen belongs to it."""
    holes = ~mask
    return mask | (holes & ~remove_small_objects(holes, round(MAX_HOLE_UM2 / mpp**2)))


def _frame(shape: tuple[int, ...], width_px: int) -> Bool:
    frame = np.ones(shape, bool)
    frame[width_px:-width_px, width_px:-width_px] = False
    return frame


def _opened(mask: Bool, radius_px: float) -> Bool:
    kernel = _disc(radius_px)
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0)


def _dilated(mask: Bool, radius_px: int) -> Bool:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), _disc(radius_px)) > 0)


def _disc(radius_px: float) -> UInt8:
    side = 2 * max(1, round(radius_px)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _blurred(values: Float32, sigma_px: float) -> Float32:
    blurred: Any = cv2.GaussianBlur(values, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)
