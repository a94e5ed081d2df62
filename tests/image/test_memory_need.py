"""The memory of an image, from its header: the estimate, and its use by the step `tile`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import tifffile
from PIL import Image

from benchmarks.scale.image_memory import KINDS, peak_mb, write_image
from cacl.errors import ImageError, ResourceError
from cacl.image.readers import memory_need, open_source
from cacl.image.readers.jpeg_header import jpeg_size
from cacl.runtime import memory
from cacl.runtime.memory import Limit, MemoryBudget
from cacl.steps import tile
from tests.fixtures.pictures import enlarged
from tests.steps.test_full_disk import IMAGES, acquired
from tests.steps.test_full_disk import tile as run_tile


def need(path: Path) -> float:
    return memory_need(path, source_px=375, tile_px=128) / 1e6


@pytest.mark.parametrize("progressive", [False, True])
def test_size_of_a_jpeg_from_its_header(tmp_path: Path, progressive: bool) -> None:
    path = tmp_path / "x.jpg"
    exif = Image.Exif()
    exif[0x010E] = "description " * 4000
    Image.fromarray(enlarged(300, 500)).save(path, progressive=progressive, exif=exif)
    assert jpeg_size(path) == (300, 500)
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\0\0garbage" + b"\xff\xff\xff" + data[3:])
    assert jpeg_size(path) == simplejpeg.decode_jpeg_header(path.read_bytes(), strict=False)[:2]
    for end in (0, 2, 3, 10, 20):
        path.write_bytes(data[:end])
        assert jpeg_size(path) is None


def test_need_follows_the_header(tmp_path: Path) -> None:
    rgb = enlarged(3000, 3000)
    path = tmp_path / "x.jpg"
    path.write_bytes(simplejpeg.encode_jpeg(rgb))
    assert 170 < need(path) < 180
    tifffile.imwrite(tmp_path / "x.tif", rgb, photometric="rgb")
    assert 215 < need(tmp_path / "x.tif") < 235
    rgba = np.dstack([rgb, rgb[..., 0]])
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    assert 250 < need(tmp_path / "a.tif") < 270
    (tmp_path / "x.txt").write_text("no image")
    assert need(tmp_path / "x.txt") == 80
    tifffile.imwrite(tmp_path / "g.tif", rgb.astype(np.uint16), photometric="rgb")
    assert need(tmp_path / "g.tif") == 80


def test_image_above_the_fixed_limit_is_left_to_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    frame = b"\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
    path.write_bytes(b"\xff\xd8" + frame + b"\xff\xda\x00\x02\x00\xff\xd9")
    assert jpeg_size(path) == (65535, 65535)
    assert need(path) == 80
    with pytest.raises(ImageError, match="65,535 x 65,535 px") as caught, open_source(path):
        pass
    assert caught.value.reason == "too_large"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_estimate_bounds_the_peak(tmp_path: Path, kind: str) -> None:
    path = write_image(tmp_path, kind, 3000)
    assert peak_mb(tmp_path, path) <= need(path)


def test_short_budget_ends_the_job_and_a_tight_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = acquired(tmp_path)

    def set_budget(mb: float) -> None:
        budget = MemoryBudget(Limit(int(mb * 1e6), "CACL_MEMORY_GB"))
        monkeypatch.setattr(tile, "process_budget", lambda: budget)

    outputs = []
    for mb in (1e5, 101):  # each image needs 96 MB
        folder = tmp_path / str(mb)
        set_budget(mb)
        assert run_tile(table, folder, jobs=3).exit_code == 0
        outputs.append(
            {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        )
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 4 * IMAGES
    set_budget(50)
    result = run_tile(table, tmp_path / "short")
    text = " ".join(result.output.split())
    assert result.exit_code == 1
    assert "Error: tile: HPA000001/0 needs 0." in text
    assert "this job may use 0.05 GB more (CACL_MEMORY_GB)" in text
    assert not (tmp_path / "short" / "failures.csv").exists()


def test_budget_of_the_process_is_made_once() -> None:
    assert memory.process_budget() is memory.process_budget()
    with pytest.raises(ResourceError), memory.process_budget().take(2**60, "tile: A/1"):
        pass
