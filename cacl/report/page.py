"""The page: what it shows, rendered from templates, with its files beside it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import pandas as pd
from plotly.offline import get_plotlyjs

from cacl.records import AntibodyRow, FailureRow, MeasureRow
from cacl.report import words
from cacl.report.figures import Figure
from cacl.report.pictures import Picture, write_bytes
from cacl.tables import columns, write_text

SIGNIFICANT_DIGITS = 6
CORE_COLUMNS = (
    "image_id",
    "patient_id",
    "tissue",
    "stained_to_cell_ratio",
    "ratio_low",
    "ratio_high",
    "border_share",
    "qc",
)


@dataclass(frozen=True, kw_only=True)
class Content:
    """Everything the page shows.

    Parameters
    ----------
    images
        Columns of `MeasureRow`, one row an image.
    antibodies
        By rank.
    failures
        Images left out.
    catalog
        Columns of `ImageRow`, of all images that were asked for.
    pictures
        Of the gallery, by image.
    gallery
        The antibodies of the gallery, by rank.
    figures
        In the order of the page.
    model
        `model.json` as it is; empty without one.
    settings
        What the run was asked for.
    grid
        How images were cut, in words; empty if unknown.
    """

    images: pd.DataFrame
    antibodies: Sequence[AntibodyRow]
    failures: Sequence[FailureRow]
    catalog: pd.DataFrame
    pictures: Mapping[str, Picture]
    gallery: Sequence[AntibodyRow]
    figures: Sequence[Figure]
    model: Mapping[str, Any]
    settings: words.Settings
    grid: str


def write_page(content: Content, out: Path) -> None:
    """Write `report.html` and its `assets/` into a folder; see `cacl.steps.report`."""
    assets = resources.files("cacl.report") / "assets"
    for name in ("report.css", "report.js"):
        write_bytes(out / "assets" / name, (assets / name).read_bytes())
    write_text(out / "assets" / "plotly.min.js", get_plotlyjs())
    specs = {figure.key: figure.spec for figure in content.figures}
    _write_script(out / "assets" / "figures.js", "ATLAS_FIGURES", specs)
    _write_script(out / "assets" / "data.js", "ATLAS", _antibody_data(content))
    _write_script(out / "assets" / "cores.js", "ATLAS_CORES", _core_data(content))
    write_text(out / "report.html", _render(content))


def _write_script(path: Path, name: str, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    write_text(path, f"window.{name} = {text};\n")


def _antibody_data(content: Content) -> dict[str, Any]:
    rows = [[_rounded(value) for value in dataclasses.astuple(row)] for row in content.antibodies]
    pages = [words.hpa_page(row.ensembl_id) for row in content.antibodies]
    names = [*columns(AntibodyRow), "hpa_page"]
    return {
        "columns": names,
        "rows": [[*row, page] for row, page in zip(rows, pages, strict=True)],
    }


def _core_data(content: Content) -> dict[str, Any]:
    frame = content.images[["antibody_id", *CORE_COLUMNS]]
    values = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    by_antibody: dict[str, list[list[Any]]] = {}
    for antibody_id, image_id, *rest in values:
        picture = content.pictures.get(image_id)
        place = [quote(picture.core), quote(picture.mask)] if picture else [None, None]
        row = [image_id, *(_rounded(value) for value in rest), *place]
        by_antibody.setdefault(antibody_id, []).append(row)
    return {"columns": [*CORE_COLUMNS, "core", "mask"], "rows": by_antibody}


def _rounded(value: Any) -> Any:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value


def _render(content: Content) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cacl.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": words.percent, "urlpath": quote}
    images = content.images
    tissues = sorted(set(images["tissue"]) - {""})
    patients = set(images["patient_id"]) - {""}
    cores = {
        antibody_id: group.itertuples(index=False)
        for antibody_id, group in _gallery_images(content).groupby("antibody_id", sort=False)
    }
    return environment.get_template("report.html.j2").render(
        content=content,
        question=words.question(content.settings.cell_type, tissues),
        answer=words.answer(content.antibodies),
        about_p=words.about_p(content.antibodies),
        methods=words.methods(content.settings, images, content.grid),
        credits=words.credit_lines(content.catalog),
        citations=words.CITATIONS,
        reasons=words.reasons(content.failures),
        model=list(words.flattened(content.model)),
        counts={
            "antibodies": len(content.antibodies),
            "genes": len(set(images["ensembl_id"]) - {""}),
            "images": len(images),
            "patients": len(patients),
            "flagged": int((images["qc"] != "").sum()),
            "failures": len(content.failures),
        },
        cores={name: list(rows) for name, rows in cores.items()},
        interval=words.interval,
        hpa_page=words.hpa_page,
    )


def _gallery_images(content: Content) -> pd.DataFrame:
    images: pd.DataFrame = content.images[content.images["image_id"].isin(list(content.pictures))]
    plain = images.astype(object)
    return plain.where(plain.notna(), None)[columns(MeasureRow)]
