"""The page: what it shows, rendered from templates, with its files beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import pandas as pd
from plotly.offline import get_plotlyjs

from cacl.hpa.licence import SYNTHETIC
from cacl.report import disagreement, figures, methods, page_data, text
from cacl.report.figures import Figure
from cacl.report.thumbnails import Picture, write_bytes
from cacl.tables import dictionary, write_text
from cacl.tables.schemas import (
    AgreementRow,
    AntibodyRow,
    ClassRow,
    DisagreementRow,
    FailureRow,
    GeneRow,
    ReviewRow,
)

SCRIPTS = ("common.js", "table.js", "panel.js", "report.js")
SHOWN_DISAGREEMENTS = 25
SHOWN_REVIEW = 25
SHOWN_FAILURES = 200
GALLERY_CORES = 3


@dataclass(frozen=True, kw_only=True)
class Content:
    """Everything the page shows.

    Parameters
    ----------
    images
        Columns of `MeasureRow`, one row an image.
    antibodies, genes
        By rank.
    agreement, disagreements
        With the atlas's annotation.
    review
        The cores most worth a look.
    failures
        Images left out.
    patterns
        Classes of each image.
    catalog
        Columns of `ImageRow`, of all images that were asked for.
    pictures
        Of gallery and panels, by image.
    gallery
        The antibodies of the gallery, by rank.
    figures
        In the order of the page.
    benchmark
        The benchmark's table as text; None where there is none.
    model
        `model.json` as it is; empty without one.
    settings
        What the run was asked for.
    grid
        How images were cut, in words; empty if unknown.
    tables
        The tables beside the page.
    notes
        How to read them.
    """

    images: pd.DataFrame
    antibodies: Sequence[AntibodyRow]
    genes: Sequence[GeneRow]
    agreement: Sequence[AgreementRow]
    disagreements: Sequence[DisagreementRow]
    review: Sequence[ReviewRow]
    failures: Sequence[FailureRow]
    classes: Sequence[ClassRow]
    catalog: pd.DataFrame
    pictures: Mapping[str, Picture]
    gallery: Sequence[AntibodyRow]
    figures: Sequence[Figure]
    benchmark: pd.DataFrame | None
    model: Mapping[str, Any]
    settings: text.Settings
    grid: str
    tables: Sequence[dictionary.Table]
    notes: Sequence[str]


def write_page(content: Content, out: Path) -> None:
    """Write `report.html`, its `assets/` and `figures/` into a folder; see `cacl.steps.report`.

    `figures/` is a page of its own, which a Snakemake report carries along.
    """
    assets = resources.files("cacl.report") / "assets"
    for name in ("report.css", *SCRIPTS):
        write_bytes(out / "assets" / name, (assets / name).read_bytes())
    figures = out / "figures"
    write_bytes(figures / "figures.css", (assets / "figures.css").read_bytes())
    write_bytes(figures / "draw.js", (assets / "draw.js").read_bytes())
    write_text(figures / "plotly.min.js", get_plotlyjs())
    specs = {figure.key: figure.spec for figure in content.figures}
    page_data.write_script(figures / "specs.js", "ATLAS_FIGURES", specs)
    catalog = content.catalog
    real = catalog[catalog["licence"] != SYNTHETIC]
    page_data.write_data(
        out / "assets",
        content.antibodies,
        content.genes,
        content.images,
        content.pictures,
        dict(zip(real["image_id"], real["url"], strict=True)),
        content.failures,
        content.classes,
        linked=not methods.is_synthetic(catalog),
    )
    environment = _environment()
    values = _values(content)
    for template, path in (
        ("figures.html.j2", figures / "index.html"),
        ("report.html.j2", out / "report.html"),
    ):
        write_text(path, environment.get_template(template).render(values))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cacl.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": text.percent,
        "signed": text.signed_percent,
        "number": text.number,
        "urlpath": quote,
    }
    return environment


def _values(content: Content) -> dict[str, Any]:
    images = content.images
    tissues = sorted(set(images["tissue"]) - {""})
    curves = [figure for figure in content.figures if figure.size == "small"]
    return {
        "content": content,
        "question": text.question(content.settings.cell_type, tissues),
        "answer": text.answer(content.antibodies, failed=len(content.failures)),
        "about_p": text.about_p(content.antibodies),
        "missing": text.missing(content.antibodies, content.images, content.settings.cell_type),
        "methods": methods.methods(
            content.settings, images, content.grid, str(content.model.get("preset", ""))
        ),
        "credits": methods.credit_lines(content.catalog),
        "citations": methods.CITATIONS,
        "has_atlas_images": methods.has_atlas_images(content.catalog),
        "reasons": text.reasons(content.failures),
        "flags": text.flags(images["qc"]),
        "flagged": _rows(images[images["qc"] != ""].head(SHOWN_FAILURES)),
        "model": list(text.flattened(content.model)),
        "benchmark": _benchmark(content.benchmark),
        "tables": [(table, dictionary.describe_columns(table.record)) for table in content.tables],
        "counts": {
            "antibodies": len(content.antibodies),
            "genes": len(content.genes),
            "images": len(images),
            "patients": len(set(images["patient_id"]) - {""}) or None,
            "flagged": int((images["qc"] != "").sum()),
            "failures": len(content.failures),
        },
        "has_curves": bool(curves),
        "networks": max((len(one.spec["data"]) for one in curves), default=0),
        "trained": text.trained(content.model, images),
        "keys": {figure.key for figure in content.figures},
        "cores": _gallery_cores(content),
        "interval": text.interval,
        "compared": [
            row.stained_to_cell_ratio
            for row in content.antibodies
            if row.stained_to_cell_ratio is not None
            and disagreement.level_of(row.hpa_staining, row.label) is not None
        ],
        "labels": figures.label_names(content.antibodies),
        "is_synthetic": methods.is_synthetic(content.catalog),
        "has_links": not methods.is_synthetic(content.catalog)
        and any(map(text.antibody_page, content.antibodies)),
        "known": {row.antibody_id for row in content.antibodies},
        "shown_disagreements": SHOWN_DISAGREEMENTS,
        "shown_review": SHOWN_REVIEW,
        "shown_failures": SHOWN_FAILURES,
        "scripts": SCRIPTS,
    }


def _gallery_cores(content: Content) -> dict[str, list[Any]]:
    images = content.images
    wanted = {row.antibody_id for row in content.gallery}
    pictured = images[
        images["antibody_id"].isin(wanted) & images["image_id"].isin(list(content.pictures))
    ]
    shown = pictured.groupby("antibody_id", sort=False).head(GALLERY_CORES)
    return {
        str(antibody_id): _rows(group)
        for antibody_id, group in shown.groupby("antibody_id", sort=False)
    }


def _rows(frame: pd.DataFrame) -> list[Any]:
    """Return a frame's rows as named tuples, None where a value is unknown, such as 0/0."""
    return list(frame.astype(object).where(frame.notna(), None).itertuples(index=False))


def _benchmark(frame: pd.DataFrame | None) -> dict[str, Any] | None:
    if frame is None:
        return None
    titles = {name: title for name, title in text.BENCHMARK_TITLES.items() if name in frame}
    rows = frame[list(titles)].to_numpy().tolist()
    return {
        "titles": list(titles.values()),
        "words": sum(name in text.BENCHMARK_WORDS for name in titles),
        "rows": [[text.number(value) for value in row] for row in rows],
    }
