from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import ZstdCodec
from zarr.core.codec_pipeline import BatchedCodecPipeline
from zarr.core.metadata import ArrayV3Metadata

from cacl.errors import StoreError
from cacl.store.arrays import StoredArray, create_array, open_array, store_arrays

TILE_PX = 16
SHARD_PX = 64
SHAPES = [(3, 64, 64), (3, 160, 80), (64, 128), (48, 16)]


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cacl.store.arrays.MAX_SHARD_TILES", SHARD_PX // TILE_PX)


def random_values(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 99, shape, dtype=np.uint8)


def write(path: Path, values: np.ndarray) -> Path:
    axes = ("c", "y", "x")[-values.ndim :]
    store_arrays([(create_array(path, values.shape, TILE_PX, axes), values)])
    return path


def files_of(path: Path) -> dict[str, bytes]:
    files = (file for file in sorted(path.rglob("*")) if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.mark.parametrize("shape", SHAPES)
def test_zarr_reads_written_arrays(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = random_values(shape)
    array = zarr.open_array(write(tmp_path / "a", values), mode="r")
    np.testing.assert_array_equal(array[:], values)
    np.testing.assert_array_equal(array[..., 16:32, 0:16], values[..., 16:32, 0:16])


def test_layout_is_one_chunk_per_tile_and_many_tiles_per_shard(tmp_path: Path) -> None:
    array = zarr.open_array(write(tmp_path / "a", random_values((3, 160, 80))), mode="r")
    assert array.chunks == (3, TILE_PX, TILE_PX)
    assert array.shards == (3, SHARD_PX, SHARD_PX)
    assert isinstance(array.metadata, ArrayV3Metadata)
    assert array.metadata.dimension_names == ("c", "y", "x")
    assert array.compressors == (ZstdCodec(level=1, checksum=True),)
    assert array.dtype == np.uint8


@pytest.mark.parametrize("shape", SHAPES)
def test_equal_values_give_equal_bytes_in_any_thread(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    values = random_values(shape)
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda n: write(tmp_path / str(n), values), range(8)))
    assert all(files_of(path) == files_of(paths[0]) for path in paths)


def test_zarrs_reads_and_writes_and_the_configuration_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("not zarrs")

    before = zarr.config.to_dict()
    values = random_values((3, 160, 80))
    with monkeypatch.context() as patched:
        patched.setattr(BatchedCodecPipeline, "read", fail)
        patched.setattr(BatchedCodecPipeline, "write", fail)
        array = open_array(write(tmp_path / "a", values))
        np.testing.assert_array_equal(np.asarray(array), values)
        np.testing.assert_array_equal(array[..., 5:70, :], values[..., 5:70, :])
    assert zarr.config.to_dict() == before


def test_zero_chunks_are_written(tmp_path: Path) -> None:
    values = np.zeros((64, 128), np.uint8)
    values[20, 20] = values[50, 60] = 1
    array = open_array(write(tmp_path / "a", values))
    np.testing.assert_array_equal(array[:], values)


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
@pytest.mark.parametrize("shape", SHAPES)
def test_reads_every_region(tmp_path: Path, shape: tuple[int, ...], key: Any) -> None:
    values = random_values(shape)
    array = open_array(write(tmp_path / "a", values))
    np.testing.assert_array_equal(array[key], values[key])
    assert array[key].dtype == np.uint8
    assert (array.shape, array.ndim, array.chunks[-2:]) == (shape, len(shape), (16, 16))


def test_reads_other_layouts(tmp_path: Path) -> None:
    values = random_values((8, 8))
    for name, options in (("a", {}), ("b", {"shards": (8, 4)}), ("c", {"compressors": None})):
        path = tmp_path / name
        zarr.create_array(path, shape=(8, 8), dtype="uint8", chunks=(4, 2), **options)[:] = values
        np.testing.assert_array_equal(open_array(path)[1:7], values[1:7])


def test_chunks_that_zarr_leaves_out_of_a_shard_are_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a"
    made = zarr.create_array(path, shape=(64, 64), dtype="uint8", chunks=(16, 16), shards=(64, 64))
    made[20:25, 20:25] = 7
    values = open_array(path)[:]
    assert (values == 7).sum() == 25
    assert (values == 0).sum() == 64 * 64 - 25


def test_opened_arrays_can_be_pickled(tmp_path: Path) -> None:
    values = random_values((3, 160, 80))
    array = pickle.loads(pickle.dumps(open_array(write(tmp_path / "a", values))))
    np.testing.assert_array_equal(array[:], values)


def damaged(path: Path, damage: str) -> StoredArray:
    """Open an array, then damage its first shard."""
    array = open_array(write(path, random_values((64, 64))))
    shard = path / "c" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[-20 if damage == "index" else 0] ^= 255
    shard.write_bytes(data[:-30] if damage == "truncated" else data)
    if damage == "deleted":
        shard.unlink()
    return array


@pytest.mark.parametrize("damage", ["index", "chunk", "truncated"])
def test_damaged_shard_raises(tmp_path: Path, damage: str) -> None:
    array = damaged(tmp_path / "a", damage)
    with pytest.raises(StoreError, match=r"is damaged .*; delete .* and run `cacl tile` again"):
        array[:]


def test_deleted_shard_raises_instead_of_being_read_as_zeros(tmp_path: Path) -> None:
    array = damaged(tmp_path / "a", "deleted")
    with pytest.raises(StoreError, match=r"missing data; delete .* and run `cacl tile` again"):
        array[:]
    with pytest.raises(StoreError, match=r"missing data; delete .* and run `cacl tile` again"):
        open_array(tmp_path / "a")


def test_failure_of_the_file_system_is_an_oserror(tmp_path: Path) -> None:
    array = create_array(tmp_path / "a", (64, 64), TILE_PX, ("y", "x"))
    (tmp_path / "a" / "c").write_text("a file where a folder belongs")
    with pytest.raises(NotADirectoryError, match="Not a directory"):
        array[...] = random_values((64, 64))
    with pytest.raises(NotADirectoryError, match="Not a directory"):
        array[...]
