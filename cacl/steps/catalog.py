"""Step `catalog`: tables of images with labels and of annotation, and one table per shard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from cacl import tables
from cacl.config import LabelsConfig, SourceConfig
from cacl.errors import CatalogError
from cacl.hpa.catalog import build_catalog, shard_of
from cacl.hpa.catalog_summary import CatalogSummary
from cacl.tables.schemas import AnnotationRow, FailureRow, ImageRow

# Names of folders, files and lists are left out: the images that they give are what counts.
SOURCE_KEYS = {"kind", "hpa_version", "tissues"}


def catalog(
    out: Path,
    failures: Path,
    source: SourceConfig,
    labels: LabelsConfig,
    *,
    shards: int,
    downloads: Path | None = None,
) -> CatalogSummary:
    """Write the tables of images and annotation, in total and per shard.

    Below `out`: `images.parquet` and `shards/<k>.parquet` of `ImageRow`, `annotations.parquet` and
    `annotations/<k>.parquet` of `AnnotationRow`. The tables of a shard depend only on its own
    antibodies and their genes, and are not rewritten if they are unchanged. The tables of an
    earlier run with more shards are deleted.

    Parameters
    ----------
    out
        Folder of the tables.
    failures
        CSV of the genes, antibodies and images that cannot be used.
    source
        Source of images and annotation.
    labels
        The rule that labels an image positive or negative.
    shards
        Number of shards.
    downloads
        For kind `hpa`: folder with the layout of the host for the downloaded annotation; None for
        `host` below `out`.

    Returns
    -------
    Counts, and the names that are missing.

    Raises
    ------
    CatalogError
        The mirror has no annotation, the host does not serve it, or no image is left; only the
        table of failures is then written.
    ManifestError, ConfigError
        The user's manifest, overrides or gene list are invalid.
    """
    built = build_catalog(source, labels, downloads or out / "host")
    failure_table = tables.table_csv(built.failures, FailureRow)
    if not built.images:
        tables.write_checked_text(failures, failure_table)
        raise CatalogError(_why_empty(built.summary, source, failures))
    made_with = tables.made_with("catalog", **source.model_dump(mode="json", include=SOURCE_KEYS))
    made_with["parameters"] |= labels.model_dump(mode="json", exclude={"overrides"})
    tables.write_parquet(out / "images.parquet", built.images, ImageRow, made_with)
    tables.write_parquet(out / "annotations.parquet", built.annotations, AnnotationRow)
    _write_shards(out, built.images, built.annotations, shards)
    tables.write_checked_text(failures, failure_table)
    return built.summary


def _why_empty(summary: CatalogSummary, source: SourceConfig, failures: Path) -> str:
    """Return why a catalog has no image, with what the summary says is missing."""
    keys = "source.genes, source.antibodies"
    keys += (
        "" if source.kind == "manifest" else f" and source.tissues ({', '.join(source.tissues)})"
    )
    return (
        f"The catalog has no image, so there is nothing to measure; correct {keys}. {failures} "
        f"lists what failed.\n{summary}"
    )


def _write_shards(
    out: Path, images: Sequence[ImageRow], annotations: Sequence[AnnotationRow], shards: int
) -> None:
    shard_images: list[list[ImageRow]] = [[] for _ in range(shards)]
    shard_annotations: list[list[AnnotationRow]] = [[] for _ in range(shards)]
    shards_of_gene: dict[str, set[int]] = defaultdict(set)
    for image in images:
        shard = shard_of(image.antibody_id, shards)
        shard_images[shard].append(image)
        shards_of_gene[image.ensembl_id].add(shard)
    for row in annotations:
        if row.antibody_id:
            targets = {shard_of(row.antibody_id, shards)}
        else:
            targets = shards_of_gene[row.ensembl_id]
        for shard in targets:
            shard_annotations[shard].append(row)
    for shard in range(shards):
        name = f"{shard}.parquet"
        _write_if_changed(out / "shards" / name, shard_images[shard], ImageRow)
        _write_if_changed(out / "annotations" / name, shard_annotations[shard], AnnotationRow)
    for folder in ("shards", "annotations"):
        for path in (out / folder).glob("*.parquet"):
            if path.stem.isdigit() and int(path.stem) >= shards:
                path.unlink()


def _write_if_changed(path: Path, rows: Sequence[object], record: type) -> None:
    new = path.with_name(f".{path.name}.new")
    tables.write_parquet(new, rows, record)
    if path.exists() and path.read_bytes() == new.read_bytes():
        new.unlink()
    else:
        new.replace(path)
