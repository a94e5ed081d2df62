"""Real limits in each step: the command ends with one sentence, and goes on without the limit."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from benchmarks._lib.untrained_model import write_untrained_model
from cacl import tables
from cacl.cli import app
from cacl.tables.schemas import FailureRow, SegmentedRow
from tests.fixtures import small_atlas
from tests.fixtures.acquiring import SI, Workspace
from tests.fixtures.model_atlas import ModelAtlas
from tests.fixtures.reports import cores, write_model
from tests.fixtures.small_disk import small_disk
from tests.steps import test_full_disk

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
FAILURES = ("--failures", "failures.csv")


@dataclass(frozen=True)
class Step:
    """A command in a folder that `build` fills; `outputs` are the files that it writes.

    Training of a few steps ends with an error about its codebook; tests/model resumes trainings.
    """

    build: Callable[[Path], None]
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    finishes: bool = True

    def run(self, folder: Path) -> Result:
        """Run the command in its folder."""
        before = Path.cwd()
        os.chdir(folder)
        try:
            return CliRunner().invoke(app, list(self.arguments))
        finally:
            os.chdir(before)

    def products(self, folder: Path) -> dict[str, bytes]:
        """Return the files that the step has written."""
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for output in self.outputs
            for path in sorted([folder / output, *(folder / output).rglob("*")])
            if path.is_file()
        }


def build_mirror(folder: Path) -> None:
    work = Workspace(folder)
    work.serve()


def build_images(folder: Path) -> None:
    """Write images with relative paths."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        test_full_disk.acquired(Path())
    finally:
        os.chdir(before)


def build_training(folder: Path) -> None:
    ModelAtlas(folder).build(antibodies=6).select()


def build_model(folder: Path) -> None:
    build_training(folder)
    write_untrained_model(folder / "model")


def build_census(folder: Path) -> None:
    small_atlas.build(folder, cores())


def build_report(folder: Path) -> None:
    atlas = small_atlas.build(folder, cores())
    atlas.measure()
    write_model(atlas)


MIRROR = ("--kind", "mirror", "--mirror", "host")
STEPS = {
    "catalog": Step(
        build_mirror,
        ("catalog", *MIRROR, "--genes", SI, "--out", "catalog", *FAILURES, "--shards", "1"),
        ("catalog", "failures.csv"),
    ),
    "acquire": Step(
        build_mirror,
        (
            *("acquire", "--shard", "work/shards/0.parquet", "--images", "images"),
            *("--out", "acquired.parquet", *FAILURES, *MIRROR),
        ),
        ("acquired.parquet", "failures.csv", "images"),
    ),
    "tile": Step(
        build_images,
        (
            *("tile", "--acquired", "acquired.parquet", "--store", "new.zarr", *FAILURES),
            *("--out", "tiled.parquet", "--source-px", "64", "--tile-px", "64"),
            *("--min-tissue-fraction", "0"),
        ),
        ("new.zarr", "tiled.parquet", "failures.csv"),
    ),
    "select": Step(
        build_training,
        (
            *("select", "--images", "images.parquet", "--tiles", "tiles.parquet"),
            *("--store", "atlas.zarr", "--out", "chosen.parquet"),
        ),
        ("chosen.parquet",),
    ),
    "train": Step(
        build_training,
        (
            *("train", "--tiles", "training.parquet", "--store", "atlas.zarr", "--out", "model"),
            *("--preset", "robust", "--max-steps", "3", "--threads", "1"),
        ),
        ("model",),
        finishes=False,
    ),
    "segment": Step(
        build_model,
        (
            *("segment", "--tiles", "tiles.parquet", "--store", "atlas.zarr", "--model", "model"),
            *("--out", "segmented.parquet", *FAILURES, "--threads", "1"),
        ),
        ("atlas.zarr", "segmented.parquet", "failures.csv"),
    ),
    "measure": Step(
        build_census,
        (
            *("measure", "--segmented", "segmented.parquet", "--images", "catalog/images.parquet"),
            *("--annotations", "catalog/annotations.parquet", "--tiles", "tiles.parquet"),
            *("--store", "atlas.zarr", "--out", "census.parquet", *FAILURES),
        ),
        ("census.parquet", "failures.csv"),
    ),
    "report": Step(
        build_report,
        (
            *("report", "--census", "census.parquet", *FAILURES, "--store", "atlas.zarr"),
            *("--model", "model", "--catalog", "catalog", "--out", "report"),
        ),
        ("report",),
    ),
}  # fmt: skip
SLOW = ("train", "segment")


