"""Selection of tiles: splits, rules, balance, overrides."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest

from cacl import tables
from cacl.errors import ConfigError, TrainingError
from cacl.steps.parameters import SelectionFiles
from cacl.steps.select import select, split_antibodies
from cacl.tables.schemas import ImageRow, TileRow, TileStatRow
from cacl.tables.selection import SelectionReason
from tests.fixtures.model_atlas import image_row


def stat(image_id: str, col: int, dab: float, tissue: float = 0.9) -> TileStatRow:
    return TileStatRow(
        image_id=image_id,
        antibody_id=image_id.split("/")[0],
        row=0,
        col=col,
        tissue_fraction=tissue,
        dab_fraction=dab,
        digest="",
    )


def selected(
    folder: Path,
    labels: dict[str, str],
    stats: Iterable[TileStatRow],
    *,
    overrides: Path | None = None,
    max_tiles: int = 6000,
    seed: int = 0,
) -> pd.DataFrame:
    images, tiles, out = folder / "images.parquet", folder / "tiles.parquet", folder / "out.parquet"
    tables.write_parquet(images, [image_row(*item) for item in labels.items()], ImageRow)
    tables.write_parquet(tiles, list(stats), TileStatRow)
    select(
        SelectionFiles(images=images, tiles=[tiles], store=folder / "atlas.zarr"),
        out,
        min_tissue_fraction=0.2,
        overrides=overrides,
        max_tiles=max_tiles,
        seed=seed,
    )
    return tables.read_frame([out], TileRow)


def test_two_antibodies_are_all_in_the_training_split(tmp_path: Path) -> None:
    labels = {"A/1": "positive", "A/2": "negative", "B/1": "positive", "A/3": ""}
    stats = [stat(image, col, 0.1 * col) for image in labels for col in range(4)]
    rows = selected(tmp_path, labels, stats)
    assert set(rows["split"]) == {"train"}
    assert set(rows["image_id"]) == {"A/1", "A/2", "B/1"}
    assert set(rows.loc[rows["selected"], "label"]) == {"positive", "negative"}


def test_each_tile_has_the_rule_that_decided(tmp_path: Path) -> None:
    labels = {"A/1": "positive", "B/1": "negative"}
    dab = [0.0, 0.1, 0.2, 0.3, 0.9]
    stats = [stat("A/1", col, fraction) for col, fraction in enumerate(dab)]
    stats += [stat("A/1", 5, 0.9, tissue=0.1)]
    stats += [stat("B/1", col, 0.5) for col in range(5)]
    rows = selected(tmp_path, labels, stats)
    positive = rows[rows["image_id"] == "A/1"]
    assert positive["reason"].tolist() == [
        SelectionReason.DAB_BELOW,
        SelectionReason.DAB_BELOW,
        SelectionReason.DAB_UPPER_HALF,
        SelectionReason.DAB_UPPER_HALF,
        SelectionReason.DAB_ABOVE,
        SelectionReason.LITTLE_TISSUE,
    ]
    assert positive["selected"].tolist() == [False, False, True, True, True, False]
    assert set(rows.loc[rows["image_id"] == "B/1", "reason"]) == {SelectionReason.NEGATIVE_IMAGE}


@pytest.mark.parametrize("missing", ["positive", "negative"])
def test_rejects_images_of_one_label_only(tmp_path: Path, missing: str) -> None:
    other = "negative" if missing == "positive" else "positive"
    with pytest.raises(TrainingError, match=rf"labelled {missing}.*labels\.overrides"):
        selected(tmp_path, {"A/1": other}, [stat("A/1", 0, 0.5)])


def test_split_by_antibody_is_stratified_and_reproducible() -> None:
    classes = {f"P{n}": "positive" for n in range(8)} | {f"N{n}": "negative" for n in range(8)}
    splits = split_antibodies(classes, 0)
    assert splits == split_antibodies(dict(reversed(classes.items())), 0)
    assert splits != split_antibodies(classes, 1)
    for first in "PN":
        counted = [str(split) for name, split in splits.items() if name.startswith(first)]
        assert (counted.count("train"), counted.count("validation"), counted.count("test")) == (
            5,
            1,
            2,
        )


def test_fewer_than_three_antibodies_are_for_training_only() -> None:
    for count in (1, 2):
        classes = {f"A{n}": "positive" for n in range(count)}
        assert set(split_antibodies(classes, 0).values()) == {"train"}
    three = split_antibodies({f"A{n}": "negative" for n in range(3)}, 0)
    assert sorted(map(str, three.values())) == ["test", "train", "validation"]


def test_test_split_holds_every_tile_with_tissue(tmp_path: Path) -> None:
    labels = {f"A{n}/1": "positive" if n % 2 else "negative" for n in range(8)}
    stats = [
        stat(image, col, 0.01 * col, 0.9 if col else 0.0) for image in labels for col in range(4)
    ]
    rows = selected(tmp_path, labels, stats)
    test = rows[rows["split"] == "test"]
    assert set(test["label"]) == {"positive", "negative"}
    assert test.groupby("image_id")["selected"].sum().eq(3).all()
    assert rows.groupby("antibody_id")["split"].nunique().eq(1).all()


def test_surplus_tiles_are_left_out_by_balance_and_limit(tmp_path: Path) -> None:
    labels = {"A/1": "positive", "B/1": "negative"}
    stats = [stat("A/1", col, 0.9) for col in range(10)] + [
        stat("B/1", col, 0.1) for col in range(50)
    ]
    rows = selected(tmp_path, labels, stats)
    assert rows[rows["selected"]].groupby("label").size().to_dict() == {
        "negative": 20,
        "positive": 10,
    }
    assert (rows["reason"] == SelectionReason.BALANCE).sum() == 30
    rows = selected(tmp_path, labels, stats, max_tiles=12)
    assert rows[rows["selected"]].groupby("label").size().to_dict() == {
        "negative": 6,
        "positive": 6,
    }
    again = selected(tmp_path, labels, stats, max_tiles=12)
    assert rows.equals(again)
    other = selected(tmp_path, labels, stats, max_tiles=12, seed=1)
    assert not rows.equals(other)


def overrides(folder: Path, text: str) -> Path:
    path = folder / "overrides.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_overrides_take_precedence_over_rules(tmp_path: Path) -> None:
    labels = {"A/1": "positive", "B/1": "negative"}
    stats = [stat("A/1", col, 0.1 * col) for col in range(6)] + [
        stat("B/1", col, 0.9) for col in range(6)
    ]
    path = overrides(tmp_path, "image_id,row,col,label\nA/1,0,0,negative\nB/1,,,negative\n")
    rows = selected(tmp_path, labels, stats, overrides=path)
    row = rows[(rows["image_id"] == "A/1") & (rows["col"] == 0)].iloc[0]
    assert (row["label"], row["selected"], row["reason"]) == (
        "negative",
        True,
        SelectionReason.OVERRIDE,
    )
    images = overrides(tmp_path, "image_id,label\nA/1,positive\n")
    assert not (
        selected(tmp_path, labels, stats, overrides=images)["reason"] == SelectionReason.OVERRIDE
    ).any()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image_id,row,col,label\nA/1,0,99,positive\n", "row 0, col 99 of 'A/1', which is no tile"),
        ("image_id,row,col,label\nA/1,0,x,positive\n", "line 2: col is 'x'; expected"),
        ("image_id,row,col,label\nA/1,0,0,maybe\n", "label 'maybe'"),
        ("row,col,label\n0,0,positive\n", "has no column image_id"),
    ],
)
def test_rejects_invalid_overrides(tmp_path: Path, text: str, sentence: str) -> None:
    labels = {"A/1": "positive", "B/1": "negative"}
    stats = [stat(image, 0, 0.5) for image in labels]
    with pytest.raises(ConfigError, match=sentence):
        selected(tmp_path, labels, stats, overrides=overrides(tmp_path, text))


def test_rejects_missing_overrides(tmp_path: Path) -> None:
    labels = {"A/1": "positive", "B/1": "negative"}
    with pytest.raises(ConfigError, match=r"none\.csv cannot be read"):
        selected(
            tmp_path, labels, [stat(i, 0, 0.5) for i in labels], overrides=tmp_path / "none.csv"
        )
