"""Methods paragraph, credits and licences, and `methods.md`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cacl import __version__
from cacl.hpa.licence import SYNTHETIC
from cacl.hpa.pixel_size import HPA_MPP
from cacl.image import stain, tile_stats
from cacl.report.text import NO_BREAK, RunSettings
from cacl.runtime.file_digest import FILE_DIGEST
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.stats import intervals, significance, tail_p
from cacl.tables.made_with import software_versions
from cacl.tables.schemas import FailureRow

CITATIONS = (
    "Deng R, Liu Q, Bao S, Jha A, Chang C, Millis BA, Tyska MJ, Huo Y. CaCL: class-aware codebook "
    "learning for weakly supervised segmentation on diffuse image patterns. arXiv:2011.00794.",
    "Uhlén M, Fagerberg L, Hallström BM, et al. Tissue-based map of the human proteome. "
    "Science 2015; 347:1260419. Human Protein Atlas, proteinatlas.org.",
    "Ruifrok AC, Johnston DA. Quantification of histochemical staining by color deconvolution. "
    "Anal Quant Cytol Histol 2001; 23:291–299.",
    "Benjamini Y, Hochberg Y. Controlling the false discovery rate. J R Stat Soc B 1995; "
    "57:289–300.",
    "Rényi A. On the theory of order statistics. Acta Math Acad Sci Hung 1953; 4:191–231.",
    "Bankhead P, Loughrey MB, Fernández JA, et al. QuPath: open source software for digital "
    "pathology image analysis. Sci Rep 2017; 7:16878.",
    "Yanai I, Benjamin H, Shmoish M, et al. Genome-wide midrange transcription profiles reveal "
    "expression level relationships in human tissue specification. Bioinformatics 2005; "
    "21:650–659.",
    "Kampf C, Olsson I, Ryberg U, et al. Production of tissue microarrays, immunohistochemistry "
    "staining and digitalization within the Human Protein Atlas. J Vis Exp 2012; 63:e3620.",
    "Handcock MS, Stein ML. A Bayesian analysis of kriging. Technometrics 1993; 35:403–410.",
    "Hall P. The Bootstrap and Edgeworth Expansion. Springer, 1992.",
    "Loh WY. Calibrating confidence coefficients. J Am Stat Assoc 1987; 82:155–162.",
    "Olsson U. Confidence intervals for the mean of a log-normal distribution. J Stat Educ 2005; "
    "13(1).",
    "Hanley JA, McNeil BJ. The meaning and use of the area under a receiver operating "
    "characteristic (ROC) curve. Radiology 1982; 143:29–36.",
    "Krippendorff K. Content Analysis, 2nd edition. Sage, 2004.",
    "Cochran WG. Sampling Techniques, 3rd edition. Wiley, 1977.",
    "Efron B, Tibshirani RJ. An Introduction to the Bootstrap. Chapman & Hall, 1993.",
)
PAPER = "paper"
# All presets except `paper` have this post-processing.
POSTPROCESSING = (
    "; a connected component of the mask counts if enough of it exceeds a high threshold, which is "
    "higher at the cut edge of a core, so that negative training images have few false positives "
    "there; an area of about a core counts as unstained if the fraction of its cell area above the "
    "high threshold is below the value that separates positive from negative training images"
)
HPA_CREDIT = (
    "Images and annotation are credited to the Human Protein Atlas, proteinatlas.org. The report "
    "shows the images at a reduced size, with computed masks."
)


def methods_paragraph(
    settings: RunSettings,
    images: pd.DataFrame,
    tiling: str,
    model: Mapping[str, Any],
    vectors: StainVectors = REFERENCE,
) -> list[str]:
    """Return the methods paragraph, one sentence per item.

    Parameters
    ----------
    settings
        Settings of the run.
    images
        Columns of `MeasureRow`, one row per image.
    tiling
        Tile size in words; empty if unknown.
    model
        Content of `model.json`; empty if unknown.
    vectors
        The run's stain vectors.
    """
    min_tissue = settings.min_tissue_fraction
    tiles = (
        "Tiles with enough"
        if min_tissue is None
        else f"Tiles with at least {100 * min_tissue:g}{NO_BREAK}%"
    )
    own = "" if vectors == REFERENCE else f" with the optical densities {vectors.describe()}"
    origin = "with the model of another run, " if settings.reused_model else ""
    cores = f"{len(images)} images of {images['antibody_id'].nunique()} antibodies"
    return [
        f"{cores} were measured{f', each cut into {tiling}' if tiling else ''}.",
        "Tissue and cell area are the pixels whose optical density exceeds that of the image's "
        "background.",
        "Haematoxylin and DAB were separated by colour deconvolution (Ruifrok & Johnston 2001)"
        f"{own}; "
        f"pixels with a DAB density above {stain.DAB_THRESHOLD_OD} OD are DAB-positive.",
        "The stain was segmented by class-aware codebook learning (CaCL; Deng et al. 2020), "
        f"{origin}trained with image-wise labels{_labels(settings, images, model)}"
        f"{_morphology(settings)}{'' if model.get('preset') == PAPER else POSTPROCESSING}.",
        f"{tiles} tissue were counted; the stained-to-cell ratio is the area of the mask inside "
        "the cell area divided by the cell area.",
        "Cell area is classified by DAB density: weak above "
        f"{tile_stats.WEAK_OD}, moderate above {tile_stats.MODERATE_OD} and strong above "
        f"{tile_stats.STRONG_OD} OD (the thresholds of QuPath; Bankhead et al. 2017); the H-score "
        "is weak + 2 moderate + 3 strong, in per cent of the cell area.",
        *_confidence(images),
        *_scale(images),
        *_tissues(images),
        "95 % intervals of a ratio are Student's t intervals on the logit. The interval of an "
        "image is over its tiles, with the estimated correlation of neighbouring tiles (Handcock & "
        "Stein 1993), corrected for skewness (Hall 1992) and calibrated by simulation (Loh 1987). "
        "The interval of an antibody or a gene is over patients (over images if patients are "
        "unknown), with the variance of a ratio of sums (Cochran 1977) and an upper end no lower "
        "than that of log-normal ratios (Olsson 2005).",
        "Agreement with the annotation is given as Spearman's rank correlation and the area under "
        "the ROC curve (Hanley & McNeil 1982), agreement of a gene's antibodies as Krippendorff's "
        "alpha of ranks (Krippendorff 2004); intervals are percentile bootstraps over antibodies "
        "with "
        f"{intervals.BOOTSTRAP_DRAWS} draws (Efron & Tibshirani 1993).",
        "p values are one-sided and empirical, against the antibodies labelled negative without "
        "the antibody itself; above the highest of their ratios, p is extrapolated with the "
        "predictive distribution of an exponential tail of the log ratio, from the spacings of the "
        f"{tail_p.MAX_EXCEEDANCES} highest (Rényi 1953; of half of them if there are fewer than "
        f"{2 * tail_p.MAX_EXCEEDANCES}), which is conservative for lighter tails; q values are "
        "Benjamini–Hochberg; z is "
        f"(ratio − median) / ({significance.MAD_TO_SIGMA} MAD) of the same antibodies.",
        f"CaCL Atlas {__version__}, {_software()}; seed {settings.seed}.",
    ]


def _labels(settings: RunSettings, images: pd.DataFrame, model: Mapping[str, Any]) -> str:
    """Return the source of the image-wise labels, unless the user gave them, and drawn pixels."""
    annotated = bool((images["hpa_staining"] != "").any()) and settings.reused_model is None
    source = f" (annotation of “{settings.cell_type}”)" if annotated else ""
    drawn = model.get("drawn")
    if not isinstance(drawn, Mapping):
        return f" only{source}"
    return (
        f"{source} and with pixels that a person labelled on {drawn.get('images')} images "
        f"({drawn.get('positive_px')} px positive, {drawn.get('negative_px')} px negative)"
    )


def _scale(images: pd.DataFrame) -> list[str]:
    """Return the sources of the pixel size."""
    counts = Counter(images["mpp_source"])
    given, cores, unknown = counts["given"], counts["core diameter"], counts[""]
    default = counts["HPA default"]
    parts = [
        f"{source} for {_count_images(count)}"
        for count, source in (
            (given, "given"),
            (
                cores,
                "estimated from the diameter of the core (1 mm in the HPA, Kampf et al. 2012),",
            ),
            (default, f"{HPA_MPP:g} um in the image as the HPA serves it"),
            (unknown, "unknown, so that areas are in pixels only,"),
        )
        if count
    ]
    return [f"The size of a pixel is {'; '.join(parts)}."] if parts else []


def _count_images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"


def _confidence(images: pd.DataFrame) -> list[str]:
    """Return the definition of confidence, if any image has one."""
    if images["confidence"].isna().all():
        return []
    return [
        "The confidence of an image is the Dice coefficient between the masks of two single views "
        "of the model (members of the ensemble, flips), over all pairs of views."
    ]


def _tissues(images: pd.DataFrame) -> list[str]:
    if len(set(images["tissue"]) - {""}) < 2:
        return []
    return [
        "Tissue specificity is tau of the pooled ratios per tissue (Yanai et al. 2005): 0 = the "
        "same ratio in every tissue, 1 = staining in one tissue only."
    ]


def _software() -> str:
    versions = software_versions()
    return ", ".join(f"{name} {versions[name]}" for name in versions if name != "cacl-atlas")


def _morphology(settings: RunSettings) -> str:
    if settings.morphology is None:
        return ""
    if settings.morphology == "none":
        return ", without morphology"
    return f", followed by a {settings.morphology} of radius {settings.radius_px} px"


def credit_lines(catalog: pd.DataFrame) -> list[str]:
    """Return source and licence of the images, one line per release."""
    if catalog.empty:
        return []
    pairs = zip(catalog["hpa_version"], catalog["licence"], strict=True)
    lines = []
    for (version, licence), count in sorted(Counter(pairs).items()):
        if licence == SYNTHETIC:
            lines.append(
                f"{_count_images(count)}: synthetic, generated by this software; not human tissue."
            )
            continue
        source = f"Human Protein Atlas, release {version}" if version else "the user's own images"
        terms = f"licence: {licence}" if licence else "licence not recorded"
        lines.append(f"{_count_images(count)}: {source}; {terms}.")
    return lines


def is_synthetic(catalog: pd.DataFrame) -> bool:
    """Return whether there are images and all of them are synthetic."""
    return len(catalog) > 0 and bool((catalog["licence"] == SYNTHETIC).all())


def has_hpa_images(catalog: pd.DataFrame) -> bool:
    """Return whether any image is from the Human Protein Atlas."""
    return bool(((catalog["hpa_version"] != "") & (catalog["licence"] != SYNTHETIC)).any())


def markdown(
    settings: RunSettings,
    images: pd.DataFrame,
    failures: Sequence[FailureRow],
    catalog: pd.DataFrame,
    model: Mapping[str, Any],
    tiling: str,
    p_values: str,
    vectors: StainVectors = REFERENCE,
) -> str:
    """Return `methods.md`: methods paragraph, counts, parameters, credits and references.

    `p_values` is the sentence of `text.explain_p_values`; the other parameters are those of
    `ReportContent`.
    """
    sentences = methods_paragraph(settings, images, tiling, model, vectors)
    paragraph = " ".join(sentences).replace(NO_BREAK, " ")
    has_radius = settings.morphology not in (None, "none")
    thresholds = model.get("thresholds", {})
    parameters = {
        "cell type": settings.cell_type,
        "minimum tissue fraction of a tile": settings.min_tissue_fraction,
        "morphology": settings.morphology,
        "morphology radius (px)": settings.radius_px if has_radius else None,
        "seed": settings.seed,
        "model": model.get("preset"),
        "training steps": model.get("steps"),
        "trained on": model.get("trained_on"),
        "model digest (SHA-256)": model.get(FILE_DIGEST),
        "model of another run": settings.reused_model,
        "training continued from the model": model.get("start_from"),
        "threshold source": model.get("threshold_source"),
        "minimum fraction of cell area above the high threshold": thresholds.get(
            "min_area_fraction"
        ),
    }
    counts = {
        "images requested": len(set(catalog["image_id"])),
        "images measured": len(images),
        "images left out": len(failures),
        "antibodies measured": images["antibody_id"].nunique(),
        "genes measured": len(set(images["ensembl_id"]) - {""}),
        "patients": len(set(images["patient_id"]) - {""}),
        "images with a quality flag": int((images["qc"] != "").sum()),
    }
    lines = [
        "# Methods",
        "",
        paragraph,
        "",
        p_values.replace(NO_BREAK, " "),
        "",
        "## Counts",
        "",
        *(f"- {name}: {count}" for name, count in counts.items()),
        "",
        "## Parameters",
        "",
        *(f"- {name}: {value}" for name, value in parameters.items() if value is not None),
        "",
        "## Data, credits and licences",
        "",
        *([HPA_CREDIT, ""] if has_hpa_images(catalog) else []),
        *(f"- {line}" for line in credit_lines(catalog)),
        "",
        "## References",
        "",
        *(f"{number}. {line}" for number, line in enumerate(CITATIONS, start=1)),
    ]
    return "\n".join(lines) + "\n"
