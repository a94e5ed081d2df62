"""Join the atlas's annotation into tables: images with labels, annotation, one list a shard."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

from cacl import tables
from cacl.errors import CatalogError, ImageError, Reason
from cacl.hpa.annotation_table import read_bulk
from cacl.hpa.download_annotation import fetch_annotation
from cacl.hpa.gene_xml import Antibody, Entry, Sample, TissueData
from cacl.hpa.genes import Missing, ResolvedGenes, expand_names, gather
from cacl.hpa.labels import label_of, read_overrides
from cacl.hpa.licence import SYNTHETIC, licence_of
from cacl.hpa.manifest import read_manifest
from cacl.hpa.mirror import Mirror
from cacl.hpa.options import LabelOptions, SourceOptions
from cacl.hpa.target_class import join_labels, split_labels, with_first
from cacl.hpa.urls import check_image_url, image_id_of
from cacl.store import is_safe_name
from cacl.tables.schemas import AnnotationRow, FailureRow, ImageRow

log = logging.getLogger(__name__)
MAX_LISTED = 20


@dataclass(frozen=True)
class CatalogSummary:
    """What a catalog holds, and what it lacks; `str()` gives it in lines."""

    genes: int
    antibodies: int
    images: int
    annotations: int
    positive: int
    negative: int
    unlabelled: int
    disagreeing: int
    failures: tuple[tuple[str, int], ...]
    missing: tuple[Missing, ...]
    genes_without_images: tuple[str, ...]
    antibodies_without_images: tuple[str, ...]
    unused_overrides: tuple[str, ...]
    of_classes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [
            f"{self.genes} genes, {self.antibodies} antibodies, {self.images} images, "
            f"{self.annotations} annotations",
            f"labels: {self.positive} positive, {self.negative} negative, {self.unlabelled} "
            f"without ({self.disagreeing} of them because antibody and gene disagree)",
            *self.of_classes,
        ]
        for one in self.missing[:MAX_LISTED]:
            hint = f", did you mean {one.nearest}?" if one.nearest else ""
            lines.append(f"not in the source: {one.name}{hint}")
        if len(self.missing) > MAX_LISTED:
            lines.append(f"not in the source: {len(self.missing) - MAX_LISTED} more names")
        for what, names in (
            ("genes without images in these tissues", self.genes_without_images),
            ("antibodies without images in these tissues", self.antibodies_without_images),
            ("overrides of images that are not in the catalog", self.unused_overrides),
        ):
            if names:
                shown = ", ".join(names[:MAX_LISTED])
                lines.append(f"{what}: {len(names)} ({shown}{', ...' * (len(names) > MAX_LISTED)})")
        if self.failures:
            told = ", ".join(f"{count} {reason}" for reason, count in self.failures)
            lines.append(f"failures: {told}; see the table of failures")
        return "\n".join(lines)


@dataclass
class _Tables:
    """The rows as they come in."""

    images: dict[str, ImageRow] = field(default_factory=dict)
    annotations: list[AnnotationRow] = field(default_factory=list)
    failures: list[FailureRow] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    without_images: dict[str, str] = field(default_factory=dict)
    antibodies: set[str] = field(default_factory=set)


def build_catalog(
    out: Path,
    failures: Path,
    source: SourceOptions,
    labels: LabelOptions,
    *,
    shards: int,
    downloads: Path | None = None,
) -> CatalogSummary:
    """Write the tables of images and annotation, and one list of images a shard.

    Below `out`: `images.parquet` and `shards/<k>.parquet` of `ImageRow`, `annotations.parquet` and
    `annotations/<k>.parquet` of `AnnotationRow`. A shard's lists depend on nothing but its own
    antibodies and their genes, and are left as they are where that has not changed. Lists of a
    run that had more shards are deleted.

    Parameters
    ----------
    out
        Folder of the tables.
    failures
        CSV of the genes, antibodies and images that cannot be used.
    source
        Where images and annotation come from.
    labels
        The rule that makes an image positive or negative.
    shards
        Number of parts.
    downloads
        For kind `hpa`: folder, laid out as the host, that keeps what is fetched from it; beside
        the tables, in `host`, if None.

    Raises
    ------
    CatalogError
        The mirror has no annotation, or the host does not serve it.
    ManifestError, ConfigError
        The user's manifest, overrides or list of genes cannot be used.
    """
    source.check_catalogable()
    overrides = [] if labels.overrides is None else read_overrides(labels.overrides)
    if source.kind == "manifest":
        found = _from_manifest(source)
    else:
        found = _from_host(source, labels, downloads or out / "host")
    for override in overrides:
        if override.row is None and override.image_id in found.images:
            row = found.images[override.image_id]
            found.images[override.image_id] = replace(
                row,
                label=override.label,
                class_labels=with_first(row.class_labels, override.label),
                label_source="" if labels.overrides is None else labels.overrides.name,
            )
    unused = {override.image_id for override in overrides} - found.images.keys()
    images = sorted(found.images.values(), key=lambda row: row.image_id)
    annotations = sorted(set(found.annotations), key=astuple)
    tables.write_parquet(out / "images.parquet", images, ImageRow)
    tables.write_parquet(out / "annotations.parquet", annotations, AnnotationRow)
    _write_shards(out, images, annotations, shards)
    tables.write_csv(failures, found.failures, FailureRow)
    if not images:
        log.error("The catalog is empty: check source.genes, source.antibodies, source.tissues")
    return _summary(found, images, annotations, sorted(unused))


def shard_of(antibody_id: str, shards: int) -> int:
    """Return the shard of an antibody: the same one in every run, whatever else there is."""
    return int(hashlib.sha256(antibody_id.encode()).hexdigest()[:8], 16) % shards


def _from_manifest(source: SourceOptions) -> _Tables:
    if source.manifest is None:
        raise CatalogError("source.manifest is missing; name a CSV of your images")
    genes = {name.lower() for name in expand_names(source.genes)}
    antibodies = {name.lower() for name in source.antibodies}
    found = _Tables()
    for row in read_manifest(source.manifest):
        if genes and not genes & {row.gene.lower(), row.ensembl_id.lower()}:
            continue
        if antibodies and row.antibody_id.lower() not in antibodies:
            continue
        found.images[row.image_id] = row
        found.antibodies.add(row.antibody_id)
    return found


def _from_host(source: SourceOptions, labels: LabelOptions, downloads: Path) -> _Tables:
    found = _Tables()
    wanted: SourceOptions | None = source
    if source.kind == "hpa":
        fetched = fetch_annotation(source, downloads)
        mirror, wanted = Mirror(downloads), fetched.source
        found.missing += fetched.missing
        found.failures += fetched.failures
    elif source.mirror is None:
        raise CatalogError("source.mirror is missing; name a folder laid out as the host is")
    else:
        mirror = Mirror(source.mirror)
    tissues = frozenset(name.strip().lower() for name in source.tissues)
    gathered = ResolvedGenes([], [], []) if wanted is None else gather(mirror, wanted, tissues)
    found.missing += gathered.missing
    found.failures += gathered.failures
    for missing in found.missing:
        hint = f"did you mean {missing.nearest}?" if missing.nearest else "check its spelling"
        message = f"The source has no gene or antibody {missing.name!r}; {hint}"
        _fail(found, missing.name, Reason.UNKNOWN_NAME, message, str(mirror.root))
    consensus = _consensus(mirror, gathered.entries, tissues, found)
    for entry in gathered.entries:
        found.without_images[entry.name.ensembl_id] = entry.name.gene or entry.name.ensembl_id
        for antibody in entry.antibodies:
            _add(found, entry, antibody, consensus, source, labels)
    return found


def _consensus(
    mirror: Mirror, entries: Sequence[Entry], tissues: frozenset[str], found: _Tables
) -> dict[tuple[str, str], list[AnnotationRow]]:
    """Return gene-level annotation by gene and tissue: the bulk table's, else the XML's own."""
    genes = {entry.name.ensembl_id for entry in entries}
    by_tissue: dict[tuple[str, str], list[AnnotationRow]] = defaultdict(list)
    table = mirror.bulk_table()
    if table is not None:
        try:
            for row in read_bulk(table, tissues=tissues):
                if row.ensembl_id in genes:
                    by_tissue[row.ensembl_id, row.tissue].append(row)
        except CatalogError as error:
            _fail(found, table.name, Reason.BAD_ANNOTATION, str(error), str(table))
    for entry in entries:
        own: dict[tuple[str, str], list[AnnotationRow]] = defaultdict(list)
        for data in entry.tissues:
            own[entry.name.ensembl_id, data.tissue] += _annotations(entry, "", data)
        for key, rows in own.items():
            by_tissue.setdefault(key, rows)
    for rows in by_tissue.values():
        found.annotations += rows
    return by_tissue


def _add(
    found: _Tables,
    entry: Entry,
    antibody: Antibody,
    consensus: dict[tuple[str, str], list[AnnotationRow]],
    source: SourceOptions,
    labels: LabelOptions,
) -> None:
    """Add an antibody's annotation and images."""
    antibody_id = antibody.antibody_id
    if not is_safe_name(antibody_id):
        message = (
            f"The antibody id {antibody_id[:100]!r} cannot be a file name; expected letters, "
            "digits, '.', '_' or '-'"
        )
        _fail(found, antibody_id[:100], Reason.UNSAFE_ID, message, entry.name.ensembl_id)
        return
    found.antibodies.add(antibody_id)
    by_tissue: dict[str, list[AnnotationRow]] = defaultdict(list)
    for data in antibody.tissues:
        by_tissue[data.tissue] += _annotations(entry, antibody_id, data)
    for data in antibody.tissues:
        gene_rows = consensus.get((entry.name.ensembl_id, data.tissue), [])
        by_class = {
            name: label_of(by_tissue[data.tissue], gene_rows, rule)
            for name, rule in labels.of_classes().items()
        }
        label = next(iter(by_class.values()))
        several = {name: one.label for name, one in by_class.items() if name}
        for sample in data.samples:
            try:
                row = _image(entry, antibody_id, data.tissue, sample, source)
            except ImageError as error:
                name = f"{antibody_id}/{sample.url.rsplit('/', 1)[-1][:100]}"
                _fail(found, name, error.reason, str(error), sample.url)
                continue
            found.without_images.pop(row.ensembl_id, None)
            labelled = replace(
                row,
                label=label.label,
                label_source=label.source,
                class_labels=join_labels(several) if len(several) > 1 else "",
            )
            if found.images.setdefault(row.image_id, labelled).ensembl_id != row.ensembl_id:
                log.info("%s is shared by several genes, the first is kept", row.image_id)
    for rows in by_tissue.values():
        found.annotations += rows


