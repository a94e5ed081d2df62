"""Take the screenshots of `docs/first_run.md` from the report of a finished demo.

Usage: python docs/screenshots.py RESULTS [--out docs/images]

Headless Chromium (`chromium` on the path) opens RESULTS/report/report.html from disk. A picture is
reduced to a palette of 256 colours, so that a set of them stays small in the repository.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTH, HEIGHT = 1280, 800
COLOURS = 256
KMEANS_ROUNDS = 4
"""Rounds of k-means after the median cut, which loses the brown of the stain by itself."""
TIMEOUT_MS = 60_000


def main() -> None:
    """Write the pictures and print their names and sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder `results` of a finished demo")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    options = parser.parse_args()
    report = options.results / "report" / "report.html"
    if not report.is_file():
        sys.exit(f"There is no {report}; run `make demo`, and name its folder `results`")
    for path in take_screenshots(report, options.out):
        print(f"{path} {path.stat().st_size:,} bytes")  # noqa: T201


def take_screenshots(report: Path, out: Path) -> list[Path]:
    """Return the pictures of a report that were written into a folder.

    Parameters
    ----------
    report
        Path of `report.html`.
    out
        Folder of the PNG files; created if it is missing.
    """
    executable = shutil.which("chromium")
    if executable is None:
        sys.exit("There is no chromium on the path; apt-get install chromium")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for name, prepare in VIEWS.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.set_default_timeout(TIMEOUT_MS)
            page.emulate_media(color_scheme="light", reduced_motion="reduce")
            page.goto(report.resolve().as_uri())
            prepare(page)
            _wait_for_pictures(page)
            path = out / f"{name}.png"
            path.write_bytes(with_few_colours(page.screenshot()))
            written.append(path)
            page.close()
        browser.close()
    return written


def with_few_colours(png: bytes) -> bytes:
    """Return a PNG with a palette."""
    target = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        reduced = picture.convert("RGB").quantize(
            COLOURS, kmeans=KMEANS_ROUNDS, dither=Image.Dither.NONE
        )
        reduced.save(target, "PNG", optimize=True)
    return target.getvalue()


def _section(name: str) -> Callable[[Page], None]:
    """Return a function that scrolls to a section and waits for its figures."""

    def prepare(page: Page) -> None:
        section = page.locator(f"section#{name}")
        section.evaluate("element => element.scrollIntoView({block: 'start'})")
        for figure in section.locator("[data-figure]").all():
            figure.scroll_into_view_if_needed()
            figure.locator("svg").first.wait_for()
        section.evaluate("element => element.scrollIntoView({block: 'start'})")

    return prepare


def _top(page: Page) -> None:
    page.locator("h1").first.wait_for()


def _antibody(page: Page) -> None:
    """Open the panel of the antibody with the highest ratio."""
    row = page.locator("#table tbody tr").first
    row.get_by_role("button").or_(row.get_by_role("link")).first.click()
    page.locator("#panel figure").first.wait_for()


def _wait_for_pictures(page: Page) -> None:
    """Wait until every picture in the window is loaded."""
    page.wait_for_function(
        """() => [...document.images].every(image => {
            const box = image.getBoundingClientRect();
            const isSeen = box.bottom > 0 && box.top < window.innerHeight && box.width > 0;
            return !isSeen || image.complete;
        })"""
    )


VIEWS: dict[str, Callable[[Page], None]] = {
    "answer": _top,
    "antibodies": _section("antibodies"),
    "antibody": _antibody,
    "review": _section("review"),
    "controls": _section("controls"),
}
"""What is done before each picture, by its name."""


if __name__ == "__main__":
    main()
