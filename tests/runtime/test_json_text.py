"""JSON from outside: what cannot be parsed is a `ValueError`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cacl.runtime.json_text import parse_json


@pytest.mark.parametrize(
    "text", ["[" * 100_000 + "]" * 100_000, '{"a":' * 5_000 + "1" + "}" * 5_000]
)
def test_deep_nesting_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(text)


def test_files_are_parsed_by_this_function_only(checkout: Path) -> None:
    """`json.loads` raises RecursionError, which no reader expects; a round trip cannot."""
    found = [
        f"{path.relative_to(checkout)}: {line.strip()}"
        for path in (checkout / "cacl").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"json\.loads?\((?!json\.dumps)", line) and path.name != "json_text.py"
    ]
    assert not found
