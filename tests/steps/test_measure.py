from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cacl import tables
from cacl.errors import StrictError
from cacl.tables.schemas import FailureRow, ImageRow, MeasureRow, SegmentedRow, TileStatRow
from tests.fixtures.small_atlas import CELL_TYPE, Core, SmallAtlas, annotation_of, build, pixels_of

CORE = Core("HPA000001", 24, gene="SI", ensembl_id="ENSG00000090402", staining="high")


def census(atlas: SmallAtlas) -> list[MeasureRow]:
    return tables.read_parquet(atlas.path("census.parquet"), MeasureRow)


def failure(atlas: SmallAtlas) -> dict[str, str]:
    frame = tables.read_csv(atlas.path("failures.csv"), FailureRow)
    assert len(frame) == 1
    return dict(frame.iloc[0])


def rewrite(atlas: SmallAtlas, name: str, record: type, **changes: object) -> None:
    rows = tables.read_parquet(atlas.path(name), record)
    tables.write_parquet(
        atlas.path(name), [dataclasses.replace(row, **changes) for row in rows], record
    )


def test_known_areas(tmp_path: Path) -> None:
    atlas = build(tmp_path, [CORE])
    atlas.measure()
    (row,) = census(atlas)
    assert (row.tiles, row.cell_area_px, row.stained_area_px) == (9, 96 * 96, 24 * 96)
    assert row.stained_to_cell_ratio == 0.25
    assert row.ratio_low is not None
    assert row.ratio_high is not None
    assert 0.0 < row.ratio_low < 0.25 < row.ratio_high < 1.0
    assert row.dab_area_px == pytest.approx(24 * 96, rel=0.02)
    assert row.border_share == pytest.approx(1.0, abs=0.02)
    assert (row.hpa_staining, row.hpa_intensity) == ("high", "strong")
    assert (row.hpa_quantity, row.hpa_location) == (">75%", "cytoplasmic/membranous")
    assert row.qc == ""
    assert (row.confidence, row.ratio_sd) == (None, None)
    assert (row.mpp, row.mpp_source) == (0.4, "HPA default")
    assert row.cell_area_um2 == pytest.approx(96 * 96 * 0.16)
    fractions = row.weak_share, row.moderate_share, row.strong_share
    assert sum(fraction for fraction in fractions if fraction) == pytest.approx(0.25, abs=0.01)
    assert row.h_score == pytest.approx(75.0, abs=1.0)
    assert row.stained_od == pytest.approx(1.2, abs=0.1)
    assert len(tables.read_csv(atlas.path("failures.csv"), FailureRow)) == 0


def test_uncertainty_of_the_segmentation_is_copied(tmp_path: Path) -> None:
    atlas = build(tmp_path, [CORE])
    rewrite(atlas, "segmented.parquet", SegmentedRow, confidence=0.75, ratio_sd=0.0625)
    atlas.measure()
    (row,) = census(atlas)
    assert (row.confidence, row.ratio_sd) == (0.75, 0.0625)


def test_mask_over_half_of_the_dab(tmp_path: Path) -> None:
    atlas = build(tmp_path, [CORE])
    mask = pixels_of(CORE)[2]
    mask[:, 48:] = False
    (segmented,) = tables.read_parquet(atlas.path("segmented.parquet"), SegmentedRow)
    atlas.store.write_label(CORE.image_id, "stain", mask, segmented.digest)
    atlas.measure()
    (row,) = census(atlas)
    assert row.stained_to_cell_ratio == 0.125
    assert row.border_share == pytest.approx(0.5, abs=0.02)


def test_tiles_with_little_tissue_are_not_counted(tmp_path: Path) -> None:
    atlas = build(tmp_path, [CORE])
    tiles = tables.read_parquet(atlas.path("tiles.parquet"), TileStatRow)
    thin = [dataclasses.replace(t, tissue_fraction=0.1) if t.row == 0 else t for t in tiles]
    tables.write_parquet(atlas.path("tiles.parquet"), thin, TileStatRow)
    atlas.measure()
    (row,) = census(atlas)
    assert (row.tiles, row.cell_area_px, row.stained_area_px) == (6, 64 * 96, 0)
    assert (row.stained_to_cell_ratio, row.ratio_low, row.ratio_high) == (0.0, None, None)


def test_image_without_cell_area_has_no_ratio_and_is_flagged(tmp_path: Path) -> None:
    atlas = build(tmp_path, [CORE])
    meta = atlas.store.meta(CORE.image_id)
    rgb, cell, stained = pixels_of(CORE)
    (segmented,) = tables.read_parquet(atlas.path("segmented.parquet"), SegmentedRow)
    atlas.store.write_image(meta, rgb, cell & False)
    atlas.store.write_label(CORE.image_id, "stain", stained, segmented.digest)
    atlas.measure(min_tissue_fraction=0.0)
    (row,) = census(atlas)
    assert row.cell_area_px == 0
    assert (row.stained_to_cell_ratio, row.ratio_low, row.ratio_high) == (None, None, None)
    assert row.border_share is None
    assert "little tissue" in row.qc.split(";")


