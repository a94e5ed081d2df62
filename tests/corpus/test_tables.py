"""Each table and list of the corpus ends as it is to end, within its limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpus.table_case import MAX_MIB, MAX_SECONDS, Case, run_case
from tests.corpus.tables import CASES, differences


def test_corpus_has_different_cases() -> None:
    names = [(case.kind, case.name) for case in CASES]
    assert len(names) == len(set(names)) >= 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.name}")
def test_table_ends_as_it_should(tmp_path: Path, case: Case) -> None:
    outcome = run_case(case, tmp_path)
    assert differences(case, outcome) == []
    assert outcome.seconds < MAX_SECONDS
    assert outcome.mib < MAX_MIB
