"""Labels of pixels that a person drew: places, scale, names, and drawings that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cacl.errors import ConfigError
from cacl.hpa.pixel_labels import PseudoLabel, read_drawn, read_labels
from cacl.image.tile_grid import TileGrid
from cacl.store import ImageMeta, Store
from tests.fixtures.drawings import area, write_drawing

IMAGES = ("A/1", "A/2", "B/1")
SOURCE_PX, TILE_PX = 75, 32
"""2.34 pixels of the source per analysis pixel, as 375 px at 160 px."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of white images of 2 x 3 tiles."""
    made = Store(tmp_path / "atlas.zarr")
    for image_id in IMAGES:
        meta = ImageMeta(
            image_id=image_id,
            source_sha256="",
            source_height=2 * SOURCE_PX,
            source_width=3 * SOURCE_PX,
            source_px=SOURCE_PX,
            tile_px=TILE_PX,
            mpp=None,
            digest=image_id,
        )
        side = (meta.grid.height, meta.grid.width)
        made.write_image(meta, np.full((3, *side), 255, np.uint8), np.zeros(side, np.uint8))
    return made


def test_areas_become_labels_at_the_scale_of_the_store(tmp_path: Path) -> None:
    path = write_drawing(
        tmp_path,
        "a",
        [
            area("Positive", (4, 8, 16, 12)),
            area(" NEGATIVE", (20, 0, 24, 4), (16, 16, 20, 18)),
            area("Necrosis", (0, 0, 24, 24)),
            area(None, (0, 0, 24, 24)),
        ],
    )
    labels, contradictory, ignored = read_labels(path, TileGrid(24, 24, source_px=12, tile_px=6))
    expected = np.zeros((12, 12), np.uint8)
    expected[4:6, 2:8] = PseudoLabel.POSITIVE
    expected[0:2, 10:12] = expected[8:9, 8:10] = PseudoLabel.NEGATIVE
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, expected)
    assert (contradictory, ignored) == (0, {"Necrosis": 1, "": 1})


def test_a_scale_that_is_no_whole_number_places_labels_by_area(
    store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "drawn"
    write_drawing(folder, "A_1", [area("positive", (75, 75, 150, 150))])
    labels = read_drawn(folder, store, IMAGES).labels["A/1"]
    assert labels.shape == (64, 96)
    assert np.argwhere(labels).min(axis=0).tolist() == [32, 32]
    assert np.argwhere(labels).max(axis=0).tolist() == [63, 63]
    assert int((labels == PseudoLabel.POSITIVE).sum()) == 32 * 32


def test_pixels_of_both_classes_are_ignored_and_counted(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    areas = [area("positive", (0, 0, 150, 75)), area("negative", (75, 0, 225, 75))]
    write_drawing(folder, "A/1", areas)
    drawn = read_drawn(folder, store, IMAGES)
    assert drawn.contradictory_px == {"A/1": 32 * 32}
    assert drawn.touched_tiles("A/1", TILE_PX) == {(0, 0): True, (0, 2): False}
    assert drawn.describe() == {
        "images": 1,
        "positive_px": 1024,
        "negative_px": 1024,
        "contradictory_px": 1024,
        "sha256": drawn.digest,
    }


def test_files_are_sorted_by_what_they_are_of(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    stroke = area("negative", (0, 0, 30, 30))
    write_drawing(folder, "A_2", [stroke])
    write_drawing(folder, "B/1", [stroke])
    write_drawing(folder, "A/1", [area("Tumor", (0, 0, 30, 30)), area("negative", (0, 0, 1, 1))])
    write_drawing(folder, "A/9", [stroke])
    write_drawing(folder, ".hidden", [stroke])
    (folder / "A_1.png").touch()
    drawn = read_drawn(folder, store, ["A/1", "A/2"], ["B/1"])
    assert list(drawn.labels) == ["A/2"]
    assert (drawn.empty, drawn.unused, drawn.unknown) == (("A/1",), ("B/1",), ("A/9.geojson",))
    assert drawn.ignored == {"Tumor": 1}


def test_the_digest_is_that_of_the_labels(store: Store, tmp_path: Path) -> None:
    stroke, other = area("negative", (0, 0, 30, 30)), area("positive", (0, 0, 30, 30))
    write_drawing(tmp_path / "one", "A_1", [stroke])
    write_drawing(tmp_path / "same", "A/1", [area("Stroma", (0, 0, 9, 9)), stroke])
    write_drawing(tmp_path / "other", "A_1", [other])
    write_drawing(tmp_path / "moved", "A_2", [stroke])
    one, same, *others = (
        read_drawn(tmp_path / name, store, IMAGES).digest
        for name in ("one", "same", "other", "moved")
    )
    assert one == same
    assert len({one, *others}) == 3


def test_all_drawings_that_cannot_be_used_are_named(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    write_drawing(folder, "A_1", [area("positive", (0, 0, 226.5, 10))])
    (folder / "A_2.geojson").touch()
    point = {**area("positive"), "geometry": {"type": "Point", "coordinates": [1, 1]}}
    write_drawing(folder, "B_1", [point])
    with pytest.raises(ConfigError) as caught:
        read_drawn(folder, store, IMAGES)
    first, second, third = str(caught.value).split("\n")
    assert "A_1.geojson" in first
    assert "the image has 225 x 150 px" in first
    assert "A_2.geojson" in second
    assert "B_1.geojson" in third
    assert "expected Polygon or MultiPolygon" in third


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("A_1", "A/1"), "The image A/1 has several drawings"),
        ((), r"labels.drawn: the folder .* cannot be read \(No such file or directory\); name a"),
    ],
)
def test_folder_that_cannot_be_used(
    store: Store, tmp_path: Path, names: tuple[str, ...], sentence: str
) -> None:
    for name in names:
        write_drawing(tmp_path / "drawn", name, [])
    with pytest.raises(ConfigError, match=sentence):
        read_drawn(tmp_path / "drawn", store, IMAGES)


def test_name_of_two_images_is_refused(store: Store, tmp_path: Path) -> None:
    write_drawing(tmp_path / "drawn", "A_b_c", [])
    with pytest.raises(ConfigError, match="can be the drawing of A/b_c and of A_b/c; move it"):
        read_drawn(tmp_path / "drawn", store, ["A/b_c", "A_b/c"])


def test_drawing_of_a_region_is_in_pixels_of_the_slide(tmp_path: Path) -> None:
    boxes = [(104, 208, 116, 212), (0, 0, 50, 50), (110, 190, 124, 201)]
    path = write_drawing(tmp_path, "a", [area("Positive", *boxes)])
    labels, _, _ = read_labels(path, TileGrid(24, 24, source_px=12, tile_px=6, origin=(100, 200)))
    expected = np.zeros((12, 12), np.uint8)
    expected[4:6, 2:8] = PseudoLabel.POSITIVE
    assert np.array_equal(np.delete(labels, 0, axis=0), np.delete(expected, 0, axis=0))


def test_drawing_beside_its_region_is_refused(tmp_path: Path) -> None:
    path = write_drawing(tmp_path, "a", [area("Positive", (4, 8, 16, 12))])
    grid = TileGrid(24, 24, source_px=12, tile_px=6, origin=(100, 200))
    with pytest.raises(ConfigError, match=r"covers \(100, 200\) to \(124, 224\) px of the slide"):
        read_labels(path, grid)
