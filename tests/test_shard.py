from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from cacl.shard import ShardFiles, codec, encode_shard


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
    array = create(tmp_path / "a", shape)
    files = ShardFiles(array, tmp_path / "a")
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
    array = create(tmp_path / "a", values.shape)
    ShardFiles(array, tmp_path / "a")[:64, :64] = values
    [path] = (path for path in (tmp_path / "a" / "c").rglob("*") if path.is_file())
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        array[:]


def test_an_array_without_shards_is_refused(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a", shape=(4, 4), dtype="uint8", chunks=(2, 2))
    with pytest.raises(ValueError, match="without shards"):
        ShardFiles(array, tmp_path / "a")