@contextmanager
def soft_limit(number: int, value: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(number)
    resource.setrlimit(number, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(number, (soft, hard))


@contextmanager
def few_files(more: int) -> Iterator[None]:
    """Let this process open only so many more files."""
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    with soft_limit(resource.RLIMIT_NOFILE, lowest + more):
        yield


LIMITS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "file size": lambda: soft_limit(resource.RLIMIT_FSIZE, 100),
    "no file handle": lambda: few_files(0),
    "one file handle": lambda: few_files(1),
}
OPENS_SEVERAL = ("acquire",)


def assert_one_sentence(result: Result) -> str:
    text = " ".join(result.output.split())
    assert result.exit_code == 1, text
    assert isinstance(result.exception, SystemExit), result.exception
    assert text.count("Error: ") == 1
    assert "Traceback" not in text
    return text[text.index("Error: ") :]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the inputs of a step, and those after an undisturbed run, built once."""
    folders: dict[str, Path] = {}

    def build(name: str) -> Path:
        if name not in folders:
            root = tmp_path_factory.mktemp(name)
            (root / "inputs").mkdir()
            STEPS[name].build(root / "inputs")
            shutil.copytree(root / "inputs", root / "undisturbed")
            if STEPS[name].finishes:
                result = STEPS[name].run(root / "undisturbed")
                assert result.exit_code == 0, result.output
            folders[name] = root
        return folders[name]

    return build


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        pytest.param(name, limit, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in STEPS
        for limit in LIMITS
        if limit != "one file handle" or name in OPENS_SEVERAL
    ],
)
def test_limited_step_ends_with_a_sentence_and_goes_on(
    built: Callable[[str], Path], tmp_path: Path, name: str, limit: str
) -> None:
    step, root = STEPS[name], built(name)
    folder = tmp_path / "run"
    shutil.copytree(root / "inputs", folder)
    with LIMITS[limit]():
        result = step.run(folder)
    sentence = assert_one_sentence(result)
    assert ("free some space" if limit == "file size" else "ulimit -n") in sentence
    assert "run" in sentence
    for output in ("failures.csv", *(each for each in step.outputs if each.endswith(".parquet"))):
        if name != "report":
            assert not (folder / output).exists(), output
    assert not [path for path in folder.rglob(".*") if path.is_file() and path.suffix != ".lock"]

    if step.finishes:
        again = step.run(folder)
        assert again.exit_code == 0, again.output
        assert step.products(folder) == step.products(root / "undisturbed")


@pytest.mark.slow
def test_full_disk_under_train(built: Callable[[str], Path], tmp_path: Path) -> None:
    step, root = STEPS["train"], built("train")
    folder = tmp_path / "run"
    shutil.copytree(root / "inputs", folder)
    with small_disk(folder / "model", 8):
        sentence = assert_one_sentence(step.run(folder))
        assert "No space left on device" in sentence
        assert "free some space" in sentence
        assert not list((folder / "model").glob("*.safetensors"))
        assert not list((folder / "model").glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("free_mb", [20, 150, 350])
def test_short_memory_while_a_shard_is_segmented(
    built: Callable[[str], Path], tmp_path: Path, free_mb: int
) -> None:
    step, root = STEPS["segment"], built("segment")
    folder = tmp_path / "run"
    shutil.copytree(root / "inputs", folder)
    # The limit comes after the libraries are loaded, so that an image meets it.
    program = (
        "import resource, sys\n"
        "import cacl.steps.segment as step\n"
        "from cacl.cli import app\n"
        "load = step.load_model\n"
        "def load_and_limit(path):\n"
        "    model = load(path)\n"
        "    status = open('/proc/self/status').read()\n"
        "    used = int(status.split('VmSize:')[1].split()[0]) * 1024\n"
        f"    resource.setrlimit(resource.RLIMIT_AS, (used + {free_mb} * 10**6,) * 2)\n"
        "    return model\n"
        "step.load_model = load_and_limit\n"
        "app(sys.argv[1:])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, *step.arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    if result.returncode == 0:  # enough after all: then every image has its mask
        assert len(tables.read_parquet(folder / "segmented.parquet", SegmentedRow)) == 6
        assert tables.read_csv(folder / "failures.csv", FailureRow).empty
        return
    assert not (folder / "segmented.parquet").exists()
    assert not (folder / "failures.csv").exists()
    if result.returncode == 1:
        # Zarr's own handler at exit complains if its thread could not start.
        assert "Traceback" not in result.stderr.partition("Exception ignored in")[0]
        assert re.search("Error: (segment: HPA|cacl segment: )", result.stderr)
        assert "continues where it stopped" in " ".join(result.stderr.split())
    again = step.run(folder)
    assert again.exit_code == 0, again.output
    assert step.products(folder) == step.products(root / "undisturbed")
