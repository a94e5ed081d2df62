"""Data of the page's scripts: tables and cores as JSON, in files that load on demand."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from cacl.hpa.licence import SYNTHETIC
from cacl.report.content import ReportContent
from cacl.report.definitions import page_definitions
from cacl.report.text import percent
from cacl.report.thumbnails import Thumbnail
from cacl.report.views import View
from cacl.tables import columns, write_text
from cacl.tables.schemas import AntibodyRow, ClassRow, FailureRow, GeneRow

SIGNIFICANT_DIGITS = 6
ANTIBODIES_PER_FILE = 500
OMITTED_COLUMNS = ("cell_area_px", "stained_area_px")
CORE_COLUMNS = (
    "image_id",
    "patient_id",
    "tissue",
    "label",
    "stained_to_cell_ratio",
    "ratio_low",
    "ratio_high",
    "confidence",
    "border_share",
    "cell_area_px",
    "stained_area_px",
    "mpp",
    "cell_area_um2",
    "stained_area_um2",
    "stained_od",
    "weak_share",
    "moderate_share",
    "strong_share",
    "h_score",
    "qc",
)
THUMBNAIL_COLUMNS = ("core", "mask", "aspect", "url")
CLASSES_COLUMN = "classes"
VIEW_COLUMN = "view"


def write_page_data(content: ReportContent, folder: Path) -> None:
    """Write the data of the page's scripts.

    Parameters
    ----------
    content
        What the page shows.
    folder
        The page's assets. Gets `data.js` (antibodies; loaded at once), `genes.js`,
        `terms.js` (what the numbers mean; loaded when one is asked for) and
        `cores-<k>.js` (the cores of `ANTIBODIES_PER_FILE` antibodies by rank; loaded when one of
        them is opened). Cores and failures are pairs of an antibody and its values, because an
        object of JavaScript has names of its own, such as `constructor`.

    Notes
    -----
    A panel names the failed images of its antibody; a search names the failures of an antibody
    without any measured image. A panel lists the ratios of the classes if there are several.
    """
    _write_antibodies(content, folder)
    _write_genes(content.genes, folder)
    _write_cores(content, folder)
    definitions = page_definitions(content.tables)
    write_script(folder / "terms.js", "ATLAS_TERMS", definitions)


def _write_antibodies(content: ReportContent, folder: Path) -> None:
    tissues = tissues_by_antibody(content.images)
    failures = failures_by_antibody(content.failures)
    measured = {row.antibody_id for row in content.antibodies}
    fields = [name for name in columns(AntibodyRow) if name not in OMITTED_COLUMNS]
    write_script(
        folder / "data.js",
        "ATLAS",
        {
            "columns": [*fields, "tissues"],
            "rows": [
                [*_field_values(row, fields), tissues.get(row.antibody_id, "")]
                for row in content.antibodies
            ],
            "perFile": ANTIBODIES_PER_FILE,
            "hasHpaPages": not content.is_synthetic,
            "unmeasured": [
                [name, _count_failures(rows)]
                for name, rows in failures.items()
                if name not in measured
            ],
        },
    )


def _write_genes(genes: Sequence[GeneRow], folder: Path) -> None:
    fields = [name for name in columns(GeneRow) if name not in OMITTED_COLUMNS]
    rows = [_field_values(row, fields) for row in genes]
    write_script(folder / "genes.js", "ATLAS_GENES", {"columns": fields, "rows": rows})


def _write_cores(content: ReportContent, folder: Path) -> None:
    failures = failures_by_antibody(content.failures)
    cores = _cores_by_antibody(content)
    for number, start in enumerate(range(0, len(content.antibodies), ANTIBODIES_PER_FILE)):
        rows = content.antibodies[start : start + ANTIBODIES_PER_FILE]
        antibody_ids = [row.antibody_id for row in rows]
        value = {
            "columns": [*CORE_COLUMNS, *THUMBNAIL_COLUMNS, CLASSES_COLUMN, VIEW_COLUMN],
            "rows": [[antibody_id, cores[antibody_id]] for antibody_id in antibody_ids],
            "failed": [
                [
                    antibody_id,
                    [
                        [row.image_id, row.stage, _readable(row.reason)]
                        for row in failures[antibody_id]
                    ],
                ]
                for antibody_id in antibody_ids
                if antibody_id in failures
            ],
        }
        write_script(folder / f"cores-{number}.js", f"ATLAS_CORES_{number}", value)


def tissues_by_antibody(images: pd.DataFrame) -> dict[str, str]:
    """Return the tissues of each antibody, sorted and joined by "; "."""
    pairs = images.loc[images["tissue"] != "", ["antibody_id", "tissue"]].drop_duplicates()
    tissues: dict[str, list[str]] = {}
    for antibody_id, tissue in sorted(zip(pairs["antibody_id"], pairs["tissue"], strict=True)):
        tissues.setdefault(antibody_id, []).append(tissue)
    return {antibody_id: "; ".join(names) for antibody_id, names in tissues.items()}


def failures_by_antibody(failures: Sequence[FailureRow]) -> dict[str, list[FailureRow]]:
    """Return the failures of each antibody, or of each gene that the catalog could not read."""
    grouped: dict[str, list[FailureRow]] = {}
    for row in sorted(failures, key=lambda row: row.image_id):
        grouped.setdefault(row.image_id.split("/")[0], []).append(row)
    return grouped


def class_ratios_by_image(classes: Sequence[ClassRow]) -> dict[str, str]:
    """Return the ratios of an image's classes in words; only for images with several classes."""
    ratios: dict[str, list[str]] = {}
    for row in classes:
        ratio = f"{row.class_name} {percent(row.stained_to_cell_ratio)}"
        ratios.setdefault(row.image_id, []).append(ratio)
    return {image_id: ", ".join(texts) for image_id, texts in ratios.items() if len(texts) > 1}


