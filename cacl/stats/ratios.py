"""Ratios of areas: stained-to-cell ratio, intensity fractions, H-score.

Pure functions on areas in any one unit. Each measure is defined once, in its function.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cacl.stats.intervals import ratio_ci


def ratio(numerator: float, denominator: float) -> float | None:
    """Return `numerator / denominator`; None if the denominator is 0.

    The stained-to-cell ratio of an image is its stained area / cell area over the counted tiles:
    the CaCL mask inside the cell area, over tissue without lumen and background.
    """
    return float(numerator / denominator) if denominator else None


def dab_fraction_in_mask(stained_dab: float, dab: float) -> float | None:
    """Return the fraction of the DAB-positive area that the mask covers; None without DAB.

    Parameters
    ----------
    stained_dab
        DAB-positive part of the stained area (CaCL mask inside the cell area).
    dab
        All DAB-positive cell area, by colour deconvolution.
    """
    return ratio(stained_dab, dab)


def mean_stained_od(od_sum: float, stained: float) -> float | None:
    """Return the mean DAB optical density in the stained area; None if nothing is stained.

    Parameters
    ----------
    od_sum
        DAB optical density (decadic, by colour deconvolution), summed over the stained pixels.
    stained
        Number of stained pixels.
    """
    return ratio(od_sum, stained)


def intensity_fractions(
    intensity_counts: Iterable[int], cell: float
) -> tuple[float | None, float | None, float | None]:
    """Return the fractions of the cell area with weak, moderate and strong DAB.

    A pixel is weak above a DAB optical density of 0.2, moderate above 0.4 and strong above 0.6:
    the three default thresholds of QuPath for DAB, in the same unit (decadic optical density
    after colour deconvolution; Bankhead et al., Sci Rep 2017). DAB does not follow the
    Beer-Lambert law well. The classes therefore describe how dark the stain is, not the amount of
    antigen (van der Loos, J Histochem Cytochem 2008). `dab_area_px` has another threshold, 0.25.

    Parameters
    ----------
    intensity_counts
        Weak, moderate and strong cell area, (3,).
    cell
        Cell area in the same unit.

    Returns
    -------
    Three fractions, 0-1, with a sum of at most 1; None without cell area.
    """
    weak, moderate, strong = (ratio(int(count), cell) for count in intensity_counts)
    return weak, moderate, strong


def h_score(weak: float | None, moderate: float | None, strong: float | None) -> float | None:
    """Return the H-score by area: 1 x weak % + 2 x moderate % + 3 x strong %, 0 to 300.

    The H-score (McCarty et al., Cancer Res 1986) counts cells in percent. This one counts cell
    area, of every compartment, because HPA cores have no cell outlines. None without cell area.
    """
    if weak is None or moderate is None or strong is None:
        return None
    return 100.0 * (weak + 2.0 * moderate + 3.0 * strong)


def pooled_ratio(
    stained: NDArray[np.int64], cell: NDArray[np.int64], patients: NDArray[np.str_]
) -> tuple[float | None, float | None, float | None]:
    """Pool images: the ratio of their summed areas, with its 95 % interval over patients.

    Parameters
    ----------
    stained, cell
        Areas per image (n,), in analysis pixels.
    patients
        Patient per image (n,), empty if unknown. Images of one patient are correlated and form one
        group. If the patient of any image is unknown, each image is a group.

    Returns
    -------
    Ratio, lower and upper end (`cacl.stats.intervals.ratio_ci`). All are None if the cell area is
    0; the ends are None for a single patient and if nothing is stained.
    """
    pooled = ratio(int(stained.sum()), int(cell.sum()))
    groups = patients if (patients != "").all() else np.arange(stained.size)
    return pooled, *ratio_ci(stained, cell, groups)
