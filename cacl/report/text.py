"""Sentences and number formats of the report."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cacl.errors import Reason
from cacl.report.aggregate import NEGATIVE
from cacl.stats import significance, tail_p
from cacl.tables.schemas import AntibodyRow, FailureRow

ENSEMBL_ID = re.compile(r"ENSG[0-9]{11}")
HPA_ANTIBODY_ID = re.compile(r"(HPA|CAB)[0-9]{6}")
HPA_URL = "https://www.proteinatlas.org/"
SIGNIFICANT_Q = 0.05
# benchmarks/results/p_calibration.md: largest size of a p value over its level, rounded.
HEAVY_TAIL_FACTOR = 8
MAX_NAMED_TISSUES = 3
MAX_LISTED = 20
NO_BREAK = "\u00a0"
WORD_JOINER = "\u2060"
DASH = "–"
BENCHMARK_TEXT_COLUMNS = ("evaluation_set", "method")
BENCHMARK_TITLES = {
    "evaluation_set": "Test antibodies",
    "method": "Method",
    "dice": "Dice, as in the paper",
    "dice_positive": "Dice, positive tiles",
    "boundary_f1": "Boundary F1",
    "negative_percent": "Negatives stained, %",
    "ccc": "Concordance of ratio",
}


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of the run that the report quotes; None is not quoted.

    Parameters
    ----------
    cell_type
        Cell type whose annotation labelled the images.
    min_tissue_fraction
        Minimum tissue fraction of a tile that counts, 0-1.
    morphology, radius_px
        Morphological operation on the masks and its radius, in analysis px.
    seed
        Seed of the run.
    reused_model
        Where the model of another run comes from; None if this run trained its model.
    """

    cell_type: str
    min_tissue_fraction: float | None
    morphology: str | None
    radius_px: int | None
    seed: int
    reused_model: str | None = None


def percent(value: float | None) -> str:
    """Return a fraction as per cent with three significant digits; a dash for None."""
    if value is None:
        return DASH
    digits = 0 if value >= 0.9995 or value == 0 else 1 if value >= 0.0995 else 2
    return f"{100 * value:.{digits}f}{NO_BREAK}%"


def percent_range(low: float | None, high: float | None) -> str:
    """Return an interval of fractions in per cent; empty if it is unknown."""
    if low is None or high is None:
        return ""
    digits = 1 if high >= 0.0995 else 2
    separator = f"{WORD_JOINER}{DASH}{WORD_JOINER}"
    return f"{100 * low:.{digits}f}{separator}{100 * high:.{digits}f}{NO_BREAK}%"


def signed_percent(value: float) -> str:
    """Return a difference of fractions as per cent with its sign."""
    return f"{'−' if value < 0 else '+'}{100 * abs(value):.0f}{NO_BREAK}%"


def format_number(value: object) -> str:
    """Return a number with three digits, other text unchanged, a dash for None and NaN."""
    if value is None or value == "":
        return DASH
    try:
        number = float(str(value))
    except ValueError:
        return str(value)
    if not math.isfinite(number):
        return DASH
    if number == int(number):
        return f"{number:,.0f}"
    return f"{number:.3f}" if 0.001 <= abs(number) < 10 else f"{number:.3g}"


def hpa_url(row: AntibodyRow) -> str:
    """Return the HPA page of an antibody's gene, else of a search for the antibody; else empty."""
    if ENSEMBL_ID.fullmatch(row.ensembl_id):
        return HPA_URL + row.ensembl_id
    is_hpa_antibody = HPA_ANTIBODY_ID.fullmatch(row.antibody_id)
    return f"{HPA_URL}search/{row.antibody_id}" if is_hpa_antibody else ""


def question(cell_type: str, tissues: Sequence[str]) -> str:
    """Return the question that this run answers."""
    target_class = "the brush border" if "microvilli" in cell_type.lower() else cell_type
    if len(tissues) > MAX_NAMED_TISSUES:
        return f"Which antibodies stain {target_class} in {len(tissues)} human tissues?"
    names = " and ".join(tissues)
    return f"Which antibodies stain {target_class}{' of human ' + names if names else ''}?"


