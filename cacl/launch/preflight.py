"""What is checked before Snakemake starts, each with one sentence and its remedy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cacl.config import Config
from cacl.diagnostics.workflow_lock import explain_lock, find_user, is_locked, unlock
from cacl.errors import ConfigError, DiskError, LockedError, ManifestError
from cacl.hpa.labels import LABELS
from cacl.hpa.local_path import exists
from cacl.hpa.manifest import read_manifest
from cacl.runtime.workflow_files import bundled_profiles

CONFIG = Path("cacl.yaml")
"""Configuration that is used if none is named; `cacl init` writes it."""

DOCTOR = "`cacl doctor` checks the whole environment"


def find_configs(named: Sequence[Path], folder: Path) -> list[Path]:
    """Return the absolute paths of the configurations: those named, else `cacl.yaml` of a folder.

    Raises
    ------
    ConfigError
        None is named, and there is no `cacl.yaml`; or a named one does not exist.
    """
    default = folder / CONFIG
    if not named and not default.exists():
        raise ConfigError(
            f"There is no configuration: name one with --configfile, or write {default} with "
            "`cacl init manifest` (your own images), `cacl init hpa` (genes of the Human Protein "
            "Atlas) or `cacl init demo` (synthetic images)"
        )
    paths = [path.absolute() for path in named or [default]]
    for path in paths:
        if not path.is_file():
            raise ConfigError(
                f"There is no configuration {path}; correct the path after --configfile, or write "
                "one with `cacl init manifest`, `cacl init hpa` or `cacl init demo`"
            )
    return paths


def check_manifest(config: Config) -> None:
    """Check that a manifest lists images that exist, and the labels that a training needs.

    The steps check the same, but only after hours of tiling.

    Raises
    ------
    ManifestError
        The manifest cannot be read, none of its images exists, or it labels none of one kind.
    """
    path = config.source.manifest
    if config.source.kind != "manifest" or path is None:
        return
    rows = read_manifest(path)
    if not any(exists(Path(row.path)) for row in rows):
        raise ManifestError(
            f"None of the {len(rows)} images in {path} exists, the first of them "
            f"{Path(rows[0].path).absolute()}; "
            "list your own images there: a relative image_path resolves against the folder of the "
            "manifest"
        )
    labels = config.labels
    if config.train.model or labels.overrides or labels.classes:
        return
    for label in LABELS:
        if not any(row.label == label for row in rows):
            raise ManifestError(
                f"{path} labels no image {label}, and training needs images of both labels: write "
                f"{label} into the column label of some images that are, or name a trained model "
                "in train.model"
            )


def check_writable(folder: Path) -> None:
    """Check that a run can write into a folder, or create it.

    Raises
    ------
    DiskError
        It cannot.
    """
    folder = folder.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise DiskError(f"{existing} is a file; name a folder with --directory")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise DiskError(
            f"The folder {existing} is not writable; choose another one with --directory, or "
            f"change its permissions (chmod u+w); {DOCTOR}"
        )


def find_profile(name: str) -> str:
    """Return a Snakemake profile as Snakemake finds it: a name or path, or one of this workflow.

    Raises
    ------
    ConfigError
        There is no such profile.
    """
    from snakemake.cli import get_profile_dir

    if get_profile_dir(name) is not None:
        return name
    bundled = bundled_profiles()
    if name in bundled:
        return str(bundled[name])
    raise ConfigError(
        f"There is no profile {name!r}: no folder with a config.yaml here or among Snakemake's "
        f"profiles, and none of this workflow ({', '.join(bundled)}); correct --profile, or write "
        "one for your cluster with `cacl init slurm`"
    )


def workflow_profile() -> Path:
    """Return the profile of this machine: `profiles/default` here, or the one of the workflow."""
    own = Path("profiles/default")
    return own if own.is_dir() else bundled_profiles()["default"]


def release_stale_lock(folder: Path) -> bool:
    """Remove the lock that a killed Snakemake left on a folder.

    Returns
    -------
    Whether there was one.

    Raises
    ------
    LockedError
        A process uses the folder, or may use it on another machine.
    """
    if is_locked(folder) and find_user(folder) is not None:
        raise LockedError(explain_lock(folder.resolve()) or "")
    return unlock(folder)
