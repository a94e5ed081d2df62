"""The tissue of one core: lumen, epithelium, crypts, glands and the tissue edge.

All maps derive from one mask, the lumen. Epithelium is the tissue near the lumen, and the position
of a cell along the epithelium is the position of the nearest lumen pixel along the contour of the
lumen. Maps have half the resolution of the image ("work pixels").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cacl.phantom.fields import Float32, blur, smooth_noise, within
from cacl.phantom.settings import Geometry

DOWNSCALE = 2
VILLUS, CRYPT, GLAND = 0, 1, 2
MUSCLE_UM = 55.0

Mask = NDArray[np.bool_]
UInt8 = NDArray[np.uint8]
Int32 = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Maps (y, x) of one core and arrays of its lumen contour; lengths in work pixels."""

    tissue: Mask  # inside the core
    solid: Mask  # not lumen
    depth: Float32  # distance from the lumen
    edge: Float32  # distance from the tissue edge
    contour: Int32  # index of the nearest contour pixel, for solid pixels
    near_tissue: Mask  # inside the core, or slightly outside
    angle: float  # direction of the villus axes, from tip to base, in radians
    below: Float32  # distance below the villus bases; negative among the villi
    crypt_zone: float  # depth of the crypts below the villus bases
    along: Float32  # per contour pixel: position along the contour
    position: Int32  # per contour pixel: flat index into the maps
    lining: UInt8  # per contour pixel: VILLUS, CRYPT or GLAND