def _count_failures(failures: Sequence[FailureRow]) -> str:
    """Return failures in words, such as "2 not found at acquire, 1 blank at tile"."""
    counts = Counter(f"{_readable(row.reason)} at {row.stage}" for row in failures)
    return ", ".join(f"{count} {failure}" for failure, count in counts.most_common())


def _readable(reason: str) -> str:
    return reason.replace("_", " ")


def write_script(path: Path, name: str, value: Any) -> None:
    """Write a value as a script that sets `window.<name>`.

    A browser refuses to load JSON into a page that is opened from disk, but it loads scripts.
    """
    document = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    write_text(path, f"window.{name} = {document};\n")


def is_web_address(url: str) -> bool:
    """Return whether a URL may become a link: an address of the web, not a script or a file."""
    return url.startswith(("https://", "http://"))


def _field_values(row: AntibodyRow | GeneRow, fields: Sequence[str]) -> list[Any]:
    values = dataclasses.asdict(row)
    return [_round(values[name]) for name in fields]


def _cores_by_antibody(content: ReportContent) -> dict[str, list[list[Any]]]:
    frame = content.images[["antibody_id", *CORE_COLUMNS]]
    values = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    real = content.catalog[content.catalog["licence"] != SYNTHETIC]
    urls: Mapping[str, str] = dict(zip(real["image_id"], real["url"], strict=True))
    class_ratios = class_ratios_by_image(content.classes)
    cores: dict[str, list[list[Any]]] = {}
    for antibody_id, image_id, *numbers in values:
        row = [image_id, *(_round(value) for value in numbers)]
        row += _thumbnail_values(content.thumbnails.get(image_id), urls.get(image_id, ""))
        row += [class_ratios.get(image_id, ""), _view_values(content.views.get(image_id))]
        cores.setdefault(antibody_id, []).append(row)
    return cores


def _thumbnail_values(thumbnail: Thumbnail | None, url: str) -> list[Any]:
    address = url if is_web_address(url) else None
    if thumbnail is None:
        return [None, None, None, address]
    aspect = round(thumbnail.width / thumbnail.height, 4)
    return [quote(thumbnail.core), quote(thumbnail.mask), aspect, address]


def _view_values(view: View | None) -> list[Any] | None:
    if view is None:
        return None
    return [quote(view.core), quote(view.mask), view.width, view.height, view.factor]


def _round(value: Any) -> Any:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
