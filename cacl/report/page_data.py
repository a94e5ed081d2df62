"""What the page's scripts read: tables and cores as JSON, in files that load when needed."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from cacl.report.text import percent
from cacl.report.thumbnails import Picture
from cacl.tables import columns, write_text
from cacl.tables.schemas import AntibodyRow, ClassRow, FailureRow, GeneRow

SIGNIFICANT_DIGITS = 6
ANTIBODIES_PER_FILE = 500
LEFT_OUT = ("cell_area_px", "stained_area_px")
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
    "cell_area_um2",
    "stained_area_um2",
    "stained_od",
    "weak_share",
    "moderate_share",
    "strong_share",
    "h_score",
    "qc",
)
PICTURE_COLUMNS = ("core", "mask", "aspect", "url")
CLASSES_COLUMN = "classes"


def write_data(
    out: Path,
    antibodies: Sequence[AntibodyRow],
    genes: Sequence[GeneRow],
    images: pd.DataFrame,
    pictures: Mapping[str, Picture],
    urls: Mapping[str, str],
    failures: Sequence[FailureRow],
    classes: Sequence[ClassRow],
    *,
    linked: bool,
) -> None:
    """Write the page's data into `out`, the folder of its assets.

    Parameters
    ----------
    out
        Gets `data.js` (antibodies; read at once), `genes.js` and `cores-<k>.js` (the cores of
        `ANTIBODIES_PER_FILE` antibodies by rank; read when one of them is opened).
    antibodies, genes
        By rank.
    images
        Columns of `MeasureRow`.
    pictures
        By image; the panel of an image without one links to its original.
    urls
        Address of the original by image; used only if it is one of the web.
    failures
        Images left out; a panel names those of its antibody, a search those of an antibody none
        of whose images was measured.
    patterns
        Classes of each image; a panel names their ratios where there are several.
    linked
        Whether antibodies and genes have pages in the Human Protein Atlas.
    """
    tissues, failed = tissues_of(images), failures_of(failures)
    known = {row.antibody_id for row in antibodies}
    fields = [name for name in columns(AntibodyRow) if name not in LEFT_OUT]
    write_script(
        out / "data.js",
        "ATLAS",
        {
            "columns": [*fields, "tissues"],
            "rows": [
                [*_values(row, fields), tissues.get(row.antibody_id, "")] for row in antibodies
            ],
            "perFile": ANTIBODIES_PER_FILE,
            "linked": linked,
            "lost": [[name, _summed(rows)] for name, rows in failed.items() if name not in known],
        },
    )
    gene_fields = [name for name in columns(GeneRow) if name not in LEFT_OUT]
    gene_rows = [_values(row, gene_fields) for row in genes]
    write_script(out / "genes.js", "ATLAS_GENES", {"columns": gene_fields, "rows": gene_rows})
    cores = _cores(images, pictures, urls, classes_of(classes))
    for number, start in enumerate(range(0, len(antibodies), ANTIBODIES_PER_FILE)):
        names = [row.antibody_id for row in antibodies[start : start + ANTIBODIES_PER_FILE]]
        value = {
            "columns": [*CORE_COLUMNS, *PICTURE_COLUMNS, CLASSES_COLUMN],
            "rows": {name: cores[name] for name in names},
            "failed": {
                name: [[row.image_id, row.stage, _readable(row.reason)] for row in failed[name]]
                for name in names
                if name in failed
            },
        }
        write_script(out / f"cores-{number}.js", f"ATLAS_CORES_{number}", value)


def tissues_of(images: pd.DataFrame) -> dict[str, str]:
    """Return the tissues of each antibody, sorted and joined by "; "."""
    pairs = images.loc[images["tissue"] != "", ["antibody_id", "tissue"]].drop_duplicates()
    found: dict[str, list[str]] = {}
    for antibody_id, tissue in sorted(zip(pairs["antibody_id"], pairs["tissue"], strict=True)):
        found.setdefault(antibody_id, []).append(tissue)
    return {antibody_id: "; ".join(names) for antibody_id, names in found.items()}


def failures_of(failures: Sequence[FailureRow]) -> dict[str, list[FailureRow]]:
    """Return the failures of each antibody, or of each gene that the catalog could not read."""
    found: dict[str, list[FailureRow]] = {}
    for row in sorted(failures, key=lambda row: row.image_id):
        found.setdefault(row.image_id.split("/")[0], []).append(row)
    return found


def classes_of(classes: Sequence[ClassRow]) -> dict[str, str]:
    """Return the ratios of an image's classes in words; nothing for images of one class."""
    found: dict[str, list[str]] = {}
    for row in classes:
        said = f"{row.class_name} {percent(row.stained_to_cell_ratio)}"
        found.setdefault(row.image_id, []).append(said)
    return {image_id: ", ".join(said) for image_id, said in found.items() if len(said) > 1}


def _summed(failures: Sequence[FailureRow]) -> str:
    """Return failures in words, such as "2 not found at acquire, 1 blank at tile"."""
    counts = Counter(f"{_readable(row.reason)} at {row.stage}" for row in failures)
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


def _readable(reason: str) -> str:
    return reason.replace("_", " ")


def write_script(path: Path, name: str, value: Any) -> None:
    """Write a value as a script that sets `window.<name>`: a page on disk may read no JSON."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    write_text(path, f"window.{name} = {text};\n")


def is_web_address(url: str) -> bool:
    """Return whether an address may become a link: of the web, not of a script or a file."""
    return url.startswith(("https://", "http://"))


def _values(row: AntibodyRow | GeneRow, fields: Sequence[str]) -> list[Any]:
    values = dataclasses.asdict(row)
    return [_rounded(values[name]) for name in fields]


def _cores(
    images: pd.DataFrame,
    pictures: Mapping[str, Picture],
    urls: Mapping[str, str],
    classes: Mapping[str, str],
) -> dict[str, list[list[Any]]]:
    frame = images[["antibody_id", *CORE_COLUMNS]]
    values = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    by_antibody: dict[str, list[list[Any]]] = {}
    for antibody_id, image_id, *rest in values:
        row = [image_id, *(_rounded(value) for value in rest)]
        row += _place(pictures.get(image_id), urls.get(image_id, ""))
        row.append(classes.get(image_id, ""))
        by_antibody.setdefault(antibody_id, []).append(row)
    return by_antibody


def _place(picture: Picture | None, url: str) -> list[Any]:
    address = url if is_web_address(url) else None
    if picture is None:
        return [None, None, None, address]
    aspect = round(picture.width / picture.height, 4)
    return [quote(picture.core), quote(picture.mask), aspect, address]


def _rounded(value: Any) -> Any:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
