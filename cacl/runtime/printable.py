"""Texts from outside on a terminal and in a log: nothing in them controls either.

A name in a gene list or an XML may hold escape sequences, which change the colours, the title or
the content of a terminal, or line feeds, which imitate a line of the log.
"""

from __future__ import annotations

import logging
import unicodedata

ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: controls, invisible formats (such as a change of direction), surrogates, and
line and paragraph separators."""

CONTINUATION = "\n    "


def printable(text: str) -> str:
    r"""Return a text in which control characters are written as escapes such as `\x1b`.

    Line feeds stay: several sentences of an error have a line each.
    """
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(
        repr(character)[1:-1]
        if unicodedata.category(character) in ESCAPED and character != "\n"
        else character
        for character in text
    )


def one_line(text: str) -> str:
    """Return a text as `printable` does, with escapes for line feeds too."""
    return printable(text).replace("\n", "\\n")


class LogFormatter(logging.Formatter):
    """Formats records for a terminal; only the first line of a record starts at the margin."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record without control characters, the further ones indented."""
        return printable(super().format(record)).replace("\n", CONTINUATION)


def log_to_stderr(level: int) -> None:
    """Let this process log to its standard error, with the time and level of each line."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    for noisy in ("asyncio", "PIL", "tifffile", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
