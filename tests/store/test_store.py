from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from ome_zarr_models.common.coordinate_transformations import VectorScale
from ome_zarr_models.v05.image import Image
from ome_zarr_models.v05.image_label import ImageLabel
from ome_zarr_models.v05.labels import Labels

from cacl.errors import ImageError, Reason, StainError, StoreError
from cacl.runtime.file_digest import BLANK_DIGEST, FILE_DIGEST, embed_digest
from cacl.stain.vectors import REFERENCE, StainVectors
from cacl.store import ImageMeta, Store, run_vectors

META = ImageMeta(
    image_id="HPA000001/1_A_7_2",
    source_sha256="00",
    source_height=700,
    source_width=1100,
    source_px=375,
    tile_px=128,
    mpp=1.25,
    digest="first",
)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 256, 384), dtype=np.uint8)


@pytest.fixture
def store(tmp_path: Path, pixels: np.ndarray) -> Store:
    store = Store(tmp_path / "atlas.zarr")
    store.write_image(META, pixels, pixels[0] > 100)
    return store


def test_round_trip_of_pixels_and_masks_with_one_chunk_per_tile(
    store: Store, pixels: np.ndarray
) -> None:
    array = store.image(META.image_id)
    assert array.chunks == (3, 128, 128)
    np.testing.assert_array_equal(array[:], pixels)
    np.testing.assert_array_equal(store.tile(META.image_id, 1, 2), pixels[:, 128:256, 256:384])
    np.testing.assert_array_equal(store.label(META.image_id, "cell")[:], pixels[0] > 100)
    assert store.meta(META.image_id) == META


def test_stain_vectors_are_kept_and_the_reference_is_no_attribute(
    store: Store, pixels: np.ndarray
) -> None:
    marker = store.path(META.image_id) / "zarr.json"
    assert "stain_vectors" not in json.loads(marker.read_text())["attributes"]["cacl"]
    vectors = StainVectors.of((0.6, 0.6, 0.4), (0.4, 0.6, 0.7))
    meta = dataclasses.replace(META, stain_vectors=vectors)
    store.write_image(meta, pixels, pixels[0] > 100)
    assert store.meta(META.image_id).stain_vectors == vectors
    assert run_vectors([]) == REFERENCE
    assert run_vectors([meta, meta]) == vectors
    with pytest.raises(StainError, match=r"was tiled with .* 0.64 0.64 0.43, .* for all images"):
        run_vectors([meta, META])


def test_core_has_at_most_ten_files(store: Store) -> None:
    store.write_label(META.image_id, "stain", np.zeros((256, 384), bool), "m")
    files = [path for path in store.path(META.image_id).rglob("*") if path.is_file()]
    assert len(files) <= 10


def ome_attributes(folder: Path) -> object:
    return json.loads((folder / "zarr.json").read_text())["attributes"]["ome"]


@pytest.mark.parametrize("mpp", [1.25, None])
def test_metadata_equals_what_ome_zarr_models_writes(
    store: Store, pixels: np.ndarray, mpp: float | None
) -> None:
    store.write_image(ImageMeta(**(vars(META) | {"mpp": mpp})), pixels, pixels[0] > 100)
    store.write_label(META.image_id, "stain", np.ones((256, 384), bool), "m")
    folder = store.path(META.image_id)
    image = Image.from_zarr(zarr.open_group(folder, mode="r")).ome_attributes
    assert image.model_dump(mode="json", exclude_none=True) == ome_attributes(folder)
    for name in ("cell", "stain"):
        path = folder / "labels" / name
        label = ImageLabel.from_zarr(zarr.open_group(path, mode="r")).ome_attributes
        written = label.model_dump(mode="json", exclude_none=True, by_alias=True)
        assert written == ome_attributes(path)
    labels = Labels.from_zarr(zarr.open_group(folder / "labels", mode="r")).ome_attributes
    assert labels.labels == ["cell", "stain"]


