"""The report's sentences: the question, its answer, what p means, methods, credits."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import pandas as pd

from cacl import __version__, measures, stain, statistics
from cacl.errors import Reason
from cacl.records import AntibodyRow, FailureRow
from cacl.report.pooling import NEGATIVE

ENSEMBL_ID = re.compile(r"ENSG[0-9]{11}")
HPA_PAGE = "https://www.proteinatlas.org/"
SIGNIFICANT_Q = 0.05
NO_BREAK = "\u00a0"
PACKAGES = ("numpy", "scipy", "torch", "monai", "zarr", "opencv-python-headless", "plotly")
CITATIONS = (
    "Deng R, Liu Q, Bao S, Jha A, Chang C, Millis BA, Tyska MJ, Huo Y. CaCL: class-aware codebook "
    "learning for weakly supervised segmentation on diffuse image patterns. arXiv:2011.00794.",
    "Uhlén M, Fagerberg L, Hallström BM, et al. Tissue-based map of the human proteome. "
    "Science 2015; 347:1260419. Human Protein Atlas, proteinatlas.org.",
    "Ruifrok AC, Johnston DA. Quantification of histochemical staining by color deconvolution. "
    "Anal Quant Cytol Histol 2001; 23:291–299.",
    "Benjamini Y, Hochberg Y. Controlling the false discovery rate. J R Stat Soc B 1995; "
    "57:289–300.",
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the run was asked for, as far as the report quotes it; None is left unsaid."""

    cell_type: str
    min_tissue_fraction: float | None
    morphology: str | None
    radius_px: int | None
    seed: int


def percent(value: float | None) -> str:
    """Return a share as per cent with three significant digits; a dash for None."""
    if value is None:
        return "–"
    digits = 0 if value >= 0.9995 or value == 0 else 1 if value >= 0.0995 else 2
    return f"{100 * value:.{digits}f}{NO_BREAK}%"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval of shares in per cent; empty where it is unknown."""
    if low is None or high is None:
        return ""
    digits = 1 if high >= 0.0995 else 2
    return f"{100 * low:.{digits}f}\u2060–\u2060{100 * high:.{digits}f}{NO_BREAK}%"


def hpa_page(ensembl_id: str) -> str:
    """Return the address of a gene's page in the atlas; empty unless the id is one of Ensembl."""
    return HPA_PAGE + ensembl_id if ENSEMBL_ID.fullmatch(ensembl_id) else ""


def question(cell_type: str, tissues: Sequence[str]) -> str:
    """Return the question that this run answers."""
    pattern = "the brush border" if "microvilli" in cell_type.lower() else cell_type
    where = " and ".join(tissues) if len(tissues) < 4 else f"{len(tissues)} tissues"
    return f"Which antibodies stain {pattern}{' of human ' + where if where else ''}?"


def answer(antibodies: Sequence[AntibodyRow]) -> str:
    """Return the answer in one or two sentences."""
    rated = [row for row in antibodies if row.stained_to_cell_ratio is not None]
    if not rated:
        return "No answer yet: no image could be measured. The reasons are listed under Failures."
    best = rated[0]
    name = f"{best.gene} ({best.antibody_id})" if best.gene else best.antibody_id
    spread = interval(best.ratio_low, best.ratio_high)
    text = (
        f"{name} stains most: {percent(best.stained_to_cell_ratio)} of the cell area"
        f"{f' (95 % interval {spread})' if spread else ''}"
        f"{f'; the atlas annotates it as “{best.hpa_staining}”' if best.hpa_staining else ''}."
    )
    negatives = [row.stained_to_cell_ratio or 0.0 for row in rated if row.label == NEGATIVE]
    if len(negatives) < statistics.MIN_NEGATIVES:
        return text
    others = [row for row in rated if row.label != NEGATIVE]
    above = sum((row.stained_to_cell_ratio or 0.0) > max(negatives) for row in others)
    return (
        f"{text} {above} of {len(others)} antibodies stain more of it than any of the "
        f"{len(negatives)} that the atlas annotates as “not detected”."
    )


