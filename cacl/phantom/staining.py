"""What one made-up antibody stains, how strongly, and what an annotator would write of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from cacl.phantom.fields import generator, within
from cacl.phantom.settings import Setting, Strengths

DISTRACTORS = ("cytoplasm", "stroma", "mucus", "nuclei", "debris", "rim")
# Steps of additive recurrences, the golden and the plastic ratio: any number of antibodies
# covers the range evenly, and one more leaves the others as they are.
STRENGTH_STEP, COVER_STEP = 0.6180339887, 0.7548776662
MODERATE_OD, STRONG_OD = 0.25, 0.5


@dataclass(frozen=True, kw_only=True)
class Staining:
    """What an antibody stains; densities are DAB optical densities, 0 = not at all."""

    positive: bool
    grade: str
    border_od: float
    cover: float
    cytoplasm_od: float
    apical: float
    lateral: float
    stroma_od: float
    stroma_share: float
    mucus_od: float
    nuclei_od: float
    debris_od: float
    rim_od: float
    background_od: float


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """One cell type's line in the atlas."""

    cell_type: str
    staining: str
    intensity: str
    quantity: str
    location: str


def draw_staining(seed: int, setting: Setting, number: int) -> Staining:
    """Draw the antibody of that number (from 1); of each pair of antibodies one is positive.

    Both classes draw everything alike, also the border's strength: in a negative one it only
    sets how strong its other stains are.
    """
    rng = generator("antibody", seed, setting.name, number)
    pair = (number - 1) // 2
    start = generator("start", seed, setting.name).random(2)
    first_is_positive = bool(generator("pair", seed, setting.name, pair).random() < 0.5)
    strengths = setting.strengths
    grade = _grade(float((start[0] + STRENGTH_STEP * pair) % 1.0), strengths)
    spans = {
        "strong": strengths.strong_od,
        "moderate": strengths.moderate_od,
        "weak": strengths.weak_od,
    }
    border = within(rng, spans[grade])
    low, high = strengths.cover
    kinds = {name: getattr(strengths, name) for name in DISTRACTORS}
    sure = DISTRACTORS[int(rng.integers(len(DISTRACTORS)))]
    level = {}
    for name, kind in kinds.items():
        present, density = rng.random() < kind.share, within(rng, kind.od)
        level[name] = density if present or name == sure else 0.0
    # A border no darker than the cell's body could not be seen.
    cytoplasm = min(level["cytoplasm"], strengths.cytoplasm_to_border * border)
    return Staining(
        positive=(number % 2 == 1) == first_is_positive,
        grade=grade,
        border_od=border,
        cover=low + (high - low) * float((start[1] + COVER_STEP * pair) % 1.0),
        cytoplasm_od=cytoplasm,
        apical=float(rng.random()),
        lateral=float(rng.random() ** 2),
        stroma_od=level["stroma"],
        stroma_share=within(rng, strengths.stroma_cells),
        mucus_od=level["mucus"],
        nuclei_od=level["nuclei"],
        debris_od=level["debris"],
        rim_od=level["rim"],
        background_od=within(rng, strengths.background_od),
    )


def annotate(staining: Staining) -> tuple[Annotation, ...]:
    """Return what an annotator would write of the duodenum's cell types."""
    quantity = ">75%" if staining.cover > 0.75 else "75%-25%"
    border = staining.grade if staining.positive else "negative"
    body = _line_of(staining.cytoplasm_od, staining.nuclei_od)
    return (
        *(
            dataclasses.replace(body, cell_type=cell_type)
            for cell_type in ("Enterocytes", "Endocrine cells", "Paneth cells", "Glands of Brunner")
        ),
        _line("Enterocytes - Microvilli", border, quantity, "cytoplasmic/membranous"),
        dataclasses.replace(
            _line_of(staining.mucus_od, staining.nuclei_od), cell_type="Goblet cells"
        ),
    )


def level(intensity: str, quantity: str) -> str:
    """Return the staining level that the atlas derives from intensity and quantity."""
    if intensity == "negative":
        return "not detected"
    if intensity == "weak":
        return "low"
    few = quantity == "<25%"
    if intensity == "moderate":
        return "low" if few else "medium"
    return "medium" if few else "high"


def _line_of(cytoplasm_od: float, nuclei_od: float) -> Annotation:
    """Return the line of a cell with so much stain in its body and its nucleus."""
    places = {"cytoplasmic/membranous": cytoplasm_od, "nuclear": nuclei_od}
    location = ",".join(place for place, density in places.items() if density > 0)
    return _line("", _intensity(max(places.values())), ">75%", location)


def _line(cell_type: str, intensity: str, quantity: str, location: str) -> Annotation:
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
        staining=level(intensity, quantity),
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


def _grade(quantile: float, strengths: Strengths) -> str:
    if quantile < strengths.weak_share:
        return "weak"
    return "strong" if quantile >= 1.0 - strengths.strong_share else "moderate"
