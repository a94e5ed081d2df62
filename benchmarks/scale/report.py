"""Time and memory of the report, by the size of the census, and of its first page in a browser.

Usage: python -m benchmarks.scale.report [--antibodies N ...] [--seed N] [--out FILE]

A census of antibodies x 3 images is generated in the format of `cacl measure`, with a store whose
images are links to a few synthetic ones. `cacl report` runs on it in a fresh process; then headless
Chromium opens the page from disk. Everything is deleted afterwards.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._lib.process import print_usage, read_usage
from benchmarks._lib.report import RESULTS, write_table
from cacl import tables
from cacl.runtime.file_digest import json_with_digest
from cacl.steps.parameters import ReportFiles
from cacl.steps.report import report
from cacl.store import ImageMeta, Store
from cacl.tables.schemas import FailureRow, ImageRow, MeasureRow

MODULE = "benchmarks.scale.report"
PATIENTS = ("1001", "1002", "1003")
TILE_PX, SIDE_TILES, SYNTHETIC_IMAGES = 128, 8, 12
SHARDS = 32
LEVELS = np.array(["not detected", "not detected", "not detected", "low", "medium", "high"])
TIMEOUT_S = 600


def write_census(folder: Path, antibodies: int, seed: int) -> None:
    """Write census, catalog, failures and store of a generated run."""
    rng = np.random.default_rng(seed)
    size = antibodies * len(PATIENTS)
    numbers = np.repeat(np.arange(antibodies), len(PATIENTS))
    level = np.repeat(rng.integers(0, LEVELS.size, antibodies), len(PATIENTS))
    cell = rng.integers(200_000, 450_000, size)
    ratio = np.clip(rng.gamma(2.0, 0.002, size) * (1 + 8 * (level - 2).clip(0)), 0, 0.6)
    stained = (cell * ratio).astype(np.int64)
    dab = np.minimum(cell, stained + (cell * rng.gamma(2.0, 0.05, size)).astype(np.int64))
    mask_fraction = rng.uniform(0.2, 1.0, size)
    intensity_fractions = rng.dirichlet([12, 3, 2, 1], size)
    names = [f"HPA{number:06d}" for number in numbers]
    images = [
        f"{name}/{number}_A_{column}_2"
        for name, number, column in zip(names, numbers, np.tile([7, 8, 9], antibodies), strict=True)
    ]
    frame = pd.DataFrame(
        {
            "image_id": images,
            "antibody_id": names,
            "ensembl_id": [f"ENSG{number // 2:011d}" for number in numbers],
            "gene": [f"GENE{number // 2}" for number in numbers],
            "tissue": "duodenum",
            "patient_id": np.tile(PATIENTS, antibodies),
            "label": np.where(level < 3, "negative", np.where(level > 3, "positive", "")),
            "tiles": 50,
            "cell_area_px": cell,
            "stained_area_px": stained,
            "stained_to_cell_ratio": stained / cell,
            "ratio_low": stained / cell * 0.8,
            "ratio_high": np.minimum(stained / cell * 1.2, 1.0),
            "dab_area_px": dab,
            "border_share": np.where(dab > 0, mask_fraction, np.nan),
            "mpp": 1.1,
            "mpp_source": "core diameter",
            "cell_area_um2": cell * 1.21,
            "stained_area_um2": stained * 1.21,
            "core_diameter_px": 910.0,
            "stained_od": rng.uniform(0.3, 0.9, size),
            "weak_share": intensity_fractions[:, 1],
            "moderate_share": intensity_fractions[:, 2],
            "strong_share": intensity_fractions[:, 3],
            "h_score": 100
            * (
                intensity_fractions[:, 1]
                + 2 * intensity_fractions[:, 2]
                + 3 * intensity_fractions[:, 3]
            ),
            "confidence": rng.uniform(0.5, 1.0, size),
            "ratio_sd": stained / cell * rng.uniform(0.0, 0.2, size),
            "hpa_staining": LEVELS[level],
            "hpa_intensity": np.where(level < 3, "negative", "moderate"),
            "hpa_quantity": np.where(level < 3, "negative", ">75%"),
            "hpa_location": np.where(level < 3, "none", "cytoplasmic/membranous"),
            "qc": np.where(rng.random(size) < 0.03, "blur;little tissue", ""),
        }
    )
    for shard in range(SHARDS):
        rows = frame[numbers % SHARDS == shard]
        tables.write_parquet(folder / "census" / f"{shard}.parquet", rows, MeasureRow)
    tables.write_csv(folder / "failures.csv", _failures(size // 100), FailureRow)
    _write_catalog(folder, frame)
    _write_store(folder / "atlas.zarr", images, seed)
    (folder / "model").mkdir()
    model = {"preset": "robust", "steps": 350}
    (folder / "model" / "model.json").write_bytes(json_with_digest(model))
    steps = "\n".join(f"{step},{1 / step}" for step in range(1, 5001))
    (folder / "model" / "training.csv").write_text(f"step,loss\n{steps}\n")


def _failures(count: int) -> list[FailureRow]:
    return [
        FailureRow(
            image_id=f"HPA9{number:05d}/1_A_7_2",
            stage="acquire",
            reason="not_found",
            message="HTTP 404",
            source=f"https://images.proteinatlas.org/9{number:05d}/1_A_7_2.jpg",
        )
        for number in range(count)
    ]


def _write_catalog(folder: Path, frame: pd.DataFrame) -> None:
    columns = ["image_id", "antibody_id", "ensembl_id", "gene", "tissue", "patient_id", "label"]
    catalog = [
        ImageRow(
            **{str(name): value for name, value in values.items()},
            sex="",
            age=None,
            url=f"https://images.proteinatlas.org/{values['image_id']}.jpg",
            path="",
            hpa_version="23",
            licence="CC BY-SA 4.0",
            mpp=None,
            label_source="",
        )
        for values in frame[columns].to_dict("records")
    ]
    tables.write_parquet(folder / "catalog" / "images.parquet", catalog, ImageRow)


def _write_store(root: Path, images: list[str], seed: int) -> None:
    """Write a few synthetic cores; every other image is a link to one of them."""
    store, rng = Store(root), np.random.default_rng(seed)
    side = TILE_PX * SIDE_TILES
    rows, columns = np.mgrid[:side, :side] - side / 2
    core = np.hypot(rows, columns) < 0.45 * side
    for image_id in images[:SYNTHETIC_IMAGES]:
        coarse = rng.integers(90, 220, (3, 64, 64)).repeat(side // 64, 1).repeat(side // 64, 2)
        grain = rng.integers(-15, 16, (3, side, side))
        pixels = np.where(core, np.clip(coarse + grain, 0, 255), 244).astype(np.uint8)
        meta = ImageMeta(
            image_id=image_id,
            source_sha256="0" * 64,
            source_height=SIDE_TILES * 375,
            source_width=SIDE_TILES * 375,
            source_px=375,
            tile_px=TILE_PX,
            mpp=None,
            digest="generated",
        )
        store.write_image(meta, pixels, core)
        store.write_label(image_id, "stain", core & (pixels[0] < 120), "generated")
    for index, image_id in enumerate(images[SYNTHETIC_IMAGES:]):
        path = store.path(image_id)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(store.path(images[index % SYNTHETIC_IMAGES]), target_is_directory=True)


def write_report(folder: Path) -> int:
    """Write the report in this process; return the number of census tables."""
    census = sorted((folder / "census").glob("*.parquet"))
    files = ReportFiles(
        census=census,
        failures=[folder / "failures.csv"],
        store=folder / "atlas.zarr",
        model=folder / "model",
        catalog=folder / "catalog",
    )
    report(files, folder / "report", cell_type="enterocytes - microvilli", seed=0, jobs=2)
    return len(census)


def open_page(page: Path) -> tuple[float, float, float]:
    """Open the report in a browser.

    Returns
    -------
    MB of the first page (what the browser has read when the page is loaded; the plotting library
    comes later), seconds until the table is shown, and seconds until the result of a search is.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.set_default_timeout(TIMEOUT_S * 1000)
        read: list[Path] = []
        tab.on("request", lambda request: read.append(Path(request.url.removeprefix("file://"))))
        start = time.perf_counter()
        tab.goto(page.resolve().as_uri(), wait_until="commit")
        tab.locator("#table tbody tr").first.wait_for()
        table_s = time.perf_counter() - start
        tab.wait_for_load_state("load")
        page_mb = sum(path.stat().st_size for path in set(read) if path.is_file()) / 1e6
        start = time.perf_counter()
        tab.fill("#search", "gene42")
        tab.wait_for_function("document.getElementById('shown').textContent.match(/^[0-9]+ of/)")
        search_s = time.perf_counter() - start
        browser.close()
    return page_mb, table_s, search_s


