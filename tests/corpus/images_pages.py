"""TIFF with several pages, and pixel sizes: ImageJ, OME, QuPath, scanners."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from cacl.errors import Reason
from tests.corpus.images_field import (
    HEIGHT,
    JPEG_READ,
    READ,
    SEVERAL,
    WIDTH,
    Case,
    Measured,
    Pixels,
    Refused,
    field,
    label,
    other_field,
)
from tests.corpus.images_tiff import rgb

STACK_TO_RGB = Refused(Reason.UNSUPPORTED_PIXELS, "Stack to RGB")
APERIO = "Aperio Image Library v12.0.15\n480x400 [0,0 480x400] (128x128) JPEG/RGB Q=95|AppMag = 20"

Page = tuple[Pixels, dict[str, Any]]


def smaller(factor: int) -> Pixels:
    """Return the field at a lower resolution: the mean of blocks."""
    blocks = field().reshape(HEIGHT // factor, factor, WIDTH // factor, factor, 3)
    pixels: Pixels = np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
    return pixels


def pages(path: Path, *content: Page, **options: Any) -> None:
    """Write pages one after the other; options of a page replace the common ones."""
    common = {"photometric": "rgb", "metadata": None} | options
    with tifffile.TiffWriter(path) as file:
        for pixels, own in content:
            file.write(pixels, **(common | own))


def with_subifds(path: Path, **options: Any) -> None:
    """Write the lower levels of a pyramid into SubIFDs, as QuPath and Bio-Formats do."""
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(field(), photometric="rgb", subifds=2, tile=(128, 128), **options)
        for factor in (2, 4):
            file.write(
                smaller(factor), photometric="rgb", subfiletype=1, tile=(128, 128), **options
            )


def ome(path: Path, size: str, unit: str | None, **options: Any) -> None:
    """Write OME-TIFF with a pixel size."""
    metadata = {"axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeY": size}
    if unit is not None:
        metadata |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(path, field(), photometric="rgb", ome=True, metadata=metadata, **options)


def ome_images(path: Path) -> None:
    """Write a slide and its label as two images of OME-TIFF, each with its own pixel size."""
    with tifffile.TiffWriter(path, ome=True) as file:
        for pixels, size in ((label(), 50.0), (field(), 0.25)):
            metadata = {"axes": "YXS", "PhysicalSizeX": size, "PhysicalSizeY": size}
            file.write(pixels, photometric="rgb", metadata=metadata)


def ome_stack(path: Path) -> None:
    stack = np.stack([field(), field(), field()])
    tifffile.imwrite(path, stack, photometric="rgb", ome=True, metadata={"axes": "ZYXS"})


def ome_channels(path: Path) -> None:
    channels = np.moveaxis(field(), -1, 0)
    tifffile.imwrite(path, channels, photometric="minisblack", ome=True, metadata={"axes": "CYX"})


def ome_other_files(path: Path) -> None:
    """Write one file of a set of three focal planes; the others are named in its OME-XML."""
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
        f'SizeX="{WIDTH}" SizeY="{HEIGHT}" SizeC="3" SizeZ="3" SizeT="1"/></Image></OME>'
    )
    rgb(path, description=xml, metadata=None)


def imagej(path: Path, unit: str, per_unit: float, **options: Any) -> None:
    """Write what ImageJ writes for an RGB image with a scale."""
    description = f"ImageJ=1.54f\nunit={unit}\n"
    rgb(
        path,
        description=description,
        metadata=None,
        resolution=(per_unit, per_unit),
        resolutionunit="NONE",
        **options,
    )


def imagej_stack(path: Path) -> None:
    tifffile.imwrite(path, np.stack([field(), other_field()]), imagej=True, photometric="rgb")


def imagej_channels(path: Path) -> None:
    channels = np.moveaxis(field(), -1, 0)
    tifffile.imwrite(path, channels, imagej=True, metadata={"axes": "CYX", "mode": "composite"})


def stack_behind_one_page(path: Path) -> None:
    """Write a stack of which only the first image has a page, as ImageJ above 4 GB."""
    description = "ImageJ=1.54f\nimages=2\nslices=2\n"
    rgb(path, description=description, metadata=None)
    with path.open("ab") as file:
        file.write(other_field().tobytes())


def tifffile_stack(path: Path) -> None:
    description = json.dumps({"shape": [2, HEIGHT, WIDTH, 3]})
    rgb(path, description=description, metadata=None)


def resolution(path: Path, per_unit: int, unit: str, **options: Any) -> None:
    rgb(path, resolution=(per_unit, per_unit), resolutionunit=unit, **options)


def aperio(path: Path, compression: str | int = "jpeg", mpp: str = "|MPP = 0.4990") -> None:
    """Write an SVS: tiles, a thumbnail, a level, label and macro (Aperio's order of pages)."""
    tiles: dict[str, Any] = {"tile": (128, 128), "compression": compression}
    if compression == "jpeg":
        tiles["compressionargs"] = {"level": 95}
    strips: dict[str, Any] = {"compression": "lzw"}
    macro = other_field(90, 300)
    pages(
        path,
        (field(), tiles | {"description": APERIO + mpp}),
        (smaller(8), strips | {"description": APERIO}),
        (smaller(4), tiles | {"description": APERIO}),
        (label(), strips | {"subfiletype": 1, "description": "Aperio\nlabel 160x90"}),
        (macro, strips | {"subfiletype": 9, "description": "Aperio\nmacro 300x90"}),
    )


def thousand_pages(path: Path) -> None:
    tile = np.zeros((16, 16), np.uint8)
    with tifffile.TiffWriter(path) as file:
        for _ in range(1100):
            file.write(tile, photometric="minisblack", metadata=None)


FIELD: Page = (field(), {})
OTHER: Page = (other_field(), {})
THUMB: Page = (smaller(8), {})
LABEL: Page = (label(), {})
REDUCED = {"subfiletype": 1}
TILES: dict[str, Any] = {"tile": (128, 128)}


def of(*content: Page, **options: Any) -> Any:
    return partial(_write_pages, content=content, options=options)


def _write_pages(path: Path, content: Sequence[Page], options: dict[str, Any]) -> None:
    pages(path, *content, **options)


PAGES = (
    Case("thumbnail first.tif", of(THUMB, FIELD), READ),
    Case("reduced thumbnail first.tif", of((smaller(8), REDUCED), FIELD), READ),
    Case("label first.tif", of(LABEL, FIELD), READ),
    Case("reduced label first.tif", of((label(), REDUCED), FIELD), READ),
    Case("label last.tif", of(FIELD, LABEL), READ),
    Case("label and thumbnail first.tif", of(LABEL, THUMB, FIELD, compression="lzw"), READ),
    Case("tiled thumbnail first.tif", of(THUMB, FIELD, **TILES), READ),
    Case("tiled label first.tif", of((label(), REDUCED), FIELD, **TILES), READ),
    Case("imagemagick ptif.tif", of(FIELD, (smaller(2), {}), (smaller(4), {})), READ),
    Case(
        "vips pyramid.tif", of(FIELD, (smaller(2), REDUCED), (smaller(4), REDUCED), **TILES), READ
    ),
    Case("pyramid upside down.tif", of((smaller(4), {}), (smaller(2), {}), FIELD, **TILES), READ),
    Case("three cores.tif", of(FIELD, OTHER, FIELD), SEVERAL),
    Case("three tiled cores.tif", of(FIELD, OTHER, FIELD, **TILES), SEVERAL),
    Case("two cores of two sizes.tif", of((other_field(380, 430), {}), FIELD), SEVERAL),
    Case("two cores of one shape.tif", of(FIELD, (other_field(240, 288), {})), SEVERAL),
    Case(
        "two tiled cores of one shape.tif", of(FIELD, (other_field(240, 288), {}), **TILES), SEVERAL
    ),
    Case("photographer burst.tif", of(*[FIELD] * 12), SEVERAL),
    Case("a thousand pages.tif", thousand_pages, SEVERAL),
    Case("imagej rgb stack.tif", imagej_stack, SEVERAL),
    Case("imagej large stack.tif", stack_behind_one_page, SEVERAL),
    Case("tifffile stack.tif", tifffile_stack, SEVERAL),
    Case("ome focus stack.ome.tif", ome_stack, SEVERAL),
    Case("ome set of files.ome.tif", ome_other_files, SEVERAL),
    Case("imagej composite.tif", imagej_channels, STACK_TO_RGB),
    Case("bioformats channels.ome.tif", ome_channels, STACK_TO_RGB),
    Case("qupath pyramid.ome.tif", partial(with_subifds, compression="zlib"), READ),
    Case(
        "qupath jpeg pyramid.ome.tif",
        partial(with_subifds, compression="jpeg", compressionargs={"level": 95}),
        JPEG_READ,
    ),
    Case("bioformats label and slide.ome.tif", ome_images, Measured(mpp=0.25)),
    Case("aperio.svs", aperio, Measured(mpp=0.499, tolerance=2.5)),
    Case("aperio jp2k.svs", partial(aperio, compression=33005), Measured(mpp=0.499)),
)

CM = "CENTIMETER"
SIZES = (
    Case("ome um.ome.tif", partial(ome, size="0.25", unit="\u00b5m"), Measured(mpp=0.25)),
    Case("ome default unit.ome.tif", partial(ome, size="0.25", unit=None), Measured(mpp=0.25)),
    Case("ome nm.ome.tif", partial(ome, size="250", unit="nm"), Measured(mpp=0.25)),
    Case("ome mm.ome.tif", partial(ome, size="0.0005", unit="mm"), Measured(mpp=0.5)),
    Case(
        "ome tiles.ome.tif", partial(ome, size="0.25", unit="\u00b5m", **TILES), Measured(mpp=0.25)
    ),
    Case("ome pixel.ome.tif", partial(ome, size="1", unit="pixel"), READ),
    Case("ome 250 um.ome.tif", partial(ome, size="250", unit="\u00b5m"), READ),
    Case("ome zero.ome.tif", partial(ome, size="0", unit="\u00b5m"), READ),
    Case("imagej um.tif", partial(imagej, unit="um", per_unit=4), Measured(mpp=0.25)),
    Case("imagej micron.tif", partial(imagej, unit="micron", per_unit=2), Measured(mpp=0.5)),
    Case("fiji escaped unit.tif", partial(imagej, unit="\\u00B5m", per_unit=4), Measured(mpp=0.25)),
    Case("imagej nm.tif", partial(imagej, unit="nm", per_unit=0.004), Measured(mpp=0.25)),
    Case("imagej mm.tif", partial(imagej, unit="mm", per_unit=2000), Measured(mpp=0.5)),
    Case("imagej cm.tif", partial(imagej, unit="cm", per_unit=20_000), Measured(mpp=0.5)),
    Case("imagej inch.tif", partial(imagej, unit="inch", per_unit=72), READ),
    Case("imagej pixel.tif", partial(imagej, unit="pixel", per_unit=1), READ),
    Case(
        "imagej um tiles.tif", partial(imagej, unit="um", per_unit=4, **TILES), Measured(mpp=0.25)
    ),
    Case("centimetres.tif", partial(resolution, per_unit=20_000, unit=CM), Measured(mpp=0.5)),
    Case("inches.tif", partial(resolution, per_unit=50_800, unit="INCH"), Measured(mpp=0.5)),
    Case(
        "tiles in centimetres.tif",
        partial(resolution, per_unit=20_000, unit=CM, **TILES),
        Measured(mpp=0.5),
    ),
    Case("screen.tif", partial(resolution, per_unit=72, unit="INCH"), READ),
    Case("printer.tif", partial(resolution, per_unit=300, unit="INCH"), READ),
    Case(
        "imagescope export.tif",
        partial(rgb, description=APERIO + "|MPP = 0.4990", metadata=None),
        Measured(mpp=0.499),
    ),
    Case("aperio without mpp.svs", partial(aperio, mpp=""), JPEG_READ),
    Case(
        "manifest counts.tif",
        partial(resolution, per_unit=20_000, unit=CM),
        Measured(mpp=0.25),
        "0.25",
    ),
    Case("manifest alone.tif", rgb, Measured(mpp=0.3), "0.3"),
)

CASES = (*PAGES, *SIZES)
