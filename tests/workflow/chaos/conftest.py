"""One census that nothing disturbs, for all tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.reliability.census import PRESETS, STEPS, Census


@dataclass(frozen=True)
class Reference:
    """An undisturbed census: its folder, digests of its products, and what its steps took."""

    folder: Path
    products: dict[str, str]
    seconds: dict[str, float]
    peaks_kb: dict[str, int]


@pytest.fixture(scope="package")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    census = Census(Path(tmp_path_factory.mktemp("undisturbed")), PRESETS["paper"])
    status, output, peaks = census.run_measured()
    assert status == 0, output
    assert census.leftovers() == []
    assert census.image_ids("census") == census.image_ids("catalog/images.parquet")
    seconds = {step: census.seconds(step) for step in STEPS}
    return Reference(census.folder, census.products(), seconds, peaks)
