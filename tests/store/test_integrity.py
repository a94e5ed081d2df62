"""One flipped bit in any file of the store is found, or changes nothing that is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks._lib.bit_flips import flips, is_flipped
from cacl.errors import StoreError
from cacl.store import ImageMeta, Store

IMAGE = "HPA000001/1_A_7_2"
META = ImageMeta(
    image_id=IMAGE,
    source_sha256="00",
    source_height=700,
    source_width=1100,
    source_px=375,
    tile_px=128,
    mpp=1.25,
    digest="first",
)
FLIPS = 100


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "atlas.zarr")
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(256), np.arange(384)) // 3
    pixels = (smooth + rng.integers(0, 20, (3, 256, 384))).astype(np.uint8)
    store.write_image(META, pixels, pixels[0] > 100)
    store.write_label(IMAGE, "stain", pixels[0] > 190, "m")
    return store


def content(store: Store) -> tuple[object, ...]:
    """Return all that the software reads of an image."""
    opened = Store(store.root)
    arrays = [opened.image(IMAGE), opened.label(IMAGE, "cell"), opened.label(IMAGE, "stain")]
    attributes = [opened.label_attrs(IMAGE, name) for name in ("cell", "stain")]
    return (opened.meta(IMAGE), *attributes, *(np.asarray(array).tobytes() for array in arrays))


@pytest.mark.parametrize(
    ("name", "least"),
    [
        (f"{IMAGE}/0/c/0/0/0", 97),
        (f"{IMAGE}/labels/stain/0/c/0/0", 97),
        (f"{IMAGE}/0/zarr.json", FLIPS),
        (f"{IMAGE}/labels/stain/0/zarr.json", FLIPS),
        (f"{IMAGE}/zarr.json", FLIPS),
        (f"{IMAGE}/labels/cell/zarr.json", FLIPS),
        ("zarr.json", FLIPS),
    ],
)
def test_flipped_bits_are_found_or_change_nothing(store: Store, name: str, least: int) -> None:
    before, path = content(store), store.root / name
    found = 0
    for place in flips(path, FLIPS):
        with is_flipped(path, place):
            try:
                read = content(store)
            except StoreError:
                found += 1
            else:
                assert read == before, f"bit {place} of {name} changes what is read"
    assert found >= least
    assert content(store) == before


def test_store_without_checksums_is_refused_with_the_remedy(store: Store) -> None:
    marker = store.root / "zarr.json"
    marker.write_text('{"attributes": {"cacl": {"store_version": 1}}}')
    with pytest.raises(StoreError, match="store of version 1, expected 2; delete it and run"):
        Store(store.root)


def test_deleted_marker_of_a_store_is_written_again(store: Store) -> None:
    marker = store.root / "zarr.json"
    before = marker.read_bytes()
    marker.unlink()
    assert Store(store.root).meta(IMAGE) == META
    assert marker.read_bytes() == before


def test_damaged_marker_of_an_image_is_no_image(store: Store) -> None:
    marker = store.path(IMAGE) / "zarr.json"
    assert store.has_image(IMAGE, "first")
    marker.write_bytes(marker.read_bytes().replace(b"1.25", b"1.75"))
    assert not store.has_image(IMAGE, "first")
    with pytest.raises(StoreError, match=r"its bytes have changed.*run `cacl tile` again"):
        store.meta(IMAGE)


def test_damaged_marker_of_a_mask_is_no_mask(store: Store) -> None:
    marker = store.path(IMAGE) / "labels" / "stain" / "zarr.json"
    assert store.label_digest(IMAGE, "stain") == "m"
    marker.write_bytes(marker.read_bytes().replace(b'"m"', b'"n"'))
    assert store.label_digest(IMAGE, "stain") is None
    with pytest.raises(StoreError, match=r"delete .*/labels/stain and run `cacl segment` again"):
        store.label(IMAGE, "stain")


def test_failed_check_leaves_the_store_unchanged(store: Store) -> None:
    def fail() -> None:
        raise ValueError("changed")

    before = content(store)
    pixels = np.zeros((3, 256, 384), np.uint8)
    with pytest.raises(ValueError, match="changed"):
        store.write_image(META, pixels, pixels[0], fail)
    assert content(store) == before
    assert sorted(path.name for path in store.path(IMAGE).parent.iterdir()) == [
        "1_A_7_2",
        "zarr.json",
    ]
