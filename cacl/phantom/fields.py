"""Named random generators, smooth random fields and operations on maps."""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

# Mean standard deviation of white noise of standard deviation 1 after cubic enlargement.
CUBIC_SD = np.float32(0.74)


def generator(*names: object) -> np.random.Generator:
    """Return a generator that is seeded with the SHA-256 digest of the names."""
    text = "\n".join(str(name) for name in names)
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


def within(rng: np.random.Generator, span: tuple[float, float]) -> float:
    """Return a uniform random number in a range."""
    return float(rng.uniform(*span))


def smooth_noise(rng: np.random.Generator, size: int, scale_px: float) -> Float32:
    """Return a (size, size) field of mean 0 and standard deviation 1, smooth over `scale_px`."""
    knots = max(4, int(np.ceil(size / scale_px)) + 3)
    coarse = rng.standard_normal((knots, knots), dtype=np.float32)
    side = int(np.ceil(knots * scale_px))
    fine = enlarge(coarse, side, cv2.INTER_CUBIC)[:size, :size]
    return np.ascontiguousarray(fine) / CUBIC_SD


def enlarge(field: Float32, size: int, interpolation: int = cv2.INTER_LINEAR) -> Float32:
    """Return a map resized to (size, size)."""
    resized: Any = cv2.resize(field, (size, size), interpolation=interpolation)
    return np.asarray(resized, np.float32)


def blur(field: Float32, sigma_px: float) -> Float32:
    """Return a map after a Gaussian filter."""
    blurred: Any = cv2.GaussianBlur(field, (0, 0), sigma_px)
    return np.asarray(blurred, np.float32)


def ramp(values: Float32, low: float, high: float) -> Float32:
    """Return 0 below `low`, 1 above `high`, and linear values in between."""
    level: Float32 = np.clip((values - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return level
