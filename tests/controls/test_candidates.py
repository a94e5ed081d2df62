"""Cores of the controls: negative, and of antibodies that training has not seen."""

from __future__ import annotations

import pandas as pd

from cacl.controls.candidates import candidates
from cacl.controls.core import densest_region

Rows = list[tuple[str, str, str, str, bool]]


def frame(rows: Rows) -> pd.DataFrame:
    """Return tiles of (image, label, split, class labels, selected)."""
    return pd.DataFrame(
        {
            "image_id": [row[0] for row in rows],
            "antibody_id": [row[0].split("/")[0] for row in rows],
            "row": 0,
            "col": range(len(rows)),
            "label": [row[1] for row in rows],
            "split": [row[2] for row in rows],
            "class_labels": [row[3] for row in rows],
            "selected": [row[4] for row in rows],
        }
    )


def names(rows: Rows, seed: int = 0) -> list[str]:
    return [candidate.image_id for candidate in candidates(frame(rows), seed)]


def test_only_negative_images_of_the_test_split_are_candidates() -> None:
    rows: Rows = [
        ("A/1", "negative", "test", "", True),
        ("B/1", "positive", "test", "", True),
        ("C/1", "negative", "train", "", True),
        ("D/1", "negative", "validation", "", True),
        ("E/1", "negative", "test", "", False),
        ("F/1", "negative", "test", "", True),
        ("F/1", "positive", "test", "", True),
    ]
    assert names(rows) == ["A/1"]


def test_first_class_decides_where_there_are_several() -> None:
    rows: Rows = [
        ("A/1", "negative", "test", "microvilli=negative;nucleus=positive", True),
        ("B/1", "negative", "test", "microvilli=positive;nucleus=negative", True),
    ]
    assert names(rows) == ["A/1"]


def test_antibodies_take_turns_in_an_order_that_depends_on_the_seed() -> None:
    rows: Rows = [
        (f"{antibody}/{image}", "negative", "test", "", True)
        for antibody in "ABCDEF"
        for image in range(3)
    ]
    order = names(rows)
    assert sorted(order) == sorted({row[0] for row in rows})
    for turn in range(3):
        assert {name[0] for name in order[6 * turn : 6 * turn + 6]} == set("ABCDEF")
    assert order == names(rows)
    assert order != names(rows, seed=1)


def test_core_that_is_not_larger_than_a_region_is_taken_as_a_whole() -> None:
    assert densest_region([(0, 1), (2, 3)], 16) == (range(3), range(4))


def test_region_of_a_large_image_is_the_square_with_most_tissue() -> None:
    tissue = [(row, col) for row in range(40, 44) for col in range(70, 74)] + [(0, 0), (99, 99)]
    rows, cols = densest_region(tissue, 16)
    assert len(rows) == len(cols) == 16
    assert set(range(40, 44)) <= set(rows)
    assert set(range(70, 74)) <= set(cols)
