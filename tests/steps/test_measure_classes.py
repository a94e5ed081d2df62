"""The table of classes: known areas of every class, and failures of missing masks."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cacl import tables
from cacl.errors import TableError
from cacl.report.page_data import class_ratios_by_image
from cacl.report.text import NO_BREAK
from cacl.steps.parameters import ReportFiles
from cacl.steps.report import report
from cacl.tables.schemas import ClassRow, FailureRow, ImageRow, MeasureRow, SegmentedRow
from tests.fixtures.small_atlas import Core, SmallAtlas, build

CORE = Core("HPA000001", stained_rows=24, label="positive", staining="high")
LABELS = "microvilli=positive;nucleus=negative;goblet="


def rewrite(atlas: SmallAtlas, name: str, record: type, **changes: object) -> None:
    rows = tables.read_parquet(atlas.path(name), record)
    changed = [dataclasses.replace(row, **changes) for row in rows]
    tables.write_parquet(atlas.path(name), changed, record)


@pytest.fixture
def atlas(tmp_path: Path) -> SmallAtlas:
    """One core of 96 x 96 px of cells: 24 rows of microvilli, 12 columns of nucleus, no goblet."""
    atlas: SmallAtlas = build(tmp_path, [CORE])
    rewrite(atlas, "segmented.parquet", SegmentedRow, classes="microvilli;nucleus;goblet")
    rewrite(atlas, "catalog/images.parquet", ImageRow, class_labels=LABELS)
    (segmented,) = tables.read_parquet(atlas.path("segmented.parquet"), SegmentedRow)
    columns, empty = np.zeros((128, 128), bool), np.zeros((128, 128), bool)
    columns[:, :12] = True
    masks = {"stain-nucleus": columns, "stain-goblet": empty}
    atlas.store.write_labels(CORE.image_id, masks, segmented.digest)
    return atlas


def measured(atlas: SmallAtlas) -> list[ClassRow]:
    atlas.measure(classes_table=atlas.path("classes.parquet"))
    return tables.read_parquet(atlas.path("classes.parquet"), ClassRow)


def test_panel_text_names_every_class(atlas: SmallAtlas) -> None:
    rows = measured(atlas)
    text = class_ratios_by_image(rows)[CORE.image_id].replace(NO_BREAK, " ")
    assert text == "microvilli 25.0 %, nucleus 12.5 %, goblet 0 %"
    assert class_ratios_by_image(rows[:1]) == {}


def test_known_areas_of_each_class(atlas: SmallAtlas) -> None:
    microvilli, nucleus, goblet = measured(atlas)
    assert [microvilli.class_name, nucleus.class_name, goblet.class_name] == [
        "microvilli",
        "nucleus",
        "goblet",
    ]
    assert [microvilli.label, nucleus.label, goblet.label] == ["positive", "negative", ""]
    assert (microvilli.stained_area_px, nucleus.stained_area_px) == (24 * 96, 12 * 96)
    assert (microvilli.stained_to_cell_ratio, nucleus.stained_to_cell_ratio) == (0.25, 0.125)
    assert (goblet.stained_area_px, goblet.stained_to_cell_ratio) == (0, 0.0)
    assert (goblet.ratio_low, goblet.ratio_high) == (None, None)
    assert nucleus.ratio_low is not None
    assert nucleus.ratio_high is not None
    assert 0.0 < nucleus.ratio_low < 0.125 < nucleus.ratio_high < 1.0
    (row,) = tables.read_parquet(atlas.path("census.parquet"), MeasureRow)
    for name in ("stained_area_px", "stained_to_cell_ratio", "ratio_low", "ratio_high", "label"):
        assert getattr(row, name) == getattr(microvilli, name)


def test_single_class_is_named_stain(tmp_path: Path) -> None:
    (row,) = measured(build(tmp_path, [CORE]))
    assert (row.class_name, row.label, row.stained_to_cell_ratio) == ("stain", "positive", 0.25)


def test_table_is_written_only_if_requested(atlas: SmallAtlas) -> None:
    atlas.measure()
    assert not atlas.path("classes.parquet").exists()


def test_missing_mask_is_a_failure(atlas: SmallAtlas) -> None:
    shutil.rmtree(atlas.store.path(CORE.image_id) / "labels" / "stain-nucleus")
    assert measured(atlas) == []
    (failure,) = tables.read_csv(atlas.path("failures.csv"), FailureRow).to_dict("records")
    assert failure["reason"] == "not_found"
    assert "stain-nucleus" in failure["message"]
    assert "cacl segment" in failure["message"]


def test_mask_of_another_run_is_a_failure(atlas: SmallAtlas) -> None:
    atlas.store.write_label(CORE.image_id, "stain-goblet", np.ones((128, 128), bool), "other")
    assert measured(atlas) == []
    (failure,) = tables.read_csv(atlas.path("failures.csv"), FailureRow).to_dict("records")
    assert (failure["reason"], "stain-goblet" in failure["message"]) == ("changed", True)


def test_store_lists_every_mask(atlas: SmallAtlas) -> None:
    group = atlas.store.path(CORE.image_id) / "labels" / "zarr.json"
    assert '"stain-goblet"' in group.read_text()
    with pytest.raises(ValueError, match="expected a mask"):
        atlas.store.write_labels(CORE.image_id, {"stain-goblet": np.ones((3, 3))}, "x")


def test_report_lists_every_class(atlas: SmallAtlas) -> None:
    measured(atlas)
    out = atlas.path("report")

    def write(*classes: Path) -> None:
        files = ReportFiles(
            census=[atlas.path("census.parquet")],
            failures=[atlas.path("failures.csv")],
            store=atlas.path("atlas.zarr"),
            model=atlas.path("model"),
            catalog=atlas.path("catalog"),
            classes_table=list(classes),
        )
        report(files, out, cell_type="enterocytes - microvilli", seed=0)

    write(atlas.path("classes.parquet"))
    classes = pd.read_csv(out / "classes.csv", keep_default_na=False)
    assert classes["class_name"].tolist() == ["microvilli", "nucleus", "goblet"]
    assert classes["stained_area_px"].tolist() == [24 * 96, 12 * 96, 0]
    assert len(tables.read_parquet(out / "classes.parquet", ClassRow)) == 3
    assert "## `classes.csv`" in (out / "columns.md").read_text()
    assert '"classes.csv"' in (out / "datapackage.json").read_text()
    with pytest.raises(TableError):
        write(atlas.path("nowhere.parquet"))
