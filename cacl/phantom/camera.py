"""From stain densities to the picture that a slide scanner would write."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from cacl.phantom.canvas import Canvas
from cacl.phantom.fields import Float32, blur, enlarge, smooth_noise, within
from cacl.phantom.settings import Setting, Vector

UInt8 = NDArray[np.uint8]
STRIPE_PX = 311  # rows at a time: small enough for a processor's cache
TRUTH = {"microvilli": 2, "cytoplasm": 3, "nucleus": 4}
LN10 = float(np.log(10.0))


def photograph(rng: np.random.Generator, canvas: Canvas, setting: Setting, core_px: int) -> bytes:
    """Return a JPEG of a painted core: Beer-Lambert mixing, blur, noise, compression."""
    colours, optics = setting.colours, setting.optics
    blue = _direction(rng, colours.hematoxylin, colours.vector_jitter)
    brown = _direction(rng, colours.dab, colours.vector_jitter)
    glass = np.asarray(colours.glass) + rng.normal(0.0, 1.0) * colours.glass_jitter
    blur_px = within(rng, optics.blur_px)
    hematoxylin = _photographed(canvas.hematoxylin, blur_px, core_px)
    dab = _photographed(canvas.dab, blur_px, core_px)
    light = _light(rng, core_px)
    grain = _grain(rng) * np.float32(within(rng, optics.noise_levels))
    picture = np.empty((core_px, core_px, 3), np.uint8)
    for top in range(0, core_px, STRIPE_PX):
        rows = slice(top, min(top + STRIPE_PX, core_px))
        noise = np.tile(grain, core_px // STRIPE_PX + 1)[: rows.stop - top, :core_px]
        for channel in range(3):
            density = hematoxylin[rows] * np.float32(-LN10 * blue[channel])
            density += dab[rows] * np.float32(-LN10 * brown[channel])
            density += light[rows] + np.float32(np.log(glass[channel]))
            level = np.asarray(cv2.exp(density), np.float32)
            picture[rows, :, channel] = np.clip(level + noise + np.float32(0.5), 0.0, 255.0)
    jpeg: bytes = simplejpeg.encode_jpeg(
        picture, quality=optics.jpeg_quality, colorspace="RGB", colorsubsampling="420"
    )
    return jpeg


def truth_png(canvas: Canvas, core_px: int) -> bytes:
    """Return the truth as PNG: 0 = no cell, 1 = cell, and in a cell `TRUTH` of what is stained."""
    masks = {
        "microvilli": canvas.border,
        "cytoplasm": canvas.cytoplasm,
        "nucleus": canvas.nuclei,
    }
    truth = (enlarge(canvas.cell.astype(np.float32), core_px) > 0.5).astype(np.uint8)
    for name in reversed(canvas.setting.patterns):
        truth[enlarge(masks[name].astype(np.float32), core_px) > 0.5] = TRUTH[name]
    _, encoded = cv2.imencode(".png", truth, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    return bytes(encoded)


def _light(rng: np.random.Generator, core_px: int) -> Float32:
    """Return the logarithm of uneven illumination."""
    return enlarge(np.float32(0.006) * smooth_noise(rng, 32, 20.0), core_px)


def _direction(rng: np.random.Generator, vector: Vector, jitter: float) -> NDArray[np.float64]:
    moved = np.asarray(vector) + rng.normal(0.0, jitter, 3)
    moved = moved.clip(0.02)
    direction: NDArray[np.float64] = moved / np.linalg.norm(moved)
    return direction


def _photographed(field: Float32, blur_px: float, core_px: int) -> Float32:
    """Blur a map of work pixels and enlarge it to source pixels; `blur_px` in source pixels."""
    return enlarge(blur(field, blur_px * field.shape[0] / core_px), core_px)


def _grain(rng: np.random.Generator) -> Float32:
    """Return one square of camera noise of deviation 1; it is repeated over the picture."""
    noise = rng.standard_normal((STRIPE_PX, STRIPE_PX), dtype=np.float32)
    return blur(noise, 0.7) * np.float32(2.4)
