"""Steps `estimate_stain` and `tile`: from the colours of images to the vectors in the store."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cacl import tables
from cacl.config import TilesConfig
from cacl.diagnostics.verify.files import list_items
from cacl.diagnostics.verify.run import problem_of
from cacl.errors import ConfigError, StainError
from cacl.runtime.digest import digest_of
from cacl.runtime.step_versions import STEP_VERSIONS
from cacl.stain.config import StainConfig
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.steps import estimate_stain as step
from cacl.steps.estimate_stain import chosen_vectors, estimate_stain, read_estimate
from cacl.steps.parameters import ImageJobs
from cacl.steps.tile import tile
from cacl.store import Store
from cacl.tables.schemas import AcquiredRow
from tests.fixtures.model_atlas import render_core
from tests.fixtures.pictures import painted_with

TRUE = StainVectors.of((0.64, 0.63, 0.44), (0.40, 0.58, 0.71))
CONFIG = TilesConfig(source_px=64, tile_px=64)


def write_core(folder: Path, number: int, vectors: StainVectors = TRUE) -> AcquiredRow:
    """Write a core of which half the cells are blue and half brown, without noise of the colour."""
    rng = np.random.default_rng(number)
    amounts = np.zeros((2, 256, 256))
    amounts[0, :128] = rng.uniform(0.2, 0.7, (128, 256))
    amounts[1, 128:] = rng.uniform(0.3, 0.8, (128, 256))
    density = np.einsum("sc,syx->yxc", np.array([vectors.hematoxylin, vectors.dab]), amounts)
    path = folder / f"{number}.png"
    Image.fromarray(np.rint(256 * 10.0**-density - 1).clip(0, 255).astype(np.uint8)).save(path)
    return row_of(path)


def row_of(path: Path) -> AcquiredRow:
    return AcquiredRow(
        image_id=f"A{path.stem}/a",
        antibody_id=f"A{path.stem}",
        path=str(path),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size_bytes=path.stat().st_size,
        mpp=None,
    )


def tables_of(folder: Path, *shards: list[AcquiredRow]) -> list[Path]:
    paths = [folder / f"{number}.parquet" for number in range(len(shards))]
    for path, rows in zip(paths, shards, strict=True):
        tables.write_parquet(path, rows, AcquiredRow)
    return paths


@pytest.fixture
def cores(tmp_path: Path) -> list[AcquiredRow]:
    return [write_core(tmp_path, number) for number in range(4)]


def test_estimate_is_that_of_the_images_whatever_the_shards_and_jobs(
    tmp_path: Path, cores: list[AcquiredRow]
) -> None:
    out = tmp_path / "vectors.json"
    estimate_stain(tables_of(tmp_path, cores), out, CONFIG, seed=3)
    assert read_estimate(out).difference(TRUE) < 1.5
    first = out.read_bytes()
    document = json.loads(first)
    assert document["images"] == 4
    assert document["residual_fraction"]["estimated"] < document["residual_fraction"]["fixed"]
    out.unlink()
    estimate_stain(tables_of(tmp_path, cores[2:], cores[:2]), out, CONFIG, seed=3, jobs=2)
    assert out.read_bytes() == first


def test_images_that_cannot_be_read_are_replaced(
    tmp_path: Path, cores: list[AcquiredRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "MAX_IMAGES", 3)
    bad = tmp_path / "9.png"
    bad.write_bytes(b"no image")
    changed = write_core(tmp_path, 8)
    Path(changed.path).write_bytes(b"other bytes")
    out = tmp_path / "vectors.json"
    estimate_stain(tables_of(tmp_path, [row_of(bad), changed, *cores]), out, CONFIG)
    assert json.loads(out.read_bytes())["images"] == 3
    assert read_estimate(out).difference(TRUE) < 1.5


def test_without_a_readable_image_or_with_blank_ones_there_is_no_estimate(tmp_path: Path) -> None:
    bad, blank = tmp_path / "1.png", tmp_path / "2.png"
    bad.write_bytes(b"no image")
    Image.new("RGB", (256, 256), (245, 245, 245)).save(blank)
    for path, sentence in ((bad, "no image could be read"), (blank, "hold 0 stained pixels")):
        with pytest.raises(StainError, match=sentence):
            estimate_stain(tables_of(tmp_path, [row_of(path)]), tmp_path / "out.json", CONFIG)
    assert not (tmp_path / "out.json").exists()


def test_damaged_estimate_is_found_by_its_reader_and_by_verify(
    tmp_path: Path, cores: list[AcquiredRow]
) -> None:
    out = tmp_path / "results/stain/vectors.json"
    out.parent.mkdir(parents=True)
    estimate_stain(tables_of(tmp_path, cores), out, CONFIG)
    (item,) = list_items(tmp_path / "results")
    assert problem_of(item) == ""
    out.write_bytes(out.read_bytes().replace(b'"seed": 0', b'"seed": 1'))
    assert "is damaged" in problem_of(item)
    with pytest.raises(StainError, match=r"is missing or damaged .* `cacl estimate-stain` again"):
        read_estimate(out)


def test_vectors_of_a_run_are_fixed_given_or_estimated(
    tmp_path: Path, cores: list[AcquiredRow]
) -> None:
    out = tmp_path / "vectors.json"
    estimate_stain(tables_of(tmp_path, cores), out, CONFIG)
    assert chosen_vectors(StainConfig(), out) is REFERENCE
    assert chosen_vectors(StainConfig(vectors=TRUE), None) == TRUE
    estimated = StainConfig(vectors="estimated")
    assert chosen_vectors(estimated, out) == read_estimate(out)
    with pytest.raises(ConfigError, match="no estimate is named; run `cacl estimate-stain`"):
        chosen_vectors(estimated, None)


def tiled(
    folder: Path, rows: list[AcquiredRow], vectors: StainVectors
) -> tuple[Store, dict[str, object], bytes]:
    """Return the store, the parameters that the table records, and the bytes of the table."""
    folder.mkdir()
    acquired = tables_of(folder, rows)[0]
    out, failures = folder / "tiles.parquet", folder / "failures.csv"
    tile(acquired, folder / "atlas.zarr", out, failures, CONFIG, ImageJobs(strict=True), vectors)
    made_with = dict(tables.read_made_with(out)["parameters"])
    return Store(folder / "atlas.zarr"), made_with, out.read_bytes()


def test_default_has_the_digests_and_parameters_as_without_the_key(
    tmp_path: Path, cores: list[AcquiredRow]
) -> None:
    """What was tiled before the key existed stays up to date."""
    store, made_with, table = tiled(tmp_path / "a", cores[:1], REFERENCE)
    parts = (STEP_VERSIONS["tile"], cores[0].sha256, CONFIG.source_px, CONFIG.tile_px, None)
    assert store.meta("A0/a").digest == digest_of("tile", *parts)
    assert set(made_with) == {"version", "source_px", "tile_px", "min_tissue_fraction"}
    given = StainVectors.of(REFERENCE.hematoxylin, [3.0 * value for value in REFERENCE.dab])
    assert tiled(tmp_path / "b", cores[:1], given)[2] == table


def test_store_holds_the_vectors_and_masks_are_those_of_the_reference_colours(
    tmp_path: Path,
) -> None:
    """The same core in other colours, tiled with its vectors, has the same cells and DAB."""
    rgb, _ = render_core(1, positive=True)
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    for path, pixels in zip(paths, (rgb, painted_with(rgb, TRUE)), strict=True):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
    first, _, _ = tiled(tmp_path / "a", [row_of(paths[0])], REFERENCE)
    second, made_with, _ = tiled(tmp_path / "b", [row_of(paths[1])], TRUE)
    assert made_with["stain_vectors"] == str(TRUE)
    assert first.meta("A1/a").stain_vectors == REFERENCE
    assert second.meta("A2/a").stain_vectors == TRUE
    cells = [
        np.asarray(store.label(name, "cell")[:])
        for store, name in ((first, "A1/a"), (second, "A2/a"))
    ]
    assert cells[0].any()
    assert (cells[0] == cells[1]).mean() > 0.98