def _image(
    entry: Entry, antibody_id: str, tissue: str, sample: Sample, source: SourceOptions
) -> ImageRow:
    place = check_image_url(sample.url, source)
    version = entry.version or source.hpa_version or ""
    return ImageRow(
        image_id=image_id_of(antibody_id, place.stem),
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
    )


def _annotations(entry: Entry, antibody_id: str, data: TissueData) -> list[AnnotationRow]:
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


def _write_shards(
    out: Path, images: Sequence[ImageRow], annotations: Sequence[AnnotationRow], shards: int
) -> None:
    parts: list[list[ImageRow]] = [[] for _ in range(shards)]
    words: list[list[AnnotationRow]] = [[] for _ in range(shards)]
    shards_of_gene: dict[str, set[int]] = defaultdict(set)
    for image in images:
        number = shard_of(image.antibody_id, shards)
        parts[number].append(image)
        shards_of_gene[image.ensembl_id].add(number)
    for row in annotations:
        by_antibody = {shard_of(row.antibody_id, shards)} if row.antibody_id else set()
        for number in by_antibody or shards_of_gene[row.ensembl_id]:
            words[number].append(row)
    for number in range(shards):
        name = f"{number}.parquet"
        _write_if_changed(out / "shards" / name, parts[number], ImageRow)
        _write_if_changed(out / "annotations" / name, words[number], AnnotationRow)
    for folder in ("shards", "annotations"):
        for path in (out / folder).glob("*.parquet"):
            if path.stem.isdigit() and int(path.stem) >= shards:
                path.unlink()


