"""Numbers of attempts, from records of earlier ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from cacl.diagnostics.retries import ALL_SHARDS, Retries, RetryCounts, can_pass, count_retries
from cacl.errors import Reason
from cacl.hpa.attempts import AttemptRecord, attempt_path, read_attempt, write_attempt
from cacl.hpa.image_state import ImageState, digest_image, observe

FOR_GOOD = {
    "unknown_name",
    "unsafe_url",
    "unsafe_id",
    "too_large",
    "too_small",
    "outside_image",
    "several_images",
    "unsupported_pixels",
    "no_tissue",
}


def record(folder: Path, step: str, *reasons: str, number: int = 0, shard: str = "0") -> None:
    failures = {f"A{index}/a": reason for index, reason in enumerate(reasons)}
    write_attempt(attempt_path(folder, step, shard), AttemptRecord(number, failures))


def numbers(folder: Path) -> dict[str, int]:
    retries = Retries(folder)
    steps = ("acquire", "tile", "segment", "measure")
    return {step: retries.attempt_number(step, "0") for step in steps}


def none_but(**changed: int) -> dict[str, int]:
    return {"acquire": 0, "tile": 0, "segment": 0, "measure": 0} | changed


def test_every_reason_can_pass_or_is_for_good() -> None:
    assert {str(reason) for reason in Reason if not reason.is_temporary} == FOR_GOOD


def test_file_that_acquire_has_read_whole_and_is_no_image_stays_none() -> None:
    assert can_pass("acquire", "not_an_image")
    assert not can_pass("tile", "not_an_image")
    assert can_pass("tile", "a reason of another version")


def test_without_a_record_or_a_failure_nothing_is_tried_again(tmp_path: Path) -> None:
    assert numbers(tmp_path) == none_but()
    for step in none_but():
        record(tmp_path, step, *(FOR_GOOD if step == "tile" else ()))
    assert numbers(tmp_path) == none_but()


@pytest.mark.parametrize(
    ("step", "reason", "expected"),
    [
        ("acquire", "unreachable", none_but(acquire=1)),
        ("acquire", "not_found", none_but(acquire=1)),
        ("tile", "damaged", none_but(acquire=1, tile=1)),
        ("tile", "unexpected", none_but(tile=1)),
        ("tile", "too_small", none_but()),
        ("segment", "changed", none_but(tile=1, segment=1)),
        ("measure", "damaged", none_but(tile=1, segment=1, measure=1)),
        ("measure", "unexpected", none_but(measure=1)),
        ("measure", "no_tissue", none_but()),
    ],
)
def test_failure_leads_to_another_attempt_of_the_steps_that_may_cause_it(
    tmp_path: Path, step: str, reason: str, expected: dict[str, int]
) -> None:
    record(tmp_path, step, "too_large", reason)
    assert numbers(tmp_path) == expected


def test_number_of_an_attempt_that_succeeded_is_the_next_plan(tmp_path: Path) -> None:
    record(tmp_path, "acquire", "unreachable", number=4)
    assert numbers(tmp_path)["acquire"] == 5
    record(tmp_path, "acquire", number=5)
    assert numbers(tmp_path)["acquire"] == 5


def test_answer_stays_the_same_while_a_plan_is_carried_out(tmp_path: Path) -> None:
    record(tmp_path, "acquire", "unreachable")
    retries = Retries(tmp_path)
    assert retries.attempt_number("acquire", "0") == 1
    record(tmp_path, "acquire", "unreachable", number=1)
    assert retries.attempt_number("acquire", "0") == 1


def test_changed_image_leads_to_another_attempt_of_acquire_only(tmp_path: Path) -> None:
    image = tmp_path / "a.jpg"
    image.write_bytes(b"1")
    state = ImageState("A0/a", digest_image(image)[0], (observe(image),))
    path = attempt_path(tmp_path, "acquire", "0")
    write_attempt(path, AttemptRecord(3, images=(state,)))
    assert read_attempt(path) == AttemptRecord(3, images=(state,))
    assert numbers(tmp_path) == none_but(acquire=3)
    image.write_bytes(b"22")
    assert numbers(tmp_path) == none_but(acquire=4)
    assert Retries(tmp_path).stale_images("0") == ("A0/a",)


def test_empty_record_is_none_and_a_damaged_one_is_written_again(tmp_path: Path) -> None:
    path = attempt_path(tmp_path, "acquire", "0")
    path.parent.mkdir()
    path.touch()
    assert read_attempt(path) is None
    for text in ("{", "[]", '{"number": 1}', '{"number":1,"failures":[],"retried":[],"images":[]}'):
        path.write_text(text)
        number = numbers(tmp_path)["acquire"]
        assert number > 1, text
        record(tmp_path, "acquire", number=number)
        assert numbers(tmp_path)["acquire"] == number


def test_damaged_annotation_of_a_mirror_waits_until_its_file_changes(tmp_path: Path) -> None:
    record(tmp_path, "catalog", "bad_annotation", shard=ALL_SHARDS)
    ignored = frozenset((Reason.BAD_ANNOTATION,))
    assert Retries(tmp_path).attempt_number("catalog") == 1
    assert Retries(tmp_path, ignored=ignored).attempt_number("catalog") == 0


def test_counts(tmp_path: Path) -> None:
    failures = {"A1/a": "unreachable", "A2/a": "too_large"}
    first = AttemptRecord(1, failures, retried=("A1/a", "A3/a", "A4/a"))
    write_attempt(attempt_path(tmp_path, "acquire", "0"), first)
    record(tmp_path, "tile", "too_small", "damaged", shard="1")
    counts = count_retries(Retries(tmp_path), ["0", "1"])
    assert counts == RetryCounts(0, can_pass=2, for_good=2, retried=3, succeeded=2)
    assert str(counts) == (
        "changed since they were read: 0; failed: 2 for a reason that can pass (tried again by the "
        "next run), 2 for good; tried again by the last run: 3, of which 2 succeeded"
    )