def headline(antibodies: Sequence[AntibodyRow], *, failures: int) -> str:
    """Return the answer in one or two sentences, or the reason why there is none.

    Parameters
    ----------
    antibodies
        By rank.
    failures
        Number of images that a step could not use.
    """
    measured = [row for row in antibodies if row.stained_to_cell_ratio is not None]
    if not measured:
        return _why_no_answer(antibodies, failures)
    best = measured[0]
    if not best.stained_to_cell_ratio:
        if len(measured) == 1:
            return "No answer yet: the model finds no stain in any core of the only antibody."
        return (
            f"The model finds no stain in any core of the {len(measured)} measured antibodies. "
            "Either no antibody stains the target class, or the model has not learned it; check "
            "the cores and the training curves."
        )
    name = f"{best.gene} ({best.antibody_id})" if best.gene else best.antibody_id
    interval = percent_range(best.ratio_low, best.ratio_high)
    sentence = (
        f"{name} has the highest ratio: {percent(best.stained_to_cell_ratio)} of the cell area is "
        f"stained{f' (95 % interval {interval})' if interval else ''}"
        f"{_annotation_clause(best.hpa_staining)}."
    )
    negatives = [row.stained_to_cell_ratio or 0.0 for row in measured if row.label == NEGATIVE]
    if len(negatives) < significance.MIN_NEGATIVES:
        return sentence
    others = [row for row in measured if row.label != NEGATIVE]
    above = sum((row.stained_to_cell_ratio or 0.0) > max(negatives) for row in others)
    return (
        f"{sentence} {above} of {len(others)} other antibodies have a higher ratio than all "
        f"{len(negatives)} antibodies {describe_negatives(antibodies)}."
    )


def _why_no_answer(antibodies: Sequence[AntibodyRow], failures: int) -> str:
    if antibodies:
        return "No answer yet: no measured image contains cell area. Check the quality flags."
    if failures:
        return "No answer yet: no image could be measured. The section Failures lists the reasons."
    return (
        "No answer yet: there were no images to measure, and no image failed. The catalog contains "
        "none of the requested genes, antibodies and tissues."
    )


def _annotation_clause(staining: str) -> str:
    return f"; the Human Protein Atlas annotates its staining as “{staining}”" if staining else ""


def describe_negatives(antibodies: Sequence[AntibodyRow]) -> str:
    """Return what makes an antibody negative in this run: the HPA annotation, or a label."""
    negatives = [row for row in antibodies if row.label == NEGATIVE]
    annotated = [row for row in negatives or antibodies if row.hpa_staining]
    if len(annotated) == len(negatives) if negatives else annotated:
        return "annotated as “not detected”"
    return "labelled negative"


def explain_p_values(antibodies: Sequence[AntibodyRow]) -> str:
    """Return what p, q and z compare with, or why they are empty."""
    count = sum(
        row.label == NEGATIVE and row.stained_to_cell_ratio is not None for row in antibodies
    )
    negatives = f"antibodies {describe_negatives(antibodies)}"
    if count < significance.MIN_NEGATIVES:
        return (
            f"p, q and z are empty: they need at least {significance.MIN_NEGATIVES} measured "
            f"{negatives}; this run has {count}."
        )
    sentences = [
        f"p is the fraction of the {count} {negatives} that reach the same ratio (empirical, "
        f"one-sided); the smallest empirical p is 1/{count + 1} = {1 / (count + 1):.3g}.",
        *_explain_extrapolation(antibodies),
        "q is p after Benjamini–Hochberg correction.",
        "z is the distance from the median of the same antibodies in robust standard deviations.",
    ]
    if not any(row.z is not None for row in antibodies):
        sentences.append("z is empty: all of these antibodies have the same ratio.")
    significant = sum(
        row.q_value is not None and row.q_value <= SIGNIFICANT_Q for row in antibodies
    )
    if significant:
        verb = "antibody has" if significant == 1 else "antibodies have"
        sentences.append(f"{significant} {verb} q ≤ {SIGNIFICANT_Q}.")
    else:
        sentences.append(
            f"No antibody has q ≤ {SIGNIFICANT_Q}; more negative antibodies would allow smaller p "
            "and q."
        )
    return " ".join(sentences)


