"""Cases of the products of steps: stores, models, training states, tables, provenance records."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch
from safetensors import SafetensorError

from cacl import tables
from cacl.model.checkpoint import METADATA
from cacl.runtime.file_digest import BLANK_DIGEST, DIGITS, FILE_DIGEST, PREFIX, embed_digest
from cacl.tables.schemas import FailureRow
from tests.fuzz.genome import Genome
from tests.fuzz.mutations import VALUES, edited, edited_json

Files = dict[str, bytes]


def files_below(folder: Path) -> Files:
    """Return the contents of all files below a folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def damaged(genome: Genome, files: Mapping[str, bytes]) -> Files:
    """Return a folder in which one or two files are edited, exchanged or missing.

    A JSON file gets edited values in half of the cases, so that it stays readable.
    """
    changed = dict(files)
    for _ in range(1 + genome.below(2)):
        name = genome.choice(sorted(changed))
        kind = genome.below(8)
        if kind == 0:
            changed[name] = changed[genome.choice(sorted(changed))]
        elif kind == 1 and len(changed) > 1:
            del changed[name]
            continue
        elif kind < 6 and name.endswith(".json"):
            changed[name] = _edited_document(genome, changed[name])
        elif kind < 6 and name.endswith(".safetensors"):
            changed[name] = safetensors_with_edits(genome, changed[name])
        else:
            changed[name] = edited(genome, (changed[name],), (b"null", b"{", b"}"))
        if genome.chance(2):
            changed[name] = sealed(changed[name])
    return changed


def _edited_document(genome: Genome, data: bytes) -> bytes:
    try:
        return edited_json(genome, [json.loads(data)])
    except (ValueError, RecursionError):
        return edited(genome, (data,))


def sealed(data: bytes) -> bytes:
    """Return a file with its own digest made right again, so that the reader looks further."""
    start = data.rfind(PREFIX) + len(PREFIX)
    if start < len(PREFIX) or len(data) < start + DIGITS:
        return data
    blank = data[:start] + b"0" * DIGITS + data[start + DIGITS :]
    return embed_digest(blank)


def safetensors_with_edits(genome: Genome, data: bytes) -> bytes:
    """Return a safetensors file with other tensors, an edited header or edited bytes."""
    length = int.from_bytes(data[:8], "little")
    if genome.chance(2):
        with suppress(LookupError, TypeError, ValueError, RecursionError, SafetensorError):
            return _with_other_tensors(genome, data, json.loads(data[8 : 8 + length]))
    if genome.chance(2) or not 8 + length <= len(data):
        return edited(genome, (data,), (b"F64", b"BOOL", b'"dtype":', b'"shape":'))
    header = _edited_document(genome, data[8 : 8 + length])
    size = len(header) if not genome.chance(4) else genome.edge()
    return struct.pack("<Q", size % 2**64) + header + data[8 + length :]


def _with_other_tensors(genome: Genome, data: bytes, header: dict[str, Any]) -> bytes:
    """Return a valid file with its right digest; tensors and metadata are edited or missing."""
    tensors = safetensors.torch.load(data)
    metadata = json.loads(header["__metadata__"][METADATA])
    for _ in range(genome.below(3)):
        name = genome.choice(sorted(tensors))
        tensor = tensors.pop(name)
        kind = genome.below(6)
        if kind:
            changed = (
                tensor,
                tensor.to(genome.choice(DTYPES)),
                tensor.reshape(-1)[: genome.below(4)],
                tensor[None],
                torch.full_like(tensor, genome.choice((0, 1, 200))),
            )[kind - 1].clone()
            tensors[genome.text() if genome.chance(4) else name] = changed
    if genome.chance(2):
        progress = json.loads(metadata.get("progress", "{}"))
        metadata["progress"] = edited_json(genome, [progress]).decode(errors="surrogateescape")
    if genome.chance(4):
        metadata = json.loads(edited_json(genome, [metadata]))
    metadata = {**metadata, FILE_DIGEST: BLANK_DIGEST} if isinstance(metadata, dict) else metadata
    return embed_digest(safetensors.torch.save(tensors, {METADATA: json.dumps(metadata)}))


DTYPES = (torch.float16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool)


@cache
def parquet_seeds() -> tuple[bytes, ...]:
    """Return tables of failures as the steps write them, and an empty one."""
    row = FailureRow(
        image_id="HPA000001/1", stage="tile", reason="damaged", message="cut short", source="a.jpg"
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        contents = []
        for rows in ([row] * 3, [], [row, replace(row, message="\u00e9" * 200)]):
            tables.write_parquet(path, rows, FailureRow)
            contents.append(path.read_bytes())
    return tuple(contents)


ARROW_VALUES: tuple[tuple[Any, pa.DataType], ...] = (
    (["a", None], pa.string()), (["a", "b"], pa.large_string()),
    ([b"\xff\xfe", b"\0"], pa.binary()),
    ([1, 2**62], pa.int64()), ([2**63, 1], pa.uint64()), ([0.5, float("nan")], pa.float64()),
    ([True, None], pa.bool_()), ([["a"], []], pa.list_(pa.string())), ([None, None], pa.null()),
    ([{"a": 1}, None], pa.struct([("a", pa.int64())])), ([0, 10**15], pa.timestamp("us")),
    ([2**62, 1], pa.timestamp("s")), (["x", "y"], pa.dictionary(pa.int8(), pa.string())),
    ([1, 2], pa.decimal128(38, 4)), ([0, 1], pa.date32()), ([b"abcd", b"efgh"], pa.binary(4)),
    ([[1.5, 2.5], None], pa.list_(pa.float32(), 2)), ([0, 86399], pa.time32("s")),
)  # fmt: skip


def parquet(genome: Genome) -> bytes:
    """Return a Parquet file with edited bytes, or a valid one of other columns and types."""
    if not genome.chance(3):
        data = edited(genome, parquet_seeds(), (b"PAR1", b"PARE"))
        return sealed(data) if genome.chance(2) else data
    names = list(tables.columns(FailureRow))
    for _ in range(genome.below(3)):
        at = genome.below(len(names))
        names[at] = genome.choice((genome.text(), *names))
    columns = []
    for _ in names:
        values, kind = genome.choice(ARROW_VALUES)
        columns.append(pa.array(values, type=kind, from_pandas=False))
    stream = io.BytesIO()
    safe = [name.encode("utf-8", "replace").decode() for name in names]
    compression = genome.choice(("zstd", "snappy", "none", "gzip", "brotli", "lz4"))
    try:
        pq.write_table(pa.Table.from_arrays(columns, names=safe), stream, compression=compression)
    except (pa.ArrowException, ValueError):
        return edited(genome, parquet_seeds())
    return stream.getvalue() if not genome.chance(4) else edited(genome, (stream.getvalue(),))


PROVENANCE = {
    "url": "https://images.proteinatlas.org/115/2043_A_7_2.jpg",
    "sha256": "0" * 64,
    "size_bytes": 4,
    "hpa_version": "23",
    "licence": "CC BY-SA 4.0",
    "etag": '"x"',
    "fetched": "2026-01-01T00:00:00+00:00",
    "credit": "Human Protein Atlas",
}


def provenance(genome: Genome) -> bytes:
    """Return the provenance record of a file."""
    return edited_json(genome, (PROVENANCE, *([value] for value in VALUES[:3])))
