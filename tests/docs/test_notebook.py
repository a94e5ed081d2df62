"""The tutorial notebook runs in the folder of a finished run."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from benchmarks._lib.small_run import write_small_run

pytestmark = pytest.mark.slow


def test_every_cell_of_the_tutorial_runs(checkout: Path, tmp_path: Path) -> None:
    write_small_run(tmp_path)
    notebook = nbformat.read(checkout / "docs" / "tutorial.ipynb", as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    assert pictures == 3
    texts = "".join(output.get("data", {}).get("text/plain", "") for output in outputs)
    assert "AnnData object with n_obs × n_vars = 6 ×" in texts
    assert (tmp_path / "atlas.h5ad").exists()
