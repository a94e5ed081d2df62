"""The report's page, rendered from templates, with its assets beside it."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import pandas as pd
from plotly.offline import get_plotlyjs

from cacl.image import palette
from cacl.report import disagreement, figures, gallery, methods, page_data, text
from cacl.report.content import ReportContent
from cacl.report.controls import Controls
from cacl.tables import dictionary, write_bytes, write_text

STYLES = (
    "report.css",
    "sections.css",
    "tools.css",
    "panel.css",
    "compare.css",
    "viewer.css",
    "media.css",
)
# In the order of their use: each one adds its functions to `window.Cacl`.
SCRIPTS = (
    *("common.js", "address.js", "definitions.js", "export.js"),
    *("column_filters.js", "table_tools.js", "table.js", "columns.js"),
    *("cores.js", "facts.js", "zoom.js", "viewer.js", "panel.js", "compare.js", "masks.js"),
    "report.js",
)
# The page has one file of each, because a browser opens a file faster than twenty.
STYLE, SCRIPT = "report.css", "report.js"
SHOWN_FAILURES = 200
GALLERY_CORES = 3
# CSS variables of the page.
COLOURS = {
    "positive": palette.VERMILLION,
    "negative": palette.BLUE,
    "neutral": palette.GREY,
    "highlight": palette.ORANGE,
}


def write_page(content: ReportContent, out: Path) -> None:
    """Write `report.html`, its `assets/` and its `figures/`.

    Parameters
    ----------
    content
        What the page shows.
    out
        Folder of the report. `figures/` is a complete page too, which a Snakemake report embeds.
    """
    assets = resources.files("cacl.report") / "assets"
    for bundle, names in ((STYLE, STYLES), (SCRIPT, SCRIPTS)):
        parts = [(assets / name).read_bytes() for name in names]
        write_bytes(out / "assets" / bundle, b"\n".join(parts))
    page_data.write_page_data(content, out / "assets")
    figures_folder = out / "figures"
    write_bytes(figures_folder / "figures.css", (assets / "figures.css").read_bytes())
    write_bytes(figures_folder / "draw.js", (assets / "draw.js").read_bytes())
    write_text(figures_folder / "plotly.min.js", get_plotlyjs())
    specs = {figure.key: figure.spec for figure in content.figures}
    page_data.write_script(figures_folder / "specs.js", "ATLAS_FIGURES", specs)
    environment = _environment()
    values = _template_values(content)
    for template, path in (
        ("figures.html.j2", figures_folder / "index.html"),
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
        "number": text.format_number,
        "urlpath": quote,
    }
    return environment


def _template_values(content: ReportContent) -> dict[str, Any]:
    images = content.images
    curves = [figure for figure in content.figures if figure.size == "small"]
    return {
        "content": content,
        "colours": {name: palette.hex_code(colour) for name, colour in COLOURS.items()},
        "limitations": [
            *content.origin.warnings,
            *text.limitations(content.antibodies, images, content.settings.cell_type),
        ],
        "methods": methods.methods_paragraph(
            content.settings, images, content.tiling, content.model, content.stain_vectors
        ),
        "credits": methods.credit_lines(content.catalog),
        "citations": methods.CITATIONS,
        "has_hpa_images": methods.has_hpa_images(content.catalog),
        "failure_counts": text.failure_counts(content.failures),
        "quality_flags": text.quality_flag_counts(images["qc"]),
        "flagged": _rows(images[images["qc"] != ""].head(SHOWN_FAILURES)),
        "model": list(text.flatten(content.model)),
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
        "controls_table": _controls(content.controls),
        "control_columns": CONTROL_COLUMNS,
        "has_curves": bool(curves),
        "networks": max((len(figure.spec["data"]) for figure in curves), default=0),
        "training": " ".join(
            filter(None, [content.origin.sentence, text.describe_training(content.model, images)])
        ),
        "figure_keys": {figure.key for figure in content.figures},
        "cores": _gallery_cores(content),
        "percent_range": text.percent_range,
        "compared_ratios": [
            row.stained_to_cell_ratio
            for row in content.antibodies
            if row.stained_to_cell_ratio is not None
            and disagreement.annotation_level(row.hpa_staining, row.label) is not None
        ],
        "label_names": figures.label_names(content.antibodies),
        "has_hpa_links": not content.is_synthetic and any(map(text.hpa_url, content.antibodies)),
        "antibody_ids": {row.antibody_id for row in content.antibodies},
        "shown_disagreements": gallery.SHOWN_DISAGREEMENTS,
        "shown_review": gallery.SHOWN_REVIEW,
        "shown_failures": SHOWN_FAILURES,
        "style": STYLE,
        "script": SCRIPT,
    }


def _gallery_cores(content: ReportContent) -> dict[str, list[Any]]:
    """Return the first `GALLERY_CORES` images with thumbnails of each antibody of the gallery."""
    images = content.images
    antibody_ids = {row.antibody_id for row in content.gallery}
    candidates = images[
        images["antibody_id"].isin(antibody_ids) & images["image_id"].isin(list(content.thumbnails))
    ]
    shown = candidates.groupby("antibody_id", sort=False).head(GALLERY_CORES)
    return {
        str(antibody_id): _rows(group)
        for antibody_id, group in shown.groupby("antibody_id", sort=False)
    }


def _rows(frame: pd.DataFrame) -> list[Any]:
    """Return a frame's rows as named tuples, with None for unknown values."""
    return list(frame.astype(object).where(frame.notna(), None).itertuples(index=False))


def _benchmark(frame: pd.DataFrame | None) -> dict[str, Any] | None:
    if frame is None:
        return None
    titles = {name: title for name, title in text.BENCHMARK_TITLES.items() if name in frame}
    rows = frame[list(titles)].to_numpy().tolist()
    return {
        "titles": titles,
        "text_columns": sum(name in text.BENCHMARK_TEXT_COLUMNS for name in titles),
        "rows": [[text.format_number(value) for value in row] for row in rows],
    }


CONTROL_COLUMNS = {
    "Method": "method",
    "Width": "width_um",
    "Density": "dose_od",
    "Found": "recall",
    "Precision": "precision",
    "Dice": "dice",
    "Boundary F1": "boundary_f1",
    "Stained, % of cell area": "found_percent",
    "Painted, %": "painted_percent",
    "Slope": "slope",
    "CCC": "ccc",
}
"""Columns of `controls.csv` by their titles on the page."""


def _controls(controls: Controls) -> list[dict[str, str]]:
    """Return the rows of the table of controls, as text by title."""
    return [
        {
            "Method": row.method,
            "Width": f"{row.width_um:g} um",
            "Density": f"{row.dose_od:g} OD",
            "Found": text.percent(row.recall),
            "Precision": text.percent(row.precision),
            "Dice": text.format_number(row.dice),
            "Boundary F1": text.format_number(row.boundary_f1),
            "Stained, % of cell area": text.format_number(row.found_percent),
            "Painted, %": text.format_number(row.painted_percent if row.dose_od else 0.0),
            "Slope": text.format_number(row.slope),
            "CCC": text.format_number(row.ccc),
        }
        for row in controls.rows
    ]
