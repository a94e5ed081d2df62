"""Turn an image stained with haematoxylin and eosin (H&E) into the counterstain of an IHC image.

Pure functions on images (y, x, 3) uint8; densities are decadic optical densities (OD).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cacl.image.stain import Bool, Float32, UInt8
from cacl.phantom.fields import blur, within
from cacl.phantom.settings import Range, Vector

# Ruifrok & Johnston, Anal Quant Cytol Histol 2001.
HEMATOXYLIN_IN_HE: Vector = (0.650, 0.704, 0.286)
EOSIN: Vector = (0.072, 0.990, 0.105)

WHITE_PERCENTILE = 99.5
MIN_TISSUE_OD = 0.05
# Densities of reference: those of dark nuclei, and of cytoplasm and fibres.
NUCLEI_PERCENTILE, EOSIN_PERCENTILE = 97.0, 75.0
# Real cores of the Human Protein Atlas have 0.43 to 0.68 and about 0.03 to 0.24.
NUCLEUS_OD: Range = (0.38, 0.6)
CYTOPLASM_OD: Range = (0.06, 0.13)

# The vectors of the phantom, which are those of the Human Protein Atlas's cores.
HEMATOXYLIN: Vector = (0.650, 0.655, 0.385)
DAB: Vector = (0.372, 0.562, 0.738)
VECTOR_JITTER = 0.02
WHITE_LEVEL, WHITE_JITTER = 244.0, 2.5
BLUR_SIGMA_PX: Range = (0.7, 1.2)
NOISE_SD: Range = (0.8, 2.0)


@dataclass(frozen=True, eq=False)
class HeDensities:
    """Densities of haematoxylin and eosin, (y, x) each."""

    hematoxylin: Float32
    eosin: Float32

    @property
    def tissue(self) -> Bool:
        """Where the sum of both stains exceeds `MIN_TISSUE_OD`."""
        tissue: Bool = self.hematoxylin + self.eosin > MIN_TISSUE_OD
        return tissue


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Colours and noise of an image.

    Parameters
    ----------
    hematoxylin, dab
        Stain vectors (R, G, B) of norm 1.
    white
        Level of the background in R, G and B, 0 to 255.
    blur_sigma_px
        Blur of painted stain; the tissue has its own.
    noise_sd
        Standard deviation of the noise that is added, in grey levels.
    """

    hematoxylin: Vector
    dab: Vector
    white: Vector
    blur_sigma_px: float
    noise_sd: float


def draw_camera(rng: np.random.Generator, dab: Vector = DAB) -> Camera:
    """Return the colours and noise of an image; `dab` is the vector of its antibody."""
    level = WHITE_LEVEL + WHITE_JITTER * rng.standard_normal()
    return Camera(
        hematoxylin=jittered(rng, HEMATOXYLIN, VECTOR_JITTER),
        dab=jittered(rng, dab, 0.5 * VECTOR_JITTER),
        white=(level, level, level + 1.0),
        blur_sigma_px=within(rng, BLUR_SIGMA_PX),
        noise_sd=within(rng, NOISE_SD),
    )


def jittered(rng: np.random.Generator, vector: Vector, deviation: float) -> Vector:
    """Return a stain vector of norm 1 with Gaussian noise of a standard deviation."""
    red, green, blue = _unit(np.asarray(vector) + rng.normal(0.0, deviation, 3)).tolist()
    return red, green, blue


def separate_he(rgb: UInt8) -> HeDensities:
    """Separate haematoxylin and eosin by colour deconvolution; white is the brightest level.

    The third vector is the cross product of both, and its density is dropped.
    """
    pixels = rgb.reshape(-1, 3).astype(np.float64)
    white = np.percentile(pixels, WHITE_PERCENTILE, axis=0)
    density = -np.log10((pixels + 1.0) / (white + 1.0))
    hematoxylin, eosin = _unit(np.array(HEMATOXYLIN_IN_HE)), _unit(np.array(EOSIN))
    residual = _unit(np.cross(hematoxylin, eosin))
    amounts = density @ np.linalg.inv(np.stack([hematoxylin, eosin, residual]))
    maps = amounts[:, :2].T.reshape(2, *rgb.shape[:2]).astype(np.float32)
    return HeDensities(maps[0], maps[1])


def counterstain(he: HeDensities, nucleus_od: float, cytoplasm_od: float) -> Float32:
    """Return the density of a haematoxylin counterstain, (y, x).

    Haematoxylin stays. Eosin becomes a pale counterstain of the same hue, as haematoxylin alone
    stains cytoplasm and fibres.

    Parameters
    ----------
    he
        Densities of the H&E stain.
    nucleus_od, cytoplasm_od
        What the `NUCLEI_PERCENTILE` of haematoxylin and the `EOSIN_PERCENTILE` of eosin of the
        tissue become. Slides differ in both; the texture stays.
    """
    tissue = he.tissue
    if not tissue.any():
        return np.zeros_like(he.hematoxylin)
    nuclei = float(np.percentile(he.hematoxylin[tissue], NUCLEI_PERCENTILE))
    eosin = float(np.percentile(he.eosin[tissue], EOSIN_PERCENTILE))
    density = he.hematoxylin * (nucleus_od / max(nuclei, 0.05))
    density = density + he.eosin * (cytoplasm_od / max(eosin, 0.05))
    return np.asarray(density, np.float32)


def render(hematoxylin: Float32, dab: Float32, camera: Camera, rng: np.random.Generator) -> UInt8:
    """Return the image (y, x, 3) of two stains by Beer-Lambert's law, with noise.

    Parameters
    ----------
    hematoxylin, dab
        (y, x) densities; DAB is blurred first.
    camera
        Vectors, white, blur and noise.
    rng
        Random generator of the noise.
    """
    dab = blur(dab, camera.blur_sigma_px)
    vectors = np.stack([_unit(np.array(camera.hematoxylin)), _unit(np.array(camera.dab))])
    density = np.stack([hematoxylin, dab], axis=-1) @ vectors.astype(np.float32)
    level = np.asarray(camera.white, np.float32) * np.power(np.float32(10.0), -density)
    noise = camera.noise_sd * rng.standard_normal(level.shape, dtype=np.float32)
    image: UInt8 = np.rint(np.clip(level + noise, 0.0, 255.0)).astype(np.uint8)
    return image


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit
