"""The built wheel in an empty environment outside the checkout: three commands to a report."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from tests.fixtures.pictures import enlarged

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

FOLDERS = ("config", "profiles", "workflow")


def run(command: Sequence[object], folder: Path, timeout_s: float = 300.0, status: int = 0) -> str:
    """Run a command without the checkout on any path, and return what it prints."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment | {"PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False, timeout=timeout_s,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "hatchling", "build", "--directory", folder], checkout)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def wheel(built: list[Path]) -> Path:
    return next(path for path in built if path.suffix == ".whl")


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment with the wheel, and the dependencies of this environment."""
    environment = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", "--without-pip", environment], environment)
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/*/site-packages")
    # A .pth file in a folder that a .pth file names is not read: this checkout stays out.
    shared = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(shared) + "\n")
    uv = [sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps"]
    run([*uv, "--python", python, wheel], environment)
    return python.parent


def test_checks_of_distributions_are_clean(built: list[Path], wheel: Path) -> None:
    run([sys.executable, "-m", "twine", "check", "--strict", *built], wheel.parent)
    run([sys.executable, "-m", "check_wheel_contents", wheel], wheel.parent)


def test_wheel_holds_the_whole_workflow_and_nothing_besides(checkout: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {
        f"cacl/workflow_files/{path.relative_to(checkout).as_posix()}"
        for folder in FOLDERS
        for path in (checkout / folder).rglob("*")
        if path.is_file()
    } | {"cacl/workflow_files/environment.yml"}
    assert expected == {name for name in names if name.startswith("cacl/workflow_files/")}
    assert {name.split("/")[0] for name in names} == {"cacl", "cacl_atlas-0.1.0.dist-info"}


def test_package_is_used_from_its_environment(scripts: Path, tmp_path: Path) -> None:
    code = "import cacl.runtime.workflow_files as w; print(w.snakefile(), *w.bundled_profiles())"
    path, *profiles = run([scripts / "python", "-c", code], tmp_path).split()
    assert Path(path).is_relative_to(scripts.parent)
    assert Path(path).is_file()
    assert profiles == ["default", "slurm-gpu"]


def test_conda_environments_are_those_of_a_checkout(scripts: Path, tmp_path: Path) -> None:
    run([scripts / "cacl", "init", "demo"], tmp_path)
    options = ["--", "--software-deployment-method", "conda", "--dry-run"]
    printed = run([scripts / "cacl", "run", *options], tmp_path, status=1)
    assert "Conda environments need a checkout of the repository" in printed


def test_three_commands_lead_to_a_report_on_own_images(scripts: Path, tmp_path: Path) -> None:
    cacl = scripts / "cacl"
    assert "Edit them, then: cacl run" in run([cacl, "init", "manifest"], tmp_path)
    (tmp_path / "images").mkdir()
    pixels = enlarged(1300, 1300)
    for number in (1, 2, 3):
        crop = pixels[40 * number :][:1150, 40 * number :][:, :1150]
        Image.fromarray(crop).save(tmp_path / f"images/core-{number}.jpg", quality=95)
    config = tmp_path / "cacl.yaml"
    text = config.read_text()
    for default, fast in (
        ("#train:", "train:"),
        ("#preset: robust", "preset: paper"),
        ("#max_steps: null", "max_steps: 12"),
        ("#max_tiles: 4000", "max_tiles: 16"),
    ):
        assert text.count(default) == 1
        text = text.replace(default, fast)
    config.write_text(text)

    printed = run([cacl, "run", "--cores", "2"], tmp_path, timeout_s=1400.0)
    assert "train: 1 of 1 job, done in " in printed
    report = tmp_path / "results/report/report.html"
    assert report.stat().st_size > 10_000
    assert f"Report: {report}" in printed.replace("\n", "")
    with (tmp_path / "results/report/antibodies.csv").open() as file:
        rows = {row["antibody_id"]: row["label"] for row in csv.DictReader(file)}
    assert rows == {"AB0001": "positive", "AB0002": "negative", "AB0003": ""}
    (log,) = (tmp_path / ".snakemake/log").glob("*.log")
    assert str(scripts.parent) in log.read_text()

    again = run([cacl, "run", "--cores", "2"], tmp_path)
    assert "Everything is up to date" in again