def test_ome_zarr_models_validates_image_and_labels(store: Store) -> None:
    store.write_label(META.image_id, "stain", np.ones((256, 384), bool), "m")
    group = zarr.open_group(store.path(META.image_id), mode="r")
    image = Image.from_zarr(group)
    dataset = image.attributes.ome.multiscales[0].datasets[0]
    transformation = dataset.coordinateTransformations[0]
    assert isinstance(transformation, VectorScale)
    assert transformation.scale == [1.0, 1.25, 1.25]
    for name in ("cell", "stain"):
        label = group[f"labels/{name}"]
        assert isinstance(label, zarr.Group)
        ImageLabel.from_zarr(label)


def test_ome_zarr_py_reads_image_and_labels(store: Store, pixels: np.ndarray) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    location = parse_url(str(store.path(META.image_id)))
    assert location is not None
    nodes = list(Reader(location)())
    np.testing.assert_array_equal(nodes[0].data[0], pixels)
    assert any("cell" in str(node.zarr) for node in nodes)


def test_writes_image_of_several_shards_from_dask_blocks(tmp_path: Path) -> None:
    store = Store(tmp_path / "atlas.zarr")
    meta = ImageMeta(
        **(
            vars(META)
            | {"source_height": 32 * 20, "source_width": 32 * 17}
            | {"source_px": 32, "tile_px": 32}
        )
    )
    blocks = (
        da.random.default_rng(1).integers(0, 256, (3, 640, 544), chunks=(3, 64, 64)).astype("u1")
    )
    store.write_image(meta, blocks, blocks[0] > 9)
    array = store.image(meta.image_id)
    assert array.shards == (3, 512, 512)
    np.testing.assert_array_equal(array[:], blocks.compute())


def test_writes_large_image_strip_by_strip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "atlas.zarr")
    size = {"source_height": 32 * 40, "source_width": 32 * 16, "source_px": 32, "tile_px": 32}
    meta = ImageMeta(**(vars(META) | size))
    blocks = da.zeros((3, 1280, 512), dtype="u1", chunks=(3, 256, 256))
    heights = []
    write = da.store

    def record_height(sources: list[da.Array], *args: Any, **options: Any) -> None:
        heights.append(sources[0].shape[-2])
        write(sources, *args, **options)

    monkeypatch.setattr(da, "store", record_height)
    store.write_image(meta, blocks, blocks[0])
    store.write_image(meta, blocks.rechunk((3, 320, 512)), blocks[0])
    assert heights == [512, 512, 256, 1280]
    assert not store.image(meta.image_id)[:].any()


def test_image_and_label_are_up_to_date_with_equal_digest(store: Store, pixels: np.ndarray) -> None:
    assert store.has_image(META.image_id, "first")
    assert not store.has_image(META.image_id, "second")
    assert not store.has_image("HPA000001/other", "first")
    assert store.label_digest(META.image_id, "stain") is None
    store.write_label(META.image_id, "stain", pixels[0] > 5, "model 1")
    assert store.label_digest(META.image_id, "stain") == "model 1"
    store.write_image(ImageMeta(**(vars(META) | {"digest": "second"})), pixels, pixels[0] > 1)
    assert store.has_image(META.image_id, "second")
    assert store.label_digest(META.image_id, "stain") is None


def test_failed_write_keeps_the_old_image_and_removes_temporary_files(store: Store) -> None:
    def broken(block: np.ndarray) -> np.ndarray:
        raise OSError("disk full")

    bad = da.zeros((3, 256, 384), chunks=(3, 128, 128), dtype="u1").map_blocks(broken, dtype="u1")
    with pytest.raises(OSError, match="disk full"):
        store.write_image(ImageMeta(**(vars(META) | {"digest": "second"})), bad, bad[0])
    assert store.has_image(META.image_id, "first")
    assert [path.name for path in store.path(META.image_id).parent.iterdir() if path.is_dir()] == [
        "1_A_7_2"
    ]


