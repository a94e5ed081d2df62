"""Every image of the corpus is measured with the right value, or refused with a remedy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.corpus.image_case import Outcome
from tests.corpus.images import CASES, MAX_MB, MAX_MB_OF, MAX_SECONDS, counts, write_corpus
from tests.corpus.images_field import Case, Measured

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Measure all cases in one process, so that no case ends the process of the tests."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    command = [sys.executable, "-m", "tests.corpus.image_case", str(folder)]
    checkout = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    return {case.name: Outcome(**json.loads(line)) for case, line in zip(CASES, lines, strict=True)}


def test_corpus_is_large_and_its_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 300
    assert counts()["measured"] >= 150
    assert MAX_MB_OF.keys() <= {case.name for case in CASES}


def test_largest_memory_and_time_are_recorded(
    outcomes: dict[str, Outcome], record_testsuite_property: Callable[[str, object], None]
) -> None:
    record_testsuite_property("memory_mb", max(each.peak_mb for each in outcomes.values()))
    record_testsuite_property("seconds", max(each.seconds for each in outcomes.values()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_ends_as_it_should(outcomes: dict[str, Outcome], case: Case) -> None:
    outcome = outcomes[case.name]
    assert list(outcome.differences) == []
    expected = "measured" if isinstance(case.end, Measured) else str(case.end.reason)
    assert outcome.end == expected
    assert outcome.peak_mb < MAX_MB_OF.get(case.name, MAX_MB)
    assert outcome.seconds < MAX_SECONDS
