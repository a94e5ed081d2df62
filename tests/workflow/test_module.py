"""The workflow is a module of another one, as `workflow/documentation.md` shows."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.fixtures.workflow import Workflow

EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)
SOURCE = re.compile(r"github\(.*?\)")


@pytest.mark.timeout(900)
def test_rules_run_in_another_workflow_beside_its_own(checkout: Path, tmp_path: Path) -> None:
    text = (checkout / "workflow" / "documentation.md").read_text(encoding="utf-8")
    (example,) = EXAMPLE.findall(text)
    other = tmp_path / "other"
    (other / "workflow").mkdir(parents=True)
    snakefile = SOURCE.sub(repr(str(checkout / "workflow" / "Snakefile")), example)
    (other / "workflow" / "Snakefile").write_text(snakefile, encoding="utf-8")
    (other / "config").mkdir()
    shutil.copy(checkout / ".test" / "phantom" / "config.yaml", other / "config")
    workflow = Workflow(other, other)
    done = workflow("results/top_genes.csv")
    assert done.returncode == 0, done.stderr
    rows = (other / "results" / "top_genes.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0].startswith("rank,ensembl_id,gene")
    assert len(rows) == 1 + 4
    assert "Nothing to be done" in workflow("results/top_genes.csv").stderr
