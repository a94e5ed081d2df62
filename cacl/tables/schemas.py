"""The rows of every table: columns in order, types, units and meaning.

A table is a list of records of one class. The class is its contract: `cacl.tables` writes the
fields in this order and type, and refuses a file whose columns differ.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from typing import Any


def column(meaning: str, unit: str = "", *, default: Any = MISSING) -> Any:
    """Declare a column: what it means, in which unit, and what it holds where nothing is known."""
    return field(default=default, metadata={"meaning": meaning, "unit": unit})


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """One image of the catalog."""

    image_id: str = column("<antibody_id>/<file stem>; unique")
    antibody_id: str = column("HPA0xxxxx or CAB0xxxxx, or the user's own id")
    ensembl_id: str = column("Ensembl gene id; empty if unknown")
    gene: str = column("gene symbol; empty if unknown")
    tissue: str = column("tissue, lower case as the atlas names it")
    patient_id: str = column("patient; empty if unknown")
    sex: str = column("female, male or empty")
    age: int | None = column("age of the patient", "years")
    url: str = column("address on the atlas's host; empty for a user's own image")
    path: str = column("local file; empty until acquired")
    hpa_version: str = column("release of the atlas; empty for a user's own image")
    licence: str = column("licence of the image")
    mpp: float | None = column("size of a source pixel, if known", "um/px")
    label: str = column("positive, negative or empty")
    label_source: str = column("the rule or file that gave the label")
    class_labels: str = column(
        "label in each of several classes, such as microvilli=positive;nucleus=; the first is also"
        " the label; empty for one class",
        default="",
    )


@dataclass(frozen=True, kw_only=True)
class AnnotationRow:
    """What the atlas says of one antibody (or gene) in one cell type of one tissue."""

    antibody_id: str = column("antibody; empty for gene-level annotation")
    ensembl_id: str = column("Ensembl gene id")
    gene: str = column("gene symbol")
    tissue: str = column("tissue, lower case")
    cell_type: str = column("cell type, lower case")
    staining: str = column("high, medium, low, not detected, ... as the atlas writes it")
    intensity: str = column("strong, moderate, weak, negative or empty")
    quantity: str = column("share of stained cells as the atlas writes it, such as >75%")
    location: str = column("cytoplasmic/membranous, nuclear, none or empty")
    reliability: str = column("enhanced, supported, approved, uncertain or empty")


@dataclass(frozen=True, kw_only=True)
class AcquiredRow:
    """The receipt of one image whose bytes are at hand and verified."""

    image_id: str = column("image")
    antibody_id: str = column("antibody")
    path: str = column("local file")
    sha256: str = column("digest of the file's bytes")
    size_bytes: int = column("size of the file", "bytes")
    mpp: float | None = column("size of a source pixel, if the catalog knows it", "um/px")


@dataclass(frozen=True, kw_only=True)
class TileStatRow:
    """What can be said of one tile before any model has seen it."""

    image_id: str = column("image")
    antibody_id: str = column("antibody")
    row: int = column("row of the tile in its image, from 0")
    col: int = column("column of the tile in its image, from 0")
    tissue_fraction: float = column("share of the tile that is tissue", "0-1")
    dab_fraction: float = column("share of that tissue that is DAB-positive", "0-1")
    digest: str = column("digest of the image's tiles in the store")


@dataclass(frozen=True, kw_only=True)
class TileRow:
    """One tile as `select` judged it."""

    image_id: str = column("image")
    antibody_id: str = column("antibody")
    row: int = column("row of the tile in its image, from 0")
    col: int = column("column of the tile in its image, from 0")
    label: str = column("positive or negative; empty only where there are several classes")
    split: str = column("train, validation or test; one antibody is in one split")
    kept: bool = column("whether the tile is used")
    rule: str = column("why it was kept or left out")
    class_labels: str = column(
        "label in each of several classes, such as microvilli=positive;nucleus=; the first is also"
        " the label; empty for one class",
        default="",
    )


@dataclass(frozen=True, kw_only=True)
class SegmentedRow:
    """The receipt of one image whose stain mask is in the store."""

    image_id: str = column("image")
    antibody_id: str = column("antibody")
    digest: str = column("digest of the mask: of tiles, model and parameters")
    confidence: float | None = column(
        "Dice of the masks of two single views (models, flips), over all pairs of views; empty "
        "where no view stains anything",
        "0-1",
        default=None,
    )
    ratio_sd: float | None = column(
        "standard deviation of the stained-to-cell ratio over single views", "0-1", default=None
    )
    classes: str = column("classes that have a mask each, joined by ';'", default="stain")


@dataclass(frozen=True, kw_only=True)
class MeasureRow:
    """The measures of one image."""

    image_id: str = column("image")
    antibody_id: str = column("antibody")
    ensembl_id: str = column("Ensembl gene id; empty if unknown")
    gene: str = column("gene symbol; empty if unknown")
    tissue: str = column("tissue, lower case")
    patient_id: str = column("patient; empty if unknown")
    label: str = column("positive, negative or empty")
    tiles: int = column("tiles with enough tissue, over which the areas are summed")
    cell_area_px: int = column("tissue without lumen and glass", "analysis px")
    stained_area_px: int = column("CaCL mask inside the cell area", "analysis px")
    stained_to_cell_ratio: float | None = column("stained area / cell area", "0-1")
    ratio_low: float | None = column(
        "lower end of its 95 % interval over tiles; empty if nothing is stained",
        "0-1",
    )
    ratio_high: float | None = column(
        "upper end of its 95 % interval over tiles; empty if nothing is stained",
        "0-1",
    )
    confidence: float | None = column(
        "Dice of the masks of two single views (models, flips), over all pairs of views; empty "
        "where no view stains anything",
        "0-1",
        default=None,
    )
    ratio_sd: float | None = column(
        "standard deviation of the stained-to-cell ratio over single views", "0-1", default=None
    )
    dab_area_px: int = column("DAB-positive cell area by colour deconvolution", "analysis px")
    border_share: float | None = column("stained area that is DAB-positive / DAB area", "0-1")
    mpp: float | None = column(
        "size of an analysis pixel: of the image's file, else of a 1 mm core", "um/px", default=None
    )
    mpp_source: str = column("given, core diameter, or empty where mpp is", default="")
    cell_area_um2: float | None = column("cell area", "um2", default=None)
    stained_area_um2: float | None = column("stained area", "um2", default=None)
    core_diameter_px: float | None = column(
        "diameter of the circle that the core's rim lies on; empty if no round core is seen",
        "analysis px",
        default=None,
    )
    stained_od: float | None = column(
        "mean DAB optical density in the stained area", "optical density", default=None
    )
    weak_share: float | None = column("share of the cell area with weak DAB", "0-1", default=None)
    moderate_share: float | None = column(
        "share of the cell area with moderate DAB", "0-1", default=None
    )
    strong_share: float | None = column(
        "share of the cell area with strong DAB", "0-1", default=None
    )
    h_score: float | None = column(
        "100 x (weak + 2 moderate + 3 strong share), by area", "0-300", default=None
    )
    hpa_staining: str = column("the atlas's staining in the configured cell type")
    hpa_intensity: str = column("the atlas's intensity")
    hpa_quantity: str = column("the atlas's share of stained cells")
    hpa_location: str = column("the atlas's location")
    qc: str = column("quality flags joined by ';'; empty if none")


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """The stained area of one class in one image."""

    image_id: str = column("image")
    antibody_id: str = column("antibody")
    class_name: str = column("class of labels.classes; stain where there is one class alone")
    label: str = column("label in this class: positive, negative or empty")
    stained_area_px: int = column("mask of this class inside the cell area", "analysis px")
    stained_to_cell_ratio: float | None = column("stained area / cell area", "0-1")
    ratio_low: float | None = column(
        "lower end of its 95 % interval over tiles; empty if nothing is stained",
        "0-1",
    )
    ratio_high: float | None = column(
        "upper end of its 95 % interval over tiles; empty if nothing is stained",
        "0-1",
    )


@dataclass(frozen=True, kw_only=True)
class AntibodyRow:
    """The measures of one antibody, pooled over its images."""

    rank: int = column("1 = highest ratio")
    antibody_id: str = column("antibody")
    ensembl_id: str = column("Ensembl gene id; empty if unknown")
    gene: str = column("gene symbol; empty if unknown")
    label: str = column("positive, negative or empty")
    images: int = column("images measured")
    patients: int = column("patients among them")
    cell_area_px: int = column("summed cell area", "analysis px")
    stained_area_px: int = column("summed stained area", "analysis px")
    stained_to_cell_ratio: float | None = column("pooled stained area / cell area", "0-1")
    ratio_low: float | None = column(
        "lower end of its 95 % interval over patients; empty for one patient or no stain",
        "0-1",
    )
    ratio_high: float | None = column("upper end of its 95 % interval over patients", "0-1")
    border_share: float | None = column("stained DAB area / all DAB area", "0-1")
    stained_od: float | None = column(
        "mean DAB optical density in the stained area", "optical density", default=None
    )
    h_score: float | None = column("H-score by area over all images", "0-300", default=None)
    tissue_tau: float | None = column(
        "0 = same ratio in every tissue, 1 = in one only; empty with fewer than two tissues",
        "0-1",
        default=None,
    )
    top_tissue: str = column(
        "tissue of the highest ratio; empty with fewer than two tissues", default=""
    )
    gene_agreement: float | None = column(
        "agreement of its gene's antibodies; empty if it is the only one", "up to 1", default=None
    )
    z: float | None = column("robust z against antibodies annotated as not detected")
    p_value: float | None = column("one-sided p against the same antibodies", "0-1")
    q_value: float | None = column("p after Benjamini-Hochberg", "0-1")
    hpa_staining: str = column("the atlas's staining in the configured cell type")
    hpa_intensity: str = column("the atlas's intensity")
    hpa_quantity: str = column("the atlas's share of stained cells")
    hpa_location: str = column("the atlas's location")


@dataclass(frozen=True, kw_only=True)
class GeneRow:
    """The measures of one gene, pooled over its antibodies' images."""

    rank: int = column("1 = highest ratio")
    ensembl_id: str = column("Ensembl gene id; empty if unknown")
    gene: str = column("gene symbol; empty if unknown")
    antibodies: int = column("antibodies measured")
    images: int = column("images measured")
    patients: int = column("patients among them")
    cell_area_px: int = column("summed cell area", "analysis px")
    stained_area_px: int = column("summed stained area", "analysis px")
    stained_to_cell_ratio: float | None = column("pooled stained area / cell area", "0-1")
    ratio_low: float | None = column(
        "lower end of its 95 % interval over patients; empty for one patient or no stain",
        "0-1",
    )
    ratio_high: float | None = column("upper end of its 95 % interval over patients", "0-1")
    border_share: float | None = column("stained DAB area / all DAB area", "0-1")
    agreement: float | None = column(
        "1 = its antibodies rank alike, 0 = as unlike as any two; empty with fewer than two",
        "up to 1",
        default=None,
    )
    z: float | None = column("robust z against genes annotated as not detected")
    p_value: float | None = column("one-sided p against the same genes", "0-1")
    q_value: float | None = column("p after Benjamini-Hochberg", "0-1")
    hpa_staining: str = column("the atlas's staining in the configured cell type")