def _explain_extrapolation(antibodies: Sequence[AntibodyRow]) -> list[str]:
    """Return how p is extrapolated and how far it holds; empty if no p is extrapolated."""
    extrapolated = sum(row.p_extrapolated for row in antibodies)
    if not extrapolated:
        return []
    count = "1 antibody" if extrapolated == 1 else f"{extrapolated} antibodies"
    highest = max(row.stained_to_cell_ratio or 0.0 for row in antibodies if row.label == NEGATIVE)
    return [
        f"For {count} above the highest ratio of the negatives ({percent(highest)}), p is "
        "extrapolated: it assumes that the tail of the negatives' ratios is at most as heavy as a "
        "power law, and is at least the smallest empirical p divided by "
        f"{tail_p.MAX_EXTRAPOLATION:,.0f}. In simulations with unstained antibodies under this "
        "assumption, the fraction of p values up to a level was at most the level; with heavier "
        f"tails, or rare artefacts with a high ratio, up to {HEAVY_TAIL_FACTOR} times that."
    ]


def failure_counts(failures: Sequence[FailureRow]) -> list[tuple[str, str, int, str]]:
    """Return step, reason, number of images and the reason's meaning, most frequent first."""
    counts = Counter((row.stage, row.reason) for row in failures)
    meanings = {str(reason): reason.__doc__ or "" for reason in Reason}
    return [
        (stage, reason, count, meanings.get(reason, ""))
        for (stage, reason), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def quality_flag_counts(column: Iterable[str]) -> list[tuple[str, int]]:
    """Return the quality flags and the number of images with each, most frequent first."""
    counts = Counter(flag for flags in column for flag in flags.split(";") if flag)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def flatten(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield a JSON object's leaves as (dotted name, text), in the order of the document.

    A list longer than `MAX_LISTED` is cut short.
    """
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from flatten(value, f"{name}.")
        elif isinstance(value, list):
            shown = ", ".join(str(item) for item in value[:MAX_LISTED])
            yield name, f"{shown}, ... ({len(value):,})" if len(value) > MAX_LISTED else shown
        else:
            yield name, "" if value is None else str(value)


def describe_training(model: Mapping[str, Any], images: pd.DataFrame) -> str:
    """Return preset, steps and labels of the training; empty if `model.json` lacks them."""
    if not {"preset", "steps"} <= model.keys():
        return ""
    labels = Counter(images["label"])
    tiles = model.get("positive_tiles")
    positive = f" At the end of training, {tiles:,} tiles counted as positive." if tiles else ""
    warnings = "".join(f" Warning: {warning}." for warning in model.get("warnings", ()))
    continued = model.get("start_from")
    start = f", continued from the model of digest {str(continued)[:12]}" if continued else ""
    return (
        f"Preset {model['preset']}, {model['steps']} steps{start}. Labels of the measured images: "
        f"{labels['positive']:,} positive, {labels['negative']:,} negative, {labels['']:,} without "
        f"a label.{positive}{warnings}"
    )


def limitations(
    antibodies: Sequence[AntibodyRow], images: pd.DataFrame, cell_type: str
) -> list[str]:
    """Return what this run cannot answer and why, one sentence per item."""
    if not antibodies:
        return []
    sentences = []
    without_ratio = sum(row.stained_to_cell_ratio is None for row in antibodies)
    if without_ratio:
        sentences.append(
            f"{without_ratio} antibod{'y has' if without_ratio == 1 else 'ies have'} no ratio: the "
            "counted tiles contain no cell area."
        )
    if len(antibodies) == 1:
        sentences.append("Only one antibody was measured, so there is no ranking.")
    if not any(row.hpa_staining for row in antibodies):
        sentences.append(
            f"No antibody has an annotation of “{cell_type}”, so no ratio is compared with the "
            "annotation."
        )
    if all(row.stained_to_cell_ratio == 0.0 for row in antibodies):
        sentences.append(
            "Every ratio is 0, so there are no intervals, and the rank is the order of the names."
        )
    elif all(row.ratio_low is None for row in antibodies):
        sentences.append(
            "No antibody has an interval: an interval needs two patients (two images if patients "
            "are unknown)."
        )
    if not (images["patient_id"] != "").any():
        sentences.append("Patients are unknown, so intervals are over images.")
    return sentences
