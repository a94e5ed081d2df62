"""Edits of valid files: flipped, inserted, removed, moved and spliced bytes, and edited JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from tests.fuzz.genome import Genome

MAX_EDITS = 6
NUMBER = re.compile(rb"-?\d+(\.\d+)?")
NUMBER_TEXTS = (
    b"0", b"-1", b"1", b"999999999999999999999", b"nan", b"-inf", b"1e999", b"0x10", b"1_0", b"1.5",
    b"", b"\xd9\xa3", b"2147483648", b"1e3", b"00", b"+1", b" 1", b"9" * 5000,
)  # fmt: skip
DEPTH = 100_000
RAW_VALUES = {
    "@deep list@": "[" * DEPTH + "]" * DEPTH,
    "@deep mapping@": '{"a":' * 2000 + "1" + "}" * 2000,
    "@long number@": "9" * 5000,
    "@large exponent@": "1e400",
    "@surrogate@": '"\\ud800"',
}
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 1.5, -0.0, 2**31, 2**63, 2**64, float("nan"), float("inf"),
    "", "x", "0", "../../x", "a/b", "\x1b[31m", "\0", "x" * 3000, [], [1], [None], ["a", "b"],
    [[1]], {}, {"a": 1}, {"": {}}, *RAW_VALUES,
)  # fmt: skip


def edited(genome: Genome, seeds: Sequence[bytes], tokens: Sequence[bytes] = ()) -> bytes:
    """Return one of the seeds with up to `MAX_EDITS` edits.

    Parameters
    ----------
    genome
        Decides on seed and edits.
    seeds
        Valid files.
    tokens
        Words of the format, which are inserted.
    """
    data = genome.choice(seeds)
    for _ in range(genome.below(MAX_EDITS + 1)):
        data = _edit(genome, data, seeds, tokens)
    return data


def _edit(genome: Genome, data: bytes, seeds: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    kind, at = genome.below(10), genome.below(len(data) + 1)
    if kind == 0:
        return (
            data[:at]
            + bytes([(data[at : at + 1] or b"\0")[0] ^ 1 << genome.below(8)])
            + (data[at + 1 :])
        )
    if kind == 1:
        return data[:at] + bytes([genome.below(256)]) + data[at + 1 :]
    if kind == 2 and tokens:
        return data[:at] + genome.choice(tokens) + data[at:]
    if kind == 3:
        return data[:at] + data[at + genome.below(max(2, len(data) - at + 1)) :]
    if kind == 4:
        return data[:at]
    if kind == 5:
        width, order = genome.choice((1, 2, 4, 8)), genome.choice(("little", "big"))
        field = (genome.edge() % (1 << 8 * width)).to_bytes(width, "little")
        field = field if order == "little" else field[::-1]
        return data[:at] + field + data[at + width :]
    if kind == 6:
        return data[:at] + genome.raw(1 + genome.below(16)) + data[at:]
    if kind == 7:
        end = at + genome.below(64)
        return data[:at] + data[at:end] * (1 + genome.below(20)) + data[end:]
    if kind == 8:
        other = genome.choice(seeds)
        return data[:at] + other[genome.below(len(other) + 1) :]
    return _with_other_number(genome, data, at)


def _with_other_number(genome: Genome, data: bytes, start: int) -> bytes:
    """Replace the first number, as text, after `start`."""
    found = NUMBER.search(data, start)
    text = genome.choice(NUMBER_TEXTS)
    return (
        data[:start] + text + data[start:]
        if found is None
        else (data[: found.start()] + text + data[found.end() :])
    )


def soup(genome: Genome, words: Sequence[bytes], longest: int = 24) -> bytes:
    """Return words of a format in any order."""
    return b"".join(genome.choice(words) for _ in range(genome.below(longest + 1)))


def edited_json(genome: Genome, documents: Sequence[Any]) -> bytes:
    """Return a JSON document in which values are replaced, removed, added or nested deeply."""
    document = json.loads(json.dumps(genome.choice(documents)))
    for _ in range(genome.below(4)):
        document = _edit_value(genome, document)
    text = json.dumps(document, ensure_ascii=genome.chance(2))
    for name, raw in RAW_VALUES.items():
        text = text.replace(json.dumps(name), raw)
    data = text.encode("utf-8", errors="surrogatepass")
    if not genome.chance(4):
        return data
    return edited(genome, (data, b"\xef\xbb\xbf" + data, data * 2), (b"NaN", b"//", b"\\u0000"))


def _edit_value(genome: Genome, value: Any) -> Any:
    """Replace, remove or add something at a random place below `value`."""
    if isinstance(value, dict) and value and not genome.chance(6):
        key = genome.choice(sorted(value))
        if genome.chance(5):
            return {name: each for name, each in value.items() if name != key}
        if genome.chance(8):
            return value | {genome.text(): genome.choice(VALUES)}
        return value | {key: _edit_value(genome, value[key])}
    if isinstance(value, list) and value and not genome.chance(6):
        at = genome.below(len(value))
        if genome.chance(5):
            return value[:at] + value[at + 1 :]
        return [*value[:at], _edit_value(genome, value[at]), *value[at + 1 :]]
    return genome.choice(VALUES)