@dataclass(frozen=True, kw_only=True)
class AgreementRow:
    """How well the ratios agree with what the atlas says, over all antibodies."""

    measure: str = column("what is compared, and how")
    value: float | None = column("its value; empty where it cannot be told, see note")
    low: float | None = column("lower end of its 95 % bootstrap interval over antibodies")
    high: float | None = column("upper end of its 95 % bootstrap interval over antibodies")
    n: int = column("antibodies compared")
    note: str = column("what the number means, or why it is missing")


@dataclass(frozen=True, kw_only=True)
class DisagreementRow:
    """One antibody whose ratio is not where the atlas's annotation would have it."""

    rank: int = column("1 = largest disagreement")
    antibody_id: str = column("antibody")
    gene: str = column("gene symbol; empty if unknown")
    label: str = column("positive, negative or empty")
    hpa_staining: str = column("the atlas's staining in the configured cell type")
    hpa_intensity: str = column("the atlas's intensity")
    hpa_quantity: str = column("the atlas's share of stained cells")
    stained_to_cell_ratio: float = column("pooled stained area / cell area", "0-1")
    ratio_low: float | None = column("lower end of its 95 % interval", "0-1")
    ratio_high: float | None = column("upper end of its 95 % interval", "0-1")
    expected: float = column("nearest ratio that would agree with the annotation", "0-1")
    difference: float = column(
        "share of the antibodies that lie between its rank and the nearest one that would agree;"
        " positive = more stained than annotated",
        "-1 to 1",
    )
    why: str = column("the disagreement in words")


