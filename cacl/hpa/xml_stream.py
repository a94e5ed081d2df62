"""Split the XML of many genes into documents of one gene each.

The file of all genes has 13 GB. It is split after every `</entry>`, and each entry is parsed as a
separate document with the root of the file. libxml2 parses an entry without callbacks into Python,
which is faster than a stream of element events, and memory is bounded by one entry. A file that
cannot be split is one document of bounded size.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypedDict

from lxml import etree

from cacl.errors import CatalogError

MAX_ENTRY_BYTES = 32 * 2**20
MAX_MARKUP = 2 * 10**6
UNCOUNTED_BYTES = 4 * 2**20
MAX_HEAD_BYTES = 2**13
BLOCK_BYTES = 2**18
ENTRY_START = re.compile(rb"<entry[\s>]")
ENTRY_END = b"</entry>"
LOOK_AHEAD = b"    "


class ParserOptions(TypedDict):
    """Options of the parsers of lxml."""

    resolve_entities: bool
    no_network: bool
    load_dtd: bool
    huge_tree: bool
    remove_blank_text: bool
    remove_comments: bool
    remove_pis: bool
    collect_ids: bool


def safe_parser_options() -> ParserOptions:
    """Return options that disable entities, DTDs, network access and huge trees."""
    return ParserOptions(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_blank_text=True,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )


def open_xml(path: Path) -> IO[bytes]:
    """Open a plain or gzip-compressed file.

    Raises
    ------
    CatalogError
        The file cannot be opened.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise CatalogError(
            f"The annotation {path} cannot be opened ({error.strerror}); check the path"
        ) from error
    if stream.read(2) == b"\x1f\x8b":
        stream.close()
        return io.BufferedReader(gzip.GzipFile(path))
    stream.seek(0)
    return stream


def documents(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    """Yield one document per entry, and last the text after the entries.

    The last document makes the parser notice a truncated file.

    Parameters
    ----------
    stream
        Content of the file.
    path
        Path of the file, for messages.

    Raises
    ------
    CatalogError
        An entry has more than 32 MB or 2 million elements and attributes, the text before the
        first entry has more than 8 KB, or text follows an entry that is the root.
    """
    buffer = bytearray()
    head: bytes | None = None
    tail = b""
    while block := stream.read(BLOCK_BYTES):
        search_from = max(0, len(buffer) - len(ENTRY_END) + 1)
        buffer += block
        while (head is None or tail) and (index := buffer.find(ENTRY_END, search_from)) >= 0:
            end, search_from = index + len(ENTRY_END), 0
            if head is None:
                head = _document_head(buffer[:end], path)
                tail = _closing_tag(head)
                del buffer[: len(head)]
                end -= len(head)
            with memoryview(buffer) as view:
                document = b"".join((head, view[:end], tail))
            del buffer[:end]
            yield _with_bounded_markup(document, path)
        if len(buffer) > MAX_ENTRY_BYTES:
            raise CatalogError(
                f"The annotation {path} has an entry of more than {MAX_ENTRY_BYTES // 2**20} MB; "
                "no gene of the HPA is that large, so the file is rejected"
            )
    if head is None or tail:
        yield _with_bounded_markup((head or b"") + buffer, path)
    elif buffer.strip():
        raise CatalogError(f"The annotation {path} continues after its end; download it again")


def count_markup(data: bytes) -> int:
    """Return an upper bound of the number of elements and attributes in a text."""
    return data.count(b"<") + data.count(b"=")


def check_markup(count: int, path: Path) -> None:
    """Raise `CatalogError` for more elements and attributes than an entry of the HPA has."""
    if count > MAX_MARKUP:
        raise CatalogError(
            f"The annotation {path} has an entry of more than {MAX_MARKUP:,} elements and "
            "attributes; no gene of the HPA has as many, so the file is rejected"
        )


def iter_events(parser: etree.XMLPullParser) -> Iterator[etree._Element]:
    """Yield the elements of the parser's events since the last call."""
    for _, element in parser.read_events():
        if isinstance(element, etree._Element):
            yield element


def _with_bounded_markup(document: bytes, path: Path) -> bytes:
    """Return a document unless its tree would take many times the memory of its text."""
    if len(document) > UNCOUNTED_BYTES:
        check_markup(count_markup(document), path)
    return document


def _document_head(text: bytearray, path: Path) -> bytes:
    """Return the text before the first entry: the XML declaration and the start of the root."""
    start = ENTRY_START.search(text)
    head = text[: start.start()] if start else text
    if start is None or len(head) > MAX_HEAD_BYTES:
        raise CatalogError(
            f"The annotation {path} has no entry in its first {MAX_HEAD_BYTES // 2**10} KB, as the "
            "files of the HPA have; download it again"
        )
    return bytes(head)


def _closing_tag(head: bytes) -> bytes:
    """Return the closing tag of the root element; empty if the head opens no element."""
    parser = etree.XMLPullParser(events=("start",), **safe_parser_options())
    parser.feed(head + LOOK_AHEAD)
    for root in iter_events(parser):
        prefix = f"{root.prefix}:" if root.prefix else ""
        return f"</{prefix}{etree.QName(root).localname}>".encode()
    return b""
