"""Other clusters: without GPUs, with `--gres` only, with accounting."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.slurm.one_node import Slurm
from tests.workflow.slurm.slurm_run import Run

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]

SEGMENTED = "results/segmented/1.parquet"
CHOSEN = "results/training/tiles.parquet"
ONCE = ("--retries", "0", "--force")
NO_GPU = ("set-resources.segment.gpu", None)
GRES = ("set-resources.segment.gres", "gpu:1")


def test_cluster_without_gpus(finished: Run, bare_slurm: Slurm, tmp_path: Path) -> None:
    run = finished.copy(tmp_path / "with", slurm=bare_slurm)
    result = run(*ONCE, "--", SEGMENTED)
    assert result.returncode == 1
    assert "Rule segment requests more than any node of its partition has" in result.stdout
    assert "omit GPUs (train and segment run on CPUs too)" in result.stdout

    changed = finished.copy(tmp_path / "without", slurm=bare_slurm, changes=(NO_GPU,))
    assert changed(*ONCE, "--", SEGMENTED).returncode == 0
    (job,) = changed.jobs("segment")
    assert job["JobState"] == "COMPLETED"


def test_cluster_with_gres_instead_of_gpus(
    finished: Run, gres_slurm: Slurm, tmp_path: Path
) -> None:
    run = finished.copy(tmp_path / "gpus", slurm=gres_slurm)
    result = run(*ONCE, "--", SEGMENTED)
    assert result.returncode == 1
    assert 'write `gres: "gpu:1"` instead of `gpu: 1` in the profile' in result.stdout

    changed = finished.copy(tmp_path / "gres", slurm=gres_slurm, changes=(NO_GPU, GRES))
    again = changed(*ONCE, "--", SEGMENTED)
    assert again.returncode == 0, again.stdout
    (job,) = changed.jobs("segment")
    assert job["JobState"] == "COMPLETED"
    assert job["JOB_GRES"] == "gpu:fake:1"


def test_cluster_with_accounting(finished: Run, accounting_slurm: Slurm, tmp_path: Path) -> None:
    sacct = ("slurm-status-command", "sacct")
    wrong = ("default-resources.slurm_account", "nobody")
    rejected = finished.copy(tmp_path / "wrong", slurm=accounting_slurm, changes=(wrong,))
    result = rejected(*ONCE, "--", CHOSEN)
    assert result.returncode == 1
    assert "Rule select requests an account that you cannot use" in result.stdout
    assert rejected.jobs() == []

    small = ("default-resources.mem_mb", 60)
    killed = finished.copy(tmp_path / "small", slurm=accounting_slurm, changes=(sacct, small))
    result = killed(*ONCE, "--", CHOSEN)
    assert result.returncode == 1
    assert "Rule select was killed for memory: raise `mem_mb`" in result.stdout

    run = finished.copy(tmp_path / "right", slurm=accounting_slurm, changes=(sacct,))
    again = run(*ONCE, "--", CHOSEN)
    assert again.returncode == 0, again.stdout
    (job,) = run.jobs("select")
    record = accounting_slurm("sacct", "-n", "-X", "-P", "-j", job["JobId"], "-o", "State,Account")
    assert record.strip() == "COMPLETED|lab"
