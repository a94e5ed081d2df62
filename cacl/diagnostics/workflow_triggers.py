"""Digests and texts that Snakemake compares to decide which rules run again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from cacl.config import Config
from cacl.errors import TableError
from cacl.runtime.file_digest import BLANK_DIGEST, embed_digest

SOURCE_KEYS = ("kind", "hpa_version", "tissues", "mirror", "manifest", "host")
SOURCE_COLUMNS = ("image_id", "antibody_id", "url", "path", "hpa_version", "licence", "mpp")


def content_digest(paths: Iterable[Path], columns: Iterable[str] = ()) -> str:
    """Return a SHA-256 over the content of tables; a missing table counts as empty.

    A damaged table has a digest of its own, so that the rule runs again and its step says so.

    Parameters
    ----------
    paths
        Parquet tables.
    columns
        The columns that matter; all if empty. `SOURCE_COLUMNS` decide the bytes of an image: a
        rule that reads only these need not run again when a label changes.
    """
    from cacl import tables  # every job reads the rules, few of them need a digest

    digest, wanted = hashlib.sha256(), list(columns) or None
    for path in paths:
        if path.exists():
            try:
                table = tables.read_arrow(path, wanted)
                digest.update(repr(table.to_pydict()).encode())
            except TableError as error:  # the step that reads the table says the same and stops
                digest.update(str(error).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, empty for a missing file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def training_settings(config: Config) -> str:
    """Return, as text, the settings that a model depends on, besides those of the training itself.

    Genes and antibodies are left out: further ones do not change a model that exists. The text
    ends with its own digest, because a file keeps it.
    """
    source = config.source
    if source.kind == "phantom":
        keys = [key for key in SOURCE_KEYS if key != "mirror"]
        settings = [source.cli_args(*keys), config.phantom.cli_args("setting")]
    else:
        settings = [source.cli_args(*SOURCE_KEYS)]
    settings += [config.labels.cli_args(), config.tiles.cli_args()]
    settings += [config.train.cli_args("max_tiles"), config.cli_args("seed")]
    return embed_digest(" ".join([*settings, BLANK_DIGEST]).encode()).decode()
