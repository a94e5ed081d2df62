"""Selection of tiles of several classes: kinds of images, split of antibodies, errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest

from cacl import tables
from cacl.errors import TrainingError
from cacl.hpa.target_class import split_labels
from cacl.steps.parameters import SelectionFiles
from cacl.steps.select import select, stratified_group_split
from cacl.steps.tile_labels import kind_of
from cacl.tables.schemas import ImageRow, TileRow, TileStatRow
from cacl.tables.selection import SelectionReason, Split
from tests.fixtures.model_atlas import image_row


def selected(
    folder: Path,
    labels: Mapping[str, str],
    overrides: Path | None = None,
    max_tiles: int = 6000,
    failed: Sequence[str] = (),
) -> pd.DataFrame:
    """Select from images of three tiles, whose DAB fractions are 0, 0.3 and 0.6."""
    rows = []
    for image_id, text in labels.items():
        first = next(iter(split_labels(text).values()))
        rows.append(image_row(image_id, first, text))
    stats = [
        TileStatRow(
            image_id=image_id,
            antibody_id=image_id.split("/")[0],
            row=0,
            col=col,
            tissue_fraction=0.9,
            dab_fraction=0.3 * col,
            digest="",
        )
        for image_id in labels
        if image_id not in failed
        for col in range(3)
    ]
    images, tiles, out = (folder / f"{name}.parquet" for name in ("images", "tiles", "out"))
    tables.write_parquet(images, rows, ImageRow)
    tables.write_parquet(tiles, stats, TileStatRow)
    files = SelectionFiles(images=images, tiles=[tiles], store=folder / "atlas.zarr")
    select(files, out, min_tissue_fraction=0.2, overrides=overrides, max_tiles=max_tiles)
    return tables.read_frame([out], TileRow)


@pytest.mark.parametrize(
    ("label", "class_labels", "kind"),
    [
        ("positive", "", "positive"),
        ("", "", ""),
        ("negative", "a=negative;b=positive", "positive"),
        ("", "a=;b=negative", "negative"),
        ("", "a=;b=", ""),
    ],
)
def test_kind_of_image(label: str, class_labels: str, kind: str) -> None:
    assert kind_of(label, class_labels) == kind


def test_tiles_of_every_labelled_image_are_listed_with_class_labels(tmp_path: Path) -> None:
    labels = {
        "A/1": "a=positive;b=negative",
        "B/1": "a=negative;b=positive",
        "C/1": "a=;b=negative",
        "D/1": "a=;b=",
    }
    rows = selected(tmp_path, labels)
    assert set(rows["image_id"]) == {"A/1", "B/1", "C/1"}
    first = rows.drop_duplicates("image_id").set_index("image_id")
    assert first["label"].tolist() == ["positive", "negative", ""]
    assert first["class_labels"].to_dict() == {key: labels[key] for key in first.index}
    assert set(rows.loc[rows["image_id"] == "C/1", "reason"]) <= {
        SelectionReason.NEGATIVE_IMAGE,
        SelectionReason.TEST,
    }


def test_surplus_of_positive_images_is_kept(tmp_path: Path) -> None:
    labels = {f"A{number}/1": "a=positive;b=negative" for number in range(12)}
    labels |= {f"B{number}/1": "a=negative;b=positive" for number in range(12)}
    labels["C/1"] = "a=negative;b=negative"
    rows = selected(tmp_path, labels)
    assert SelectionReason.BALANCE not in set(rows["reason"])
    train = rows[(rows["split"] == Split.TRAIN) & rows["selected"]]
    assert train["antibody_id"].nunique() >= 14
    few = selected(tmp_path, labels, max_tiles=8)
    assert (
        (few["split"] == Split.TRAIN) & few["selected"] & few["label"].eq("positive")
    ).sum() <= 4
    assert SelectionReason.LIMIT in set(few["reason"])


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (["a=positive;b=negative", "a=negative;b=negative"], "positive in the class b"),
        (["a=positive;b=positive", "a=positive;b=negative"], "negative in the class a"),
    ],
)
def test_rejects_class_with_one_label_only_and_names_it(
    tmp_path: Path, labels: list[str], sentence: str
) -> None:
    with pytest.raises(TrainingError, match=f"No tiled image is labelled {sentence}.*overrides"):
        selected(tmp_path, {f"A/{number}": text for number, text in enumerate(labels)})


def test_says_that_the_images_of_a_label_failed_before(tmp_path: Path) -> None:
    labels = {"A/1": "a=positive", "B/1": "a=negative", "C/1": "a=negative"}
    with pytest.raises(TrainingError, match=r"All images labelled positive in the class a \(1\) f"):
        selected(tmp_path, labels, failed=("A/1",))


def test_override_of_a_tile_applies_to_the_first_class(tmp_path: Path) -> None:
    overrides = tmp_path / "overrides.csv"
    overrides.write_text("image_id,row,col,label\nA/1,0,0,negative\n")
    labels = {"A/1": "a=positive;b=positive", "B/1": "a=negative;b=negative"}
    rows = selected(tmp_path, labels, overrides).set_index(["image_id", "col"])
    assert rows.loc[("A/1", 0), "class_labels"] == "a=negative;b=positive"
    assert rows.loc[("A/1", 0), "label"] == "negative"
    assert rows.loc[("A/1", 0), "reason"] == SelectionReason.OVERRIDE
    assert rows.loc[("A/1", 1), "class_labels"] == "a=positive;b=positive"


def test_each_split_gets_its_fraction_of_every_set_of_labels() -> None:
    kinds = ["a=n;b=n", "a=n;b=p", "a=p;b=n", "a=p;b=p"]
    classes = {f"HPA{number:03d}": kinds[number % 4] for number in range(64)}
    splits = stratified_group_split(classes, seed=3)
    assert splits == stratified_group_split(dict(reversed(classes.items())), seed=3)
    assert splits != stratified_group_split(classes, seed=4)
    counts = pd.crosstab(pd.Series(classes), pd.Series({k: str(v) for k, v in splits.items()}))
    assert counts["train"].tolist() == [10] * 4
    assert counts["test"].tolist() == [4] * 4
    assert counts["validation"].tolist() == [2] * 4
