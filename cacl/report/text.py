"""The report's sentences: the question, its answer, what p means, why something is missing."""

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
from cacl.stats import significance
from cacl.tables.schemas import AntibodyRow, FailureRow

ENSEMBL_ID = re.compile(r"ENSG[0-9]{11}")
HPA_ID = re.compile(r"(HPA|CAB)[0-9]{6}")
HPA_PAGE = "https://www.proteinatlas.org/"
SIGNIFICANT_Q = 0.05
MOST_NAMED_TISSUES = 3
NO_BREAK = "\u00a0"
BENCHMARK_WORDS = ("atlas", "method")
BENCHMARK_TITLES = {
    "atlas": "Test antibodies",
    "method": "Method",
    "dice": "Dice, paper's",
    "dice_positive": "Dice, positive tiles",
    "boundary_f1": "Boundary F1",
    "negative_percent": "Negatives stained, %",
    "ccc": "Concordance of ratio",
}


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


def antibody_page(row: AntibodyRow) -> str:
    """Return the address of an antibody in the atlas: its gene's page, else a search for it."""
    if ENSEMBL_ID.fullmatch(row.ensembl_id):
        return HPA_PAGE + row.ensembl_id
    return f"{HPA_PAGE}search/{row.antibody_id}" if HPA_ID.fullmatch(row.antibody_id) else ""


def question(cell_type: str, tissues: Sequence[str]) -> str:
    """Return the question that this run answers."""
    target_class = "the brush border" if "microvilli" in cell_type.lower() else cell_type
    if len(tissues) > MOST_NAMED_TISSUES:
        return f"Which antibodies stain {target_class} in {len(tissues)} human tissues?"
    where = " and ".join(tissues)
    return f"Which antibodies stain {target_class}{' of human ' + where if where else ''}?"


def answer(antibodies: Sequence[AntibodyRow], *, failed: int) -> str:
    """Return the answer in one or two sentences; where there is none, the reason.

    Parameters
    ----------
    antibodies
        By rank.
    failed
        How many images a step could not use.
    """
    rated = [row for row in antibodies if row.stained_to_cell_ratio is not None]
    if not rated and antibodies:
        return "No answer yet: no measured image holds cell area; look at the quality flags."
    if not rated and failed:
        return "No answer yet: no image could be measured. The reasons are listed under Failures."
    if not rated:
        return (
            "No answer yet: there was no image to measure and none failed; the catalog has none of "
            "the genes, antibodies and tissues asked for."
        )
    if not rated[0].stained_to_cell_ratio:
        return (
            f"None of the {len(rated)} measured: the model finds the pattern in no core. Either no "
            "antibody stains it, or the model has not learned it; look at the cores and at the "
            "training curves."
            if len(rated) > 1
            else "No answer yet: the model finds the pattern in no core of the one antibody."
        )
    best = rated[0]
    name = f"{best.gene} ({best.antibody_id})" if best.gene else best.antibody_id
    spread = interval(best.ratio_low, best.ratio_high)
    text = (
        f"{name} stains most: {percent(best.stained_to_cell_ratio)} of the cell area"
        f"{f' (95 % interval {spread})' if spread else ''}"
        f"{f'; the atlas annotates it as “{best.hpa_staining}”' if best.hpa_staining else ''}."
    )
    negatives = [row.stained_to_cell_ratio or 0.0 for row in rated if row.label == NEGATIVE]
    if len(negatives) < significance.MIN_NEGATIVES:
        return text
    others = [row for row in rated if row.label != NEGATIVE]
    above = sum((row.stained_to_cell_ratio or 0.0) > max(negatives) for row in others)
    return (
        f"{text} {above} of {len(others)} antibodies stain more of it than any of the "
        f"{len(negatives)} that are {negatives_are(antibodies)}."
    )


def negatives_are(antibodies: Sequence[AntibodyRow]) -> str:
    """Return what makes an antibody negative in this run: the atlas's annotation, or a label."""
    negative = [row for row in antibodies if row.label == NEGATIVE]
    annotated = [row for row in negative or antibodies if row.hpa_staining]
    if len(annotated) == len(negative) if negative else annotated:
        return "annotated as “not detected”"
    return "labelled negative"


def about_p(antibodies: Sequence[AntibodyRow]) -> str:
    """Return what p and q are compared with, or why they are empty."""
    count = sum(
        row.label == NEGATIVE and row.stained_to_cell_ratio is not None for row in antibodies
    )
    if count < significance.MIN_NEGATIVES:
        return (
            f"p, q and z are empty: they compare with antibodies {negatives_are(antibodies)}, of "
            f"which {count} were measured and {significance.MIN_NEGATIVES} are needed."
        )
    floor = 1 / (count + 1)
    text = (
        f"p is the share of the {count} antibodies {negatives_are(antibodies)} that reach the same "
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


def trained(model: Mapping[str, Any], images: pd.DataFrame) -> str:
    """Return in a sentence what the model is and was trained on; empty without a description."""
    if not {"preset", "steps"} <= model.keys():
        return ""
    labels = Counter(images["label"])
    tiles = model.get("positive_tiles")
    taken = f" In the end {tiles:,} training tiles were taken to show the pattern." if tiles else ""
    warned = "".join(f" Warning: {sentence}." for sentence in model.get("warnings", ()))
    return (
        f"Preset {model['preset']}, {model['steps']} steps. Of the measured images "
        f"{labels['positive']:,} are labelled positive, {labels['negative']:,} negative, "
        f"{labels['']:,} neither.{taken}{warned}"
    )


def missing(antibodies: Sequence[AntibodyRow], images: pd.DataFrame, cell_type: str) -> list[str]:
    """Return what this run cannot tell and why, one sentence each; empty if nothing is missing."""
    if not antibodies:
        return []
    found = []
    unrated = sum(row.stained_to_cell_ratio is None for row in antibodies)
    if unrated:
        found.append(
            f"{unrated} antibod{'y has' if unrated == 1 else 'ies have'} no ratio: the counted "
            "tiles hold no cell area, and 0/0 says nothing."
        )
    if len(antibodies) == 1:
        found.append("One antibody was measured, so there is nothing to rank it against.")
    if not any(row.hpa_staining for row in antibodies):
        found.append(
            f"No antibody has annotation of “{cell_type}”, so nothing is compared with the atlas."
        )
    if all(row.stained_to_cell_ratio == 0.0 for row in antibodies):
        found.append(
            "Every ratio is 0, so there is no order and no interval: the rank is that of the names."
        )
    elif all(row.ratio_low is None for row in antibodies):
        found.append(
            "No antibody has an interval: that needs two patients (images, where patients are "
            "unknown)."
        )
    if not (images["patient_id"] != "").any():
        found.append("Patients are unknown, so intervals are over images.")
    return found


def flags(column: Iterable[str]) -> list[tuple[str, int]]:
    """Return the quality flags and how many images have each, most frequent first."""
    counts = Counter(flag for text in column for flag in text.split(";") if flag)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def signed_percent(value: float) -> str:
    """Return a difference of shares as per cent with its sign."""
    return f"{'−' if value < 0 else '+'}{100 * abs(value):.0f}{NO_BREAK}%"


def number(value: object) -> str:
    """Return a number with three digits, other text as it is, a dash for nothing."""
    if value is None or value == "":
        return "–"
    try:
        found = float(str(value))
    except ValueError:
        return str(value)
    if not math.isfinite(found):
        return "–"
    if found == int(found):
        return f"{found:,.0f}"
    return f"{found:.3f}" if 0.001 <= abs(found) < 10 else f"{found:.3g}"
