"""The source of a run's results: images of two sources do not belong into one store."""

from __future__ import annotations

import json
from pathlib import Path

from cacl.config import SourceConfig
from cacl.errors import ConfigError
from cacl.runtime.json_text import parse_json
from cacl.tables import write_text

RECORD = Path(".snakemake/cacl-source.json")
CATALOG = Path("results/catalog/images.parquet")


def record_source(folder: Path, source: SourceConfig) -> None:
    """Record the source of the results in `folder`, when the workflow starts."""
    write_text(folder / RECORD, json.dumps(_identity(source)) + "\n")


def check_source(folder: Path, source: SourceConfig) -> None:
    """Check that a folder holds no results of another source.

    Further genes, or another path of a mirror or manifest, are no other source: the workflow
    follows their content.

    Parameters
    ----------
    folder
        The run's working directory.
    source
        The source of the configuration.

    Raises
    ------
    ConfigError
        The results are of another `source.kind`, or of another release of the Human Protein Atlas.
    """
    if not (folder / CATALOG).exists():
        return
    try:
        recorded = parse_json((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the results are of a run that recorded nothing
        return
    if isinstance(recorded, dict) and recorded != _identity(source):
        raise ConfigError(
            f"{folder.resolve()} holds the results of another source ({_describe(recorded)}) than "
            f"that of the configuration ({_describe(_identity(source))}), and one store would mix "
            "their images; name another folder with --directory, or delete results and resources "
            "there"
        )


def _identity(source: SourceConfig) -> dict[str, str | None]:
    version = {"hpa_version": source.hpa_version} if source.kind == "hpa" else {}
    return {"kind": source.kind} | version


def _describe(identity: dict[str, str | None]) -> str:
    return ", ".join(f"source.{name} {value}" for name, value in identity.items())
