"""A report in headless Chromium, opened from disk; what it complains of is kept."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FROM_DISK = ("file:", "data:", "blob:")


@dataclasses.dataclass(frozen=True)
class Seen:
    page: Any
    complaints: list[str]


@contextmanager
def launched() -> Iterator[Any]:
    """Start Chromium, or skip the test where it is not installed."""
    place = shutil.which("chromium")
    if place is None:
        pytest.skip("no chromium on this machine; apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(chromium: Any, file: Path) -> Iterator[Seen]:
    """Open a page of 1280 x 900 px and note its console, its errors and requests elsewhere."""
    complaints: list[str] = []
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))

    def asked(request: Any) -> None:
        if not request.url.startswith(FROM_DISK):
            complaints.append(request.url)

    page.on("request", asked)
    page.goto(file.resolve().as_uri())
    yield Seen(page, complaints)
    page.close()


def draw_figures(page: Any) -> None:
    """Scroll to every figure and wait until it is drawn."""
    figures = page.locator("[data-figure]")
    for index in range(figures.count()):
        figures.nth(index).scroll_into_view_if_needed()
    page.locator("[data-drawn]").nth(figures.count() - 1).wait_for(state="attached")


def faults(page: Any) -> list[str]:
    """Return the rules of axe-core that a page breaks seriously, each with its first element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