def test_rejects_arrays_of_another_size(store: Store) -> None:
    with pytest.raises(ValueError, match=r"expected arrays \(3, 256, 384\)"):
        store.write_image(META, np.zeros((3, 9, 9), np.uint8), np.zeros((9, 9), bool))
    with pytest.raises(ValueError, match=r"expected a mask \(256, 384\)"):
        store.write_label(META.image_id, "stain", np.zeros((9, 9), bool), "d")


@pytest.mark.parametrize("image_id", ["../x", "a/../b", "a", "a/b/c", "/a/b", "a/.b", "", "a/b\n"])
def test_rejects_ids_that_are_not_two_safe_names(store: Store, image_id: str) -> None:
    with pytest.raises(ImageError) as caught:
        store.path(image_id)
    assert caught.value.reason is Reason.UNSAFE_ID


def test_rejects_store_of_another_version_with_remedy(store: Store) -> None:
    marker = store.root / "zarr.json"
    marker.write_text(json.dumps({"attributes": {"cacl": {"store_version": 99}}}))
    with pytest.raises(StoreError, match=r"store of version 99, expected 2; delete it"):
        Store(store.root)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"attributes": 1}', '{"attributes": {"cacl": 2}}']
)
def test_damaged_metadata_raises(store: Store, content: str) -> None:
    (store.path(META.image_id) / "zarr.json").write_text(content)
    with pytest.raises(StoreError, match="damaged"):
        store.meta(META.image_id)


def test_rejects_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="not empty and not a store; name another folder"):
        Store(tmp_path)


def test_missing_arrays_and_attributes_raise(store: Store) -> None:
    with pytest.raises(StoreError, match=r"stain/zarr.json is missing.* run `cacl segment` again"):
        store.label(META.image_id, "stain")
    marker = store.path(META.image_id) / "zarr.json"
    attributes = {"image_id": "x", FILE_DIGEST: BLANK_DIGEST}
    marker.write_bytes(embed_digest(json.dumps({"attributes": {"cacl": attributes}}).encode()))
    with pytest.raises(StoreError, match=r"lacks valid attributes .*tile_px: field required"):
        store.meta(META.image_id)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("source_width", -0.0, "source_width: input should be a valid integer"),
        ("source_px", "32", "source_px: input should be a valid integer"),
        ("tile_px", 0, "tile_px: input should be greater than or equal to 1"),
        ("tile_px", 4096, "tile_px must be at most source_px"),
        ("mpp", float("nan"), "mpp: input should be greater than 0"),
        ("digest", None, "digest: input should be a valid string"),
        ("stain_vectors", {"dab": [0, 0, 1]}, "stain_vectors.hematoxylin: field required"),
        (
            "stain_vectors",
            {"hematoxylin": [1, 1, 1], "dab": [2, 2, 2]},
            "stain_vectors: value error, hematoxylin and dab enclose 0.0 degrees",
        ),
    ],
)
def test_attributes_out_of_range_raise(
    store: Store, name: str, value: object, message: str
) -> None:
    marker = store.path(META.image_id) / "zarr.json"
    attributes = {**META.attributes, name: value, FILE_DIGEST: BLANK_DIGEST, "\ud800": "\udfff"}
    marker.write_bytes(embed_digest(json.dumps({"attributes": {"cacl": attributes}}).encode()))
    with pytest.raises(StoreError, match=f"lacks valid attributes .*{message}"):
        store.meta(META.image_id)


def test_mask_with_deleted_data_is_not_read_as_empty_mask(store: Store) -> None:
    store.write_label(META.image_id, "stain", np.zeros((256, 384), bool), "m")
    assert not store.label(META.image_id, "stain")[:].any()
    data = store.path(META.image_id) / "labels" / "stain" / "0" / "c"
    (data / "0" / "0").unlink()
    with pytest.raises(StoreError, match="has missing data"):
        store.label(META.image_id, "stain")
