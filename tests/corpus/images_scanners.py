"""Slides of scanners and pictures of a PACS: DICOM, Hamamatsu NDPI, Leica SCN."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import tifffile
from PIL import Image

from cacl.errors import Reason
from tests.corpus.images_field import (
    DAMAGED,
    HEIGHT,
    WIDTH,
    Case,
    Measured,
    Pixels,
    Refused,
    field,
    label,
)
from tests.corpus.images_pages import smaller
from tests.fixtures.slides import JPEG_BASELINE, write_dicom, write_secondary_capture

SLIDE = Measured(mpp=0.5, tolerance=2.5)
"""Tiles are JPEG with half the resolution of chroma."""

SHORT, LONG, FLOAT = 3, 4, 11
LEICA = "http://www.leica-microsystems.com/scn/2010/10/01"

NdpiTags = Mapping[int, tuple[int, int | float]]


def dicom(path: Path, levels: Sequence[int] = (1,)) -> None:
    """Write the levels of a slide, each a file; the one of full resolution has the path."""
    for number, factor in enumerate(levels):
        file = path if factor == 1 else path.with_name(f"{path.stem} {factor}.dcm")
        pixels = field() if factor == 1 else smaller(factor)
        write_dicom(
            file, pixels, series=f"1.2.{len(path.stem)}", level=number, tile=80, mpp=0.5 * factor
        )


def secondary_capture(path: Path) -> None:
    write_secondary_capture(path, field())


def cut_dicom(path: Path) -> None:
    dicom(path)
    path.write_bytes(path.read_bytes()[:-3000])


def dicom_of_jpeg_ls(path: Path) -> None:
    """Write a transfer syntax that OpenSlide does not decode."""
    dicom(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(JPEG_BASELINE.encode(), b"1.2.840.10008.1.2.4.80", 1))


def dicom_beside_a_pipe(path: Path) -> None:
    dicom(path)
    os.mkfifo(path.with_name("pipe"))


def jpeg_strip(pixels: Pixels) -> bytes:
    """Return a JPEG with a restart marker after every 8 blocks, as NDPI stores a page."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, subsampling=0, restart_marker_blocks=5)
    return stream.getvalue()


def ndpi_page(offset: int, pixels: Pixels, lens: float) -> tuple[bytes, bytes]:
    """Return the pixels of a page from `offset` on, and its tags without the next page."""
    data = jpeg_strip(pixels)
    at = offset + len(data)
    values = struct.pack("<4I", 20_000, 1, 20_000, 1)
    make = b"Hamamatsu\0\0\0"
    tags: dict[int, tuple[int, int, bytes]] = {
        256: (LONG, 1, struct.pack("<I", pixels.shape[1])),
        257: (LONG, 1, struct.pack("<I", pixels.shape[0])),
        258: (SHORT, 3, struct.pack("<I", at + 28)),
        259: (SHORT, 1, struct.pack("<I", 7)),
        262: (SHORT, 1, struct.pack("<I", 6)),
        271: (2, 10, struct.pack("<I", at + 16)),
        273: (LONG, 1, struct.pack("<I", offset)),
        277: (SHORT, 1, struct.pack("<I", 3)),
        278: (LONG, 1, struct.pack("<I", pixels.shape[0])),
        279: (LONG, 1, struct.pack("<I", len(data))),
        282: (5, 1, struct.pack("<I", at)),
        283: (5, 1, struct.pack("<I", at + 8)),
        296: (SHORT, 1, struct.pack("<I", 3)),
        65420: (LONG, 1, struct.pack("<I", 1)),
        65421: (FLOAT, 1, struct.pack("<f", lens)),
        65424: (9, 1, struct.pack("<i", 0)),
    }
    entries = b"".join(struct.pack("<HHI", code, *tag[:2]) + tag[2] for code, tag in tags.items())
    content = data + values + make + struct.pack("<4H", 8, 8, 8, 0)
    return content, struct.pack("<H", len(tags)) + entries


def ndpi(path: Path) -> None:
    """Write the slide and the picture of the whole glass; offsets of pages have 64 bits."""
    data = b"II*\0" + bytes(8)
    link = 4
    for pixels, lens in ((field(), 20.0), (label(96, 160), -1.0)):
        content, directory = ndpi_page(len(data), pixels, lens)
        data += content
        data = data[:link] + struct.pack("<Q", len(data)) + data[link + 8 :]
        link = len(data) + len(directory)
        data += directory + bytes(8 + 4 * (len(directory) // 12))
    path.write_bytes(data)


def scn(path: Path) -> None:
    """Write a scan of Leica: BigTIFF, the overview first, positions in nm."""
    nm = 500
    view = f'sizeX="{WIDTH * nm}" sizeY="{HEIGHT * nm}"'
    glass = f'sizeX="{WIDTH * nm - 1}" sizeY="{HEIGHT * nm - 1}"'
    images = ""
    for name, place, ifds in (
        ("macro", f'{glass} offsetX="0" offsetY="0"', {0: (WIDTH // 4, HEIGHT // 4)}),
        (
            "core",
            f'{view} offsetX="0" offsetY="0"',
            {1: (WIDTH, HEIGHT), 2: (WIDTH // 2, HEIGHT // 2)},
        ),
    ):
        dimensions = "".join(
            f'<dimension sizeX="{width}" sizeY="{height}" ifd="{ifd}"/>'
            for ifd, (width, height) in ifds.items()
        )
        images += (
            f'<image name="{name}"><creationDate>2012-01-01T00:00:00Z</creationDate>'
            f'<device model="Leica SCN400"/><pixels>{dimensions}</pixels><view {place}/>'
            "<scanSettings><objectiveSettings><objective>20</objective></objectiveSettings>"
            "<illuminationSettings><numericalAperture>0.4</numericalAperture>"
            "<illuminationSource>brightfield</illuminationSource></illuminationSettings>"
            "</scanSettings></image>"
        )
    xml = (
        f'<?xml version="1.0"?><scn xmlns="{LEICA}"><collection {glass}>{images}</collection></scn>'
    )
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for factor in (4, 1, 2):
            file.write(
                smaller(factor),
                photometric="rgb",
                tile=(128, 128),
                compression="jpeg",
                compressionargs={"level": 95},
                resolution=(20_000 / factor, 20_000 / factor),
                resolutionunit="CENTIMETER",
                description=xml if factor == 4 else None,
                metadata=None,
            )


CASES = (
    Case("dicom/slide.dcm", dicom, SLIDE),
    Case("dicom/slide of levels.dcm", partial(dicom, levels=(1, 5)), SLIDE),
    Case("dicom/NAME WITHOUT END", dicom, SLIDE),
    Case("dicom/pacs.dcm", secondary_capture, Refused(Reason.NOT_AN_IMAGE, "export the picture")),
    Case("dicom cut/slide.dcm", cut_dicom, DAMAGED),
    Case(
        "dicom jpeg-ls/slide.dcm",
        dicom_of_jpeg_ls,
        Refused(Reason.UNSUPPORTED_PIXELS, "export it as a pyramidal OME-TIFF"),
    ),
    Case(
        "dicom beside a pipe/slide.dcm",
        dicom_beside_a_pipe,
        Refused(Reason.REFUSED, "move the slide to a folder of its own"),
    ),
    Case("hamamatsu.ndpi", ndpi, SLIDE),
    Case("leica.scn", scn, SLIDE),
)
