"""The period of an array of cores, and the diameter of a core, without any prior knowledge.

The autocorrelation of the tissue has its highest side maxima at the steps between neighbours,
whatever the texture of the cores (Kuraparthi and others use the same property of microarray
images). The diameter is the one of the disc that differs most from the ring around it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

MAX_TILT_DEG = 9.0
"""Largest angle between the rows of an array and those of the picture that is looked for."""

MAX_SIDE = 1000
"""Pixels of the longer side of the picture whose autocorrelation is computed."""

SMOOTHING = 0.004
"""Of the tissue before its autocorrelation, over the longer side."""

MIN_STEP, MAX_STEP = 0.02, 0.6
"""Distance of neighbours over the longer side of the picture."""

NEARLY_HIGHEST = 0.45
"""A maximum at a shorter distance counts if it has this fraction of the height of the highest."""

RADII = np.linspace(0.26, 0.54, 11)
"""Radii of a core over the distance of neighbours."""

RING = 1.25
"""Outer radius of the ring around a disc, over the disc's."""

OCCUPIED = 0.5
"""Cores per place that an array surely has."""

MIN_CONTRAST = 0.1
"""Difference in the fraction of tissue between a disc and its ring from which it may be a core."""

MIN_SPACING = 0.62
"""Distance of two cores over the distance of neighbours."""


def find_steps(tissue: Bool) -> tuple[Float64, Float64] | None:
    """Return the steps (x, y) to the right and down; None if the tissue is not periodic.

    Parameters
    ----------
    tissue
        (y, x).
    """
    factor = min(1.0, MAX_SIDE / max(tissue.shape))
    small = scaled(tissue.astype(np.float32), factor)
    smooth = cv2.GaussianBlur(small, (0, 0), SMOOTHING * max(small.shape))
    correlation = _autocorrelation(np.asarray(smooth, np.float32))
    right, down = _step(correlation, 0.0), _step(correlation, 90.0)
    return None if right is None or down is None else (right / factor, down / factor)


def scaled(image: Float32, factor: float) -> Float32:
    """Return an image (y, x) of another size; its pixels are means."""
    size = [max(1, round(side * factor)) for side in image.shape[::-1]]
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), np.float32)


def disc_contrast(tissue: Float32, radius: float) -> Float32:
    """Return, for each pixel, the mean of the disc around it minus that of the ring around that."""
    disc, outer = _disc(radius), _disc(RING * radius)
    pad = (len(outer) - len(disc)) // 2
    inner = np.pad(disc, pad)
    ring = outer - inner
    kernel = inner / inner.sum() - ring / ring.sum()
    return _filtered(tissue, kernel)


def disc_mean(tissue: Float32, radius: float) -> Float32:
    """Return, for each pixel, the mean of the disc around it."""
    disc = _disc(radius)
    return _filtered(tissue, disc / disc.sum())


def _filtered(image: Float32, kernel: Float64) -> Float32:
    border = cv2.BORDER_CONSTANT
    return np.asarray(cv2.filter2D(image, cv2.CV_32F, kernel, borderType=border), np.float32)


def _disc(radius: float) -> Float64:
    reach = int(np.ceil(radius))
    y, x = np.indices((2 * reach + 1, 2 * reach + 1)) - reach
    return np.clip(radius + 0.5 - np.hypot(y, x), 0, 1)


def _autocorrelation(image: Float32) -> Float32:
    """Return the autocorrelation with the shift (0, 0) in the middle, per overlapping pixel."""
    shape = [fft.next_fast_len(2 * side) for side in image.shape]
    spectrum = fft.rfft2(image - image.mean(), shape, workers=1)
    product = fft.irfft2(np.abs(spectrum) ** 2, shape, workers=1)
    height, width = image.shape
    rolled = np.roll(product, (height, width), (0, 1))[: 2 * height, : 2 * width]
    overlap = (height - np.abs(np.arange(2 * height) - height))[:, None] * (
        width - np.abs(np.arange(2 * width) - width)
    )
    return np.asarray(rolled / np.maximum(overlap, image.size / 10), np.float32)


def _step(correlation: Float32, angle_deg: float) -> Float64 | None:
    """Return the shift (x, y) of the nearest high maximum in a direction."""
    centre = np.array(correlation.shape) // 2
    longer = max(correlation.shape) / 2
    x, y = find_peaks(correlation, 3, 0.0).T - centre[::-1, None]
    distance = np.hypot(y, x)
    angle = np.rad2deg(np.arctan2(y, x)) - angle_deg
    wanted = (np.abs((angle + 180) % 360 - 180) <= MAX_TILT_DEG) & (
        (distance >= MIN_STEP * longer) & (distance <= MAX_STEP * longer)
    )
    if not wanted.any():
        return None
    y, x, distance = y[wanted], x[wanted], distance[wanted]
    height = correlation[y + centre[0], x + centre[1]]
    if height.max() <= 0:
        return None
    chosen = np.flatnonzero(height >= NEARLY_HIGHEST * height.max())
    nearest = chosen[distance[chosen].argmin()]
    return np.array([x[nearest], y[nearest]], np.float64)


def core_radius(tissue: Float32, spacing: float) -> float | None:
    """Return the radius of the discs that differ most from the rings around them.

    Compared are the sums over equally many discs, about as many as there are cores.

    Parameters
    ----------
    tissue
        (y, x), fraction of tissue.
    spacing
        Distance of neighbours.
    """
    y, x = np.nonzero(tissue > 0.5)
    if not len(y):
        return None
    count = max(3, round(OCCUPIED * float(np.ptp(x)) * float(np.ptp(y)) / spacing**2))
    scores = []
    for radius in RADII * spacing:
        contrast = disc_contrast(tissue, radius)
        peaks = find_peaks(contrast, MIN_SPACING * spacing, MIN_CONTRAST)
        scores.append(float(contrast[peaks[:count, 1], peaks[:count, 0]].sum()))
    best = int(np.argmax(scores))
    return float(RADII[best] * spacing) if scores[best] > 0 else None


def find_peaks(values: Float32, min_distance: float, threshold: float) -> NDArray[np.intp]:
    """Return the local maxima (n, 2) as x, y above a threshold, highest first.

    Parameters
    ----------
    values
        (y, x).
    min_distance
        Half the side of the square in which a maximum is the highest value.
    threshold
        The values must exceed it.
    """
    reach = max(1, int(min_distance))
    highest = cv2.dilate(values, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    y, x = np.nonzero((values >= highest) & (values > threshold))
    order = np.argsort(-values[y, x], kind="stable")
    return np.stack([x[order], y[order]], axis=1)