def row(antibodies: int, seed: int) -> list[str]:
    """Measure a census of one size; return its row of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_census(folder, antibodies, seed)
        usage = read_usage(MODULE, "--measure", name)
        files = [path for path in (folder / "report").rglob("*") if path.is_file()]
        pictures = {path for path in files if path.parts[-3] == "images"}
        views = {path for path in pictures if path.name.endswith((".jpg", ".stain.png"))}
        thumbnails = [path.stat().st_size for path in pictures - views]
        views_mb = sum(path.stat().st_size for path in views) / 1e6
        page_mb, table_s, search_s = open_page(folder / "report" / "report.html")
    return [
        f"{antibodies:,}",
        f"{antibodies * len(PATIENTS):,}",
        f"{usage.wall_s:.0f}",
        f"{usage.cpu_s:.0f}",
        f"{usage.peak_mb:,.0f}",
        f"{len(thumbnails):,}",
        f"{max(thumbnails) / 1e3:.0f}",
        f"{views_mb:.0f}",
        f"{page_mb:.2f}",
        f"{table_s:.1f}",
        f"{search_s:.2f}",
    ]


HEADER = [
    "antibodies",
    "images",
    "report s",
    "CPU s",
    "peak MB",
    "thumbnails",
    "largest kB",
    "pictures MB",
    "first page MB",
    "table shown after s",
    "search s",
]


def main() -> None:
    """Parse the options, and measure, or write one report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--antibodies", type=int, nargs="+", default=[3000, 25_000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "report.md")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print_usage(lambda: write_report(options.measure))
        return
    rows = [row(antibodies, options.seed) for antibodies in options.antibodies]
    notes = [
        f"input: a generated census, seed {options.seed}, {len(PATIENTS)} images per antibody, in "
        f"the format of `cacl measure`; the images of the store are links to {SYNTHETIC_IMAGES} "
        "synthetic ones of 1024 px",
        "report: `cacl report` with two threads in a fresh process, from census tables to the page;"
        " first page: what Chromium reads from disk until the page is loaded",
        f"load average at the end: {os.getloadavg()[0]:.1f}",
        "targets: 25,000 antibodies within 600 s and 4,000 MB; at 3,000 a first page under 3 MB, "
        "usable within 2 s; thumbnails of at most 60 kB",
    ]
    write_table(options.out, "The report, by the size of the census", notes, HEADER, rows)


if __name__ == "__main__":
    main()
