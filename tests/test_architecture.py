"""The documentation of the architecture names every package, and only packages that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT_MODULES = {"__init__", "__main__", "config", "errors"}
MODEL_MODULES = 28
MAX_LINES = 400
PAGES_OF_SITE = {
    f"{prefix}reference/{name}.md"
    for prefix in ("", "../")
    for name in ("commands", "messages", "tables")
}
"""Written by `docs/site.py` when the site is built, which checks their links."""


def packages(checkout: Path) -> set[str]:
    return {
        path.parent.relative_to(checkout).as_posix()
        for path in (checkout / "cacl").rglob("__init__.py")
    } - {"cacl"}


def test_architecture_names_every_package_and_no_other(checkout: Path) -> None:
    text = (checkout / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("## Rooms")[1].split("Two modules")[0]
    assert set(re.findall(r"^\| `(cacl/[a-z/]+)` \|", table, re.MULTILINE)) == packages(checkout)


def test_architecture_names_only_paths_that_exist(checkout: Path) -> None:
    text = (checkout / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:cacl|tests|benchmarks|workflow|config|profiles|docs)/[\w/.]*)`", text)
    assert len(named) > 30
    missing = [name for name in named if not (checkout / name).exists()]
    assert not missing


def test_every_module_belongs_to_a_room(checkout: Path) -> None:
    assert {path.stem for path in (checkout / "cacl").glob("*.py")} == ROOT_MODULES


def test_model_room_stays_small(checkout: Path) -> None:
    modules = [p for p in (checkout / "cacl" / "model").rglob("*.py") if p.stem != "__init__"]
    assert len(modules) <= MODEL_MODULES


def test_modules_stay_short(checkout: Path) -> None:
    lengths = {
        path.relative_to(checkout).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in (checkout / "cacl").rglob("*.py")
    }
    assert not {name: lines for name, lines in lengths.items() if lines > MAX_LINES}


def test_documentation_links_resolve(checkout: Path) -> None:
    pages = [*checkout.glob("*.md"), *(checkout / "docs").rglob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists() and target not in PAGES_OF_SITE
    ]
    assert not broken