def about_p(antibodies: Sequence[AntibodyRow]) -> str:
    """Return what p and q are compared with, or why they are empty."""
    count = sum(
        row.label == NEGATIVE and row.stained_to_cell_ratio is not None for row in antibodies
    )
    if count < statistics.MIN_NEGATIVES:
        return (
            f"p, q and z are empty: they compare with antibodies that the atlas annotates as “not "
            f"detected”, of which {count} were measured and {statistics.MIN_NEGATIVES} are needed."
        )
    floor = 1 / (count + 1)
    text = (
        f"p is the share of the {count} antibodies annotated as “not detected” that reach the same "
        f"ratio, one-sided; it cannot be smaller than 1/{count + 1} = {floor:.3g}. q is p after "
        "Benjamini–Hochberg; z counts robust standard deviations above the same antibodies."
    )
    if not any(row.z is not None for row in antibodies):
        text = f"{text} z is empty: all of these antibodies have the same ratio."
    significant = sum(
        row.q_value is not None and row.q_value <= SIGNIFICANT_Q for row in antibodies
    )
    if significant:
        return f"{text} {significant} antibodies have q ≤ {SIGNIFICANT_Q}."
    return f"{text} None has q ≤ {SIGNIFICANT_Q}; more negative antibodies would sharpen both."


def methods(settings: Settings, images: pd.DataFrame, grid: str) -> list[str]:
    """Return the methods paragraph, one sentence an item."""
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    share = settings.min_tissue_fraction
    tiles = (
        "Tiles with enough" if share is None else f"Tiles with at least {100 * share:g}{NO_BREAK}%"
    )
    cores = f"{len(images)} images of {images['antibody_id'].nunique()} antibodies"
    return [
        f"{cores} were measured{f', each cut into {grid}' if grid else ''}.",
        "Tissue and cell area were found by optical density above that of the image's own glass.",
        "Haematoxylin and DAB were separated by colour deconvolution (Ruifrok & Johnston 2001); "
        f"DAB-positive means a density above {stain.DAB_THRESHOLD_OD} OD.",
        "The stain was segmented by class-aware codebook learning (CaCL; Deng et al. 2020), "
        f"trained on image-wise labels only (annotation of “{settings.cell_type}”)"
        f"{_morphology(settings)}.",
        f"{tiles} tissue were counted; the stained-to-cell ratio is the mask's area inside the "
        "cell area over the cell area.",
        "An image's interval is a 95 % percentile bootstrap over its tiles, an antibody's and a "
        "gene's one over patients (images where patients are unknown), with "
        f"{measures.BOOTSTRAP_DRAWS} draws.",
        "p values are one-sided and empirical, against the antibodies annotated as not detected, "
        "leaving out the antibody itself; q values are Benjamini–Hochberg; z is "
        "(ratio − median) / (1.4826 MAD) of the same antibodies.",
        f"CaCL Atlas {__version__}, Python {platform.python_version()}, {libraries}; "
        f"seed {settings.seed}.",
    ]


def _morphology(settings: Settings) -> str:
    if settings.morphology is None:
        return ""
    if settings.morphology == "none":
        return ", without morphology"
    return f", followed by a {settings.morphology} of radius {settings.radius_px} px"


def credit_lines(catalog: pd.DataFrame) -> list[str]:
    """Return whose images these are and under which licence, one line a release."""
    if catalog.empty:
        return []
    pairs = zip(catalog["hpa_version"], catalog["licence"], strict=True)
    lines = []
    for (version, licence), count in sorted(Counter(pairs).items()):
        source = f"Human Protein Atlas, release {version}" if version else "the user's own images"
        terms = f"licence: {licence}" if licence else "licence not recorded"
        lines.append(f"{count} images: {source}; {terms}.")
    return lines


def reasons(failures: Sequence[FailureRow]) -> list[tuple[str, str, int, str]]:
    """Return step, reason, number of images and the reason's meaning, most frequent first."""
    counts = Counter((row.stage, row.reason) for row in failures)
    meanings = {str(reason): reason.__doc__ or "" for reason in Reason}
    return [
        (stage, reason, count, meanings.get(reason, ""))
        for (stage, reason), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def flattened(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield a JSON object's leaves as (dotted name, text), in the order of the document."""
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from flattened(value, f"{name}.")
        elif isinstance(value, list):
            yield name, ", ".join(str(item) for item in value)
        else:
            yield name, "" if value is None else str(value)
