"""Where the Snakemake workflow and its profiles are: beside the package, or installed with it."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
INSTALLED = PACKAGE / "workflow_files"


def workflow_folder() -> Path:
    """Return the folder that holds `workflow/`, `config/` and `profiles/`.

    It is the checkout, or the folder `workflow_files` of an installed package.
    """
    return INSTALLED if INSTALLED.is_dir() else PACKAGE.parent


def snakefile() -> Path:
    """Return the path of the workflow's Snakefile."""
    return workflow_folder() / "workflow" / "Snakefile"


def bundled_profiles() -> dict[str, Path]:
    """Return the folders of the Snakemake profiles that come with the workflow, by name."""
    folders = sorted((workflow_folder() / "profiles").glob("*/config.yaml"))
    return {path.parent.name: path.parent for path in folders}
