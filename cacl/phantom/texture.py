"""The texture of real tissue: random fields with its spectrum and its distribution.

The numbers come from real cores of the Human Protein Atlas (CC BY-SA, Uhlen et al., Science 2015)
and, for stained nuclei, from Ki67 fields; `benchmarks/quality/texture.py` measures them. A texture
is the relative deviation of a density from its local mean, at 0.4 um per pixel.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.stats import norm

from cacl.phantom.fields import Float32

# Limits of the octave bands: standard deviations of Gaussian filters, in source pixels. The first
# band is what the first filter removes.
BAND_SIGMAS_PX = (1.0, 2.0, 4.0, 8.0)
PROBABILITIES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
FIELD_PX = 1024  # period of a field


@dataclass(frozen=True)
class Texture:
    """Standard deviation in each octave band, and the quantiles at `PROBABILITIES`."""

    bands: tuple[float, ...]
    quantiles: tuple[float, ...]


TEXTURES = {
    "stroma": Texture(
        (0.134, 0.090, 0.081, 0.063), (-0.612, -0.447, -0.198, -0.018, 0.175, 0.494, 0.756)
    ),
    "cytoplasm": Texture(
        (0.094, 0.071, 0.073, 0.052), (-0.474, -0.350, -0.164, -0.024, 0.135, 0.409, 0.652)
    ),
    "nucleus": Texture(
        (0.071, 0.049, 0.045, 0.038), (-0.382, -0.262, -0.104, -0.006, 0.092, 0.262, 0.401)
    ),
    "stained cytoplasm": Texture(
        (0.135, 0.112, 0.120, 0.096), (-0.737, -0.541, -0.261, -0.057, 0.175, 0.634, 1.140)
    ),
    "stained nucleus": Texture(
        (0.077, 0.060, 0.058, 0.048), (-0.476, -0.345, -0.148, -0.009, 0.120, 0.309, 0.460)
    ),
}


def texture_fields(rng: np.random.Generator) -> dict[str, Float32]:
    """Return a periodic field (y, x) of `FIELD_PX` for each texture, all from one white noise.

    White noise is filtered to the spectrum, then its values are mapped to the quantiles, as in the
    texture synthesis of Heeger & Bergen (SIGGRAPH 1995) with isotropic bands and one iteration.
    The measured density is that of both stains, so that both must vary together.
    """
    white = np.fft.rfft2(rng.standard_normal((FIELD_PX, FIELD_PX), dtype=np.float32))
    return {name: _field(white, texture) for name, texture in TEXTURES.items()}


def _field(white: NDArray[np.complex128], texture: Texture) -> Float32:
    noise = np.fft.irfft2(white * np.sqrt(_power(texture.bands)), s=(FIELD_PX, FIELD_PX))
    scores = norm.ppf(PROBABILITIES)
    slopes = np.diff(texture.quantiles)[[0, -1]] / np.diff(scores)[[0, -1]]
    # Beyond the outer quantiles the distribution goes on as the normal one of the last interval.
    ends = np.array([scores[0] - 2.0, scores[-1] + 2.0])
    outer = np.array([texture.quantiles[0], texture.quantiles[-1]]) + np.array([-2.0, 2.0]) * slopes
    x = np.concatenate([ends[:1], scores, ends[1:]])
    y = np.concatenate([outer[:1], texture.quantiles, outer[1:]])
    field: Float32 = np.interp(noise / noise.std(), x, y).astype(np.float32)
    return field


@functools.cache
def _transfers() -> NDArray[np.float64]:
    """Return the power transfer function (band, v, u) of each octave band."""
    v, u = np.fft.fftfreq(FIELD_PX)[:, None], np.fft.rfftfreq(FIELD_PX)[None, :]
    square = -2.0 * np.pi**2 * (v**2 + u**2)
    low = [np.ones_like(square), *(np.exp(square * sigma**2) for sigma in BAND_SIGMAS_PX)]
    return np.stack([(fine - broad) ** 2 for fine, broad in itertools.pairwise(low)])


@functools.cache
def _power(bands: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the power spectrum (v, u) whose bands have these standard deviations."""
    transfers = _transfers()
    # The half spectrum of a real field counts all columns but the first and the last twice.
    weights = np.full(transfers.shape[-1], 2.0)
    weights[[0, -1]] = 1.0
    overlaps = np.einsum("kvu,jvu,u->kj", transfers, transfers, weights, optimize=True)
    overlaps /= FIELD_PX**2
    amounts, _ = nnls(overlaps, np.square(bands))
    power: NDArray[np.float64] = np.einsum("k,kvu->vu", amounts, transfers)
    return power
