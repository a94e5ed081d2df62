"""Files that cannot be reached: one failure row each; names that are not UTF-8: one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pytest

from cacl.config import SourceConfig
from cacl.errors import ImageError, Reason, ResourceError
from cacl.hpa.mirror import Mirror
from cacl.hpa.provenance import digest_file
from cacl.image.readers import open_source
from cacl.steps.acquire import from_manifest
from cacl.tables import read_csv, read_parquet
from cacl.tables.schemas import FailureRow, ImageRow
from tests.fixtures import hpa_server as hpa
from tests.fixtures.acquiring import ALL_NAMES, LIMITS, Workspace, hpa_source, image_names
from tests.fixtures.hpa_server import HpaServer

CHECKOUT = Path(__file__).parents[2]
NOBODY = 65534


def test_path_that_is_too_long_is_one_failure(tmp_path: Path) -> None:
    work, folder = Workspace(tmp_path), tmp_path / "own"
    folder.mkdir()
    (folder / "x.png").write_bytes(hpa.PNG)
    (folder / "m.csv").write_text(
        "image_path,antibody_id,patient_id,image_id\n"
        f"x.png,AB1,p,AB1/good\n{'a' * 300}.png,AB1,p,AB1/long\n"
    )
    work.catalog(SourceConfig(kind="manifest", manifest=folder / "m.csv"))
    assert [row.image_id for row in work.run()] == ["AB1/good"]
    assert work.failures() == [("AB1/long", "not_found")]
    (message,) = read_csv(work.root / "a.csv", FailureRow)["message"]
    assert "is too long for the file system" in message
    assert "use shorter names" in message


@contextmanager
def locked_folder() -> Iterator[Path]:
    """Yield an image in a folder that this process may not enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        root = Path(name)
        root.chmod(0o755)
        path = root / "images" / "locked" / "x.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(hpa.jpeg())
        path.parent.chmod(0)
        is_root = os.geteuid() == 0
        if is_root:  # root may enter any folder
            os.seteuid(NOBODY)
        try:
            yield path
        finally:
            if is_root:
                os.seteuid(0)
            path.parent.chmod(0o755)


def test_folder_that_may_not_be_entered_is_one_failure(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    row: ImageRow = read_parquet(work.root / "shards" / "0.parquet", ImageRow)[0]
    with locked_folder() as path:
        own = ImageRow(**{**vars(row), "path": str(path)})
        relative = PurePosixPath("images/locked/x.jpg")
        for read in (
            lambda: from_manifest(own),
            lambda: digest_file(path),
            lambda: Mirror(path.parents[2]).image(relative),
            lambda: open_source(path).__enter__(),
        ):
            with pytest.raises(ImageError, match="no permission; make it readable") as caught:
                read()
            assert caught.value.reason is Reason.REFUSED


@pytest.mark.slow
def test_folder_whose_name_is_not_utf8_is_a_sentence(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (folder / "x.png").write_bytes(hpa.PNG)
    manifest = folder / "m.csv"
    manifest.write_text("image_path,antibody_id,patient_id\nx.png,AB1,p\n")
    result = subprocess.run(
        [
            *(sys.executable, "-m", "cacl", "catalog", "--kind", "manifest"),
            *("--manifest", str(manifest), "--out", "out", "--failures", "f.csv"),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "caf\\udce9" in result.stderr
    assert "is not UTF-8" in " ".join(result.stderr.split())


def test_host_that_answers_nothing_ends_the_step(tmp_path: Path) -> None:
    work = Workspace(tmp_path)
    work.serve()
    with HpaServer(work.host) as server:
        assert image_names(work.run(hpa_source(server))) == ALL_NAMES
        source = hpa_source(server)
    (work.images / "135" / "1_A_7_2.jpg").unlink()
    (work.root / "acquired.parquet").unlink()
    with pytest.raises(ResourceError, match=r"^The host answered no request: .*run the same"):
        work.run(source, limits=LIMITS)
    assert not (work.root / "acquired.parquet").exists()
    assert len(work.files()) == 5
