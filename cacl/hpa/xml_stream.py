"""Cut the XML of many genes into documents of one gene each.

The file of all genes has 13 GB. It is cut after every `</entry>`, and each entry is parsed as a
document of its own below the file's root: libxml2 then runs through an entry without calling back
into Python, which is faster than events for the elements of a stream, and memory is that of one
entry. A file that cannot be cut so is one document, of bounded size.
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
MAX_MARKS = 2 * 10**6
UNCOUNTED_BYTES = 4 * 2**20
MAX_HEAD_BYTES = 2**13
BLOCK_BYTES = 2**18
ENTRY_START = re.compile(rb"<entry[\s>]")
ENTRY_END = b"</entry>"
LOOK_AHEAD = b"    "


class Options(TypedDict):
    """Options of lxml's parsers."""

    resolve_entities: bool
    no_network: bool
    load_dtd: bool
    huge_tree: bool
    remove_blank_text: bool
    remove_comments: bool
    remove_pis: bool
    collect_ids: bool


def safe_options() -> Options:
    """Return options with which a file can neither reach out nor blow up."""
    return Options(
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
    """Open a file, plain or gzip-compressed.

    Raises
    ------
    CatalogError
        It cannot be opened.
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
    """Yield each entry below the file's root, and last what follows them: so a cut is noticed.

    Raises
    ------
    CatalogError
        An entry has more than 32 MB or 2 million elements and attributes, or what comes before the
        first more than 8 KB, or an entry that is the root is not the end.
    """
    waiting = bytearray()
    head: bytes | None = None
    tail = b""
    while block := stream.read(BLOCK_BYTES):
        searched = max(0, len(waiting) - len(ENTRY_END) + 1)
        waiting += block
        while (head is None or tail) and (found := waiting.find(ENTRY_END, searched)) >= 0:
            end, searched = found + len(ENTRY_END), 0
            if head is None:
                head = _head(waiting[:end], path)
                tail = _closing(head)
                del waiting[: len(head)]
                end -= len(head)
            with memoryview(waiting) as view:
                document = b"".join((head, view[:end], tail))
            del waiting[:end]
            yield checked(document, path)
        if len(waiting) > MAX_ENTRY_BYTES:
            raise CatalogError(
                f"The annotation {path} has an entry of more than {MAX_ENTRY_BYTES // 2**20} MB; "
                "no gene of the atlas is that large, so it is refused"
            )
    if head is None or tail:
        yield checked((head or b"") + waiting, path)
    elif waiting.strip():
        raise CatalogError(f"The annotation {path} goes on after its end; fetch it again")


def checked(document: bytes, path: Path) -> bytes:
    """Return a document unless a tree of it would take many times the memory of its text."""
    if len(document) > UNCOUNTED_BYTES:
        refuse_marks(marks(document), path)
    return document


def marks(data: bytes) -> int:
    """Return at least how many elements and attributes there are, whatever they are called."""
    return data.count(b"<") + data.count(b"=")


def refuse_marks(count: int, path: Path) -> None:
    """Raise `CatalogError` for more elements and attributes than an entry of the atlas has."""
    if count > MAX_MARKS:
        raise CatalogError(
            f"The annotation {path} has an entry of more than {MAX_MARKS:,} elements and "
            "attributes; no gene of the atlas has as many, so it is refused"
        )


def _head(first: bytearray, path: Path) -> bytes:
    """Return what stands before the first entry: declaration and start of the root."""
    start = ENTRY_START.search(first)
    head = first[: start.start()] if start else first
    if start is None or len(head) > MAX_HEAD_BYTES:
        raise CatalogError(
            f"The annotation {path} does not begin as the atlas's does, with an entry in its first "
            f"{MAX_HEAD_BYTES // 2**10} KB; fetch it again"
        )
    return bytes(head)


def _closing(head: bytes) -> bytes:
    """Return the tag that closes the root which a head opens; empty if it opens none."""
    parser = etree.XMLPullParser(events=("start",), **safe_options())
    parser.feed(head + LOOK_AHEAD)
    for root in met(parser):
        prefix = f"{root.prefix}:" if root.prefix else ""
        return f"</{prefix}{etree.QName(root).localname}>".encode()
    return b""


def met(parser: etree.XMLPullParser) -> Iterator[etree._Element]:
    """Yield the elements that a parser has met since it was last asked."""
    for _, element in parser.read_events():
        if isinstance(element, etree._Element):
            yield element
