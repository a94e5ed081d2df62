"""Read a text file that a person made: its encoding, or a sentence why it is no text."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from cacl.errors import CaclError

MAX_BYTES = 64 * 2**20
MAX_LINE_CHARACTERS = 1_000_000
SAVE_AS = "save it as 'CSV UTF-8'"
FORMATS = (
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls)"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"BZh", "compressed by bzip2"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"PAR1", "a Parquet table"),
    (b"SQLite format 3", "an SQLite database"),
    (b"%PDF", "a PDF"),
    (b"{\\rtf", "a document in Rich Text Format"),
)
ZIP_MEMBERS = (
    (b"xl/", "an Excel workbook (.xlsx)"),
    (b"word/", "a Word document"),
    (b"opendocument", "an OpenDocument file (LibreOffice)"),
    (b"Index/", "a Numbers spreadsheet"),
)
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_user_text(path: Path, error: type[CaclError], *, max_bytes: int = MAX_BYTES) -> str:
    """Return the text of a file; lines may end in LF, CR LF or CR.

    UTF-8 with or without a byte order mark, and UTF-16 or UTF-32 with one (Excel's "Unicode text").

    Parameters
    ----------
    path
        The file.
    error
        Class of the exception that is raised.
    max_bytes
        Larger files are refused before they are read.

    Raises
    ------
    CaclError
        Of the class `error`: the file cannot be read, is too large, has another encoding, or is no
        text: a workbook, an archive, a web page.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise error(f"{path} has {size:,} bytes; expected a text of at most {max_bytes:,}")
        data = path.read_bytes()
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise error(f"{path} cannot be read ({reason}); check the path") from problem
    name = format_of(data)
    if name:
        raise error(f"{path} is {name}, not a text table; open it and {SAVE_AS}")
    encoding = encoding_of(data)
    try:
        text = data.decode(encoding)
    except UnicodeError as problem:
        raise error(f"{path} is not UTF-8 text ({_place(data, problem)}); {SAVE_AS}") from problem
    if "\0" in text:
        raise error(f"{path} is not a text file: it holds a NUL character; {SAVE_AS}")
    return text if "\n" in text else text.replace("\r", "\n")


def encoding_of(data: bytes) -> str:
    """Return the encoding that the first bytes of a text declare; UTF-8 without a declaration."""
    return next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")


def format_of(data: bytes) -> str:
    """Return what a file is by its first bytes, such as "an Excel workbook (.xls)"; "" for text."""
    if data.startswith(b"PK\x03\x04"):
        return next((name for mark, name in ZIP_MEMBERS if mark in data), "a zip archive")
    start = data[:200].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    return next((name for mark, name in FORMATS if data.startswith(mark)), "")


def numbered_lines(path: Path, text: str, error: type[CaclError]) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text with their numbers from 1 and their line ends.

    Raises
    ------
    CaclError
        Of the class `error`: a line has more than a million characters.
    """
    start, number = 0, 1
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        if end - start > MAX_LINE_CHARACTERS:
            raise error(
                f"{path}, line {number}: {end - start:,} characters in one line; expected a table "
                f"with lines of at most {MAX_LINE_CHARACTERS:,}"
            )
        yield number, text[start:end]
        start, number = end, number + 1


def _place(data: bytes, problem: UnicodeError) -> str:
    """Return where a text stops being UTF-8, and which letter of Windows-1252 stands there."""
    if not isinstance(problem, UnicodeDecodeError):
        return str(problem)
    line = data.count(b"\n", 0, problem.start) + 1
    byte = data[problem.start : problem.start + 1]
    try:
        letter = f", {byte.decode('cp1252')!r} in Windows-1252"
    except UnicodeDecodeError:
        letter = ""
    return f"line {line}, byte {problem.start} is 0x{byte.hex()}{letter}"
