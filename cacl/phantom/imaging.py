"""Imaging: from stain densities to the JPEG of a slide scanner."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from cacl.phantom.fields import Float32, blur, enlarge, smooth_noise, within
from cacl.phantom.settings import Setting, Vector
from cacl.phantom.stain_maps import StainMaps
from cacl.phantom.tissue_texture import apply_texture

UInt8 = NDArray[np.uint8]
STRIPE_PX = 311  # rows per block, small enough for the processor cache
MASK_VALUES = {"microvilli": 2, "cytoplasm": 3, "nucleus": 4}
LN10 = float(np.log(10.0))


def render_image(
    rng: np.random.Generator, maps: StainMaps, setting: Setting, core_px: int
) -> bytes:
    """Return the JPEG of a rendered core: blur, Beer-Lambert mixing, noise, compression.

    Parameters
    ----------
    rng
        Random generator of the core.
    maps
        Stain densities, in work pixels.
    setting
        Colours and optics.
    core_px
        Height and width of the image, in source pixels.
    """
    colours, optics = setting.colours, setting.optics
    hematoxylin_vector = _unit_vector(rng, colours.hematoxylin, colours.vector_jitter)
    dab_vector = _unit_vector(rng, colours.dab, colours.vector_jitter)
    white = np.asarray(colours.white) + rng.normal(0.0, 1.0) * colours.white_jitter
    blur_sigma_px = within(rng, optics.blur_sigma_px)
    hematoxylin = _blur_and_enlarge(maps.hematoxylin, blur_sigma_px, core_px)
    dab = _blur_and_enlarge(maps.dab, blur_sigma_px, core_px)
    if setting.detail:
        apply_texture(rng, maps, hematoxylin, dab)
    log_illumination = _log_illumination(rng, core_px)
    noise_square = _noise_square(rng) * np.float32(within(rng, optics.noise_sd))
    rgb = np.empty((core_px, core_px, 3), np.uint8)
    for top in range(0, core_px, STRIPE_PX):
        rows = slice(top, min(top + STRIPE_PX, core_px))
        noise = np.tile(noise_square, core_px // STRIPE_PX + 1)[: rows.stop - top, :core_px]
        for channel in range(3):
            log_level = hematoxylin[rows] * np.float32(-LN10 * hematoxylin_vector[channel])
            log_level += dab[rows] * np.float32(-LN10 * dab_vector[channel])
            log_level += log_illumination[rows] + np.float32(np.log(white[channel]))
            level = np.asarray(cv2.exp(log_level), np.float32)
            rgb[rows, :, channel] = np.clip(level + noise + np.float32(0.5), 0.0, 255.0)
    jpeg: bytes = simplejpeg.encode_jpeg(
        rgb, quality=optics.jpeg_quality, colorspace="RGB", colorsubsampling="420"
    )
    return jpeg


def ground_truth_png(maps: StainMaps, core_px: int) -> bytes:
    """Return the ground truth as PNG: 0 = no cell, 1 = cell, else its value in `MASK_VALUES`."""
    masks = {
        "microvilli": maps.border,
        "cytoplasm": maps.cytoplasm,
        "nucleus": maps.nuclei,
    }
    ground_truth = (enlarge(maps.cell.astype(np.float32), core_px) > 0.5).astype(np.uint8)
    for name in reversed(maps.setting.structures):
        ground_truth[enlarge(masks[name].astype(np.float32), core_px) > 0.5] = MASK_VALUES[name]
    _, encoded = cv2.imencode(".png", ground_truth, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    return bytes(encoded)


def _log_illumination(rng: np.random.Generator, core_px: int) -> Float32:
    """Return the natural logarithm of an uneven illumination, (core_px, core_px)."""
    return enlarge(np.float32(0.006) * smooth_noise(rng, 32, 20.0), core_px)


def _unit_vector(rng: np.random.Generator, vector: Vector, jitter: float) -> NDArray[np.float64]:
    """Return a stain vector (R, G, B optical densities) with noise, of norm 1."""
    noisy = np.asarray(vector) + rng.normal(0.0, jitter, 3)
    noisy = noisy.clip(0.02)
    unit: NDArray[np.float64] = noisy / np.linalg.norm(noisy)
    return unit


def _blur_and_enlarge(field: Float32, blur_sigma_px: float, core_px: int) -> Float32:
    """Blur a map of work pixels and enlarge it; `blur_sigma_px` is in source pixels."""
    return enlarge(blur(field, blur_sigma_px * field.shape[0] / core_px), core_px)


def _noise_square(rng: np.random.Generator) -> Float32:
    """Return a square of camera noise of standard deviation 1, which is tiled over the image."""
    noise = rng.standard_normal((STRIPE_PX, STRIPE_PX), dtype=np.float32)
    return blur(noise, 0.7) * np.float32(2.4)
