"""Measure every segmented image: areas, ratios with intervals, intensities, QC, annotation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cacl import tables
from cacl.config import TargetClass
from cacl.errors import ImageError, Reason, StoreError
from cacl.hpa.annotation import annotation_of, index_annotations
from cacl.hpa.pixel_size import HPA_MPP
from cacl.hpa.target_class import class_labels_of, label_name
from cacl.image import qc
from cacl.image.tile_stats import Bool, Int64, TileRowStats, area_per_tile
from cacl.runtime.images import Outcome, run_images
from cacl.stats.intervals import spatial_ci
from cacl.stats.ratios import ratio
from cacl.steps.image_measures import measure_tiles, tile_row_stats
from cacl.steps.outputs import write_outputs
from cacl.steps.parameters import ImageJobs, MeasureFiles
from cacl.store import ImageMeta, Store
from cacl.tables.schemas import (
    AnnotationRow,
    ClassRow,
    ImageRow,
    MeasureRow,
    SegmentedRow,
    TileStatRow,
)


@dataclass(frozen=True)
class ImageMeasures:
    """The measures of an image: of the first class with all columns, and class by class."""

    row: MeasureRow
    classes: list[ClassRow]


def measure(
    files: MeasureFiles,
    out: Path,
    failures: Path,
    jobs: ImageJobs,
    *,
    cell_type: str,
    min_tissue_fraction: float,
    classes_table: Path | None = None,
) -> None:
    """Write one row of measures per image.

    Parameters
    ----------
    files
        Tables of the shard: `SegmentedRow`, `ImageRow`, `AnnotationRow`, `TileStatRow`; the store.
    out
        Table of `MeasureRow`, in the order of `files.segmented`.
    failures
        CSV of the images without measures.
    jobs
        How the images are processed.
    cell_type
        Cell type of the annotation columns, as the HPA names it, case-insensitive.
    min_tissue_fraction
        Tiles with less tissue are not counted.
    classes_table
        Table of `ClassRow`, one row per image and class; None to omit it.
    """
    image_store = Store(Path.cwd() / files.store if jobs.dask_scheduler else files.store)
    catalog = {row.image_id: row for row in tables.read_parquet(files.images, ImageRow)}
    annotation = index_annotations(tables.read_parquet(files.annotations, AnnotationRow), cell_type)
    tiles_by_image = _group_by_image(tables.read_parquet(files.tiles, TileStatRow))

    def work(segmented_row: SegmentedRow) -> ImageMeasures:
        image_id = segmented_row.image_id
        image, tile_rows = catalog.get(image_id), tiles_by_image.get(image_id)
        if image is None or tile_rows is None:
            raise ImageError(
                Reason.NOT_FOUND,
                f"{image_id} has a mask but is missing from "
                f"{files.images if image is None else files.tiles}; run the steps of this shard "
                "again",
            )
        meta = _check_digests(image_store, segmented_row, tile_rows)
        counted = np.zeros((meta.grid.rows, meta.grid.cols), dtype=bool)
        for tile in tile_rows:
            counted[tile.row, tile.col] = tile.tissue_fraction >= min_tissue_fraction
        if not counted.any():
            raise ImageError(
                Reason.NO_TISSUE,
                f"No tile of {image_id} contains {min_tissue_fraction:.1%} tissue; check the image,"
                " or lower tiles.min_tissue_fraction",
            )
        stats = _row_stats(image_store, meta)
        fields = annotation_of(image, annotation)
        row = _measure_row(image, segmented_row, stats, counted, meta, fields)
        return ImageMeasures(
            row, _class_rows(image_store, meta, segmented_row, image, stats, counted)
        )

    outcome = run_images(
        "measure",
        tables.read_parquet(files.segmented, SegmentedRow),
        work,
        source=lambda row: _source(catalog.get(row.image_id)),
        jobs=jobs.jobs,
        scheduler=jobs.dask_scheduler,
    )
    if classes_table is not None:
        class_rows = [row for measures in outcome.results for row in measures.classes]
        tables.write_parquet(classes_table, class_rows, ClassRow)
    measure_rows = Outcome([measures.row for measures in outcome.results], outcome.failures)
    made_with = tables.made_with(
        "measure", cell_type=cell_type, min_tissue_fraction=min_tissue_fraction
    )
    write_outputs(measure_rows, MeasureRow, out, failures, strict=jobs.strict, made_with=made_with)


def _group_by_image(rows: Sequence[TileStatRow]) -> dict[str, list[TileStatRow]]:
    by_image: dict[str, list[TileStatRow]] = {}
    for row in rows:
        by_image.setdefault(row.image_id, []).append(row)
    return by_image


def _source(image: ImageRow | None) -> str:
    return (image.url or image.path) if image else ""


def _check_digests(
    store: Store, segmented_row: SegmentedRow, tile_rows: Sequence[TileStatRow]
) -> ImageMeta:
    """Return the image's metadata if image and mask in the store match the shard's tables."""
    image_id = segmented_row.image_id
    try:
        meta = store.meta(image_id)
        mask_digest = store.label_digest(image_id, "stain")
    except StoreError as error:
        raise ImageError(Reason.DAMAGED, str(error)) from error
    if mask_digest is None:
        raise ImageError(
            Reason.NOT_FOUND, f"{image_id} has no stain mask; run `cacl segment` again"
        )
    for name, expected, actual in (
        ("mask", segmented_row.digest, mask_digest),
        ("image", tile_rows[0].digest, meta.digest),
    ):
        if expected != actual:
            raise ImageError(
                Reason.CHANGED,
                f"The {name} of {image_id} in the store has digest {actual[:12]}, expected "
                f"{expected[:12]}; run the steps of this shard again",
            )
    return meta


def _row_stats(image_store: Store, meta: ImageMeta) -> list[TileRowStats]:
    """Return the statistics of every row of tiles."""
    image_id, tile_px = meta.image_id, meta.tile_px
    try:
        image, cell, stain = (
            image_store.image(image_id),
            *(image_store.label(image_id, name) for name in ("cell", "stain")),
        )
        return tile_row_stats(image, cell, stain, tile_px, meta.stain_vectors)
    except StoreError as error:
        raise ImageError(Reason.DAMAGED, str(error)) from error


def _measure_row(
    image: ImageRow,
    segmented_row: SegmentedRow,
    stats: Sequence[TileRowStats],
    counted: Bool,
    meta: ImageMeta,
    annotation: Mapping[str, str],
) -> MeasureRow:
    measures = measure_tiles(stats, counted)
    diameter = qc.core_diameter(stats)
    default_mpp = HPA_MPP * meta.grid.downsample if image.hpa_version else None
    pixel = qc.pixel_size(meta.mpp, diameter, image.core_um, default_mpp)
    um2_per_px = pixel.mpp**2 if pixel.mpp else None
    return MeasureRow(
        image_id=image.image_id,
        antibody_id=image.antibody_id,
        ensembl_id=image.ensembl_id,
        gene=image.gene,
        tissue=image.tissue,
        patient_id=image.patient_id,
        label=image.label,
        **vars(measures),
        confidence=segmented_row.confidence,
        ratio_sd=segmented_row.ratio_sd,
        mpp=pixel.mpp,
        mpp_source=pixel.source,
        cell_area_um2=measures.cell_area_px * um2_per_px if um2_per_px else None,
        stained_area_um2=measures.stained_area_px * um2_per_px if um2_per_px else None,
        core_diameter_px=diameter,
        hpa_staining=annotation["staining"],
        hpa_intensity=annotation["intensity"],
        hpa_quantity=annotation["quantity"],
        hpa_location=annotation["location"],
        qc=";".join(qc.quality_flags(stats, meta.grid, meta.mpp, image.core_um)),
    )


def _class_rows(
    store: Store,
    meta: ImageMeta,
    segmented_row: SegmentedRow,
    image: ImageRow,
    stats: Sequence[TileRowStats],
    counted: Bool,
) -> list[ClassRow]:
    """Return one row per class of the segmentation, in its order."""
    classes = [TargetClass(name=name) for name in segmented_row.classes.split(";")]
    labels = class_labels_of(image.label, image.class_labels, classes)
    cell = np.stack([row.cell for row in stats])[counted]
    rows = []
    for class_index, target_class in enumerate(classes):
        if class_index == 0:
            areas = np.stack([row.stained for row in stats])
        else:
            name = label_name(class_index, target_class)
            areas = _mask_areas(store, meta, segmented_row, name)
        stained = areas[counted]
        low, high = spatial_ci(stained, cell, *np.nonzero(counted))
        rows.append(
            ClassRow(
                image_id=image.image_id,
                antibody_id=image.antibody_id,
                class_name=target_class.name,
                label=labels[class_index],
                stained_area_px=int(stained.sum()),
                stained_to_cell_ratio=ratio(int(stained.sum()), int(cell.sum())),
                ratio_low=low,
                ratio_high=high,
            )
        )
    return rows


def _mask_areas(store: Store, meta: ImageMeta, segmented_row: SegmentedRow, name: str) -> Int64:
    """Return the area of a mask inside the cell area in each tile, (rows, cols).

    Raises
    ------
    ImageError
        The mask is missing, belongs to another run, or cannot be read.
    """
    try:
        digest = store.label_digest(meta.image_id, name)
        if digest != segmented_row.digest:
            raise ImageError(
                Reason.CHANGED if digest else Reason.NOT_FOUND,
                f"The mask {name} of {meta.image_id} has digest {(digest or 'none')[:12]}, expected"
                f" {segmented_row.digest[:12]}; run `cacl segment` again",
            )
        mask, cell = (store.label(meta.image_id, label) for label in (name, "cell"))
        return np.stack(
            [
                area_per_tile(
                    (np.asarray(mask[row]) > 0) & (np.asarray(cell[row]) > 0), meta.tile_px
                )
                for row in _tile_rows(meta)
            ]
        )
    except StoreError as error:
        raise ImageError(
            Reason.DAMAGED,
            f"{name} of {meta.image_id} cannot be read from the store ({error}); delete it there "
            "and run `cacl segment` again",
        ) from error


def _tile_rows(meta: ImageMeta) -> Iterator[slice]:
    """Yield the pixel rows of each row of tiles."""
    for row in range(meta.grid.rows):
        yield slice(row * meta.tile_px, (row + 1) * meta.tile_px)
