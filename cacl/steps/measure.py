"""Measure every segmented image: areas, ratio with interval, border share, quality, annotation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cacl import tables
from cacl.errors import ImageError, Reason, StoreError
from cacl.image import qc, tile_stats
from cacl.runtime.images import Outcome, run_images
from cacl.stats import intervals
from cacl.steps.classes import class_rows
from cacl.steps.outputs import write_outputs
from cacl.store import ImageMeta, Store
from cacl.tables.schemas import (
    AnnotationRow,
    ClassRow,
    ImageRow,
    MeasureRow,
    SegmentedRow,
    TileStatRow,
)

ROWS_AT_A_TIME = 8
WORDS = ("staining", "intensity", "quantity", "location")

Words = dict[tuple[str, str, str], dict[str, str]]


@dataclass(frozen=True)
class Measured:
    """What is measured of an image: as a whole, and class by class."""

    row: MeasureRow
    classes: list[ClassRow]


def measure(
    segmented: Path,
    images: Path,
    annotations: Path,
    tiles: Path,
    store: Path,
    out: Path,
    failures: Path,
    *,
    cell_type: str,
    min_tissue_fraction: float,
    jobs: int = 1,
    scheduler: str | None = None,
    strict: bool = False,
    classes: Path | None = None,
) -> None:
    """Write one row of measures an image.

    Parameters
    ----------
    segmented
        Receipts of `cacl segment` for a shard.
    images
        Table of `ImageRow` of the shard.
    annotations
        Table of `AnnotationRow` of the catalog.
    tiles
        Table of `TileStatRow` of the shard.
    store
        The OME-Zarr store.
    out
        Table of `MeasureRow`, in the order of `segmented`.
    failures
        CSV of the images left out.
    cell_type
        Cell type whose annotation is quoted, as the atlas names it, in any case.
    min_tissue_fraction
        Tiles with less tissue are not counted.
    jobs
        Images at a time.
    scheduler
        Address of a dask scheduler whose workers do it instead; they must see the same folders.
        It must be a trusted one: it can run code here.
    strict
        Raise `StrictError` if an image failed.
    patterns
        Gets a table of `ClassRow`, one row an image and class; None to leave it out.
    """
    atlas = Store(Path.cwd() / store if scheduler else store)
    catalog = {row.image_id: row for row in tables.read_parquet(images, ImageRow)}
    words = index_annotation(tables.read_parquet(annotations, AnnotationRow), cell_type)
    by_image = _stats_by_image(tables.read_parquet(tiles, TileStatRow))

    def work(receipt: SegmentedRow) -> Measured:
        image = catalog.get(receipt.image_id)
        stats = by_image.get(receipt.image_id)
        if image is None or stats is None:
            raise ImageError(
                Reason.NOT_FOUND,
                f"{receipt.image_id} has a mask but is missing from "
                f"{images if image is None else tiles}; run the steps of this shard again",
            )
        meta = _check(atlas, receipt, stats)
        counted = np.zeros((meta.grid.rows, meta.grid.cols), dtype=bool)
        for stat in stats:
            counted[stat.row, stat.col] = stat.tissue_fraction >= min_tissue_fraction
        if not counted.any():
            raise ImageError(
                Reason.NO_TISSUE,
                f"No tile of {receipt.image_id} holds {min_tissue_fraction:.1%} tissue; look at the"
                " image, or lower tiles.min_tissue_fraction",
            )
        bands = _bands(atlas, meta)
        row = _row(image, receipt, bands, counted, meta, words_of(image, words))
        return Measured(row, class_rows(atlas, meta, receipt, image, bands, counted))

    receipts = tables.read_parquet(segmented, SegmentedRow)
    outcome = run_images(
        "measure",
        receipts,
        work,
        source=lambda row: _source(catalog.get(row.image_id)),
        jobs=jobs,
        scheduler=scheduler,
    )
    if classes is not None:
        areas = [row for measured in outcome.results for row in measured.classes]
        tables.write_parquet(classes, areas, ClassRow)
    measures_of = Outcome([measured.row for measured in outcome.results], outcome.failures)
    write_outputs(measures_of, MeasureRow, out, failures, strict=strict)


def _stats_by_image(stats: Sequence[TileStatRow]) -> dict[str, list[TileStatRow]]:
    by_image: dict[str, list[TileStatRow]] = {}
    for stat in stats:
        by_image.setdefault(stat.image_id, []).append(stat)
    return by_image


def _source(image: ImageRow | None) -> str:
    return (image.url or image.path) if image else ""


def _check(atlas: Store, receipt: SegmentedRow, stats: Sequence[TileStatRow]) -> ImageMeta:
    """Return what the image was made from, once the store holds what the receipts say."""
    try:
        meta = atlas.meta(receipt.image_id)
        found = atlas.label_digest(receipt.image_id, "stain")
    except StoreError as error:
        raise ImageError(Reason.DAMAGED, str(error)) from error
    if found is None:
        raise ImageError(
            Reason.NOT_FOUND, f"{receipt.image_id} has no stain mask; run `cacl segment` again"
        )
    for what, expected, got in (
        ("mask", receipt.digest, found),
        ("image", stats[0].digest, meta.digest),
    ):
        if expected != got:
            raise ImageError(
                Reason.CHANGED,
                f"The {what} of {receipt.image_id} in the store has digest {got[:12]}, expected "
                f"{expected[:12]}; run the steps of this shard again",
            )
    return meta


def _bands(atlas: Store, meta: ImageMeta) -> list[tile_stats.TileRowStats]:
    """Sum up an image, one row of tiles at a time; several are read at once."""
    try:
        image = atlas.image(meta.image_id)
        cell = atlas.label(meta.image_id, "cell")
        mask = atlas.label(meta.image_id, "stain")
        size, bands = meta.tile_px, []
        for top in range(0, meta.grid.height, ROWS_AT_A_TIME * size):
            read = slice(top, top + ROWS_AT_A_TIME * size)
            rgb = np.asarray(image[:, read], dtype=np.uint8)
            inside, stained = (np.asarray(part[read]) > 0 for part in (cell, mask))
            bands += [
                tile_stats.compute_row_stats(rgb[:, row], inside[row], stained[row])
                for row in (slice(start, start + size) for start in range(0, len(inside), size))
            ]
        return bands
    except (StoreError, ValueError, RuntimeError) as error:  # zarr's codecs raise the last two
        raise ImageError(
            Reason.DAMAGED,
            f"{meta.image_id} cannot be read from the store ({error}); delete it there and run the "
            "steps of this shard again",
        ) from error


def _row(
    image: ImageRow,
    receipt: SegmentedRow,
    bands: Sequence[tile_stats.TileRowStats],
    counted: tile_stats.Bool,
    meta: ImageMeta,
    words: Mapping[str, str],
) -> MeasureRow:
    cell, stained, dab, both, stained_od = (
        np.stack([getattr(band, name) for band in bands])[counted]
        for name in ("cell", "stained", "dab", "both", "stained_od")
    )
    levels = np.stack([band.levels for band in bands], axis=1)[:, counted].sum(axis=1)
    low, high = intervals.spatial_ci(stained, cell, *np.nonzero(counted))
    cell_px, stained_px = int(cell.sum()), int(stained.sum())
    shares = tile_stats.intensity_fractions(levels, cell_px)
    diameter = qc.core_diameter(bands)
    scale = qc.pixel_size_of(meta.mpp, diameter)
    px_um2 = scale.mpp**2 if scale.mpp else None
    return MeasureRow(
        image_id=image.image_id,
        antibody_id=image.antibody_id,
        ensembl_id=image.ensembl_id,
        gene=image.gene,
        tissue=image.tissue,
        patient_id=image.patient_id,
        label=image.label,
        tiles=int(counted.sum()),
        cell_area_px=cell_px,
        stained_area_px=stained_px,
        stained_to_cell_ratio=tile_stats.ratio(stained_px, cell_px),
        ratio_low=low,
        ratio_high=high,
        confidence=receipt.confidence,
        ratio_sd=receipt.ratio_sd,
        dab_area_px=int(dab.sum()),
        border_share=tile_stats.border_share(int(both.sum()), int(dab.sum())),
        mpp=scale.mpp,
        mpp_source=scale.source,
        cell_area_um2=cell_px * px_um2 if px_um2 else None,
        stained_area_um2=stained_px * px_um2 if px_um2 else None,
        core_diameter_px=diameter,
        stained_od=tile_stats.stained_od(float(stained_od.sum()), stained_px),
        weak_share=shares[0],
        moderate_share=shares[1],
        strong_share=shares[2],
        h_score=tile_stats.h_score(*shares),
        hpa_staining=words["staining"],
        hpa_intensity=words["intensity"],
        hpa_quantity=words["quantity"],
        hpa_location=words["location"],
        qc=";".join(qc.quality(bands, meta.grid, meta.mpp)),
    )


def index_annotation(rows: Sequence[AnnotationRow], cell_type: str) -> Words:
    """Return the atlas's words on one cell type, by (antibody or gene, its id, tissue).

    Values that several rows give are sorted and joined by "; ", each once.

    Parameters
    ----------
    rows
        The catalog's annotation; rows without an antibody are the gene's.
    cell_type
        The cell type to quote, in any case.
    """
    wanted = cell_type.strip().lower()
    found: dict[tuple[str, str, str], list[AnnotationRow]] = {}
    for row in rows:
        if row.cell_type.strip().lower() == wanted:
            who = ("antibody", row.antibody_id) if row.antibody_id else ("gene", row.ensembl_id)
            found.setdefault((*who, row.tissue.lower()), []).append(row)
    return {
        key: {word: tile_stats.joined(getattr(row, word) for row in group) for word in WORDS}
        for key, group in found.items()
    }


def words_of(image: ImageRow, words: Words) -> Mapping[str, str]:
    """Return what the atlas says of an image: of its antibody, else of its gene, else nothing."""
    tissue = image.tissue.lower()
    by_antibody = words.get(("antibody", image.antibody_id, tissue))
    by_gene = words.get(("gene", image.ensembl_id, tissue)) if image.ensembl_id else None
    return by_antibody or by_gene or dict.fromkeys(WORDS, "")
