"""A shard of a Zarr array: compressed chunks in one file, with an index of where each begins.

Zarr's own writer hands every chunk to another thread and back, which for a core takes twice as
long as to compress it (`benchmarks/storage.py`). What is written here Zarr reads as its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

ZSTD_LEVEL = 1
"""Level 9 saves 1 % of the room and takes half as long again; see `benchmarks/storage.py`."""

ABSENT = 2**64 - 1


def codec() -> ZstdCodec:
    """Return what `encode_shard` compresses with, as Zarr names it."""
    return ZstdCodec(level=ZSTD_LEVEL, checksum=False)


class ShardFiles:
    """Writes a sharded uint8 array, one whole shard at a time; several threads may.

    Parameters
    ----------
    array
        An empty array of the default layout, compressed with `codec()`.
    folder
        Where it lies.
    """

    def __init__(self, array: zarr.Array[Any], folder: Path) -> None:
        if array.shards is None:
            raise ValueError(f"{folder} is an array without shards")
        self.shape = array.shape
        self.dtype = array.dtype
        self.shards = array.shards
        self._chunks = array.chunks
        self._folder = folder

    def __setitem__(self, region: tuple[slice, ...], values: NDArray[np.uint8]) -> None:
        """Write the shard that begins where `region` does."""
        starts = [part.indices(size)[0] for part, size in zip(region, self.shape, strict=True)]
        place = [start // shard for start, shard in zip(starts, self.shards, strict=True)]
        path = self._folder.joinpath("c", *map(str, place))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_shard(values, self._chunks, self.shards))


def encode_shard(
    values: NDArray[np.uint8], chunks: tuple[int, ...], shard: tuple[int, ...]
) -> bytes:
    """Return a shard as Zarr stores it.

    Parameters
    ----------
    values
        uint8, a whole number of chunks; smaller than the shard at the end of an array.
    chunks, shard
        Shape of a chunk, and of a shard that lies inside the array.

    References
    ----------
    Zarr v3, sharding codec 1.0: the index is of pairs (offset, length), uint64, little-endian,
    in C order, at the end of the file, followed by its CRC-32C.
    """
    zstd = numcodecs.Zstd(level=ZSTD_LEVEL)
    index = np.full((*(s // c for s, c in zip(shard, chunks, strict=True)), 2), ABSENT, "<u8")
    parts: list[bytes] = []
    begin = 0
    for place in np.ndindex(*(n // c for n, c in zip(values.shape, chunks, strict=True))):
        window = tuple(slice(p * c, (p + 1) * c) for p, c in zip(place, chunks, strict=True))
        part = zstd.encode(np.ascontiguousarray(values[window]))
        index[place] = begin, len(part)
        begin += len(part)
        parts.append(part)
    tail = index.tobytes()
    return b"".join([*parts, tail, google_crc32c.value(tail).to_bytes(4, "little")])
