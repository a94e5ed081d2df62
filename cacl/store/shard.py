"""A shard of a Zarr array: compressed chunks in one file, with an index of where each begins.

Zarr itself hands every chunk to another thread and back, which for a core takes twice as long as to
compress it, and five times as long as to unpack it (`benchmarks/storage.py`); and threads that read
wait for one another. What is written here Zarr reads as its own, and the other way round.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import dask.array as da
import google_crc32c
import numcodecs
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import (
    BytesCodec,
    Crc32cCodec,
    ShardingCodec,
    ShardingCodecIndexLocation,
    ZstdCodec,
)
from zarr.storage import MemoryStore

ZSTD_LEVEL = 1
"""Level 9 saves 1 % of the room and takes half as long again; see `benchmarks/storage.py`."""

ABSENT = 2**64 - 1
CRC_BYTES = 4
Pixels = NDArray[Any] | da.Array


def codec() -> ZstdCodec:
    """Return what `encode_shard` compresses with, as Zarr names it."""
    return ZstdCodec(level=ZSTD_LEVEL, checksum=False)


@dataclass(frozen=True)
class Layout:
    """How an array is cut.

    Parameters
    ----------
    shape
        Of the array; the last two are a whole number of chunks.
    chunks, shards
        Shapes of what is compressed together, and of what is one file.
    axes
        Names of its dimensions.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    axes: tuple[str, ...]


@functools.cache
def _metadata(layout: Layout) -> bytes:
    """Return an array's `zarr.json`, as Zarr writes it."""
    store: dict[str, Any] = {}
    zarr.create_array(
        MemoryStore(store),
        shape=layout.shape,
        dtype="uint8",
        chunks=layout.chunks,
        shards=layout.shards,
        dimension_names=layout.axes,
        compressors=codec(),
    )
    written: bytes = store["zarr.json"].to_bytes()
    return written


