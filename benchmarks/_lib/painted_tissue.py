"""Paint the DAB stain of an antibody on real tissue, with the ground truth of its brush border.

The confounders (cytoplasm, stroma, mucus, nuclei, debris) have the distributions of the phantom and
are painted for positive and negative antibodies alike; only a positive antibody stains the apical
border. Pure functions; densities are decadic optical densities of DAB.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from benchmarks._lib.counterstain import DAB, VECTOR_JITTER, HeDensities, jittered
from benchmarks._lib.gland_lumens import Glands
from cacl.image.cell_mask import remove_small_objects
from cacl.image.stain import Bool, Float32, UInt8
from cacl.phantom.ellipses import draw_ellipses
from cacl.phantom.fields import blur, generator, ramp, smooth_noise
from cacl.phantom.imaging import MASK_VALUES
from cacl.phantom.settings import DUODENUM_A, Confounder, Range, Setting, Vector
from cacl.phantom.staining import Staining, draw_staining

# Rows of stained nuclei, at the base of a crypt and in packed stroma, resemble a border: they are
# more frequent than in the phantom.
SETTING: Setting = dataclasses.replace(
    DUODENUM_A,
    name="real-tissue",
    densities=dataclasses.replace(
        DUODENUM_A.densities, nuclei=Confounder(0.4, (0.2, 0.7)), edge=Confounder(0.0, (0.0, 0.0))
    ),
)
NUCLEI_IN = ("all", "epithelium", "stroma")

BORDER_UM: Range = (2.5, 6.0)
GOBLET_BORDER_UM = 1.6
EPITHELIUM_UM = 30.0
# A border is visible only if it is darker than the mucus beside it. Some vacuoles are stained.
MUCUS_TO_BORDER, MUCUS_PATCH_UM, MUCUS_RAMP = 0.5, 14.0, (-0.6, 0.2)
NUCLEUS_RAMP = (0.85, 1.4)

STROMA_SIGMA_UM, STROMA_PITCH_UM = 1.3, 4.5
CLUMPS, PIECES, SPECKS = (2, 9), (6, 40), (10, 40)


@dataclass(frozen=True, eq=False)
class Tissue:
    """An unstained section: what an antibody can stain; maps are (y, x).

    Parameters
    ----------
    he
        Densities of the H&E stain.
    gland
        Masks of the glands.
    glands
        Lumens, apical border, vacuoles, cells.
    nucleus
        0 outside nuclei to 1 in dark ones.
    mpp
        Side of a pixel in um.
    """

    he: HeDensities
    gland: Bool
    glands: Glands
    nucleus: Float32
    mpp: float


@dataclass(frozen=True, kw_only=True)
class Antibody:
    """Stains of an antibody, its DAB vector, and the tissue whose nuclei it stains, if any."""

    staining: Staining
    dab: Vector
    nuclei_in: str


def draw_antibody(seed: int, number: int) -> Antibody:
    """Return the antibody of a number, from 1; of each pair of numbers one is positive."""
    rng = generator("painted antibody", seed, number)
    return Antibody(
        staining=draw_staining(seed, SETTING, number),
        dab=jittered(rng, DAB, VECTOR_JITTER),
        nuclei_in=NUCLEI_IN[int(rng.integers(len(NUCLEI_IN)))],
    )


def nuclei(he: HeDensities, cell: Bool, mpp: float) -> Float32:
    """Return 0 to 1: how far haematoxylin exceeds Otsu's threshold of the tissue."""
    smooth = blur(he.hematoxylin, 0.4 / mpp)
    if not cell.any():
        return np.zeros_like(smooth)
    levels = np.clip(smooth * 255.0, 0.0, 255.0).astype(np.uint8)
    threshold, _ = cv2.threshold(levels[cell][None], 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    low, high = (factor * float(threshold) / 255.0 for factor in NUCLEUS_RAMP)
    return ramp(smooth, low, high) * cell


def paint(
    rng: np.random.Generator, tissue: Tissue, antibody: Antibody, coverage: float
) -> tuple[Float32, UInt8]:
    """Return the DAB density of a core and its ground truth, (y, x) each.

    Parameters
    ----------
    rng
        Random generator of the core.
    tissue
        The section.
    antibody
        What is stained.
    coverage
        Fraction of the apical border that a positive antibody stains, 0 to 1.

    Returns
    -------
    density
        Optical density of DAB.
    ground_truth
        0 = no tissue, 1 = tissue, `MASK_VALUES["microvilli"]` = stained border; see
        `cacl.benchmark.ground_truth`.
    """
    staining, glands, mpp = antibody.staining, tissue.glands, tissue.mpp
    shape = glands.cell.shape
    fine = blur(rng.standard_normal(shape, dtype=np.float32), 0.8) * np.float32(2.6)
    middle, broad = (noise(rng, shape, scale / mpp) for scale in (3.2, 90.0))
    vacuole = blur(glands.vacuole.astype(np.float32), 0.5 / mpp)
    nucleus = tissue.nucleus * (1.0 - vacuole)
    dab = staining.background_od * (1.0 + 0.3 * middle.clip(-1.0, 1.0))
    dab = dab + cytoplasm(tissue, staining, middle) * (1.0 - 0.75 * nucleus) * (1.0 - vacuole)
    stained_nuclei = nucleus * _nuclear_region(tissue, antibody.nuclei_in)
    dab += staining.nuclei_od * stained_nuclei * (1.0 + 0.15 * fine)
    mucus = min(staining.mucus_od, MUCUS_TO_BORDER * staining.border_od)
    patches = ramp(noise(rng, shape, MUCUS_PATCH_UM / mpp), *MUCUS_RAMP)
    dab += mucus * vacuole * patches * (1.0 + 0.12 * middle)
    bodies = stroma_bodies(rng, tissue, staining.stroma_fraction)
    dab += staining.stroma_od * bodies * (1.0 - 0.7 * nucleus) * (1.0 + 0.2 * middle)
    dab *= blur(glands.cell.astype(np.float32), 0.7)
    border, level = apical_band(rng, tissue, coverage)
    if staining.positive:
        stained = staining.border_od * level * (1.0 + 0.08 * fine) + 0.45 * dab
        dab = dab * (1.0 - border) + border * stained
    dab *= 1.0 + np.float32(0.08) * broad
    dab += staining.debris_od * debris(rng, glands.cell, mpp) + specks(rng, shape, mpp)
    ground_truth = glands.cell.astype(np.uint8)
    if staining.positive:
        ground_truth[(border > 0.5) & glands.cell] = MASK_VALUES["microvilli"]
    return np.asarray(np.maximum(dab, 0.0), np.float32), ground_truth


def apical_band(
    rng: np.random.Generator, tissue: Tissue, coverage: float
) -> tuple[Float32, Float32]:
    """Return the stained band on the apical side of the epithelium, and its relative density.

    Width, density and presence vary along the border as in the phantom. Over a goblet vacuole the
    band is as narrow as the membrane.

    Parameters
    ----------
    rng
        Random generator of the core.
    tissue
        The section.
    coverage
        Fraction of the border that is stained, 0 to 1.

    Returns
    -------
    band, level
        (y, x): fraction of each pixel inside the band; density relative to the antibody's.
    """
    mpp, apical = tissue.mpp, tissue.glands.apical
    shape = apical.shape
    low, high = BORDER_UM
    width = low + (high - low) * ramp(noise(rng, shape, 20.0 / mpp), -1.6, 1.6)
    presence = noise(rng, shape, 55.0 / mpp) + 0.35 * noise(rng, shape, 10.0 / mpp)
    level = (0.84 + 0.14 * noise(rng, shape, 12.0 / mpp)).clip(0.62, 1.0)
    if not apical.any():
        return np.zeros(shape, np.float32), level
    is_present = presence >= np.quantile(presence[apical], 1.0 - coverage)
    distance, nearest = _nearest(apical)
    width, level = width.ravel()[nearest], level.ravel()[nearest]
    width = np.where(tissue.glands.vacuole, np.minimum(width, GOBLET_BORDER_UM), width)
    # The outer edge of the apical pixels lies at -0.5 px.
    band = np.clip(width / mpp - distance, 0.0, 1.0) * is_present.ravel()[nearest]
    return np.asarray(band * tissue.glands.cell, np.float32), np.asarray(level, np.float32)


def cytoplasm(tissue: Tissue, staining: Staining, texture: Float32) -> Float32:
    """Return the stain of the epithelium's cytoplasm, (y, x), denser at the apical side."""
    glands, mpp = tissue.glands, tissue.mpp
    depth = np.full(glands.cell.shape, 0.5 * EPITHELIUM_UM, np.float32)
    if glands.apical.any():
        depth = _nearest(glands.apical)[0] * np.float32(mpp)
    epithelium = glands.cell & (tissue.gland | (depth < EPITHELIUM_UM))
    relative = (depth / EPITHELIUM_UM).clip(0.0, 1.0)
    typical = np.median(tissue.he.eosin[epithelium]) if epithelium.any() else 1.0
    eosin = (tissue.he.eosin / max(float(typical), 0.05)).clip(0.3, 1.5)
    apical = 1.0 + staining.apical * (0.25 - 0.7 * relative)
    density = staining.cytoplasm_od * epithelium * apical * (0.5 + 0.5 * eosin)
    return np.asarray(density * (1.0 + 0.12 * texture), np.float32)


def stroma_bodies(rng: np.random.Generator, tissue: Tissue, fraction: float) -> Float32:
    """Return the stained cells outside the glands, (y, x), 0 to about 1.

    Each maximum of haematoxylin is a cell; neighbours are stained more often than distant ones.
    """
    mpp, shape = tissue.mpp, tissue.gland.shape
    smooth = blur(tissue.he.hematoxylin * (tissue.nucleus > 0), STROMA_SIGMA_UM / mpp)
    side = 2 * round(0.5 * STROMA_PITCH_UM / mpp) + 1
    highest: Any = cv2.dilate(smooth, np.ones((side, side), np.uint8))
    stroma = tissue.glands.cell & ~tissue.gland
    y, x = np.nonzero((smooth == highest) & stroma & (tissue.nucleus > 0.3))
    clusters = noise(rng, shape, 40.0 / mpp)[y, x]
    probability = fraction * 2.0 * ramp(clusters, -1.2, 1.2)
    chosen = rng.random(y.size) < probability
    centres = np.stack([x, y], axis=1).astype(np.float64)[chosen]
    count = len(centres)
    long = rng.uniform(3.4, 5.6, count) / mpp
    wide = long / rng.uniform(1.0, 1.9, count)
    level = rng.normal(0.85, 0.22, count).clip(0.35, 1.3)
    bodies = np.zeros(shape, np.float32)
    angle = rng.uniform(0, 7, count)
    draw_ellipses(rng, bodies, centres, (long, wide), angle, level, roughness=0.18)
    return blur(bodies, 0.5 / mpp) * stroma


def debris(rng: np.random.Generator, cell: Bool, mpp: float) -> Float32:
    """Return brown clumps in lumens and on the glass, (y, x), 0 to about 1; see the phantom."""
    clumps = np.zeros(cell.shape, np.float32)
    empty = remove_small_objects(~cell, round(40.0 / mpp**2))
    near = empty & (_distance(empty) < 40.0 / mpp)
    places = np.argwhere(near)[:, ::-1]
    for _ in range(int(rng.integers(*CLUMPS)) if len(places) else 0):
        pieces = int(rng.integers(*PIECES))
        spread = rng.uniform(2.0, 14.0) / mpp
        centres = places[int(rng.integers(len(places)))] + rng.normal(0.0, spread, (pieces, 2))
        axes = rng.uniform(0.8, 3.5, (2, pieces)) / mpp
        values, angle = rng.uniform(0.4, 1.2, pieces), rng.uniform(0, 7, pieces)
        draw_ellipses(rng, clumps, centres, (axes[0], axes[1]), angle, values, roughness=0.25)
    return blur(clumps, 0.5 / mpp) * ~cell


def specks(rng: np.random.Generator, shape: tuple[int, ...], mpp: float) -> Float32:
    """Return the density of dark specks anywhere on the slide, (y, x)."""
    count = int(rng.integers(*SPECKS))
    density = np.zeros(shape, np.float32)
    axes = rng.gamma(2.0, 0.35, (2, count)).clip(0.4, 2.5) / mpp
    centres = rng.uniform(0, 1, (count, 2)) * np.array(shape[::-1])
    values, angle = rng.uniform(0.3, 1.1, count), rng.uniform(0, 7, count)
    draw_ellipses(rng, density, centres, (axes[0], axes[1]), angle, values, roughness=0.2)
    return density


def noise(rng: np.random.Generator, shape: tuple[int, ...], scale_px: float) -> Float32:
    """Return a field (y, x) of mean 0 and standard deviation 1, smooth over `scale_px`."""
    return smooth_noise(rng, max(shape), scale_px)[: shape[0], : shape[1]]


def _nuclear_region(tissue: Tissue, nuclei_in: str) -> Bool:
    regions = {"epithelium": tissue.gland, "stroma": ~tissue.gland}
    return regions.get(nuclei_in, np.ones_like(tissue.gland))


def _nearest(mask: Bool) -> tuple[Float32, Any]:
    """Return the distance (px) to the nearest pixel of a mask, and its flat index."""
    distance: Any
    labels: Any
    distance, labels = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    index = np.zeros(int(labels.max()) + 1, np.int64)
    index[labels[mask]] = np.flatnonzero(mask)
    return np.asarray(distance, np.float32), index[labels]


def _distance(mask: Bool) -> Float32:
    distance: Any = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(distance, np.float32)
