"""Arrays of the store: Zarr v3, sharded, read and written by the zarrs codec pipeline.

`benchmarks/io/codec_pipeline.py` compares the pipelines.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import itertools
import math
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array as da
import google_crc32c
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec
from zarr.storage import MemoryStore

from cacl.errors import StoreError

MAX_SHARD_TILES = 16
ZSTD_LEVEL = 1
"""Level 9 saves 1 % of the space and takes 50 % longer; see `benchmarks/io/storage.py`."""

Pixels = NDArray[Any] | da.Array

ZARRS = {
    "codec_pipeline.path": "zarrs.ZarrsCodecPipeline",
    "codec_pipeline.chunk_concurrent_maximum": 1,
    "threading.max_workers": 1,
}
"""One worker per array: the chunks of a shard keep their order, so equal pixels give equal bytes.

Images, not chunks, are processed in parallel.
"""

_config_lock = threading.Lock()
_OS_ERROR = re.compile(r"\(os error (\d+)\)")


class StoredArray:
    """A sharded uint8 array on disk; supports NumPy's basic indexing.

    Parameters
    ----------
    array
        The array as Zarr opened or created it.
    path
        Its folder.
    """

    def __init__(self, array: zarr.Array[Any], path: Path) -> None:
        self.shape = array.shape
        self.dtype = array.dtype
        self.ndim = array.ndim
        self.chunks = array.chunks
        self.shards = array.shards or array.chunks
        self.path = path
        self._array = array

    @functools.cached_property
    def _files(self) -> list[Path]:
        counts = [-(-size // shard) for size, shard in zip(self.shape, self.shards, strict=True)]
        key = self._array.metadata.encode_chunk_key
        return [self.path / key(position) for position in np.ndindex(*counts)]

    def is_complete(self) -> bool:
        """Return whether every shard is on disk; Zarr reads a missing shard as zeros."""
        return all(map(os.path.exists, self._files))

    def write_zero_shards(self) -> None:
        """Write the shards that are not on disk: zarrs leaves a shard out if all of it is zero.

        References
        ----------
        Zarr v3, sharding codec 1.0: a chunk whose offset and length in the index are 2^64 - 1 has
        the fill value; the CRC-32C of the index follows it.
        """
        chunks = math.prod(self.shards) // math.prod(self.chunks)
        index = b"\xff" * 16 * chunks
        for file in self._files:
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(index + google_crc32c.value(index).to_bytes(4, "little"))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the whole array."""
        return np.asarray(self[...], dtype)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Return the region `key`.

        Raises
        ------
        StoreError
            The array is damaged (the checksum of a chunk differs), or was deleted after it was
            opened.
        OSError
            The file system failed.
        """
        try:
            values = np.asarray(self._array[key])
        except (RuntimeError, ValueError, OSError) as error:
            _raise_os_error(error, self.path, missing_is_damage=True)
            raise StoreError(f"{self.path} is damaged ({error}); {remedy(self.path)}") from error
        if not self.is_complete():
            raise StoreError(f"{self.path} has missing data; {remedy(self.path)}")
        return values

    def __setitem__(self, key: Any, values: NDArray[np.uint8]) -> None:
        """Write the region `key`; only one thread may write to a shard at a time.

        Raises
        ------
        OSError
            Disk full or no permission.
        """
        try:
            self._array[key] = values
        except RuntimeError as error:
            _raise_os_error(error, self.path)
            raise


def create_array(
    path: Path, shape: tuple[int, ...], tile_px: int, axes: tuple[str, ...]
) -> StoredArray:
    """Create a uint8 array, one chunk per tile and at most 16 x 16 tiles per shard.

    Parameters
    ----------
    path
        The array's folder.
    shape
        (..., y, x); y and x are multiples of `tile_px`.
    tile_px
        Side of a tile.
    axes
        Names of the dimensions.
    """
    leading = shape[:-2]
    shard = (min(size, MAX_SHARD_TILES * tile_px) for size in shape[-2:])
    with _zarrs_pipeline():
        array = zarr.create_array(
            path,
            shape=shape,
            dtype="uint8",
            chunks=(*leading, tile_px, tile_px),
            shards=(*leading, *shard),
            dimension_names=axes,
            compressors=ZstdCodec(level=ZSTD_LEVEL, checksum=True),
            config={"write_empty_chunks": True},
        )
    return StoredArray(array, path)


def metadata_digest(path: Path) -> str:
    """Return the SHA-256 of an array's `zarr.json`, which the group of the array records.

    Raises
    ------
    StoreError
        There is no array.
    """
    try:
        return hashlib.sha256((path / "zarr.json").read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(f"{path} is not an array of the store; {remedy(path)}") from error


def remedy(path: Path) -> str:
    """Return what to do about a damaged array or group: a step writes what it does not find."""
    *_, outer, inner, name = ("", "", *path.parts)
    group = path.parent if name in ("0", "zarr.json") else path
    folder, step = group, "tile"
    if outer == "labels" and inner != "cell":
        step = "segment"
    elif outer == "labels":
        folder = group.parent.parent
    elif inner == "labels":
        folder = group.parent
    return f"delete {folder} and run `cacl {step}` again (`snakemake --forcerun {step}`)"


def open_array(path: Path, expected: str | None = None) -> StoredArray:
    """Open an array for reading.

    Parameters
    ----------
    path
        The array's folder.
    expected
        The digest of its metadata, which is checked; see `metadata_digest`.

    Raises
    ------
    StoreError
        There is no array, its metadata have changed, or some of its shards are missing.
    """
    if expected is not None and metadata_digest(path) != expected:
        raise StoreError(f"{path}/zarr.json is damaged: its SHA-256 differs; {remedy(path)}")
    try:
        with _zarrs_pipeline():
            array = StoredArray(zarr.open_array(path, mode="r"), path)
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is not an array of the store; {remedy(path)}") from error
    if not array.is_complete():
        raise StoreError(f"{path} has missing data; {remedy(path)}")
    return array


def store_arrays(pairs: Sequence[tuple[StoredArray, Pixels]]) -> None:
    """Write whole arrays; what lazy arrays have in common is computed once.

    Lazy arrays are written strip by strip, so that memory holds one strip.

    Parameters
    ----------
    pairs
        Targets with their values, NumPy or dask arrays of the same shape and of values 0-255.
    """
    targets, sources = [], []
    for target, values in pairs:
        if isinstance(values, np.ndarray):
            target[...] = values.astype(np.uint8, copy=False)
        else:
            targets.append(target)
            sources.append(values.astype(np.uint8))
    store: Any = da.store
    for top, bottom in _strips(targets, sources):
        rows = [source[..., top:bottom, :] for source in sources]
        aligned = [a.rechunk(target.shards) for a, target in zip(rows, targets, strict=True)]
        regions = [
            (*map(slice, target.shape[:-2]), slice(top, bottom), slice(target.shape[-1]))
            for target in targets
        ]
        store(aligned, targets, lock=False, regions=regions, scheduler="synchronous")
    for target, _ in pairs:
        target.write_zero_shards()


def _strips(
    targets: Sequence[StoredArray], sources: Sequence[da.Array]
) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows that no shard of a target and no chunk of a source crosses."""
    ends = [set(range(0, target.shape[-2], target.shards[-2])) for target in targets]
    ends += [{0, *np.cumsum(source.chunks[-2]).tolist()} for source in sources]
    if ends:
        common = sorted({*set.intersection(*ends), sources[0].shape[-2]})
        yield from itertools.pairwise(common)


