"""Files of a report that are checked while a census runs."""

from __future__ import annotations

from pathlib import Path

from cacl.diagnostics.verify.files import report_items


def test_empty_folder_is_no_report(tmp_path: Path) -> None:
    assert list(report_items(tmp_path / "missing")) == []
    assert list(report_items(tmp_path)) == []
    (tmp_path / "report.html").touch()
    assert len(list(report_items(tmp_path))) == 1
