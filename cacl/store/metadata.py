"""Metadata of images and labels: provenance, and the attributes of OME-Zarr 0.5.

The attributes are plain dicts: to import ome-zarr-models takes 0.4 s of CPU time in every job that
writes. The tests validate with it what is written.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Annotated, Any

from pydantic import Field, Strict, TypeAdapter, ValidationError

from cacl.image.palette import Colour
from cacl.image.tile_grid import TileGrid
from cacl.stain.vectors import REFERENCE, StainVectors

OME_VERSION = "0.5"
PositiveInt = Annotated[int, Strict(), Field(ge=1)]
NotNegativeInt = Annotated[int, Strict(), Field(ge=0)]
PositiveFloat = Annotated[float, Strict(), Field(gt=0)]
RGB_CHANNELS = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))


@dataclass(frozen=True, kw_only=True)
class ImageMeta:
    """Provenance and size of an image in the store.

    Parameters
    ----------
    image_id
        `<antibody_id>/<name>`.
    source_sha256
        SHA-256 of the source file.
    source_height, source_width
        Size of the source image in source pixels; of the region, if it is one of a slide.
    source_px, tile_px
        Side of a tile in source pixels and in pixels of the store.
    mpp
        Pixel size of the stored array in um/px; None if unknown.
    digest
        Digest of the source and the parameters; see `cacl.runtime.digest.digest_of`.
    source_x, source_y
        Upper left corner of a region in pixels of its slide; None for an image that is a whole
        file.
    stain_vectors
        The vectors with which haematoxylin and DAB of the image are separated.
    """

    image_id: str
    source_sha256: str
    source_height: PositiveInt
    source_width: PositiveInt
    source_px: PositiveInt
    tile_px: PositiveInt
    mpp: PositiveFloat | None
    digest: str
    source_x: NotNegativeInt | None = None
    source_y: NotNegativeInt | None = None
    stain_vectors: StainVectors = REFERENCE

    @classmethod
    def from_attributes(cls, attributes: dict[str, Any]) -> ImageMeta:
        """Return the metadata that attributes of an image hold; others are ignored.

        Raises
        ------
        ValueError
            One is missing, has another type, or is out of range.
        """
        names = {field.name for field in fields(cls)}
        known = {name: value for name, value in attributes.items() if name in names}
        try:
            meta: ImageMeta = _adapter().validate_python(known)
        except ValidationError as error:
            faults = (
                f"{'.'.join(map(str, each['loc']))}: {each['msg'].lower()}"
                for each in error.errors()
            )
            raise ValueError(", ".join(faults)) from error
        _ = meta.grid
        return meta

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the image; the reference vectors, which most images have, are none."""
        values = asdict(self)
        if self.stain_vectors == REFERENCE:
            del values["stain_vectors"]
        return values

    @property
    def grid(self) -> TileGrid:
        """The tile grid of this image."""
        is_region = self.source_x is not None and self.source_y is not None
        origin = (self.source_x or 0, self.source_y or 0) if is_region else None
        return TileGrid(self.source_height, self.source_width, self.source_px, self.tile_px, origin)


@cache
def _adapter() -> TypeAdapter[ImageMeta]:
    return TypeAdapter(ImageMeta)


def image_attributes(name: str, mpp: float | None) -> dict[str, Any]:
    """Return the `ome` attributes of an RGB image (c, y, x) with one resolution.

    Parameters
    ----------
    name
        Name of the image.
    mpp
        Pixel size in um/px; None if unknown.
    """
    channel_axis = {"name": "c", "type": "channel"}
    channels = [_channel(label, color) for label, color in RGB_CHANNELS]
    return {
        "version": OME_VERSION,
        "omero": {"channels": channels},
        "multiscales": _multiscales(name, [channel_axis, *_space_axes(mpp)], [1.0, *_scale(mpp)]),
    }


def label_attributes(name: str, mpp: float | None, colour: Colour) -> dict[str, Any]:
    """Return the `ome` attributes of a mask (y, x) in `labels/<name>` of an image.

    Parameters
    ----------
    name
        Name of the mask.
    mpp
        Pixel size in um/px; None if unknown.
    colour
        Red, green and blue of value 1, 0-255.
    """
    return {
        "version": OME_VERSION,
        "multiscales": _multiscales(name, _space_axes(mpp), _scale(mpp)),
        "image-label": {
            "colors": [{"label-value": 1, "rgba": [*colour, 255]}],
            "source": {"image": "../../"},
        },
    }


def labels_attributes(names: list[str]) -> dict[str, Any]:
    """Return the `ome` attributes of the group `labels`, which lists the masks of an image."""
    return {"version": OME_VERSION, "labels": names}


def _multiscales(name: str, axes: list[dict[str, str]], scale: list[float]) -> list[Any]:
    transformation = {"type": "scale", "scale": scale}
    dataset = {"path": "0", "coordinateTransformations": [transformation]}
    return [{"name": name, "axes": axes, "datasets": [dataset]}]


def _space_axes(mpp: float | None) -> list[dict[str, str]]:
    unit = {"unit": "micrometer"} if mpp else {}
    return [{"name": axis, "type": "space", **unit} for axis in "yx"]


def _scale(mpp: float | None) -> list[float]:
    return [mpp or 1.0] * 2


def _channel(label: str, color: str) -> dict[str, Any]:
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    return {"label": label, "color": color, "active": True, "window": window}
