"""Step `dearray`: from a slide to the tiles of its cores."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from benchmarks._lib.tma_slide import MISSING
from cacl import tables
from cacl.cli import app
from cacl.config import LabelsConfig, SourceConfig, TilesConfig
from cacl.errors import DearrayError, ImageError, ManifestError
from cacl.hpa.manifest import read_manifest
from cacl.image.readers import open_source
from cacl.image.region import Region
from cacl.image.tile_grid import TileGrid
from cacl.steps.acquire import acquire
from cacl.steps.catalog import catalog
from cacl.steps.dearray import dearray, safe_name
from cacl.steps.parameters import AcquireOptions, DearrayOptions, ImageJobs
from cacl.steps.tile import tile
from cacl.store import Store
from cacl.tables.schemas import AcquiredRow
from tests.fixtures.tma import SMALL, write_small_slide

NONE = DearrayOptions()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def fill(path: Path, **columns: str) -> None:
    rows = [row | columns for row in rows_of(path)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_manifest_has_a_row_per_core_and_no_missing_one(tmp_path: Path) -> None:
    slide = write_small_slide(tmp_path / "TMA 7 (a).tif", mpp=4.0)
    out = tmp_path / "out"
    summary = dearray([tmp_path / "TMA 7 (a).tif"], out, NONE)
    assert f"rows A to D, columns 1 to {SMALL.cols}" in summary
    assert "fill in patient_id and label in" in summary
    rows = rows_of(out / "manifest.csv")
    present = [core for core in slide.cores if core.status != MISSING]
    assert len(present) < len(slide.cores)
    assert [row["position"] for row in rows] == [
        f"{'ABCD'[core.row]}{core.col + 1}" for core in present
    ]
    assert rows[0]["image_id"] == f"TMA_7_a/TMA_7_a_{rows[0]['position']}"
    assert {row["antibody_id"] for row in rows} == {"TMA_7_a"}
    (core_um,) = {row["core_um"] for row in rows}
    assert 0.88 < int(core_um) / (4.0 * SMALL.diameter_px) < 1.12
    for row, core in zip(rows, present, strict=True):
        region = Region.parse(row["region"])
        assert region.x < core.x < region.x + region.width
        assert region.y < core.y < region.y + region.height
    names = sorted(path.name for path in out.iterdir())
    assert names == ["TMA_7_a.grid.geojson", "TMA_7_a.grid.jpg", "manifest.csv"]
    assert len(json.loads((out / names[0]).read_text())["features"]) == len(slide.cores)
    with Image.open(out / names[1]) as picture:
        assert picture.size == slide.pixels.shape[1::-1]


def test_cores_are_tiled_as_if_they_were_cut_out(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    write_small_slide(path)
    dearray([path], tmp_path, DearrayOptions(antibody="AB1"))
    manifest = tmp_path / "manifest.csv"
    with pytest.raises(ManifestError, match=r"patient_id is empty on 2\d of 2\d lines, .* A1"):
        read_manifest(manifest)
    fill(manifest, patient_id="p1")
    source = SourceConfig(kind="manifest", manifest=manifest)
    catalog(tmp_path / "c", tmp_path / "f.csv", source, LabelsConfig(), shards=1)
    shard, acquired = tmp_path / "c" / "shards" / "0.parquet", tmp_path / "a.parquet"
    options = AcquireOptions(strict=True)
    acquire(shard, tmp_path / "images", acquired, tmp_path / "f.csv", source, options)
    sides = TilesConfig(source_px=32, tile_px=32)
    jobs = ImageJobs(strict=True, jobs=2)
    tile(acquired, tmp_path / "s.zarr", tmp_path / "t.parquet", tmp_path / "f.csv", sides, jobs)
    store, rows = Store(tmp_path / "s.zarr"), tables.read_parquet(acquired, AcquiredRow)
    assert len({row.image_id for row in rows}) == len(rows) == len(rows_of(manifest))
    with open_source(path) as whole:
        grid = TileGrid(whole.height, whole.width, 32, 32)
        pixels = whole.read(grid, range(grid.rows), range(grid.cols))
    for row in rows:
        region = Region.parse(row.region)
        meta, image = store.meta(row.image_id), np.asarray(store.image(row.image_id))
        assert (meta.source_x, meta.source_y) == (region.x, region.y)
        assert (meta.source_width, meta.source_height) == (region.width, region.height)
        cut = pixels[:, region.y : region.y + region.height, region.x : region.x + region.width]
        assert np.array_equal(image[:, : region.height, : region.width], cut)
        assert (image[:, region.height :] == 255).all()
        assert (image[:, :, region.width :] == 255).all()


def test_corrected_grid_replaces_the_search_and_keeps_what_was_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    write_small_slide(path)
    dearray([path], tmp_path / "first", NONE)
    fill(tmp_path / "first" / "manifest.csv", patient_id="p7", label="positive")
    document = json.loads((tmp_path / "first" / "slide.grid.geojson").read_text())
    named = {each["properties"]["name"]: each for each in document["features"]}
    named["A1"]["properties"]["classification"] = {"name": "Missing core"}
    ring = named["B2"]["geometry"]["coordinates"][0]
    named["B2"]["geometry"]["coordinates"] = [[[x + 5, y + 7] for x, y in ring]]
    corrected = tmp_path / "corrected.geojson"
    corrected.write_text(json.dumps(document))
    options = DearrayOptions(grid=corrected, map=tmp_path / "first" / "manifest.csv")
    dearray([path], tmp_path / "second", options)
    before, after = (
        {row["position"]: row for row in rows_of(tmp_path / name / "manifest.csv")}
        for name in ("first", "second")
    )
    assert before.keys() - after.keys() == {"A1"}
    first, second = (Region.parse(rows["B2"]["region"]) for rows in (before, after))
    assert (second.x - first.x, second.y - first.y) != (0, 0)
    assert {(row["patient_id"], row["label"]) for row in after.values()} == {("p7", "positive")}
    unchanged = after.keys() - {"A1", "A2", "B1", "B2", "B3", "C2"}
    assert all(before[name]["region"] == after[name]["region"] for name in unchanged)


def test_several_slides_share_a_manifest(tmp_path: Path) -> None:
    paths = [tmp_path / "ki67.tif", tmp_path / "cd3.tif"]
    for path in paths:
        write_small_slide(path)
    dearray(paths, tmp_path / "out", NONE)
    rows = rows_of(tmp_path / "out" / "manifest.csv")
    assert [row["antibody_id"] for row in rows[:: len(rows) // 2]] == ["ki67", "cd3"]
    with pytest.raises(DearrayError, match="--grid is the grid of one slide"):
        dearray(paths, tmp_path / "x", DearrayOptions(grid=paths[0]))
    with pytest.raises(DearrayError, match="Two slides are called KI67"):
        dearray([paths[0], tmp_path / "x" / "KI67.svs"], tmp_path / "y", NONE)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    write_small_slide(path)
    (tmp_path / "manifest.csv").write_text("mine")
    with pytest.raises(DearrayError, match=r"manifest.csv is already there and not overwritten"):
        dearray([path], tmp_path, NONE)
    assert [each.name for each in tmp_path.iterdir() if each != path] == ["manifest.csv"]


def test_failures_name_the_remedy(tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.new("RGB", (300, 200), (240, 240, 240)).save(blank)
    text = tmp_path / "text.svs"
    text.write_text("no slide")
    with pytest.raises(DearrayError, match=r"No array of cores is found on .*with --grid"):
        dearray([blank], tmp_path / "out", NONE)
    with pytest.raises(ImageError, match="is text, not an image"):
        dearray([text], tmp_path / "out", NONE)
    with pytest.raises(ImageError, match="There is no file"):
        dearray([tmp_path / "none.svs"], tmp_path / "out", NONE)
    with pytest.raises(DearrayError, match="--core-um is 1; expected the diameter"):
        dearray([blank], tmp_path / "out", DearrayOptions(core_um=1))
    write_small_slide(tmp_path / "slide.tif")
    with pytest.raises(ImageError, match="The antibody id 'a/b' cannot be a file name"):
        dearray([tmp_path / "slide.tif"], tmp_path / "out", DearrayOptions(antibody="a/b"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TMA 7", "TMA_7"),
        ("../../x", "x"),
        ("\u65e5\u672c", "slide"),
        ("con", "slide_con"),
        ("_", "slide"),
        ("a" * 300, "a" * 80),
        ("x\n\x1b[31m", "x_31m"),
    ],
)
def test_names_of_slides_become_names_of_files(text: str, expected: str) -> None:
    assert safe_name(text) == expected


def test_command_prints_what_it_found(tmp_path: Path) -> None:
    write_small_slide(tmp_path / "slide.tif")
    arguments = ["dearray", str(tmp_path / "slide.tif"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*arguments, "--core-um", "600", "--antibody", "AB1"])
    assert result.exit_code == 0, result.output
    assert "rows A to D, columns 1 to 6" in result.output
    rows = rows_of(tmp_path / "out" / "manifest.csv")
    assert {(row["core_um"], row["antibody_id"]) for row in rows} == {("600", "AB1")}
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1
    assert "already there" in again.output
