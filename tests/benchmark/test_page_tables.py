"""The tables of the pages are those of `benchmarks/results`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks._lib.page_tables import (
    DICE,
    FINAL,
    MARKED,
    PAGE_TABLES,
    read_rows,
    with_tables,
    write_pages,
)
from cacl.errors import TableError

PAGES = sorted({page for page, _ in PAGE_TABLES})


@pytest.mark.parametrize("page", PAGES)
def test_page_has_the_tables_of_the_results(checkout: Path, page: str) -> None:
    text = (checkout / page).read_text(encoding="utf-8")
    made = with_tables(page, text, checkout / "benchmarks" / "results")
    assert text == made, "run `python benchmarks/run_all.py --pages`"


def test_no_other_page_has_markers(checkout: Path) -> None:
    texts = [*checkout.glob("*.md"), *(checkout / "docs").rglob("*.md")]
    marked = {
        path.relative_to(checkout).as_posix()
        for path in texts
        if MARKED.search(path.read_text(encoding="utf-8"))
    }
    assert sorted(marked) == PAGES


def test_a_changed_result_changes_its_pages_only(checkout: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    for _, name in PAGE_TABLES:
        text = (checkout / "benchmarks" / "results" / name).read_text(encoding="utf-8")
        (results / name).write_text(text, encoding="utf-8")
    changed = results / "real_tissue.md"
    [row] = [row for row in read_rows(changed) if row["method"] == FINAL]
    before = f"| {FINAL} | {row[DICE]} |"
    text = changed.read_text(encoding="utf-8")
    assert text.count(before) == 1
    changed.write_text(text.replace(before, f"| {FINAL} | 0.9996 (0.9 to 1.0) |"), encoding="utf-8")
    for page in PAGES:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).write_bytes((checkout / page).read_bytes())
    assert write_pages(tmp_path, results) == ["docs/benchmark.md"]
    page = (tmp_path / "docs/benchmark.md").read_text(encoding="utf-8")
    assert "| **CaCL, `robust`** | **1.000** |" in page
    assert write_pages(tmp_path, results) == []


def test_a_page_without_markers_is_refused(checkout: Path) -> None:
    with pytest.raises(TableError, match=r"put <!-- table: NAME -->"):
        with_tables("README.md", "# CaCL Atlas\n", checkout / "benchmarks" / "results")


def test_a_result_without_a_row_of_a_page_is_refused(checkout: Path, tmp_path: Path) -> None:
    text = (checkout / "benchmarks/results/ablation.md").read_text(encoding="utf-8")
    (tmp_path / "ablation.md").write_text(text.replace("| no gate |", "| gate |"), "utf-8")
    with pytest.raises(TableError, match="No row 'no gate'"):
        PAGE_TABLES["docs/method.md", "ablation.md"](read_rows(tmp_path / "ablation.md"))
