from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from cacl import tables
from cacl.errors import ImageError, Reason, StrictError
from cacl.runtime.images import run_images, write_failures
from cacl.tables.schemas import FailureRow


@dataclass(frozen=True)
class Item:
    image_id: str


ITEMS = [Item(f"A/{number}") for number in range(6)]


def test_failures_are_set_aside_and_order_is_kept() -> None:
    def work(item: Item) -> str:
        if item.image_id == "A/1":
            raise ImageError(Reason.DAMAGED, "cut short")
        if item.image_id == "A/3":
            raise OSError(28, "No space left on device")
        if item.image_id == "A/4":
            raise ZeroDivisionError("a surprise")
        return item.image_id

    outcome = run_images("tile", ITEMS, work, source=lambda item: f"{item.image_id}.jpg", jobs=3)
    assert outcome.results == ["A/0", "A/2", "A/5"]
    assert [(row.image_id, row.reason) for row in outcome.failures] == [
        ("A/1", "damaged"),
        ("A/3", "unwritable"),
        ("A/4", "unexpected"),
    ]
    assert outcome.failures[0] == FailureRow(
        image_id="A/1", stage="tile", reason="damaged", message="cut short", source="A/1.jpg"
    )


def test_images_run_side_by_side() -> None:
    barrier = threading.Barrier(2, timeout=20)
    outcome = run_images("t", ITEMS[:2], lambda _: barrier.wait(), source=str, jobs=2)
    assert sorted(outcome.results) == [0, 1]


def test_a_surprise_leaves_its_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def work(item: Item) -> None:
        raise KeyError(item.image_id)

    with caplog.at_level(logging.ERROR):
        run_images("tile", ITEMS[:1], work, source=str)
    assert "Traceback" in caplog.text


def test_strict_still_writes_the_table(tmp_path: Path) -> None:
    row = FailureRow(image_id="A/1", stage="tile", reason="damaged", message="m", source="s")
    path = tmp_path / "failures.csv"
    write_failures(path, [], strict=True)
    write_failures(path, [row], strict=False)
    with pytest.raises(StrictError, match=r"1 image\(s\) failed and --strict is set"):
        write_failures(path, [row], strict=True)
    assert len(tables.read_csv(path, FailureRow)) == 1


def test_every_reason_has_a_docstring() -> None:
    for reason in Reason:
        assert reason.__doc__
        assert reason.__doc__ != Reason.__doc__
        assert reason.value == str(reason)