def test_equal_bytes_for_every_number_of_jobs(tmp_path: Path) -> None:
    cores = [Core(f"HPA00000{i}", 10 * i) for i in range(1, 4)]
    atlas = build(tmp_path, cores)
    atlas.measure()
    first = atlas.path("census.parquet").read_bytes()
    atlas.measure(jobs=3)
    assert atlas.path("census.parquet").read_bytes() == first
    assert [row.image_id for row in census(atlas)] == [core.image_id for core in cores]


def test_annotation_of_the_antibody_has_precedence_over_the_gene(tmp_path: Path) -> None:
    by_gene = annotation_of(CORE, antibody_id="", staining="low", intensity="")
    atlas = build(tmp_path, [CORE, Core("HPA000002", 0, ensembl_id=CORE.ensembl_id)], [by_gene])
    atlas.measure(cell_type="Enterocytes - Microvilli")
    assert [(row.hpa_staining, row.hpa_intensity) for row in census(atlas)] == [
        ("high", "strong"),
        ("low", ""),
    ]


def test_several_annotations_are_unique_sorted_and_joined(tmp_path: Path) -> None:
    more = [annotation_of(CORE, staining=level) for level in ("medium", "high")]
    atlas = build(tmp_path, [CORE], more)
    atlas.measure()
    (row,) = census(atlas)
    assert (row.hpa_staining, row.hpa_intensity) == ("high; medium", "strong")


def test_annotation_of_another_tissue_or_cell_type_is_ignored(tmp_path: Path) -> None:
    unannotated = dataclasses.replace(CORE, staining="")
    others = [
        annotation_of(CORE, tissue="colon"),
        annotation_of(CORE, cell_type="glandular cells"),
        annotation_of(CORE, antibody_id="", ensembl_id=""),
    ]
    atlas = build(tmp_path, [unannotated], others)
    atlas.measure(cell_type=CELL_TYPE)
    (row,) = census(atlas)
    assert {row.hpa_staining, row.hpa_intensity, row.hpa_quantity, row.hpa_location} == {""}


def test_image_without_counted_tile_fails_and_the_others_are_measured(tmp_path: Path) -> None:
    atlas = build(tmp_path, [CORE, Core("HPA000002", 0)])
    tiles = tables.read_parquet(atlas.path("tiles.parquet"), TileStatRow)
    thin = [
        dataclasses.replace(tile, tissue_fraction=0.1) if tile.image_id == CORE.image_id else tile
        for tile in tiles
    ]
    tables.write_parquet(atlas.path("tiles.parquet"), thin, TileStatRow)
    atlas.measure()
    assert [row.antibody_id for row in census(atlas)] == ["HPA000002"]
    row = failure(atlas)
    assert (row["stage"], row["reason"]) == ("measure", "no_tissue")
    assert row["source"].endswith(f"{CORE.image_id}.jpg")


@pytest.mark.parametrize("name", ["segmented.parquet", "tiles.parquet"])
def test_digest_of_another_run_is_changed(tmp_path: Path, name: str) -> None:
    atlas = build(tmp_path, [CORE])
    rewrite(atlas, name, SegmentedRow if name.startswith("seg") else TileStatRow, digest="f" * 64)
    atlas.measure()
    assert failure(atlas)["reason"] == "changed"


@pytest.mark.parametrize("name", ["catalog/images.parquet", "tiles.parquet"])
def test_mask_without_a_row_in_a_table_is_not_found(tmp_path: Path, name: str) -> None:
    atlas = build(tmp_path, [CORE])
    record = ImageRow if name.startswith("catalog") else TileStatRow
    tables.write_parquet(atlas.path(name), [], record)
    atlas.measure()
    assert failure(atlas)["reason"] == "not_found"


def test_image_without_a_mask_is_not_found(tmp_path: Path) -> None:
    atlas = build(tmp_path, [CORE])
    (atlas.store.path(CORE.image_id) / "labels" / "stain" / "zarr.json").unlink()
    atlas.measure()
    assert failure(atlas)["reason"] == "not_found"


@pytest.mark.parametrize("array", ["labels/stain/0", "0"])
def test_truncated_chunks_are_damaged(tmp_path: Path, array: str) -> None:
    atlas = build(tmp_path, [CORE])
    chunks = [p for p in (atlas.store.path(CORE.image_id) / array / "c").rglob("*") if p.is_file()]
    for chunk in chunks:
        chunk.write_bytes(chunk.read_bytes()[:-20])
    atlas.measure()
    assert failure(atlas)["reason"] == "damaged"


def test_invalid_metadata_is_damaged(tmp_path: Path) -> None:
    atlas = build(tmp_path, [CORE])
    (atlas.store.path(CORE.image_id) / "zarr.json").write_text("{")
    atlas.measure()
    assert failure(atlas)["reason"] == "damaged"


def test_strict_raises_after_the_failures_are_written(tmp_path: Path) -> None:
    atlas = build(tmp_path, [CORE])
    rewrite(atlas, "segmented.parquet", SegmentedRow, digest="f" * 64)
    with pytest.raises(StrictError, match="1 image"):
        atlas.measure(strict=True)
    assert failure(atlas)["reason"] == "changed"


def test_empty_shard_gives_an_empty_table(tmp_path: Path) -> None:
    atlas = build(tmp_path, [])
    atlas.measure()
    assert census(atlas) == []
