from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.workflow.slurm.one_node import GPUS, Slurm, missing
from tests.workflow.slurm.slurm_run import Run


@pytest.fixture(scope="session")
def new_slurm() -> Iterator[Callable[..., Slurm]]:
    """Start Slurm clusters; all are stopped when the tests end, also after a failure."""
    started: list[Slurm] = []
    with tempfile.TemporaryDirectory(prefix="slurm", ignore_cleanup_errors=True) as folder:

        def new(gpus: int = GPUS, *, accounts: bool = False, select: str = "cons_tres") -> Slurm:
            problem = missing(accounts=accounts)
            if problem:
                pytest.skip(f"Slurm cannot be started here: {problem}")
            root = Path(folder) / str(len(started))
            root.mkdir()
            slurm = Slurm(root, gpus, accounts, select)
            started.append(slurm)
            slurm.start()
            return slurm

        try:
            yield new
        finally:
            for slurm in started:
                slurm.stop()


@pytest.fixture(scope="session")
def slurm(new_slurm: Callable[..., Slurm]) -> Slurm:
    """A cluster with two GPUs and without accounting."""
    return new_slurm()


@pytest.fixture(scope="session")
def bare_slurm(new_slurm: Callable[..., Slurm]) -> Slurm:
    """A cluster without GPUs."""
    return new_slurm(gpus=0)


@pytest.fixture(scope="session")
def gres_slurm(new_slurm: Callable[..., Slurm]) -> Slurm:
    """A cluster that supports `--gres`, but not `--gpus`."""
    return new_slurm(select="cons_res")


@pytest.fixture(scope="session")
def accounting_slurm(new_slurm: Callable[..., Slurm]) -> Slurm:
    """A cluster with accounting that rejects jobs without an account."""
    return new_slurm(accounts=True)


@pytest.fixture(scope="session")
def finished(checkout: Path, slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of a tiny data set on the cluster; tests must not change it."""
    run = Run(checkout, tmp_path_factory.mktemp("run"), slurm)
    run.configure()
    result = run()
    assert result.returncode == 0, result.stdout
    return run
