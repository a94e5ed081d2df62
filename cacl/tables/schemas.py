"""Schemas of all tables: columns in order, with type, unit and meaning.

A table is a list of records of one dataclass, which is its schema: `cacl.tables` writes the fields
in this order and type, and rejects a file with other columns. The data dictionary
(`results/report/columns.md`) is generated from the meanings.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from cacl.tables.cells import printable

RATIO_LOW = (
    "lower limit of the 95 % interval of the ratio over patients; empty with one patient or "
    "without stain"
)
RATIO_HIGH = "upper limit of the 95 % interval of the ratio over patients"
P_VALUE = (
    "one-sided p-value relative to the rows that z compares with: empirical, or extrapolated for a "
    "tail of their ratios that is at most as heavy as a power law"
)
P_EXTRAPOLATED = "whether p is extrapolated: the ratio exceeds those of all rows compared with"

CLASS_LABELS = (
    "label in each class, such as microvilli=positive;nucleus=; the first one is also in `label`; "
    "empty if there is one class"
)
REGION = (
    "rectangle of the file that is the image, such as a core of a slide, as "
    "<width>x<height>+<x>+<y>; empty for the whole file"
)


def column(meaning: str, unit: str = "", *, default: Any = MISSING) -> Any:
    """Declare a column.

    Parameters
    ----------
    meaning
        Text of the data dictionary.
    unit
        Unit or range of the values; empty for text and counts.
    default
        Value where a row gives none; without a default every row has to give one.
    """
    return field(default=default, metadata={"meaning": meaning, "unit": unit})


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """An image of the catalog."""

    image_id: str = column("<antibody_id>/<file stem>; unique")
    antibody_id: str = column("HPA0xxxxx or CAB0xxxxx, or the user's id")
    ensembl_id: str = column("Ensembl gene id; empty if unknown")
    gene: str = column("gene symbol; empty if unknown")
    tissue: str = column("tissue, by its HPA name in lower case")
    patient_id: str = column("patient; empty if unknown")
    sex: str = column("female, male or empty")
    age: int | None = column("age of the patient", "years")
    url: str = column("URL on the HPA server; empty for the user's images")
    path: str = column("local file; empty until acquired")
    hpa_version: str = column("HPA release; empty for the user's images")
    licence: str = column("licence of the image")
    mpp: float | None = column("pixel size of the source image, if known", "um/px")
    label: str = column("positive, negative or empty")
    label_source: str = column("rule or file that the label comes from")
    core_um: float | None = column(
        "diameter of the core of a tissue microarray that the image shows; empty for other images",
        "um",
        default=None,
    )
    class_labels: str = column(CLASS_LABELS, default="")
    region: str = column(REGION, "px of the file", default="")


@dataclass(frozen=True, kw_only=True)
class AnnotationRow:
    """HPA annotation of an antibody (or gene) in a cell type of a tissue."""

    antibody_id: str = column("antibody; empty for gene-level annotation")
    ensembl_id: str = column("Ensembl gene id")
    gene: str = column("gene symbol")
    tissue: str = column("tissue, lower case")
    cell_type: str = column("cell type, lower case")
    staining: str = column("high, medium, low, not detected, ... as in the HPA")
    intensity: str = column("strong, moderate, weak, negative or empty")
    quantity: str = column("fraction of stained cells as in the HPA, such as >75%")
    location: str = column("cytoplasmic/membranous, nuclear, none or empty")
    reliability: str = column("enhanced, supported, approved, uncertain or empty")


@dataclass(frozen=True, kw_only=True)
class AcquiredRow:
    """An image file on disk whose checksum is verified."""

    image_id: str = column("image")
    antibody_id: str = column("antibody")
    path: str = column("local file")
    sha256: str = column("SHA-256 of the file, or of all files of a slide in several files")
    size_bytes: int = column("size of the file, or of all files of a slide", "bytes")
    mpp: float | None = column("pixel size of the source image, if the catalog has it", "um/px")
    region: str = column(REGION, "px of the file", default="")


@dataclass(frozen=True, kw_only=True)
class TileStatRow:
    """Tissue and DAB content of a tile."""

    image_id: str = column("image")
    antibody_id: str = column("antibody")
    row: int = column("row of the tile in its image, from 0")
    col: int = column("column of the tile in its image, from 0")
    tissue_fraction: float = column("fraction of the tile that is tissue", "0-1")
    dab_fraction: float = column("fraction of the tissue that is DAB-positive", "0-1")
    digest: str = column("digest of the image's tiles in the store")


@dataclass(frozen=True, kw_only=True)
class TileRow:
    """A tile with its label and split, as selected for training or left out."""

    image_id: str = column("image")
    antibody_id: str = column("antibody")
    row: int = column("row of the tile in its image, from 0")
    col: int = column("column of the tile in its image, from 0")
    label: str = column("positive or negative; empty only if there are several classes")
    split: str = column("train, validation or test; all tiles of an antibody are in one split")
    selected: bool = column("whether the tile is used")
    reason: str = column("why the tile was selected or left out")
    class_labels: str = column(CLASS_LABELS, default="")


@dataclass(frozen=True, kw_only=True)
class SegmentedRow:
    """An image with a stain mask in the store."""

    image_id: str = column("image")
    antibody_id: str = column("antibody")
    digest: str = column("digest of the tiles, model and parameters that the mask was made from")
    confidence: float | None = column(
        "Dice coefficient of the masks of two views (model, flip), over all pairs of views; empty "
        "if no view has a stained pixel",
        "0-1",
        default=None,
    )
    ratio_sd: float | None = column(
        "standard deviation of the stained-to-cell ratio over the views", "0-1", default=None
    )
    classes: str = column("classes with a mask, joined by ';'", default="stain")


@dataclass(frozen=True, kw_only=True)
class MeasureRow:
    """Measurements of an image."""

    image_id: str = column("image")
    antibody_id: str = column("antibody")
    ensembl_id: str = column("Ensembl gene id; empty if unknown")
    gene: str = column("gene symbol; empty if unknown")
    tissue: str = column("tissue, lower case")
    patient_id: str = column("patient; empty if unknown")
    label: str = column("positive, negative or empty")
    tiles: int = column("tiles with enough tissue; the areas are sums over them")
    cell_area_px: int = column("tissue without lumen and background", "analysis px")
    stained_area_px: int = column("CaCL mask inside the cell area", "analysis px")
    stained_to_cell_ratio: float | None = column("stained area / cell area", "0-1")
    ratio_low: float | None = column(
        "lower limit of the 95 % interval of the ratio over tiles; empty if nothing is stained",
        "0-1",
    )
    ratio_high: float | None = column(
        "upper limit of the 95 % interval of the ratio over tiles; empty if nothing is stained",
        "0-1",
    )
    confidence: float | None = column(
        "Dice coefficient of the masks of two views (model, flip), over all pairs of views; empty "
        "if no view has a stained pixel",
        "0-1",
        default=None,
    )
    ratio_sd: float | None = column(
        "standard deviation of the stained-to-cell ratio over the views", "0-1", default=None
    )
    dab_area_px: int = column("DAB-positive cell area by colour deconvolution", "analysis px")
    border_share: float | None = column("DAB-positive stained area / DAB-positive area", "0-1")
    mpp: float | None = column("size of an analysis pixel, see `mpp_source`", "um/px", default=None)
    mpp_source: str = column(
        "given (by file or manifest), core diameter, HPA default (0.4 um per pixel of the source), "
        "or empty if mpp is empty",
        default="",
    )
    cell_area_um2: float | None = column("cell area", "um2", default=None)
    stained_area_um2: float | None = column("stained area", "um2", default=None)
    core_diameter_px: float | None = column(
        "diameter of the circle fitted to the tissue edge; empty if there is no round core",
        "analysis px",
        default=None,
    )
    stained_od: float | None = column(
        "mean DAB optical density in the stained area", "optical density", default=None
    )
    weak_share: float | None = column(
        "fraction of the cell area with weak DAB", "0-1", default=None
    )
    moderate_share: float | None = column(
        "fraction of the cell area with moderate DAB", "0-1", default=None
    )
    strong_share: float | None = column(
        "fraction of the cell area with strong DAB", "0-1", default=None
    )
    h_score: float | None = column(
        "100 x (weak + 2 moderate + 3 strong fraction), by area", "0-300", default=None
    )
    hpa_staining: str = column("HPA staining in the configured cell type")
    hpa_intensity: str = column("HPA intensity")
    hpa_quantity: str = column("HPA quantity: fraction of stained cells")
    hpa_location: str = column("HPA location")
    qc: str = column("quality flags joined by ';'; empty if none")


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """Stained area of a class in an image."""

    image_id: str = column("image")
    antibody_id: str = column("antibody")
    class_name: str = column("class of labels.classes; stain if there is only one class")
    label: str = column("label of the image in this class: positive, negative or empty")
    stained_area_px: int = column("mask of this class inside the cell area", "analysis px")
    stained_to_cell_ratio: float | None = column("stained area / cell area", "0-1")
    ratio_low: float | None = column(
        "lower limit of the 95 % interval of the ratio over tiles; empty if nothing is stained",
        "0-1",
    )
    ratio_high: float | None = column(
        "upper limit of the 95 % interval of the ratio over tiles; empty if nothing is stained",
        "0-1",
    )


@dataclass(frozen=True, kw_only=True)
class AntibodyRow:
    """Measurements of an antibody, pooled over its images."""

    rank: int = column("1 = highest ratio")
    antibody_id: str = column("antibody")
    ensembl_id: str = column("Ensembl gene id; empty if unknown")
    gene: str = column("gene symbol; empty if unknown")
    label: str = column("positive, negative or empty")
    images: int = column("number of measured images")
    patients: int = column("number of patients")
    cell_area_px: int = column("sum of the cell areas", "analysis px")
    stained_area_px: int = column("sum of the stained areas", "analysis px")
    stained_to_cell_ratio: float | None = column("pooled stained area / cell area", "0-1")
    ratio_low: float | None = column(RATIO_LOW, "0-1")
    ratio_high: float | None = column(RATIO_HIGH, "0-1")
    border_share: float | None = column("DAB-positive stained area / DAB-positive area", "0-1")
    stained_od: float | None = column(
        "mean DAB optical density in the stained area", "optical density", default=None
    )
    h_score: float | None = column("H-score by area over all images", "0-300", default=None)
    tissue_tau: float | None = column(
        "0 = same ratio in all tissues, 1 = stained in one tissue only; empty with fewer than two"
        " tissues",
        "0-1",
        default=None,
    )
    top_tissue: str = column(
        "tissue with the highest ratio; empty with fewer than two tissues", default=""
    )
    gene_agreement: float | None = column(
        "agreement of the antibodies of its gene; empty with one antibody", "up to 1", default=None
    )
    z: float | None = column("robust z-score relative to antibodies annotated as not detected")
    p_value: float | None = column(P_VALUE, "0-1")
    p_extrapolated: bool = column(P_EXTRAPOLATED, default=False)
    q_value: float | None = column("p-value adjusted by Benjamini-Hochberg", "0-1")
    hpa_staining: str = column("HPA staining in the configured cell type")
    hpa_intensity: str = column("HPA intensity")
    hpa_quantity: str = column("HPA quantity: fraction of stained cells")
    hpa_location: str = column("HPA location")


@dataclass(frozen=True, kw_only=True)
class GeneRow:
    """Measurements of a gene, pooled over the images of its antibodies."""

    rank: int = column("1 = highest ratio")
    ensembl_id: str = column("Ensembl gene id; empty if unknown")
    gene: str = column("gene symbol; empty if unknown")
    antibodies: int = column("number of measured antibodies")
    images: int = column("number of measured images")
    patients: int = column("number of patients")
    cell_area_px: int = column("sum of the cell areas", "analysis px")
    stained_area_px: int = column("sum of the stained areas", "analysis px")
    stained_to_cell_ratio: float | None = column("pooled stained area / cell area", "0-1")
    ratio_low: float | None = column(RATIO_LOW, "0-1")
    ratio_high: float | None = column(RATIO_HIGH, "0-1")
    border_share: float | None = column("DAB-positive stained area / DAB-positive area", "0-1")
    agreement: float | None = column(
        "1 = its antibodies have equal ranks, 0 = as far apart as two random antibodies; empty with"
        " fewer than two",
        "up to 1",
        default=None,
    )
    z: float | None = column("robust z-score relative to genes annotated as not detected")
    p_value: float | None = column(P_VALUE, "0-1")
    p_extrapolated: bool = column(P_EXTRAPOLATED, default=False)
    q_value: float | None = column("p-value adjusted by Benjamini-Hochberg", "0-1")
    hpa_staining: str = column("HPA staining in the configured cell type")


@dataclass(frozen=True, kw_only=True)
class AgreementRow:
    """A statistic of the agreement between ratios and HPA annotation, over all antibodies."""

    measure: str = column("quantities and statistic")
    value: float | None = column(
        "value of the statistic; empty if it cannot be calculated, see note"
    )
    low: float | None = column("lower limit of the 95 % bootstrap interval over antibodies")
    high: float | None = column("upper limit of the 95 % bootstrap interval over antibodies")
    n: int = column("number of antibodies")
    note: str = column("meaning of the value, or the reason why it is missing")


@dataclass(frozen=True, kw_only=True)
class DisagreementRow:
    """An antibody whose ratio disagrees with its HPA annotation."""

    rank: int = column("1 = largest disagreement")
    antibody_id: str = column("antibody")
    gene: str = column("gene symbol; empty if unknown")
    label: str = column("positive, negative or empty")
    hpa_staining: str = column("HPA staining in the configured cell type")
    hpa_intensity: str = column("HPA intensity")
    hpa_quantity: str = column("HPA quantity: fraction of stained cells")
    stained_to_cell_ratio: float = column("pooled stained area / cell area", "0-1")
    ratio_low: float | None = column("lower limit of the 95 % interval of the ratio", "0-1")
    ratio_high: float | None = column("upper limit of the 95 % interval of the ratio", "0-1")
    expected: float = column("nearest ratio that agrees with the annotation", "0-1")
    difference: float = column(
        "fraction of the antibodies between its rank and the nearest rank that agrees with the "
        "annotation; positive = more stained than annotated",
        "-1 to 1",
    )
    why: str = column("description of the disagreement")


@dataclass(frozen=True, kw_only=True)
class ReviewRow:
    """A core that an expert should review."""

    rank: int = column("1 = highest score")
    image_id: str = column("image")
    antibody_id: str = column("antibody")
    gene: str = column("gene symbol; empty if unknown")
    tissue: str = column("tissue, lower case")
    patient_id: str = column("patient; empty if unknown")
    label: str = column("positive, negative or empty")
    hpa_staining: str = column("HPA staining in the configured cell type")
    stained_to_cell_ratio: float | None = column("stained area / cell area", "0-1")
    ratio_low: float | None = column("lower limit of the 95 % interval over tiles", "0-1")
    ratio_high: float | None = column("upper limit of the 95 % interval over tiles", "0-1")
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
    """An image that a step could not process; line ends in its texts are written as escapes."""

    image_id: str = column("image; the gene, antibody or file if there is no image id")
    stage: str = column("step that failed: catalog, acquire, tile, segment or measure")
    reason: str = column("code of the reason, see cacl.errors.Reason")
    message: str = column("what happened, and the remedy")
    source: str = column("URL or path of the image")

    def __post_init__(self) -> None:
        for each in fields(self):  # names and paths from outside
            object.__setattr__(self, each.name, printable(getattr(self, each.name)))
