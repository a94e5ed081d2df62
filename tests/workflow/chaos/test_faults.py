"""A census that meets a fault of the machine stops with a sentence, and then goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.reliability.census import PRESETS, Census, problems
from benchmarks.reliability.faults import (
    FULL_DISK,
    READ_ONLY,
    few_handles,
    little_memory,
    repair,
    sentence_problems,
    small_disks,
    with_fault,
)
from tests.workflow.chaos.conftest import Reference

HANDLES = 8


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "run"
    folder.mkdir()
    try:
        with small_disks(folder):
            yield folder
    except PermissionError as error:
        pytest.skip(f"a small file system cannot be mounted here: {error}")


@pytest.mark.timeout(1200)
def test_every_fault_ends_in_a_sentence_and_the_same_command_goes_on(
    reference: Reference, disks: Path, tmp_path: Path
) -> None:
    census = Census(disks, PRESETS["paper"])
    for step, fault in (
        ("acquire", FULL_DISK),
        ("tile", few_handles(HANDLES)),
        ("train", little_memory(int(0.9 * reference.peaks_kb["train"]))),
        ("measure", READ_ONLY),
    ):
        disturbed = with_fault(census, tmp_path / "fault", fault, step)
        status, output = disturbed.run("--", *census.targets(step))
        assert status == 1, (step, fault.name)
        assert sentence_problems(fault, status, output) == [], (step, fault.name, output)
        repair(disks)
    status, output = census.run()
    assert status == 0, output
    assert problems(census, reference.products) == []
