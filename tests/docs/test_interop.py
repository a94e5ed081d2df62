"""The README states the versions that `make interop` has found."""

from __future__ import annotations

import re
from pathlib import Path

SHOWN = ("napari", "scanpy", "shapely", "qubalab", "R", "LibreOffice")


def test_readme_states_the_versions_of_the_table(checkout: Path) -> None:
    table = (checkout / "benchmarks" / "results" / "interop.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    found = {re.split(r"\W", row[0].removeprefix("| "))[0]: row[1].split(",")[0] for row in rows}
    readme = " ".join((checkout / "README.md").read_text(encoding="utf-8").split())
    missing = [f"{name} {found[name]}" for name in SHOWN if f"{name} {found[name]}" not in readme]
    assert not missing, "make interop has found other versions: update README.md"
