"""Provenance records that are damaged, or hold other values than this package writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cacl.hpa.provenance import ProvenanceRecord, read_provenance, write_provenance

RECORD = ProvenanceRecord(
    url="https://images.proteinatlas.org/1/a.jpg", sha256="0" * 64, size_bytes=4, hpa_version="23",
    licence="CC BY-SA 4.0", etag='"x"',
)  # fmt: skip


def test_record_round_trip(tmp_path: Path) -> None:
    write_provenance(tmp_path / "a.jpg", RECORD)
    assert read_provenance(tmp_path / "a.jpg") == RECORD


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_deeply_nested_record_is_no_record(tmp_path: Path, depth: int) -> None:
    (tmp_path / "a.json").write_text("[" * depth + "]" * depth)
    assert read_provenance(tmp_path / "a.jpg") is None


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": 2**63}, {"size_bytes": {"": {}}}, {"size_bytes": False}, {"size_bytes": "4"},
        {"etag": None}, {"etag": float("inf")}, {"url": {"": {}}}, {"licence": [[1]]},
    ],
)  # fmt: skip
def test_record_with_a_value_of_another_type_is_no_record(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    (tmp_path / "a.json").write_text(json.dumps(vars(RECORD) | change))
    assert read_provenance(tmp_path / "a.jpg") is None
