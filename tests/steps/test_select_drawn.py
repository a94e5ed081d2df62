"""Selection of tiles with drawn labels: splits, labels, limits, and drawings that are not used."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cacl import tables
from cacl.hpa.pixel_labels import DrawnLabels, PseudoLabel
from cacl.steps.drawn_tiles import select_drawn
from cacl.steps.parameters import SelectionFiles
from cacl.steps.select import select
from cacl.tables.schemas import ImageRow, TileRow
from cacl.tables.selection import SelectionReason, Split
from tests.fixtures.drawings import area, write_drawing
from tests.fixtures.model_atlas import TILE, ModelAtlas, image_row

IN_TILE_0_0 = (5, 5, 15, 15)
IN_TILES_2_2_AND_2_3 = (90, 70, 100, 80)
IN_TILE_3_3 = (100, 100, 110, 110)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    """Twelve images without any stain besides their own; odd antibodies are positive."""
    made = ModelAtlas(tmp_path_factory.mktemp("atlas")).build(antibodies=12)
    made.select()
    return made


@pytest.fixture(scope="module")
def before(atlas: ModelAtlas) -> pd.DataFrame:
    """The tiles without drawings."""
    return indexed(atlas.path("training.parquet"))


def indexed(path: Path) -> pd.DataFrame:
    return tables.read_frame([path], TileRow).set_index(["image_id", "row", "col"])


def selected(
    atlas: ModelAtlas,
    folder: Path,
    *,
    overrides: Path | None = None,
    max_tiles: int = 6000,
    out: str = "chosen.parquet",
) -> pd.DataFrame:
    """Select with the drawings of `<folder>/drawn`."""
    files = SelectionFiles(
        images=atlas.path("images.parquet"),
        tiles=[atlas.path("tiles.parquet")],
        store=atlas.path("atlas.zarr"),
    )
    select(
        files,
        folder / out,
        min_tissue_fraction=0.2,
        overrides=overrides,
        drawn=folder / "drawn",
        max_tiles=max_tiles,
        seed=0,
    )
    return indexed(folder / out)


def image_of(rows: pd.DataFrame, split: Split, label: str) -> str:
    found = rows[(rows["split"] == split) & (rows["label"] == label)]
    return str(found.index.get_level_values("image_id")[0])


def test_drawn_antibody_moves_to_training_and_no_other_one(
    atlas: ModelAtlas, before: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tested = image_of(before, Split.TEST, "positive")
    held_out = image_of(before, Split.VALIDATION, "negative")
    for image_id in (tested, held_out):
        write_drawing(tmp_path / "drawn", image_id, [area("Negative", IN_TILE_0_0)])
    rows = selected(atlas, tmp_path)
    assert rows.index.equals(before.index)
    moved = rows.index.get_level_values("image_id").isin([tested, held_out])
    assert set(rows.loc[moved, "split"]) == {Split.TRAIN}
    assert rows.loc[~moved, "split"].equals(before.loc[~moved, "split"])
    for split, image_id in ((Split.TEST, tested), (Split.VALIDATION, held_out)):
        antibody = image_id.split("/")[0]
        assert f"move from the {split} split to training: {antibody}\n" in caplog.text


def test_touched_tiles_are_selected_and_positive_only_under_positive_areas(
    atlas: ModelAtlas, before: pd.DataFrame, tmp_path: Path
) -> None:
    positive = image_of(before, Split.TRAIN, "positive")
    negative = image_of(before, Split.TRAIN, "negative")
    areas = [area("negative", IN_TILE_0_0, IN_TILE_3_3), area("positive", IN_TILES_2_2_AND_2_3)]
    for image_id in (positive, negative):
        write_drawing(tmp_path / "drawn", image_id.replace("/", "_"), areas)
    rows = selected(atlas, tmp_path)
    drawn = rows[rows["reason"] == SelectionReason.DRAWN]
    touched = [(0, 0), (2, 2), (2, 3), (3, 3)]
    assert sorted(drawn.index) == sorted(
        (image_id, *tile) for image_id in (positive, negative) for tile in touched
    )
    assert drawn["selected"].all()
    labels: dict[str, list[str]] = {str(key[0]): [] for key in drawn.index}
    for (image_id, *_), label in zip(drawn.index, drawn["label"], strict=True):
        labels[str(image_id)].append(str(label))
    assert labels == {
        positive: ["positive"] * 4,
        negative: ["negative", "positive", "positive", "negative"],
    }
    others = rows.index.difference(drawn.index)
    assert rows.loc[others, "label"].equals(before.loc[others, "label"])


def test_drawn_tiles_are_never_left_out(
    atlas: ModelAtlas, before: pd.DataFrame, tmp_path: Path
) -> None:
    image_id = image_of(before, Split.TRAIN, "positive")
    write_drawing(tmp_path / "drawn", image_id, [area("positive", (0, 0, 128, 128))])
    rows = selected(atlas, tmp_path, max_tiles=4)
    training = rows[rows["selected"] & (rows["split"] == Split.TRAIN)]
    assert (training["label"] == "positive").sum() == 16
    assert set(training.loc[training["label"] == "positive", "reason"]) == {SelectionReason.DRAWN}
    assert (training["label"] == "negative").sum() == 2


def test_drawings_count_before_overrides_of_tiles(
    atlas: ModelAtlas, before: pd.DataFrame, tmp_path: Path
) -> None:
    image_id = image_of(before, Split.TRAIN, "negative")
    overrides = tmp_path / "labels.csv"
    lines = [f"{image_id},0,0,positive", f"{image_id},2,2,", f"{image_id},3,3,"]
    overrides.write_text("\n".join(["image_id,row,col,label", *lines]))
    areas = [area("negative", IN_TILE_0_0, IN_TILE_3_3), area("positive", IN_TILES_2_2_AND_2_3)]
    write_drawing(tmp_path / "drawn", image_id, areas)
    rows = selected(atlas, tmp_path, overrides=overrides)
    columns = zip(rows["label"], rows["reason"], rows["selected"], strict=True)
    of_tile = dict(zip(rows.index, columns, strict=True))
    assert of_tile[image_id, 0, 0] == ("positive", SelectionReason.OVERRIDE, True)
    assert of_tile[image_id, 2, 2] == ("positive", SelectionReason.DRAWN, True)
    assert of_tile[image_id, 3, 3] == ("negative", SelectionReason.DRAWN, True)


def test_equal_drawings_give_equal_bytes_and_no_labelled_pixel_changes_nothing(
    atlas: ModelAtlas, before: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image_id = image_of(before, Split.TRAIN, "positive")
    path = write_drawing(tmp_path / "drawn", image_id, [area("positive", IN_TILE_0_0)])
    for name in ("one.parquet", "two.parquet"):
        selected(atlas, tmp_path, out=name)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    path.unlink()
    selected(atlas, tmp_path, out="none.parquet")
    assert (tmp_path / "none.parquet").read_bytes() == atlas.path("training.parquet").read_bytes()
    assert f"no drawing below {tmp_path / 'drawn'} labels a pixel of a labelled" in caplog.text


def test_drawings_that_are_not_used_are_named(
    atlas: ModelAtlas, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = tables.read_parquet(atlas.path("images.parquet"), ImageRow)
    extended = ModelAtlas(tmp_path / "run")
    extended.root.mkdir()
    for name in ("tiles.parquet", "atlas.zarr"):
        extended.path(name).symlink_to(atlas.path(name))
    unlabelled = image_row("HPA000099/1", "")
    tables.write_parquet(extended.path("images.parquet"), [*rows, unlabelled], ImageRow)
    stroke = area("positive", IN_TILE_0_0)
    write_drawing(tmp_path / "drawn", "HPA000099_1", [stroke])
    write_drawing(tmp_path / "drawn", "HPA000098_1", [stroke])
    write_drawing(tmp_path / "drawn", rows[0].image_id, [area("Stroma", IN_TILE_0_0), area(None)])
    both = [stroke, area("negative", (10, 5, 20, 15))]
    write_drawing(tmp_path / "drawn", rows[1].image_id, both)
    with caplog.at_level(logging.WARNING):
        selected(extended, tmp_path)
    for sentence in (
        "of no image of this run, which are not used: 1 (HPA000098_1.geojson)",
        "of images without a label or without tiles, which are not used (labels.overrides labels "
        "images): 1 (HPA000099/1)",
        f"without a pixel in an area of the class positive or negative: 1 ({rows[0].image_id})",
        "with other classes, whose areas are ignored: 2 (no class, Stroma)",
        f"the drawing of {rows[1].image_id} has 50 pixels that are positive and negative, which",
    ):
        assert sentence in caplog.text


def test_a_drawing_changes_the_label_of_the_first_class(
    atlas: ModelAtlas, before: pd.DataFrame
) -> None:
    image_id = image_of(before, Split.TRAIN, "negative")
    frame = before.loc[[image_id]].reset_index()
    frame = frame.assign(class_labels="ring=negative;disc=", kind="negative")
    labels = np.zeros((4 * TILE, 4 * TILE), np.uint8)
    labels[TILE, TILE] = PseudoLabel.POSITIVE
    drawn = DrawnLabels({image_id: labels}, {}, {})
    rows = select_drawn(frame, drawn, atlas.store).set_index(["row", "col"])
    columns = zip(rows["label"], rows["class_labels"], rows["kind"], strict=True)
    of_tile = dict(zip(rows.index, columns, strict=True))
    assert of_tile[1, 1] == ("positive", "ring=positive;disc=", "positive")
    assert (rows["class_labels"] == "ring=negative;disc=").sum() == 15
    assert set(frame["class_labels"]) == {"ring=negative;disc="}
