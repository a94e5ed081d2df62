"""The script that takes the pictures of the first run works on a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from docs import screenshots
from tests.fixtures.reports import hostile_atlas

pytestmark = pytest.mark.browser


def test_every_picture_of_the_first_run_is_taken(checkout: Path, tmp_path: Path) -> None:
    report = hostile_atlas(tmp_path).path("report") / "report.html"
    written = screenshots.take_screenshots(report, tmp_path / "images")
    page = (checkout / "docs/first_run.md").read_text(encoding="utf-8")
    for path in written:
        with Image.open(path) as picture:
            assert picture.size == (1280, 800)
            assert picture.mode == "P"
        assert f"(images/{path.name})" in page
    assert page.count("(images/") == len(written) == 5


def test_pictures_of_the_site_are_small(checkout: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in (checkout / "docs/images").glob("*.png")}
    assert len(sizes) == 5
    assert max(sizes.values()) < 300_000