class ShardFiles:
    """Writes a sharded uint8 array, one whole shard at a time; several threads may.

    Parameters
    ----------
    layout
        How it is cut.
    folder
        Where it goes; its metadata is written at once.
    """

    def __init__(self, layout: Layout, folder: Path) -> None:
        self.shape = layout.shape
        self.dtype = np.dtype(np.uint8)
        self.shards = layout.shards
        self._chunks = layout.chunks
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "zarr.json").write_bytes(_metadata(layout))

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
    begin, empty = 0, b""
    for place in np.ndindex(*(n // c for n, c in zip(values.shape, chunks, strict=True))):
        window = tuple(slice(p * c, (p + 1) * c) for p, c in zip(place, chunks, strict=True))
        chunk = np.ascontiguousarray(values[window])
        if chunk.any():
            part = zstd.encode(chunk)
        else:
            part = empty = empty or zstd.encode(chunk)
        index[place] = begin, len(part)
        begin += len(part)
        parts.append(part)
    tail = index.tobytes()
    return b"".join([*parts, tail, google_crc32c.value(tail).to_bytes(4, "little")])


class StoredArray:
    """Reads a sharded uint8 array, in the thread that asks.

    Parameters
    ----------
    array
        Of any layout; what `ShardFiles` does not write, and any key but plain slices, is left to
        Zarr.
    folder
        Where it lies.
    """

    def __init__(self, array: zarr.Array[Any], folder: Path) -> None:
        self.shape = array.shape
        self.dtype = array.dtype
        self.ndim = array.ndim
        self.chunks = array.chunks
        self.shards = array.shards
        self._array = array
        self._folder = folder

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all of it."""
        return np.asarray(self[...], dtype)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Return a part of it.

        Raises
        ------
        ValueError, RuntimeError
            It is damaged.
        """
        spans = _spans(key, self.shape)
        if spans is None or self.shards is None or not _is_own(self._array):
            return np.asarray(self._array[key])
        found = np.zeros([len(span) for span in spans], np.uint8)
        for place in _cells(spans, self.shards):
            path = self._folder.joinpath("c", *map(str, place))
            corner = [at * size for at, size in zip(place, self.shards, strict=True)]
            inner = [
                range(max(span.start - low, 0), min(span.stop - low, size))
                for span, low, size in zip(spans, corner, self.shards, strict=True)
            ]
            starts = [max(low - span.start, 0) for span, low in zip(spans, corner, strict=True)]
            target = found[
                tuple(slice(start, start + len(i)) for start, i in zip(starts, inner, strict=True))
            ]
            try:
                with path.open("rb") as file:
                    _read_shard(file, inner, target, self.chunks, self.shards)
            except FileNotFoundError as error:
                raise ValueError(f"{path} is missing") from error
        return found


def _is_own(array: zarr.Array[Any]) -> bool:
    """Return whether an array is laid out as `ShardFiles` writes it."""
    metadata: Any = array.metadata
    codecs = metadata.codecs
    return (
        len(codecs) == 1
        and isinstance(codecs[0], ShardingCodec)
        and codecs[0].index_location is ShardingCodecIndexLocation.end
        and [type(one) for one in codecs[0].codecs] == [BytesCodec, ZstdCodec]
        and [type(one) for one in codecs[0].index_codecs] == [BytesCodec, Crc32cCodec]
        and metadata.chunk_key_encoding.to_dict().get("name") == "default"
        and metadata.chunk_key_encoding.separator == "/"
    )


def _spans(key: Any, shape: tuple[int, ...]) -> list[range] | None:
    """Return which part of each axis plain slices mean; None for any other key."""
    parts = key if isinstance(key, tuple) else (key,)
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        whole = (slice(None),) * (len(shape) - len(parts) + 1)
        parts = parts[:at] + whole + parts[at + 1 :]
    parts += (slice(None),) * (len(shape) - len(parts))
    if len(parts) != len(shape) or not all(isinstance(part, slice) for part in parts):
        return None
    spans = [range(size)[part] for part, size in zip(parts, shape, strict=True)]
    return spans if all(span.step == 1 for span in spans) else None


def _cells(spans: Sequence[range], sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the numbers of the cells of such sizes that hold a part of the spans."""
    yield from itertools.product(
        *(
            range(span.start // size, -(-span.stop // size) if span else span.start // size)
            for span, size in zip(spans, sizes, strict=True)
        )
    )


def _read_shard(
    file: BinaryIO,
    spans: Sequence[range],
    target: NDArray[np.uint8],
    chunks: tuple[int, ...],
    shard: tuple[int, ...],
) -> None:
    """Read what `encode_shard` wrote into `target`; `spans` are of the shard's own pixels."""
    zstd = numcodecs.Zstd()
    counts = [size // chunk for size, chunk in zip(shard, chunks, strict=True)]
    index = _read_index(file, counts)
    for place in _cells(spans, chunks):
        begin, length = index[place].tolist()
        if begin == ABSENT:
            continue
        file.seek(begin)
        chunk = np.frombuffer(zstd.decode(file.read(length)), np.uint8).reshape(chunks)
        source, into = [], []
        for at, size, span in zip(place, chunks, spans, strict=True):
            low, high = max(span.start, at * size), min(span.stop, (at + 1) * size)
            source.append(slice(low - at * size, high - at * size))
            into.append(slice(low - span.start, high - span.start))
        target[tuple(into)] = chunk[tuple(source)]


def _read_index(file: BinaryIO, counts: Sequence[int]) -> NDArray[np.uint64]:
    """Return the offset and length of each chunk, (*counts, 2)."""
    size = 16 * int(np.prod(counts)) + CRC_BYTES
    file.seek(max(file.seek(0, 2) - size, 0))
    tail = file.read()
    if len(tail) != size or google_crc32c.value(tail[:-CRC_BYTES]) != int.from_bytes(
        tail[-CRC_BYTES:], "little"
    ):
        raise ValueError(f"{file.name} is damaged: its index does not match its checksum")
    return np.frombuffer(tail[:-CRC_BYTES], "<u8").reshape(*counts, 2)
