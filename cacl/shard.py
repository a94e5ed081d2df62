"""A shard of a Zarr array: compressed chunks in one file, with an index of where each begins.

Zarr's own writer hands every chunk to another thread and back, which for a core takes twice as
long as to compress it (`benchmarks/storage.py`). What is written here Zarr reads as its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dask.array as da
import google_crc32c
import numcodecs
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

ZSTD_LEVEL = 1
"""Level 9 saves 1 % of the room and takes half as long again; see `benchmarks/storage.py`."""

ABSENT = 2**64 - 1
Pixels = NDArray[Any] | da.Array


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


def fill(pairs: Sequence[tuple[ShardFiles, Pixels]]) -> None:
    """Write all data, what lazy arrays share being computed once.

    Lazy arrays are written in strips, one after the other, so that memory holds one strip.
    """
    targets, sources = [], []
    for files, values in pairs:
        if isinstance(values, np.ndarray):
            _write_shards(files, values.astype(np.uint8, copy=False))
        else:
            targets.append(files)
            sources.append(values.astype(np.uint8))
    store: Any = da.store
    for top, bottom in _strips(targets, sources):
        rows = [array[..., top:bottom, :] for array in sources]
        aligned = [a.rechunk(files.shards) for a, files in zip(rows, targets, strict=True)]
        places = [
            (*map(slice, files.shape[:-2]), slice(top, bottom), slice(files.shape[-1]))
            for files in targets
        ]
        store(aligned, targets, lock=False, regions=places, scheduler="synchronous")


def _strips(
    targets: Sequence[ShardFiles], sources: Sequence[da.Array]
) -> Iterator[tuple[int, int]]:
    """Yield the rows between which no shard of any target and no chunk of any source lies."""
    ends = [set(range(0, files.shape[-2], files.shards[-2])) for files in targets]
    ends += [{0, *np.cumsum(array.chunks[-2]).tolist()} for array in sources]
    if ends:
        common = sorted({*set.intersection(*ends), sources[0].shape[-2]})
        yield from itertools.pairwise(common)


def _write_shards(files: ShardFiles, values: NDArray[np.uint8]) -> None:
    counts = [-(-size // shard) for size, shard in zip(files.shape, files.shards, strict=True)]
    for place in np.ndindex(*counts):
        region = tuple(
            slice(number * size, (number + 1) * size)
            for number, size in zip(place, files.shards, strict=True)
        )
        files[region] = values[region]


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
