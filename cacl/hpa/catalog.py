"""Join the annotation of the HPA (or a user's manifest) into rows of images with labels."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

from cacl.config import LabelsConfig, SourceConfig
from cacl.errors import CatalogError, ImageError, Reason
from cacl.hpa.annotation_table import read_annotation_table
from cacl.hpa.catalog_summary import CatalogSummary, class_counts
from cacl.hpa.download_annotation import fetch_annotation
from cacl.hpa.gene_xml import Antibody, Entry, Sample, TissueData
from cacl.hpa.genes import (
    ResolvedGenes,
    UnknownName,
    expand_names,
    resolve_genes,
    unknown_names,
    with_suggestions,
)
from cacl.hpa.labels import Override, label_of, label_rules, read_overrides
from cacl.hpa.licence import SYNTHETIC, licence_of
from cacl.hpa.manifest import read_manifest
from cacl.hpa.mirror import Mirror
from cacl.hpa.pixel_size import HPA_CORE_UM
from cacl.hpa.target_class import join_labels, with_first
from cacl.hpa.urls import check_image_url, image_id_of
from cacl.runtime.resources import raise_if_short
from cacl.store import is_safe_name
from cacl.tables.schemas import AnnotationRow, FailureRow, ImageRow

log = logging.getLogger(__name__)
GeneAnnotation = dict[tuple[str, str], list[AnnotationRow]]


@dataclass(frozen=True)
class Catalog:
    """Images and annotations, sorted; failures, in the order of the source; a summary."""

    images: list[ImageRow]
    annotations: list[AnnotationRow]
    failures: list[FailureRow]
    summary: CatalogSummary


@dataclass
class _Rows:
    """Rows of a catalog while it is built."""

    images: dict[str, ImageRow] = field(default_factory=dict)
    annotations: list[AnnotationRow] = field(default_factory=list)
    failures: list[FailureRow] = field(default_factory=list)
    unknown_names: list[UnknownName] = field(default_factory=list)
    genes_without_images: dict[str, str] = field(default_factory=dict)
    antibodies: set[str] = field(default_factory=set)

    def add_failure(self, name: str, reason: Reason, message: str, source: str) -> None:
        log.warning("catalog: %s: %s: %s", name, reason, message)
        self.failures.append(
            FailureRow(
                image_id=name, stage="catalog", reason=str(reason), message=message, source=source
            )
        )

    def add_unknown_names(self, source: Path) -> None:
        for unknown in self.unknown_names:
            self.add_failure(unknown.name, Reason.UNKNOWN_NAME, unknown.message(), str(source))


def build_catalog(source: SourceConfig, labels: LabelsConfig, downloads: Path) -> Catalog:
    """Return the images of a source with their labels and annotation.

    Parameters
    ----------
    source
        Source of images and annotation.
    labels
        The rule that labels an image positive or negative.
    downloads
        For kind `hpa`: folder with the layout of the host for the downloaded annotation.

    Raises
    ------
    CatalogError
        The mirror has no annotation, or the host does not serve it.
    ManifestError, ConfigError
        The user's manifest, overrides or gene list are invalid.
    """
    source.check_catalogable()
    overrides = [] if labels.overrides is None else read_overrides(labels.overrides)
    if source.kind == "manifest":
        rows = _from_manifest(source)
    else:
        rows = _from_host(source, labels, downloads)
    unused = _apply_overrides(rows, overrides, labels)
    images = sorted(rows.images.values(), key=lambda row: row.image_id)
    annotations = sorted(set(rows.annotations), key=astuple)
    return Catalog(
        images, annotations, rows.failures, _summary(rows, images, len(annotations), unused)
    )


def shard_of(antibody_id: str, shards: int) -> int:
    """Return the shard of an antibody, which depends only on its id and the number of shards."""
    return int(hashlib.sha256(antibody_id.encode()).hexdigest()[:8], 16) % shards


def _from_manifest(source: SourceConfig) -> _Rows:
    if source.manifest is None:
        raise CatalogError("source.manifest is missing; set it to a CSV of your images")
    names = expand_names(source.genes)
    genes = {name.lower() for name in names}
    antibodies = {name.lower() for name in source.antibodies}
    rows = _Rows()
    listed = read_manifest(source.manifest)
    for row in listed:
        if genes and not genes & {row.gene.lower(), row.ensembl_id.lower()}:
            continue
        if antibodies and row.antibody_id.lower() not in antibodies:
            continue
        rows.images[row.image_id] = row
        rows.antibodies.add(row.antibody_id)
    known_genes = {name for row in listed for name in (row.gene, row.ensembl_id) if name}
    rows.unknown_names += unknown_names(names, known_genes)
    rows.unknown_names += unknown_names(source.antibodies, {row.antibody_id for row in listed})
    rows.add_unknown_names(source.manifest)
    return rows


def _from_host(source: SourceConfig, labels: LabelsConfig, downloads: Path) -> _Rows:
    rows = _Rows()
    available: SourceConfig | None = source
    if source.kind == "hpa":
        download = fetch_annotation(source, downloads)
        mirror, available = Mirror(downloads), download.source
        rows.unknown_names += download.unknown_names
        rows.failures += download.failures
    elif source.mirror is None:
        raise CatalogError(
            "source.mirror is missing; set it to a folder with the layout of the host"
        )
    else:
        mirror = Mirror(source.mirror)
    tissues = frozenset(name.strip().lower() for name in source.tissues)
    resolved = ResolvedGenes([], [], [])
    if available is not None:
        resolved = resolve_genes(mirror, available, tissues)
    rows.unknown_names += resolved.unknown_names
    rows.failures += resolved.failures
    rows.add_unknown_names(mirror.root)
    gene_annotation = _gene_annotation(mirror, resolved.entries, tissues, rows)
    for entry in resolved.entries:
        ensembl_id = entry.name.ensembl_id
        rows.genes_without_images[ensembl_id] = entry.name.gene or ensembl_id
        for antibody in entry.antibodies:
            _add_antibody(rows, entry, antibody, gene_annotation, source, labels)
    return rows


def _gene_annotation(
    mirror: Mirror, entries: Sequence[Entry], tissues: frozenset[str], rows: _Rows
) -> GeneAnnotation:
    """Return gene-level annotation by gene and tissue: of the bulk table, else of the XML."""
    ensembl_ids = {entry.name.ensembl_id for entry in entries}
    by_tissue: GeneAnnotation = defaultdict(list)
    table = mirror.bulk_table()
    if table is not None:
        try:  # all of the table or nothing: a part of its labels would contradict the XML's
            found = [
                row
                for row in read_annotation_table(table, tissues=tissues)
                if row.ensembl_id in ensembl_ids
            ]
            for row in found:
                by_tissue[row.ensembl_id, row.tissue].append(row)
        except CatalogError as error:
            raise_if_short(error, f"catalog: {table}")
            rows.add_failure(table.name, Reason.BAD_ANNOTATION, str(error), str(table))
    for entry in entries:
        of_entry: GeneAnnotation = defaultdict(list)
        for data in entry.tissues:
            of_entry[entry.name.ensembl_id, data.tissue] += _annotation_rows(entry, "", data)
        for key, tissue_rows in of_entry.items():
            by_tissue.setdefault(key, tissue_rows)
    for tissue_rows in by_tissue.values():
        rows.annotations += tissue_rows
    return by_tissue


def _add_antibody(
    rows: _Rows,
    entry: Entry,
    antibody: Antibody,
    gene_annotation: GeneAnnotation,
    source: SourceConfig,
    labels: LabelsConfig,
) -> None:
    """Add the annotation and the images of an antibody."""
    antibody_id = antibody.antibody_id
    if not is_safe_name(antibody_id):
        message = (
            f"The antibody id {antibody_id[:100]!r} cannot be a file name; expected letters, "
            "digits, '.', '_' or '-'"
        )
        rows.add_failure(antibody_id[:100], Reason.UNSAFE_ID, message, entry.name.ensembl_id)
        return
    rows.antibodies.add(antibody_id)
    by_tissue: dict[str, list[AnnotationRow]] = defaultdict(list)
    for data in antibody.tissues:
        by_tissue[data.tissue] += _annotation_rows(entry, antibody_id, data)
    for data in antibody.tissues:
        of_gene = gene_annotation.get((entry.name.ensembl_id, data.tissue), [])
        by_class = {
            name: label_of(by_tissue[data.tissue], of_gene, rule)
            for name, rule in label_rules(labels).items()
        }
        first = next(iter(by_class.values()))
        several = {name: label.label for name, label in by_class.items() if name}
        for sample in data.samples:
            try:
                row = _image_row(entry, antibody_id, data.tissue, sample, source)
            except ImageError as error:
                name = f"{antibody_id}/{sample.url.rsplit('/', 1)[-1][:100]}"
                rows.add_failure(name, error.reason, str(error), sample.url)
                continue
            rows.genes_without_images.pop(row.ensembl_id, None)
            labelled = replace(
                row,
                label=first.label,
                label_source=first.source,
                class_labels=join_labels(several) if len(several) > 1 else "",
            )
            if rows.images.setdefault(row.image_id, labelled).ensembl_id != row.ensembl_id:
                log.info("%s belongs to several genes; the first gene is kept", row.image_id)
    for tissue_rows in by_tissue.values():
        rows.annotations += tissue_rows


def _image_row(
    entry: Entry, antibody_id: str, tissue: str, sample: Sample, source: SourceConfig
) -> ImageRow:
    path = check_image_url(sample.url, source)
    version = entry.version or source.hpa_version or ""
    return ImageRow(
        image_id=image_id_of(antibody_id, path.stem),
        antibody_id=antibody_id,
        ensembl_id=entry.name.ensembl_id,
        gene=entry.name.gene,
        tissue=tissue,
        patient_id=sample.patient_id,
        sex=sample.sex,
        age=sample.age,
        url=sample.url,
        path="",
        hpa_version=version,
        licence=SYNTHETIC if source.kind == "phantom" else licence_of(version),
        mpp=None,
        label="",
        label_source="",
        core_um=HPA_CORE_UM,
    )


def _annotation_rows(entry: Entry, antibody_id: str, data: TissueData) -> list[AnnotationRow]:
    return [
        AnnotationRow(
            antibody_id=antibody_id,
            ensembl_id=entry.name.ensembl_id,
            gene=entry.name.gene,
            tissue=data.tissue,
            cell_type=cell.cell_type,
            staining=cell.staining,
            intensity=cell.intensity,
            quantity=cell.quantity,
            location=cell.location,
            reliability=entry.reliability,
        )
        for cell in data.cells
    ]


def _apply_overrides(
    rows: _Rows, overrides: Sequence[Override], labels: LabelsConfig
) -> tuple[str, ...]:
    """Apply the user's labels of images; return the images that the catalog does not have.

    Such an image becomes a failure: an id that is misspelt would leave its label unused.
    """
    for override in overrides:
        if override.row is None and override.image_id in rows.images:
            row = rows.images[override.image_id]
            rows.images[override.image_id] = replace(
                row,
                label=override.label,
                class_labels=with_first(row.class_labels, override.label),
                label_source="" if labels.overrides is None else labels.overrides.name,
            )
    lines = {override.image_id: override.line for override in reversed(overrides)}
    unused = sorted(lines.keys() - rows.images.keys())
    for unknown in with_suggestions(unused, rows.images):
        hint = f"did you mean {unknown.suggestion}?" if unknown.suggestion else "remove the line"
        message = (
            f"labels.overrides, line {lines[unknown.name]}, labels an image that is not in the "
            f"catalog; {hint}"
        )
        rows.add_failure(unknown.name, Reason.UNKNOWN_NAME, message, str(labels.overrides))
    return tuple(unused)


def _summary(
    rows: _Rows, images: Sequence[ImageRow], annotations: int, unused_overrides: tuple[str, ...]
) -> CatalogSummary:
    with_images = {row.antibody_id for row in images}
    reasons = Counter(row.reason for row in rows.failures)
    labels = [row.label for row in images]
    return CatalogSummary(
        genes=len({row.ensembl_id or row.gene for row in images} - {""}),
        antibodies=len(with_images),
        images=len(images),
        annotations=annotations,
        positive=labels.count("positive"),
        negative=labels.count("negative"),
        unlabelled=labels.count(""),
        contradictory=sum(row.label_source.startswith("disagree") for row in images),
        failures=tuple(sorted(reasons.items())),
        unknown_names=tuple(rows.unknown_names),
        genes_without_images=tuple(sorted(rows.genes_without_images.values())),
        antibodies_without_images=tuple(sorted(rows.antibodies - with_images)),
        unused_overrides=unused_overrides,
        class_counts=tuple(class_counts(images)),
    )
