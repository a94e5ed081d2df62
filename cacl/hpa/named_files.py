"""Files and folders that a configuration names: they have to be there before anything runs.

A run would otherwise go on with what an earlier one made of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cacl.config import Config
from cacl.errors import ConfigError
from cacl.hpa.gene_list_files import list_files
from cacl.hpa.local_path import exists


def check_named_files(config: Config) -> None:
    """Check that the manifest, the mirror, the user's labels and lists of genes exist.

    Raises
    ------
    ConfigError
        One does not.
    """
    source, labels = config.source, config.labels
    if source.kind == "manifest":
        _check("source.manifest", "file", source.manifest, Path.is_file)
    if source.kind == "mirror":
        _check("source.mirror", "folder", source.mirror, Path.is_dir)
    _check("labels.overrides", "file", labels.overrides, Path.is_file)
    for path in list_files(source.genes):
        _check("source.genes", "list of genes", path, exists)


def _check(key: str, what: str, path: Path | None, is_there: Callable[[Path], bool]) -> None:
    if path is not None and not is_there(path):
        raise ConfigError(f"{key}: there is no {what} {path.absolute()}; correct the path")