@contextmanager
def _zarrs_pipeline() -> Iterator[None]:
    """Give the arrays that are created or opened in the block the zarrs codec pipeline.

    An array keeps the pipeline with which it was made. Zarr's configuration belongs to the whole
    process, so it is changed for as short as possible, by one thread at a time.
    """
    with _config_lock:
        _start_zarr()
        with zarr.config.set(ZARRS):
            yield


@functools.cache
def _start_zarr() -> None:
    """Start Zarr's thread pool; its size is the configured one at Zarr's first operation."""
    workers = zarr.config.get("threading.max_workers", None) or (os.cpu_count() or 1) + 4
    with zarr.config.set({"threading.max_workers": workers}):
        zarr.create_group(MemoryStore())


def _raise_os_error(error: Exception, path: Path, *, missing_is_damage: bool = False) -> None:
    """Raise an `OSError` if the file system failed, which zarrs reports as a `RuntimeError`.

    Parameters
    ----------
    error
        What Zarr or zarrs raised.
    path
        The array, for the message.
    missing_is_damage
        Return for a file that does not exist: the array has lost it since it was opened.
    """
    number = _OS_ERROR.search(str(error))
    code = int(number[1]) if number else getattr(error, "errno", None)
    if code is None or (missing_is_damage and code == errno.ENOENT):
        return
    raise OSError(code, os.strerror(code), str(path)) from error
