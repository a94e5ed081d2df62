"""The OME-Zarr store: one image a core, one chunk a tile, masks as labels of the image.

Zarr v3, OME-Zarr 0.5. Images and labels are written beside their place and renamed, so that
what exists is whole; each records the digest of what it was made from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cacl.errors import ImageError, Reason, StoreError
from cacl.image import palette
from cacl.image.tile_grid import TileGrid
from cacl.store.arrays import Pixels, StoredArray, create_array, open_array, store_arrays
from cacl.tables import write_text

STORE_VERSION = 1
OME_VERSION = "0.5"
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|zarr\.json", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ImageMeta:
    """What an image in the store was made from.

    Parameters
    ----------
    image_id
        `<antibody_id>/<name>`.
    source_sha256
        Digest of the source file's bytes.
    source_height, source_width
        Size of the source in its own pixels.
    source_px, tile_px
        Side of a tile in pixels of the source and of the store.
    mpp
        um per pixel of the store's array; None if unknown.
    digest
        Digest of source and parameters; see `digest_of`.
    """

    image_id: str
    source_sha256: str
    source_height: int
    source_width: int
    source_px: int
    tile_px: int
    mpp: float | None
    digest: str

    @property
    def grid(self) -> TileGrid:
        """The grid of tiles over this image."""
        return TileGrid(self.source_height, self.source_width, self.source_px, self.tile_px)


def is_safe_name(name: str) -> bool:
    """Return whether `name` can be one component of a path on every system and in the store."""
    return (
        SAFE_NAME.fullmatch(name) is not None
        and ".." not in name
        and not name.endswith(".")
        and RESERVED.fullmatch(name) is None
    )


def digest_of(*parts: object) -> str:
    """Return a SHA-256 over the parts' JSON; equal parts give equal digests."""
    text = json.dumps([str(part) for part in parts], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Store:
    """An atlas of images below one folder, `<root>/<antibody_id>/<name>`.

    Parameters
    ----------
    root
        Folder of the store; made if it is missing.

    Raises
    ------
    StoreError
        The folder holds something else, or a store of another version.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        marker = root / "zarr.json"
        if not marker.exists():
            if root.exists() and any(root.iterdir()):
                raise StoreError(f"{root} is not empty and no store; name another folder")
            _write_group(root, {"cacl": {"store_version": STORE_VERSION}})
        found = _attributes(marker).get("cacl", {}).get("store_version")
        if found != STORE_VERSION:
            raise StoreError(
                f"{root} is a store of version {found}, expected {STORE_VERSION}; delete it and "
                "run `cacl tile` again, or use the software that wrote it"
            )

    def path(self, image_id: str) -> Path:
        """Return the folder of an image.

        Raises
        ------
        ImageError
            The id is not `<antibody_id>/<name>` of safe file names.
        """
        parts = image_id.split("/")
        if len(parts) != 2 or not all(map(is_safe_name, parts)):
            raise ImageError(
                Reason.UNSAFE_ID,
                f"{image_id!r} is no image id; use <antibody>/<name> of letters, digits, . _ -",
            )
        return self.root.joinpath(*parts)

    def has_image(self, image_id: str, digest: str) -> bool:
        """Return whether the image is there and was made from what `digest` says."""
        marker = self.path(image_id) / "zarr.json"
        return marker.exists() and self._cacl(image_id).get("digest") == digest

    def meta(self, image_id: str) -> ImageMeta:
        """Return what an image was made from.

        Raises
        ------
        StoreError
            No such image, or one of another version.
        """
        found = self._cacl(image_id)
        fields = [field.name for field in dataclasses.fields(ImageMeta)]
        missing = [name for name in fields if name not in found]
        if missing:
            raise StoreError(
                f"{self.path(image_id)} lacks the attributes {missing}; delete it and tile again"
            )
        return ImageMeta(**{name: found[name] for name in fields})

    def image(self, image_id: str) -> StoredArray:
        """Return an image's pixels: uint8 (3, y, x), one chunk a tile."""
        return open_array(self.path(image_id) / "0")

    def tile(self, image_id: str, row: int, col: int) -> NDArray[np.uint8]:
        """Return one tile: uint8 (3, tile_px, tile_px)."""
        array = self.image(image_id)
        size = array.chunks[-1]
        window = np.s_[:, row * size : (row + 1) * size, col * size : (col + 1) * size]
        return np.asarray(array[window], dtype=np.uint8)

    def label(self, image_id: str, name: str) -> StoredArray:
        """Return a mask of an image: uint8 (y, x), 0 or 1."""
        return open_array(self.path(image_id) / "labels" / name / "0")

    def label_digest(self, image_id: str, name: str) -> str | None:
        """Return the digest of what a mask was made from; None where there is no such mask."""
        digest = self.label_facts(image_id, name).get("digest")
        return str(digest) if digest is not None else None

    def label_facts(self, image_id: str, name: str) -> dict[str, Any]:
        """Return what is kept beside a mask; nothing where there is no such mask."""
        marker = self.path(image_id) / "labels" / name / "zarr.json"
        if not marker.exists():
            return {}
        return dict(_attributes(marker).get("cacl", {}))

    def write_image(self, meta: ImageMeta, pixels: Pixels, cell: Pixels) -> None:
        """Write an image and its cell mask, whole or not at all; an older one is replaced.

        Parameters
        ----------
        meta
            What it was made from.
        pixels
            uint8 (3, y, x) of the size of `meta.grid`; a dask array is written block by block.
        cell
            (y, x), 0 or 1.

        Raises
        ------
        ValueError
            Arrays of another size than the grid's.
        OSError
            Disk full or no permission.
        """
        expected = (3, meta.grid.height, meta.grid.width)
        if tuple(pixels.shape) != expected or tuple(cell.shape) != expected[1:]:
            raise ValueError(
                f"{meta.image_id}: expected arrays {expected} and {expected[1:]}, got "
                f"{tuple(pixels.shape)} and {tuple(cell.shape)}"
            )
        place = self.path(meta.image_id)
        if not (place.parent / "zarr.json").exists():
            _write_group(place.parent, {})
        with _replaced(place) as folder:
            image = create_array(folder / "0", expected, meta.tile_px, ("c", "y", "x"))
            label_folder = folder / "labels" / "cell"
            label = _create_label(label_folder, meta)
            store_arrays([(image, pixels), (label, cell)])
            _describe_label(label_folder, meta, "cell", {"digest": meta.digest}, palette.CELL)
            _write_group(folder / "labels", {"ome": {"version": OME_VERSION, "labels": ["cell"]}})
            attributes = {
                "ome": _multiscales(meta.image_id, meta.mpp, with_channels=True),
                "cacl": {"store_version": STORE_VERSION, **dataclasses.asdict(meta)},
            }
            _write_group(folder, attributes)

    def write_label(self, image_id: str, name: str, mask: Pixels, digest: str) -> None:
        """Write one mask of an image; see `write_labels`."""
        self.write_labels(image_id, {name: mask}, digest)

    def write_labels(
        self,
        image_id: str,
        masks: Mapping[str, Pixels],
        digest: str,
        facts: Callable[[], Mapping[str, float | None]] = dict,
    ) -> None:
        """Write masks of an image, each whole or not at all; see `write_image` for errors.

        Parameters
        ----------
        image_id
            An image of this store.
        masks
            By name, `stain` or another one safe for a folder: (y, x), 0 or 1, of the image's size.
            What dask arrays among them share is computed once.
        digest
            Digest of what they were made from.
        facts
            What else to keep of them; asked for once they are computed.
        """
        meta = self.meta(image_id)
        expected = (meta.grid.height, meta.grid.width)
        for mask in masks.values():
            if tuple(mask.shape) != expected:
                raise ValueError(f"{image_id}: expected a mask {expected}, got {tuple(mask.shape)}")
        labels = self.path(image_id) / "labels"
        with ExitStack() as places:
            folders = [places.enter_context(_replaced(labels / name)) for name in masks]
            arrays = [_create_label(folder, meta) for folder in folders]
            store_arrays(list(zip(arrays, masks.values(), strict=True)))
            for place, (name, folder) in enumerate(zip(masks, folders, strict=True)):
                described = {"digest": digest, **facts()}
                _describe_label(folder, meta, name, described, palette.stain_colour(place))
        names = sorted(path.parent.name for path in labels.glob("[!.]*/zarr.json"))
        _write_group(labels, {"ome": {"version": OME_VERSION, "labels": names}})

    def _cacl(self, image_id: str) -> dict[str, Any]:
        marker = self.path(image_id) / "zarr.json"
        found: dict[str, Any] = _attributes(marker).get("cacl", {})
        return found


def _attributes(marker: Path) -> dict[str, Any]:
    try:
        attributes = json.loads(marker.read_text(encoding="utf-8"))["attributes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{marker} is missing or damaged; run the step again") from error
    if not isinstance(attributes, dict) or not isinstance(attributes.get("cacl", {}), dict):
        raise StoreError(f"{marker} is damaged; run the step again")
    return attributes


def _write_group(folder: Path, attributes: Mapping[str, Any]) -> None:
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    write_text(folder / "zarr.json", json.dumps(group, indent=1) + "\n")


def _create_label(folder: Path, meta: ImageMeta) -> StoredArray:
    shape = (meta.grid.height, meta.grid.width)
    return create_array(folder / "0", shape, meta.tile_px, ("y", "x"))


def _describe_label(
    folder: Path, meta: ImageMeta, name: str, facts: Mapping[str, Any], colour: palette.Colour
) -> None:
    ome = _multiscales(name, meta.mpp, with_channels=False)
    ome["image-label"] = {
        "colors": [{"label-value": 1, "rgba": [*colour, 255]}],
        "source": {"image": "../../"},
    }
    _write_group(folder, {"ome": ome, "cacl": dict(facts)})


def _multiscales(name: str, mpp: float | None, *, with_channels: bool) -> dict[str, Any]:
    space: dict[str, str] = {"type": "space"} | ({"unit": "micrometer"} if mpp else {})
    axes = [{"name": axis, **space} for axis in "yx"]
    scale = [mpp or 1.0] * 2
    ome: dict[str, Any] = {"version": OME_VERSION}
    if with_channels:
        axes.insert(0, {"name": "c", "type": "channel"})
        scale.insert(0, 1.0)
        ome["omero"] = {"channels": [_channel(*part) for part in _RGB]}
    transformation = {"type": "scale", "scale": scale}
    dataset = {"path": "0", "coordinateTransformations": [transformation]}
    ome["multiscales"] = [{"name": name, "axes": axes, "datasets": [dataset]}]
    return ome


_RGB = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))


def _channel(label: str, color: str) -> dict[str, Any]:
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    return {"label": label, "color": color, "active": True, "window": window}


@contextmanager
def _replaced(place: Path) -> Iterator[Path]:
    """Yield an empty folder beside `place` that takes its place when the block succeeds."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    fresh, old = temporary / "new", temporary / "old"
    fresh.mkdir()
    try:
        yield fresh
        if place.exists():
            place.rename(old)
        fresh.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
