"""Stains of a synthetic antibody, and the annotation that the HPA would give it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from cacl.phantom.fields import generator, within
from cacl.phantom.settings import Densities, Setting

CONFOUNDERS = ("cytoplasm", "stroma", "mucus", "nuclei", "debris", "edge")
# Steps of additive recurrences (golden ratio, plastic ratio): any number of antibodies covers the
# range evenly, and another antibody does not change the earlier ones.
STRENGTH_STEP, COVERAGE_STEP = 0.6180339887, 0.7548776662
MODERATE_OD, STRONG_OD = 0.25, 0.5


@dataclass(frozen=True, kw_only=True)
class Staining:
    """Stains of an antibody; densities are DAB optical densities, 0 for no stain."""

    positive: bool  # stains the brush border
    grade: str  # intensity of the brush border: strong, moderate or weak
    border_od: float
    coverage: float  # fraction of the villus surface with a stained border
    cytoplasm_od: float
    apical: float  # apical accumulation in the cytoplasm, 0 to 1
    lateral: float  # accumulation at the side walls, 0 to 1
    stroma_od: float
    stroma_fraction: float  # fraction of stained stroma cells
    mucus_od: float
    nuclei_od: float
    epithelial_nuclei: float  # fraction of stained nuclei, if `nuclei_od` is above 0
    stroma_nuclei: float  # same of the stroma
    debris_od: float
    edge_od: float
    background_od: float


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """Annotation of one cell type."""

    cell_type: str
    staining: str
    intensity: str
    quantity: str
    location: str


def draw_staining(seed: int, setting: Setting, number: int) -> Staining:
    """Return the stains of an antibody; of each pair of antibodies one is positive.

    Positive and negative antibodies have the same distributions, also of the border density, which
    limits the cytoplasm density of both.

    Parameters
    ----------
    seed
        Seed of the phantom.
    setting
        Setting of the phantom.
    number
        Number of the antibody, from 1.
    """
    rng = generator("antibody", seed, setting.name, number)
    pair = (number - 1) // 2
    start = generator("start", seed, setting.name).random(2)
    first_is_positive = bool(generator("pair", seed, setting.name, pair).random() < 0.5)
    densities, detail = setting.densities, setting.detail
    grade = _grade(float((start[0] + STRENGTH_STEP * pair) % 1.0), densities)
    ranges = {
        "strong": densities.strong_od,
        "moderate": densities.moderate_od,
        "weak": densities.weak_od,
    }
    border = within(rng, ranges[grade])
    low, high = densities.coverage
    confounders = {name: getattr(densities, name) for name in CONFOUNDERS}
    always_present = CONFOUNDERS[int(rng.integers(len(CONFOUNDERS)))]
    od = {}
    for name, confounder in confounders.items():
        is_present, density = rng.random() < confounder.fraction, within(rng, confounder.od)
        od[name] = density if is_present or name == always_present else 0.0
    # A border is visible only if it is darker than the cytoplasm.
    cytoplasm = min(od["cytoplasm"], densities.cytoplasm_to_border * border)
    return Staining(
        positive=(number % 2 == 1) == first_is_positive,
        grade=grade,
        border_od=border,
        coverage=low + (high - low) * float((start[1] + COVERAGE_STEP * pair) % 1.0),
        cytoplasm_od=cytoplasm,
        apical=float(rng.random()),
        lateral=float(rng.random() ** 2),
        stroma_od=od["stroma"],
        stroma_fraction=within(rng, densities.stroma_cells),
        mucus_od=od["mucus"],
        nuclei_od=od["nuclei"],
        debris_od=od["debris"],
        edge_od=od["edge"],
        background_od=within(rng, densities.background_od),
        epithelial_nuclei=within(rng, detail.epithelial_nuclei) if detail else 1.0,
        stroma_nuclei=within(rng, detail.stroma_nuclei) if detail else 1.0,
    )


def annotate(staining: Staining) -> tuple[Annotation, ...]:
    """Return the annotation of each cell type of the duodenum."""
    quantity = ">75%" if staining.coverage > 0.75 else "75%-25%"
    border = staining.grade if staining.positive else "negative"
    enterocytes = _annotation_of(staining.cytoplasm_od, staining.nuclei_od)
    return (
        *(
            dataclasses.replace(enterocytes, cell_type=cell_type)
            for cell_type in ("Enterocytes", "Endocrine cells", "Paneth cells", "Glands of Brunner")
        ),
        _annotation("Enterocytes - Microvilli", border, quantity, "cytoplasmic/membranous"),
        dataclasses.replace(
            _annotation_of(staining.mucus_od, staining.nuclei_od), cell_type="Goblet cells"
        ),
    )


def staining_level(intensity: str, quantity: str) -> str:
    """Return the staining level that the HPA derives from intensity and quantity."""
    if intensity == "negative":
        return "not detected"
    if intensity == "weak":
        return "low"
    is_below_25_percent = quantity == "<25%"
    if intensity == "moderate":
        return "low" if is_below_25_percent else "medium"
    return "medium" if is_below_25_percent else "high"


def _annotation_of(cytoplasm_od: float, nuclei_od: float) -> Annotation:
    """Return the annotation of a cell with these densities in cytoplasm and nucleus."""
    od_by_location = {"cytoplasmic/membranous": cytoplasm_od, "nuclear": nuclei_od}
    location = ",".join(name for name, density in od_by_location.items() if density > 0)
    return _annotation("", _intensity(max(od_by_location.values())), ">75%", location)


def _annotation(cell_type: str, intensity: str, quantity: str, location: str) -> Annotation:
    if intensity == "negative":
        return Annotation(
            cell_type=cell_type,
            staining="not detected",
            intensity="negative",
            quantity="none",
            location="none",
        )
    return Annotation(
        cell_type=cell_type,
        staining=staining_level(intensity, quantity),
        intensity=intensity,
        quantity=quantity,
        location=location,
    )


def _intensity(density: float) -> str:
    if density <= 0:
        return "negative"
    if density < MODERATE_OD:
        return "weak"
    return "moderate" if density < STRONG_OD else "strong"


def _grade(quantile: float, densities: Densities) -> str:
    if quantile < densities.weak_fraction:
        return "weak"
    return "strong" if quantile >= 1.0 - densities.strong_fraction else "moderate"