@dataclass(frozen=True, kw_only=True)
class ReviewRow:
    """One core that is worth an expert's look."""

    rank: int = column("1 = most worth a look")
    image_id: str = column("image")
    antibody_id: str = column("antibody")
    gene: str = column("gene symbol; empty if unknown")
    tissue: str = column("tissue, lower case")
    patient_id: str = column("patient; empty if unknown")
    label: str = column("positive, negative or empty")
    hpa_staining: str = column("the atlas's staining in the configured cell type")
    stained_to_cell_ratio: float | None = column("stained area / cell area", "0-1")
    ratio_low: float | None = column("lower end of its 95 % interval over tiles", "0-1")
    ratio_high: float | None = column("upper end of its 95 % interval over tiles", "0-1")
    confidence: float | None = column("Dice of two views' masks, over all pairs of views", "0-1")
    ratio_sd: float | None = column("standard deviation of the ratio over single views", "0-1")
    qc: str = column("quality flags joined by ';'; empty if none")
    view_uncertainty: float = column("1 - confidence; 0 where that is empty", "0-1")
    annotation_uncertainty: float = column(
        "share of the annotated images that lie between its rank and the nearest one that would "
        "agree with its annotation",
        "0-1",
    )
    interval_uncertainty: float = column(
        "1 = the limit of the images annotated as not detected is in the middle of its interval, "
        "0 = outside it, or the image itself is annotated as not detected",
        "0-1",
    )
    quality_uncertainty: float = column("0.5 with a quality flag, else 0", "0-1")
    score: float = column("sum of the four uncertainties")
    why: str = column("the reasons, largest uncertainty first")


@dataclass(frozen=True, kw_only=True)
class FailureRow:
    """One image that a step could not use."""

    image_id: str = column("image; the best name at hand if it has none")
    stage: str = column("the step that failed: catalog, acquire, tile, segment or measure")
    reason: str = column("a code of cacl.errors.Reason")
    message: str = column("what happened and how to mend it")
    source: str = column("URL or path of the image")
