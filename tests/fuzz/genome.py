"""Decisions of a fuzz case, read from a string of bytes.

The generators ask a `Genome` for numbers, choices and texts. The seeded script draws the bytes at
random, and hypothesis shrinks them: a spent genome answers 0, the first choice and the empty text,
so shorter and smaller bytes give simpler cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")

EDGES = (
    0, 1, 2, 3, 4, 7, 8, 15, 16, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 99_999,
    0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
"""Numbers at which a length, an offset or a count overflows or exceeds a limit."""

CHARACTERS = (
    "a", "A", "0", " ", ",", ";", "\t", '"', "'", "\n", "\r", "\0", "\x1b", "\x7f", "<", ">", "&",
    "{", "}", "%", "#", "=", "+", "-", "@", "/", "\\", ".", "|", ":", "\u00e9", "e\u0301", "\u2028",
    "\u202e", "\ufeff", "\U0001f52c", "\x85", "\ud800",
)  # fmt: skip


class Genome:
    """Answers the questions of a generator from bytes, and zeros when they are used up.

    Parameters
    ----------
    data
        The bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._next = 0

    def below(self, count: int) -> int:
        """Return a whole number from 0 to `count` - 1."""
        width = 1 if count <= 256 else 2 if count <= 65536 else 4
        return int.from_bytes(self.raw(width).rjust(width, b"\0")) % count

    def chance(self, one_in: int) -> bool:
        """Return whether a decision is taken that happens once in `one_in` cases."""
        return self.below(one_in) == one_in - 1

    def choice(self, items: Sequence[Item]) -> Item:
        """Return one of the items."""
        return items[self.below(len(items))]

    def edge(self) -> int:
        """Return a number at which a field overflows, or any of 16 bits."""
        return self.choice(EDGES) if self.chance(2) else self.below(65536)

    def raw(self, length: int) -> bytes:
        """Return up to `length` of the remaining bytes."""
        start, self._next = self._next, self._next + length
        return self._data[start : self._next]

    def text(self, longest: int = 12) -> str:
        """Return a text with the characters that quoting, markup and terminals treat specially."""
        return "".join(self.choice(CHARACTERS) for _ in range(self.below(longest + 1)))
