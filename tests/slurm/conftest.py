from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from one_node import Slurm, missing
from slurm_run import Run


@pytest.fixture(scope="session")
def new_slurm() -> Iterator[Callable[..., Slurm]]:
    """Start a Slurm; all are stopped when the tests end, however they end."""
    lacking = missing()
    if lacking:
        pytest.skip(f"Slurm cannot be started here: {lacking}")
    started: list[Slurm] = []
    with tempfile.TemporaryDirectory(prefix="slurm", ignore_cleanup_errors=True) as folder:

        def new(**options: object) -> Slurm:
            root = Path(folder) / str(len(started))
            root.mkdir()
            slurm = Slurm(root, **options)  # type: ignore[arg-type]
            started.append(slurm)
            slurm.start()
            return slurm

        try:
            yield new
        finally:
            for slurm in started:
                slurm.stop()


@pytest.fixture(scope="module")
def slurm(new_slurm: Callable[..., Slurm]) -> Slurm:
    return new_slurm()


@pytest.fixture(scope="module")
def run(checkout: Path, slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Run:
    found = Run(checkout, tmp_path_factory.mktemp("run"), slurm)
    found.configure()
    return found
