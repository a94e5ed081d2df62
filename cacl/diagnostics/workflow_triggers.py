"""What Snakemake has to compare to see which shards, and whether the model, a change concerns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cacl.config import flags

DRAWN_FROM = ("kind", "hpa_version", "tissues", "mirror", "manifest")
SOURCE_COLUMNS = ("image_id", "antibody_id", "url", "path", "hpa_version", "licence", "mpp")


def content_digest(paths: Iterable[Path], columns: Iterable[str] = ()) -> str:
    """Return a SHA-256 over what tables hold; a table that is not there yet counts as nothing.

    Parameters
    ----------
    paths
        Parquet tables.
    columns
        The columns that matter; all if empty. `SOURCE_COLUMNS` are those of an image's bytes:
        whoever reads nothing else need not run again when a label changes.
    """
    import pyarrow.parquet as pq  # every job reads the rules, few of them need a digest

    digest, wanted = hashlib.sha256(), list(columns) or None
    for path in paths:
        if path.exists():
            table = pq.read_table(path, columns=wanted)
            digest.update(repr(table.to_pydict()).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def training_settings(settings: Mapping[str, Any]) -> str:
    """Return, as text, all that a model is trained for, besides the options of the training.

    Genes and antibodies are left out: more of them do not change a model that there is.
    """
    drawn = {key: settings["source"][key] for key in DRAWN_FROM}
    if drawn["kind"] == "phantom":
        del drawn["mirror"]
        drawn["setting"] = settings["phantom"]["setting"]
    chosen = {"max_tiles": settings["train"]["max_tiles"], "seed": settings["seed"]}
    return flags(drawn | settings["labels"] | settings["tiles"] | chosen)