@dataclass(frozen=True, eq=False)
class Frame:
    """Coordinate system (u, v) in which the villi point towards -u; `radius` of the core."""

    centre: NDArray[np.float64]
    direction: NDArray[np.float64]
    radius: float

    def points(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> Int32:
        """Return the pixel positions (n, 2) as x, y of points in u, v."""
        du = self.direction
        dv = np.array([-du[1], du[0]])
        positions = self.centre + np.outer(u, du) + np.outer(v, dv)
        return np.rint(positions).astype(np.int32)

    def u_map(self, size: int) -> Float32:
        """Return the u coordinate of every pixel of a (size, size) map."""
        axis = np.arange(size, dtype=np.float32)
        x = (axis - np.float32(self.centre[0])) * np.float32(self.direction[0])
        y = (axis - np.float32(self.centre[1])) * np.float32(self.direction[1])
        return x[None, :] + y[:, None]


def draw_anatomy(rng: np.random.Generator, geometry: Geometry, core_px: int) -> Anatomy:
    """Return the tissue of one core.

    Parameters
    ----------
    rng
        Random generator of the core.
    geometry
        Sizes of the structures.
    core_px
        Height and width of the image, in source pixels.
    """
    size = core_px // DOWNSCALE
    px = 1.0 / (geometry.mpp * DOWNSCALE)
    radius = min(0.5 * geometry.core_diameter_um * px, 0.47 * size) * within(rng, (0.93, 1.0))
    angle = within(rng, (0.0, 2.0 * np.pi))
    shift = rng.uniform(-0.03, 0.03, 2) * size
    frame = Frame(size / 2 + shift, np.array([np.cos(angle), np.sin(angle)]), radius)
    crosswise = rng.random() < geometry.crosswise_fraction
    base = radius * within(rng, (0.7, 1.05) if crosswise else (0.1, 0.5))
    wobble = smooth_noise(rng, size, 40.0 * px)
    below = frame.u_map(size) - np.float32(base) + np.float32(9.0 * px) * wobble

    solid = np.zeros((size, size), np.uint8)
    if not crosswise:
        _villi(rng, solid, geometry, frame, base, px)
    _islands(rng, solid, geometry, frame, base, px, everywhere=crosswise)
    solid[below > 0] = 1
    solid = _irregular_outline(rng, solid, geometry, px)
    crypts = np.zeros_like(solid)
    zone = within(rng, geometry.crypt_zone_um) * px
    _crypts(rng, crypts, geometry, frame, base, zone, px)
    _glands(rng, crypts, geometry, frame, base + zone, px)
    crypts *= solid
    solid[crypts > 0] = 0

    tissue, inside = _core_outline(rng, frame, size, px)
    edge: Any = cv2.distanceTransform(tissue.astype(np.uint8), cv2.DIST_L2, 3)
    depth, contour, along, position = _unroll_contour(solid)
    return Anatomy(
        tissue=tissue,
        solid=solid > 0,
        depth=depth,
        edge=edge,
        contour=contour,
        near_tissue=inside > -0.08 * radius,
        angle=angle,
        below=below,
        crypt_zone=zone,
        along=along,
        position=position,
        lining=crypts.ravel()[position],
    )


def _villi(
    rng: np.random.Generator,
    solid: UInt8,
    geometry: Geometry,
    frame: Frame,
    base: float,
    px: float,
) -> None:
    """Draw longitudinal sections of villi side by side.

    A villus overlaps those that were drawn before it, with a gap between them.
    """
    villi = []
    v = -1.1 * frame.radius
    while v < 1.1 * frame.radius:
        width = within(rng, geometry.villus_width_um) * px
        gap = within(rng, geometry.villus_gap_um) * px
        villi.append((v + width / 2, width, gap))
        v += width + gap
    common_bend = rng.normal(0.0, geometry.villus_bend)
    for index in rng.permutation(len(villi)):
        middle, width, gap = villi[index]
        length = within(rng, geometry.villus_length_um) * px
        t = np.linspace(0.0, 1.0, 40)
        bend = (common_bend + rng.normal(0.0, geometry.villus_bend)) * length
        wave = rng.normal(0.0, 0.1) * width * np.sin(np.pi * (t * 2.0 + rng.random()))
        axis = middle + bend * t**2 + wave
        width_factor = 1.0 + 0.14 * np.sin(
            2.0 * np.pi * (t * within(rng, (0.8, 2.2)) + rng.random())
        )
        tip = np.sqrt(np.clip(1.0 - ((t - 0.78) / 0.22).clip(0.0) ** 2, 0.0, 1.0))
        half_width = 0.5 * width * width_factor * tip * (1.0 + 0.25 * (1.0 - t) ** 3)
        u = base + 12.0 * px - length * t
        left, right = frame.points(u, axis - half_width), frame.points(u, axis + half_width)
        outline = np.concatenate([left, right[::-1]])
        cv2.polylines(solid, [outline], False, 0, thickness=max(2, int(1.4 * gap)))
        cv2.fillPoly(solid, [outline], 1)


def _islands(
    rng: np.random.Generator,
    solid: UInt8,
    geometry: Geometry,
    frame: Frame,
    base: float,
    px: float,
    *,
    everywhere: bool,
) -> None:
    """Draw cross-sections of villi: on a jittered grid everywhere, or a few among the others."""
    pitch = (np.mean(geometry.villus_width_um) + np.mean(geometry.villus_gap_um)) * px
    if everywhere:
        steps = int(frame.radius / pitch) + 2
        rows, columns = np.mgrid[-steps : steps + 1, -steps : steps + 1].reshape(2, -1)
        u = pitch * 0.95 * rows + rng.normal(0.0, 0.12 * pitch, rows.size)
        v = pitch * 1.05 * (columns + 0.5 * (rows % 2)) + rng.normal(0.0, 0.12 * pitch, rows.size)
    else:
        count = int(rng.integers(*geometry.islands))
        u = rng.uniform(-frame.radius, base - 0.35 * frame.radius, count)
        v = rng.uniform(-frame.radius, frame.radius, count)
    for x, y in frame.points(u, v):
        radius = 0.5 * within(rng, geometry.villus_width_um) * px
        axes = (int(radius), int(radius * within(rng, (1.0, 1.7))))
        angle = within(rng, (0.0, 180.0))
        gap = within(rng, geometry.villus_gap_um) * px
        centre = (int(x), int(y))
        cv2.ellipse(solid, centre, axes, angle, 0, 360, 0, thickness=max(2, int(1.4 * gap)))
        cv2.ellipse(solid, centre, axes, angle, 0, 360, 1, thickness=-1)


def _irregular_outline(
    rng: np.random.Generator, solid: UInt8, geometry: Geometry, px: float
) -> UInt8:
    """Return the tissue with rounded corners and irregular outlines."""
    size = solid.shape[0]
    level = blur(solid.astype(np.float32), 5.0 * px)
    level += np.float32(0.5 * geometry.outline_wobble) * smooth_noise(rng, size, 22.0 * px)
    level += np.float32(0.25 * geometry.outline_wobble) * smooth_noise(rng, size, 8.0 * px)
    return (level > 0.5).astype(np.uint8)


def _crypts(
    rng: np.random.Generator,
    crypts: UInt8,
    geometry: Geometry,
    frame: Frame,
    base: float,
    zone: float,
    px: float,
) -> None:
    """Draw the crypt lumens below the villus bases: slits (longitudinal) or dots (transverse)."""
    pitch = geometry.crypt_pitch_um * px
    v = np.arange(-frame.radius, frame.radius, pitch)
    longitudinal = rng.random() < 0.5
    for depth in np.arange(0.75 * pitch, zone, pitch * (2.6 if longitudinal else 0.95)):
        for across in v + rng.uniform(0.0, pitch):
            middle = across + rng.normal(0.0, 0.07 * pitch)
            thickness = max(2, round(within(rng, geometry.crypt_lumen_um) * px))
            length = within(rng, (0.9, 1.5)) if longitudinal else within(rng, (0.0, 0.25))
            u = base + depth + np.linspace(0.0, length * pitch, 6) + rng.normal(0.0, 0.08 * pitch)
            path = frame.points(u, middle + np.cumsum(rng.normal(0.0, 0.03 * pitch, 6)))
            cv2.polylines(crypts, [path], False, 1, thickness=thickness)


def _glands(
    rng: np.random.Generator,
    crypts: UInt8,
    geometry: Geometry,
    frame: Frame,
    start: float,
    px: float,
) -> None:
    """Draw the lumens of Brunner's glands, in lobules below the muscle layer."""
    pitch = geometry.gland_pitch_um * px
    u = np.arange(start + (MUSCLE_UM + 30.0) * px, frame.radius, pitch)
    v = np.arange(-frame.radius, frame.radius, pitch)
    centres = np.stack(np.meshgrid(u, v, indexing="ij"), axis=-1).reshape(-1, 2)
    centres += rng.normal(0.0, 0.13 * pitch, centres.shape)
    size = crypts.shape[0]
    lobule = smooth_noise(rng, size, 110.0 * px)
    for x, y in frame.points(centres[:, 0], centres[:, 1]):
        radius = max(1, round(0.6 * within(rng, geometry.crypt_lumen_um) * px))
        if 0 <= x < size and 0 <= y < size and lobule[y, x] > 0.1:
            cv2.circle(crypts, (int(x), int(y)), radius, GLAND, -1)


def _core_outline(
    rng: np.random.Generator, frame: Frame, size: int, px: float
) -> tuple[Mask, Float32]:
    """Return the tissue mask and the signed distance inside the irregular circle of the core.

    The mask may lack up to two pieces at the edge.
    """
    axis = np.arange(size, dtype=np.float32)
    x, y = axis - np.float32(frame.centre[0]), axis - np.float32(frame.centre[1])
    inside = np.float32(frame.radius) - np.sqrt(x[None, :] ** 2 + y[:, None] ** 2)
    inside += np.float32(14.0 * px) * smooth_noise(rng, size, 150.0 * px)
    inside += np.float32(3.0 * px) * smooth_noise(rng, size, 14.0 * px)
    tissue: Mask = inside > 0
    for _ in range(int(rng.integers(0, 3))):
        angle = within(rng, (0.0, 2.0 * np.pi))
        distance = within(rng, (0.85, 1.1)) * frame.radius
        missing_radius = within(rng, (0.1, 0.3)) * frame.radius
        irregularity = np.float32(8.0 * px) * smooth_noise(rng, size, 30.0 * px)
        from_centre = np.sqrt(
            (x[None, :] - np.float32(distance * np.cos(angle))) ** 2
            + (y[:, None] - np.float32(distance * np.sin(angle))) ** 2
        )
        tissue &= from_centre + irregularity > missing_radius
    return tissue, inside


def _unroll_contour(solid: UInt8) -> tuple[Float32, Int32, Float32, Int32]:
    """Return depth and nearest contour pixel (maps), length along the contour and flat index."""
    depth: Any
    labels: Any
    depth, labels = cv2.distanceTransformWithLabels(
        solid, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    contours, _ = cv2.findContours(1 - solid, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    points = np.zeros((1, 2), int)
    if contours:
        points = np.concatenate([contour[:, 0, :] for contour in contours])
    steps = np.hypot(*np.diff(points, axis=0, prepend=points[:1]).T)
    along = np.cumsum(np.minimum(steps, 2.0)).astype(np.float32)
    position = (points[:, 1] * solid.shape[1] + points[:, 0]).astype(np.int32)

    # A lumen pixel that is nearest to tissue may lie beside a contour: use the contour's neighbour.
    indices = np.full(solid.shape, -1.0, np.float32)
    indices.ravel()[position] = np.arange(position.size)
    dilated: Any = cv2.dilate(indices, np.ones((5, 5), np.uint8))
    indices = np.where(indices < 0, dilated, indices)
    lumen = np.flatnonzero(solid == 0)
    contour_of_label = np.zeros(int(labels.max()) + 1, np.int32)
    contour_of_label[labels.ravel()[lumen]] = indices.ravel()[lumen].clip(0)
    return depth, contour_of_label[labels], along, position
