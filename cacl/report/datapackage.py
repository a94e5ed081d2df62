"""`datapackage.json`: description of the report's tables as a Frictionless Data Package."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cacl import __version__
from cacl.hpa.licence import SYNTHETIC
from cacl.tables import write_text
from cacl.tables.dictionary import Column, Table, describe_columns

HOMEPAGE = "https://arxiv.org/abs/2011.00794"
FRACTION_UNIT = "0-1"
LICENCE_URLS = {
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "CC-BY-SA-3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
}
LICENCE_NAME = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._]*")
READ_BLOCK = 1 << 20


def write_datapackage(
    out: Path, tables: Sequence[Table], *, title: str, description: str, catalog: pd.DataFrame
) -> None:
    """Write `datapackage.json`, which describes the CSVs of a report.

    Parameters
    ----------
    out
        Folder of the report.
    tables
        Tables to describe; `<out>/<name>.csv` must exist.
    title, description
        Title and description of the package.
    catalog
        Columns of `ImageRow`, for sources and licences.

    References
    ----------
    Data Package, Tabular Data Package and Table Schema, https://specs.frictionlessdata.io.
    """
    package = {
        "profile": "tabular-data-package",
        "name": "cacl-atlas-report",
        "title": title,
        "description": description,
        "version": __version__,
        "homepage": HOMEPAGE,
        "licenses": licences(catalog),
        "sources": sources(catalog),
        "resources": [_resource(out, table) for table in tables],
    }
    non_empty = {key: value for key, value in package.items() if value}
    write_text(out / "datapackage.json", json.dumps(non_empty, indent=1, ensure_ascii=False) + "\n")


def licences(catalog: pd.DataFrame) -> list[dict[str, str]]:
    """Return the images' licences in the form of the specification; unknown ones are left out."""
    entries = []
    for text in sorted(set(catalog["licence"]) - {"", SYNTHETIC}):
        name = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")
        if LICENCE_NAME.fullmatch(name):
            url = LICENCE_URLS.get(name.upper())
            entries.append({"name": name, "title": text} | ({"path": url} if url else {}))
    return entries


def sources(catalog: pd.DataFrame) -> list[dict[str, str]]:
    """Return the sources of the images, one per release of the HPA."""
    releases = sorted(set(catalog["hpa_version"][catalog["licence"] != SYNTHETIC]) - {""})
    return [
        {"title": f"Human Protein Atlas, release {release}", "path": "https://www.proteinatlas.org"}
        for release in releases
    ]


def _resource(out: Path, table: Table) -> dict[str, Any]:
    path = out / f"{table.name}.csv"
    return {
        "profile": "tabular-data-resource",
        "name": table.name,
        "path": path.name,
        "title": table.title,
        "description": table.about,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "bytes": path.stat().st_size,
        "hash": f"sha256:{_sha256(path)}",
        "dialect": {"delimiter": ",", "lineTerminator": "\n", "quoteChar": '"', "header": True},
        "schema": _schema(table),
    }


def _schema(table: Table) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "fields": [_field(column, table) for column in describe_columns(table.record)],
        "missingValues": [""],
    }
    if table.key:
        schema["primaryKey"] = [table.key]
    if table.names_antibody:
        reference = {"resource": "antibodies", "fields": ["antibody_id"]}
        schema["foreignKeys"] = [{"fields": ["antibody_id"], "reference": reference}]
    return schema


def _field(column: Column, table: Table) -> dict[str, Any]:
    constraints: dict[str, Any] = {}
    if table.key == column.name:
        constraints |= {"required": True, "unique": True}
    elif column.kind != "string" and not column.is_optional:
        constraints |= {"required": True}
    if column.unit == FRACTION_UNIT:
        constraints |= {"minimum": 0, "maximum": 1}
    field = {
        "name": column.name,
        "type": column.kind,
        "description": column.meaning,
        "unit": column.unit,
        "constraints": constraints,
    }
    return {key: value for key, value in field.items() if value}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BLOCK):
            digest.update(block)
    return digest.hexdigest()
