from __future__ import annotations

from cacl.hpa.annotation import join_unique


def test_joined_values_are_unique_sorted_and_not_empty() -> None:
    assert join_unique(["nuclear", "", "cytoplasmic", "nuclear"]) == "cytoplasmic; nuclear"
    assert join_unique([]) == ""
