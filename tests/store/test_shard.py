from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from cacl.store.shard import Layout, ShardFiles, StoredArray, codec, encode_shard, fill


def layout(shape: tuple[int, ...]) -> Layout:
    lead = shape[:-2]
    axes = ("c", "y", "x")[-len(shape) :]
    return Layout(shape, chunks=(*lead, 16, 16), shards=(*lead, 64, 64), axes=axes)


def create(folder: Path, shape: tuple[int, ...]) -> zarr.Array:
    lead = shape[:-2]
    return zarr.create_array(
        folder,
        shape=shape,
        dtype="uint8",
        chunks=(*lead, 16, 16),
        shards=(*lead, 64, 64),
        compressors=codec(),
    )


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 160, 80), (64, 128), (48, 16)])
def test_zarr_reads_what_is_written(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 9, shape, dtype=np.uint8)
    files = ShardFiles(layout(shape), tmp_path / "a")
    for y in range(0, shape[-2], 64):
        for x in range(0, shape[-1], 64):
            region = (*(slice(None),) * (len(shape) - 2), slice(y, y + 64), slice(x, x + 64))
            files[region] = values[region]
    found = zarr.open_array(tmp_path / "a", mode="r")
    np.testing.assert_array_equal(found[:], values)
    np.testing.assert_array_equal(found[..., 16:32, 0:16], values[..., 16:32, 0:16])


def test_a_shard_has_the_chunks_and_the_size_of_zarrs_own(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 9, (3, 64, 64), dtype=np.uint8)
    array = create(tmp_path / "a", values.shape)
    array[:] = values
    [written] = (tmp_path / "a" / "c").rglob("0/0/0")
    ours = encode_shard(values, (3, 16, 16), (3, 64, 64))
    assert len(ours) == len(written.read_bytes())
    index_bytes = 16 * 16 + 4
    theirs = np.frombuffer(written.read_bytes()[-index_bytes:-4], "<u8").reshape(4, 4, 2)
    mine = np.frombuffer(ours[-index_bytes:-4], "<u8").reshape(4, 4, 2)
    np.testing.assert_array_equal(mine[..., 1], theirs[..., 1])


def test_a_damaged_index_is_noticed(tmp_path: Path) -> None:
    values = np.ones((64, 64), np.uint8)
    ShardFiles(layout(values.shape), tmp_path / "a")[:64, :64] = values
    array = zarr.open_array(tmp_path / "a", mode="r")
    [path] = (path for path in (tmp_path / "a" / "c").rglob("*") if path.is_file())
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        array[:]


def test_the_metadata_are_zarrs_own(tmp_path: Path) -> None:
    create(tmp_path / "a", (3, 64, 128))
    ShardFiles(Layout((3, 64, 128), (3, 16, 16), (3, 64, 64), ()), tmp_path / "b")
    theirs, ours = ((tmp_path / name / "zarr.json").read_bytes() for name in "ab")
    assert ours == theirs


def test_empty_chunks_are_written_like_others(tmp_path: Path) -> None:
    values = np.zeros((64, 64), np.uint8)
    values[20, 20] = values[50, 60] = 1
    fill([(ShardFiles(layout(values.shape), tmp_path / "a"), values)])
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], values)


def stored(folder: Path, shape: tuple[int, ...]) -> tuple[StoredArray, np.ndarray]:
    """Return an array that `ShardFiles` wrote, and its values."""
    values = np.random.default_rng(2).integers(0, 99, shape, dtype=np.uint8)
    fill([(ShardFiles(layout(shape), folder / "a"), values)])
    return StoredArray(zarr.open_array(folder / "a", mode="r"), folder / "a"), values


KEYS = (
    np.s_[:],
    np.s_[...],
    np.s_[..., 16:32, 0:16],
    np.s_[..., 5:70, :],
    np.s_[..., 63:65, 30:66],
    np.s_[..., -3:, 7:8],
    np.s_[..., 9:9, :],
    np.s_[..., 200:300, :],
    np.s_[0],
    np.s_[..., 3],
    np.s_[..., ::2, 1::3],
)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 160, 80), (64, 128), (48, 16)])
def test_any_part_is_read(tmp_path: Path, shape: tuple[int, ...], key: object) -> None:
    array, values = stored(tmp_path, shape)
    np.testing.assert_array_equal(array[key], values[key])
    assert array[key].dtype == np.uint8
    assert (array.shape, array.ndim, array.chunks[-2:]) == (shape, len(shape), (16, 16))


def test_plain_slices_need_no_zarr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array, values = stored(tmp_path, (3, 160, 80))

    def refuse(*_: object) -> None:
        raise AssertionError("read by Zarr")

    monkeypatch.setattr(zarr.Array, "__getitem__", refuse)
    np.testing.assert_array_equal(np.asarray(array), values)
    with pytest.raises(AssertionError):
        array[0]


def test_other_layouts_are_read_too(tmp_path: Path) -> None:
    values = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for name, options in (("a", {}), ("b", {"shards": (8, 4)}), ("c", {"compressors": None})):
        made = zarr.create_array(
            tmp_path / name, shape=(8, 8), dtype="uint8", chunks=(4, 2), **options
        )
        made[:] = values
        np.testing.assert_array_equal(StoredArray(made, tmp_path / name)[1:7], values[1:7])


def test_chunks_that_zarr_left_out_are_zeros(tmp_path: Path) -> None:
    made = create(tmp_path / "a", (64, 64))
    made[20:25, 20:25] = 7
    found = StoredArray(zarr.open_array(tmp_path / "a", mode="r"), tmp_path / "a")[:]
    assert (found == 7).sum() == 25
    assert (found == 0).sum() == 64 * 64 - 25


@pytest.mark.parametrize("harm", ["index", "chunk", "cut", "gone"])
def test_damage_is_noticed(tmp_path: Path, harm: str) -> None:
    array, _ = stored(tmp_path, (64, 64))
    path = tmp_path / "a" / "c" / "0" / "0"
    data = bytearray(path.read_bytes())
    data[-20 if harm == "index" else 0] ^= 255
    path.write_bytes(data[:-30] if harm == "cut" else data)
    if harm == "gone":
        path.unlink()
    with pytest.raises((ValueError, RuntimeError), match=r"damaged|missing|Zstd"):
        array[:]
