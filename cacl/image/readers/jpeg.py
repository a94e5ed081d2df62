"""JPEG: the markers of a file, and strict decoding of the image between them.

A file is complete if its markers lead from the start marker through the scans to an end marker.
Bytes that belong to no segment (padding before the end marker, other data after it, a second
image) are left out before decoding, because libjpeg reports them like damage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import simplejpeg

from cacl.image.readers.source import Pixels

MAGIC = b"\xff\xd8\xff"
START = b"\xff\xd8"
END = b"\xff\xd9"

MAX_SCANS = 200
"""A progressive JPEG has about ten scans; thousands only cost time."""

MAX_PADDING_BYTES = 4096
"""Bytes between the last pixel and the end marker that still count as padding."""

SCAN_END = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
"""The first marker after entropy-coded data; ff00 is data and ffd0 - ffd7 are restart markers."""

PADDING_WARNING = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9$")

JPEG_LS = 0xF7
FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), JPEG_LS}) - {0xC4, 0xC8, 0xCC}
READ_PROCESSES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA})
"""Frame markers that libjpeg decodes: ITU-T T.81, table B.1, without hierarchical processes."""

STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
SEGMENT_MARKERS = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xF0), JPEG_LS, 0xF8, 0xFE})
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
APP0, APP14 = 0xE0, 0xEE


@dataclass(frozen=True)
class Jpeg:
    """The first image of a JPEG file.

    Parameters
    ----------
    data
        Its bytes from the start to the end marker, without bytes that belong to no segment.
    process
        Code of its frame marker.
    height, width, channels, bits
        As its frame header states.
    states_colours
        Whether a JFIF or Adobe segment states if its channels are RGB or YCbCr.
    """

    data: bytes
    process: int
    height: int
    width: int
    channels: int
    bits: int
    states_colours: bool


def parse(data: bytes) -> Jpeg:
    """Follow the markers of a JPEG without decoding it.

    Raises
    ------
    ValueError
        The markers are invalid, or the file ends before the end marker.
    """
    if not data.startswith(START):
        raise ValueError("it does not start with the marker ffd8")
    frame: tuple[int, int, int, int, int] | None = None
    segments: list[bytes | memoryview] = []
    view, position, kept, scans, states_colours = memoryview(data), 2, 0, 0, False
    while True:
        marker = data.find(b"\xff", position)
        while marker >= 0 and data[marker + 1 : marker + 2] == b"\xff":
            marker += 1
        code = data[marker + 1] if 0 <= marker < len(data) - 1 else None
        if code is None:
            raise ValueError("it ends before its end marker")
        if marker > position:
            segments.append(view[kept:position])
            kept = marker
        position = marker + 2
        if code in STANDALONE_MARKERS:
            continue
        if code == END_OF_IMAGE or (scans and code not in SEGMENT_MARKERS):
            segments += [view[kept:marker], END]
            break
        length = int.from_bytes(data[position : position + 2], "big")
        body = data[position + 2 : position + length]
        if code not in SEGMENT_MARKERS or length < 2:
            raise ValueError(f"it contains the invalid marker ff{code:02x}")
        if position + length > len(data):
            raise ValueError("it ends before its end marker")
        position += length
        if code in FRAME_MARKERS and frame is None and len(body) >= 6:
            height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            frame = code, height, width, body[5], body[0]
        states_colours |= code == APP0 and body.startswith(b"JFIF\0")
        states_colours |= code == APP14 and body.startswith(b"Adobe")
        if code == START_OF_SCAN:
            scans += 1
            if scans > MAX_SCANS:
                raise ValueError(f"it has more than {MAX_SCANS} scans")
            end = SCAN_END.search(data, position)
            if end is None:
                raise ValueError("it ends before its end marker")
            position = end.start()
    if frame is None or not scans:
        raise ValueError("it contains no pixels")
    whole = b"".join(segments) if len(segments) > 2 or position < len(data) else data
    return Jpeg(whole, *frame, states_colours)


def decode(jpeg: Jpeg, *, colours: str = "RGB", smallest: bool = False) -> Pixels:
    """Decode a complete JPEG; every fault of its data is an error.

    Parameters
    ----------
    jpeg
        The image.
    colours
        "RGB" or "GRAY".
    smallest
        Decode at an eighth of the size, which checks all data in less time.

    Returns
    -------
    numpy.ndarray
        uint8 `(height, width, 3 or 1)`.

    Raises
    ------
    ValueError
        The data are damaged, or of a kind that libjpeg does not decode.
    """
    # libjpeg reports its last warning alone: only without the padding is it certain that there is
    # no other. Its count leaves out bytes that it holds in a buffer, hence the loop.
    data, end = jpeg.data, len(jpeg.data)
    while True:
        try:
            return _decode(data, colours, smallest=smallest)
        except ValueError as error:
            padding = PADDING_WARNING.search(str(error))
            count = int(padding[1]) if padding else 0
            if count < 1 or len(jpeg.data) - end + count > MAX_PADDING_BYTES:
                raise
        end -= count
        data = jpeg.data[: end - len(END)] + END


def _decode(data: bytes, colours: str, *, smallest: bool) -> Pixels:
    if smallest:
        small: Pixels = simplejpeg.decode_jpeg(
            data, colours, fastdct=True, min_height=1, min_width=1
        )
        return small
    pixels: Pixels = simplejpeg.decode_jpeg(data, colours)
    return pixels
