"""What Snakemake marks as unfinished, in a real run, and what `cacl verify` makes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cacl.cli import app
from cacl.diagnostics.unfinished import is_unfinished
from cacl.diagnostics.verify import verify

pytestmark = pytest.mark.slow

LONG = "n" * 200
"""Its mark is longer than a file name may be."""
PRODUCTS = ("results/report/report.html", f"results/failures/tile/{LONG}.csv")
SNAKEFILE = f"""
rule slow:
    output: {", ".join(map(repr, PRODUCTS))}
    shell: "touch {{output}}; sleep 600"
"""


@pytest.fixture(params=["at work", "killed"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder with a job that writes two products, or was killed while it did so."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    snakemake = Path(sys.executable).parent / "snakemake"
    with subprocess.Popen(
        [str(snakemake), "--cores", "1", "--quiet", "all"], cwd=tmp_path, start_new_session=True
    ) as process:
        products = [tmp_path / name for name in PRODUCTS]
        while not all(path.exists() and is_unfinished(path, tmp_path) for path in products):
            assert process.poll() is None
            time.sleep(0.1)
        if request.param == "killed":
            os.killpg(process.pid, signal.SIGKILL)
        yield tmp_path
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.timeout(120)
def test_products_of_a_running_or_killed_job_are_unfinished_and_not_bad(run: Path) -> None:
    results = run / "results"
    assert is_unfinished(results / "report", run)
    assert is_unfinished(results / "report" / "report.html", run)
    assert is_unfinished(results / "failures" / "tile" / f"{LONG}.csv", run)
    assert not is_unfinished(results / "report2", run)
    assert not is_unfinished(results / "failures" / "acquire", run)
    (results / "failures" / "tile" / "0.csv").write_text("of a job that has ended\n")
    found = {each.kind: (each.checked, each.bad, each.unfinished) for each in verify(results)}
    assert found["report file"] == (0, 0, 1)
    assert found["list"] == (1, 1, 1)
    result = CliRunner().invoke(app, ["verify", str(results)])
    assert result.exit_code == 1
    assert "0.csv has no recorded digest" in result.output.replace("\n", " ")
    assert "2 are unfinished: a run writes them now, or was stopped" in result.output