def _write_if_changed(path: Path, rows: Sequence[object], record: type) -> None:
    fresh = path.with_name(f".{path.name}.fresh")
    tables.write_parquet(fresh, rows, record)
    if path.exists() and path.read_bytes() == fresh.read_bytes():
        fresh.unlink()
    else:
        fresh.replace(path)


def _fail(found: _Tables, name: str, reason: Reason, message: str, source: str) -> None:
    log.warning("catalog: %s: %s: %s", name, reason, message)
    found.failures.append(
        FailureRow(
            image_id=name, stage="catalog", reason=str(reason), message=message, source=source
        )
    )


def _summary(
    found: _Tables,
    images: Sequence[ImageRow],
    annotations: Sequence[AnnotationRow],
    unused_overrides: Iterable[str],
) -> CatalogSummary:
    with_images = {row.antibody_id for row in images}
    reasons = Counter(row.reason for row in found.failures)
    labels = [row.label for row in images]
    unused = tuple(unused_overrides)
    for image_id in unused:
        log.warning("labels.overrides names %s, which is not in the catalog", image_id)
    return CatalogSummary(
        genes=len({row.ensembl_id or row.gene for row in images} - {""}),
        antibodies=len(with_images),
        images=len(images),
        annotations=len(annotations),
        positive=labels.count("positive"),
        negative=labels.count("negative"),
        unlabelled=labels.count(""),
        disagreeing=sum(row.label_source.startswith("disagree") for row in images),
        failures=tuple(sorted(reasons.items())),
        missing=tuple(found.missing),
        genes_without_images=tuple(sorted(found.without_images.values())),
        antibodies_without_images=tuple(sorted(found.antibodies - with_images)),
        unused_overrides=unused,
        of_classes=tuple(_counts([split_labels(row.class_labels) for row in images])),
    )


def _counts(labels: Sequence[dict[str, str]]) -> Iterable[str]:
    for name in dict.fromkeys(name for one in labels for name in one):
        found = Counter(one.get(name, "") for one in labels)
        yield f"labels of {name}: {found['positive']} positive, {found['negative']} negative"
