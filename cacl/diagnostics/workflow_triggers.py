"""Digests and texts that Snakemake compares to decide which rules run again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from cacl.config import Config
from cacl.errors import TableError
from cacl.hpa.image_state import MISSING, FileState
from cacl.image.image_files import drawing_names
from cacl.runtime.file_digest import BLANK_DIGEST, embed_digest
from cacl.runtime.step_versions import STEP_VERSIONS
from cacl.stain.config import ESTIMATED, FIXED

TRAINING_STEPS = ("catalog", "tile")
"""Steps whose products a model is trained on; further ones depend on the configuration."""
SOURCE_KEYS = ("kind", "hpa_version", "tissues", "mirror", "manifest", "host")
MODEL_FILES = ("checkpoint.safetensors", "model.json", "training.csv")
"""As `cacl.model.model_file.FILES`, whose import is slow: every job reads the rules."""

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
    digest, wanted = hashlib.sha256(), tuple(columns)
    for path in paths:
        state = FileState.of(str(path))
        if state.size != MISSING:
            digest.update(_table_digest(state, wanted))
        digest.update(b"\0")
    return digest.hexdigest()


def files_digest(paths: Iterable[Path]) -> str:
    """Return a SHA-256 over the bytes of files; a missing file counts as empty."""
    return hashlib.sha256("\n".join(map(file_digest, paths)).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, empty if it is missing or cannot be read."""
    state = FileState.of(str(path))
    return "" if state.size == MISSING else _file_digest(state)


def folder_digest(paths: Iterable[Path]) -> str:
    """Return a SHA-256 over the names, sizes and times of many files, without reading them."""
    states = (FileState.of(str(path)) for path in paths)
    text = "\n".join(f"{state.path}\0{state.size}\0{state.mtime_ns}" for state in states)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def named_files_digest(folder: Path, names: Iterable[str]) -> str:
    """Return a SHA-256 over the names and bytes of files whose names say what they are.

    Parameters
    ----------
    folder
        The folder.
    names
        Paths relative to it.
    """
    text = "\n".join(f"{name}\0{file_digest(folder / name)}" for name in names)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def drawings_digest(folder: Path | None) -> str:
    """Return a digest of the drawings of `labels.drawn`; empty without a folder."""
    if folder is None or not folder.is_dir():
        return ""
    return named_files_digest(folder, drawing_names(folder))


def model_digest(model: Path) -> str:
    """Return a digest of the files of a model elsewhere: of a folder, or of one file."""
    return named_files_digest(model, MODEL_FILES) if model.is_dir() else file_digest(model)


# Rules are evaluated several times in a run; a file that has not changed is read once.
@cache
def _table_digest(state: FileState, columns: tuple[str, ...]) -> bytes:
    from cacl import tables  # every job reads the rules, few of them need a digest

    try:
        table = tables.read_arrow(Path(state.path), list(columns) or None)
    except TableError as error:  # the step that reads the table says the same and stops
        return hashlib.sha256(str(error).encode()).digest()
    return hashlib.sha256(repr(table.to_pydict()).encode()).digest()


@cache
def _file_digest(state: FileState) -> str:
    try:
        return hashlib.sha256(Path(state.path).read_bytes()).hexdigest()
    except OSError:  # a folder, or no permission; the step that reads it says so
        return ""


def training_settings(config: Config) -> str:
    """Return, as text, the settings that a model depends on, besides those of the training itself.

    The versions of the steps that make the training data are among them.
    The contents of `labels.overrides` and `labels.drawn` are among them. Genes and antibodies are
    left out: further ones do not change a model that exists. The text ends with its own digest,
    because a file keeps it.
    """
    source, steps = config.source, list(TRAINING_STEPS)
    if source.kind == "phantom":
        keys = [key for key in SOURCE_KEYS if key != "mirror"]
        settings = [source.cli_args(*keys), config.phantom.cli_args("setting")]
        steps.append("phantom")
    else:
        settings = [source.cli_args(*SOURCE_KEYS)]
    settings += [config.labels.cli_args(), config.tiles.cli_args()]
    if config.stain.vectors != FIXED:
        settings.append(config.stain.cli_args())
    if config.stain.vectors == ESTIMATED:
        steps.append("estimate_stain")
    settings += [f"{step} {STEP_VERSIONS[step]}" for step in steps]
    settings += [config.train.cli_args("max_tiles"), config.cli_args("seed")]
    if config.labels.overrides:
        settings.append(file_digest(config.labels.overrides))
    if config.labels.drawn:
        settings.append(drawings_digest(config.labels.drawn))
    return embed_digest(" ".join([*settings, BLANK_DIGEST]).encode()).decode()
