"""The OME-Zarr store: one image per core, one chunk per tile, masks as labels of the image.

Zarr v3, OME-Zarr 0.5. Images and labels are written to a temporary folder and renamed, so that an
existing image is complete; each records the digest of the data that it was made from.

Every byte has a checksum: the chunks that of their Zstandard frame, the index of a shard its
CRC-32C, the `zarr.json` of a group the SHA-256 that it holds, which covers the recorded SHA-256 of
the `zarr.json` of its array. They are checked on reading.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cacl.errors import ImageError, Reason, StoreError
from cacl.image import palette
from cacl.runtime.atomic import remove_leftover, replaced_folder
from cacl.runtime.file_digest import BLANK_DIGEST, FILE_DIGEST, check_digest, embed_digest
from cacl.runtime.json_text import parse_json
from cacl.store.arrays import (
    Pixels,
    StoredArray,
    create_array,
    metadata_digest,
    open_array,
    remedy,
    store_arrays,
)
from cacl.store.metadata import ImageMeta, image_attributes, label_attributes, labels_attributes
from cacl.tables import write_atomically

STORE_VERSION = 2
ARRAY_DIGEST = "array_sha256"
"""Attribute of a group: the digest of the metadata of its array."""

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|zarr\.json", re.IGNORECASE)
"""Names that Windows or the store itself reserves."""


def is_safe_name(name: str) -> bool:
    """Return whether `name` is a valid path component on every system and in the store."""
    return (
        SAFE_NAME.fullmatch(name) is not None
        and ".." not in name
        and not name.endswith(".")
        and RESERVED.fullmatch(name) is None
    )


def list_image_ids(root: Path) -> list[str]:
    """Return the ids of the images in the folder of a store, sorted, whether damaged or not."""
    folders = (path for path in root.glob("[!.]*/[!.]*") if path.is_dir())
    return sorted(f"{path.parent.name}/{path.name}" for path in folders)


class Store:
    """Images with their masks in one folder, as `<root>/<antibody_id>/<name>`.

    Parameters
    ----------
    root
        Folder of the store; created if it does not exist.

    Raises
    ------
    StoreError
        The folder holds other files, or a store of another version.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        marker = root / "zarr.json"
        if not marker.exists():
            # The marker of another process, or of a killed one, may be half written.
            others = (
                (path for path in root.iterdir() if path.name[0] != ".") if root.exists() else ()
            )
            if not all((path / "zarr.json").exists() for path in others):
                raise StoreError(f"{root} is not empty and not a store; name another folder")
            _write_group(root, {"cacl": {"store_version": STORE_VERSION}})
        version = _version(marker)
        if version != STORE_VERSION:
            raise StoreError(
                f"{root} is a store of version {version}, expected {STORE_VERSION}; delete it and "
                "run `cacl tile` again (`snakemake --forcerun tile`), or use the software that "
                "wrote it"
            )

    def image_ids(self) -> list[str]:
        """Return the ids of all images, sorted; one that is being written is not among them."""
        return list_image_ids(self.root)

    def path(self, image_id: str) -> Path:
        """Return the folder of an image.

        Raises
        ------
        ImageError
            The id is not `<antibody_id>/<name>` with safe file names.
        """
        parts = image_id.split("/")
        if len(parts) != 2 or not all(map(is_safe_name, parts)):
            raise ImageError(
                Reason.UNSAFE_ID,
                f"{image_id!r} is not an image id; use <antibody>/<name> with letters, digits, "
                ". _ -",
            )
        return self.root.joinpath(*parts)

    def has_image(self, image_id: str, digest: str) -> bool:
        """Return whether the image exists, is not damaged, and has the digest `digest`."""
        marker = self.path(image_id) / "zarr.json"
        try:
            return marker.exists() and group_attributes(marker).get("digest") == digest
        except StoreError:
            return False

    def meta(self, image_id: str) -> ImageMeta:
        """Return the metadata of an image.

        Raises
        ------
        StoreError
            The image does not exist, or another version of this software wrote it.
        """
        attrs = group_attributes(self.path(image_id) / "zarr.json")
        try:
            return ImageMeta.from_attributes(attrs)
        except ValueError as error:
            raise StoreError(
                f"{self.path(image_id)} lacks valid attributes ({error}); delete it and tile again"
            ) from error

    def image(self, image_id: str) -> StoredArray:
        """Return the pixels of an image: uint8 (3, y, x), one chunk per tile."""
        return _open_in_group(self.path(image_id))

    def tile(self, image_id: str, row: int, col: int) -> NDArray[np.uint8]:
        """Return one tile: uint8 (3, tile_px, tile_px)."""
        array = self.image(image_id)
        size = array.chunks[-1]
        window = np.s_[:, row * size : (row + 1) * size, col * size : (col + 1) * size]
        return np.asarray(array[window], dtype=np.uint8)

    def label(self, image_id: str, name: str) -> StoredArray:
        """Return a mask of an image: uint8 (y, x), 0 or 1."""
        return _open_in_group(self.path(image_id) / "labels" / name)

    def label_digest(self, image_id: str, name: str) -> str | None:
        """Return the digest of a mask; None if the mask does not exist or its group is damaged."""
        try:
            digest = self.label_attrs(image_id, name).get("digest")
        except StoreError:
            return None
        return str(digest) if digest is not None else None

    def label_attrs(self, image_id: str, name: str) -> dict[str, Any]:
        """Return the attributes of a mask; empty if the mask does not exist.

        Raises
        ------
        StoreError
            The mask is damaged.
        """
        marker = self.path(image_id) / "labels" / name / "zarr.json"
        return group_attributes(marker) if marker.exists() else {}

    def remove_leftovers(self, image_id: str, *names: str) -> None:
        """Remove what a killed process left beside an image, or beside the masks `names` of it."""
        path = self.path(image_id)
        for target in [path / "labels" / name for name in names] or [path]:
            remove_leftover(target)

    def write_image(
        self,
        meta: ImageMeta,
        pixels: Pixels,
        cell: Pixels,
        check: Callable[[], object] = lambda: None,
    ) -> None:
        """Write an image and its cell mask atomically; replace an existing image.

        Parameters
        ----------
        meta
            Metadata of the image.
        pixels
            uint8 (3, y, x) of the size of `meta.grid`; a dask array is written block by block.
        cell
            (y, x), 0 or 1.
        check
            Called after the arrays are computed; if it raises, the store is unchanged.

        Raises
        ------
        ValueError
            An array has another size than the grid.
        OSError
            Disk full or no permission.
        """
        expected = (3, meta.grid.height, meta.grid.width)
        if tuple(pixels.shape) != expected or tuple(cell.shape) != expected[1:]:
            raise ValueError(
                f"{meta.image_id}: expected arrays {expected} and {expected[1:]}, got "
                f"{tuple(pixels.shape)} and {tuple(cell.shape)}"
            )
        path = self.path(meta.image_id)
        if not (path.parent / "zarr.json").exists():
            _write_group(path.parent, {})
        with replaced_folder(path) as folder:
            image = create_array(folder / "0", expected, meta.tile_px, ("c", "y", "x"))
            label_folder = folder / "labels" / "cell"
            label = _create_label(label_folder, meta)
            store_arrays([(image, pixels), (label, cell)])
            check()
            _write_label_attrs(label_folder, meta, "cell", {"digest": meta.digest}, palette.CELL)
            _write_group(folder / "labels", {"ome": labels_attributes(["cell"])})
            attributes = {
                "ome": image_attributes(meta.image_id, meta.mpp),
                "cacl": {
                    "store_version": STORE_VERSION,
                    **meta.attributes,
                    ARRAY_DIGEST: metadata_digest(folder / "0"),
                },
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
        attrs: Callable[[], Mapping[str, float | None]] = dict,
    ) -> None:
        """Write masks of an image, each atomically; see `write_image` for errors.

        Parameters
        ----------
        image_id
            An image of this store.
        masks
            (y, x), 0 or 1, of the image's size, by name: `stain` or another safe file name. Common
            parts of dask graphs are computed once.
        digest
            Digest of the data that the masks were made from.
        attrs
            Returns further attributes of the masks; called after the masks are computed.
        """
        meta = self.meta(image_id)
        expected = (meta.grid.height, meta.grid.width)
        for mask in masks.values():
            if tuple(mask.shape) != expected:
                raise ValueError(f"{image_id}: expected a mask {expected}, got {tuple(mask.shape)}")
        labels = self.path(image_id) / "labels"
        # The list is written first: where a killed run left masks without it, they would count as
        # up to date and never be listed.
        present = {path.parent.name for path in labels.glob("[!.]*/zarr.json")}
        _write_group(labels, {"ome": labels_attributes(sorted(present | set(masks)))})
        with ExitStack() as stack:
            folders = [stack.enter_context(replaced_folder(labels / name)) for name in masks]
            arrays = [_create_label(folder, meta) for folder in folders]
            store_arrays(list(zip(arrays, masks.values(), strict=True)))
            all_attrs = {"digest": digest, **attrs()}
            for number, (name, folder) in enumerate(zip(masks, folders, strict=True)):
                _write_label_attrs(folder, meta, name, all_attrs, palette.stain_colour(number))


def group_attributes(marker: Path, name: str = "cacl") -> dict[str, Any]:
    """Return the attributes `name` in the `zarr.json` of a group; `cacl`: those of this software.

    Raises
    ------
    StoreError
        The file is missing, or its bytes have changed.
    """
    try:
        data = marker.read_bytes()
        check_digest(data)
        attributes = parse_json(data)["attributes"][name]
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{marker} is missing or damaged ({error}); {remedy(marker)}") from error
    if not isinstance(attributes, dict):
        raise StoreError(f"{marker} is damaged; {remedy(marker)}")
    return attributes


def _version(marker: Path) -> object:
    """Return the version of a store, also of one whose `zarr.json` holds no digest yet."""
    try:
        data = marker.read_bytes()
        version = parse_json(data)["attributes"]["cacl"]["store_version"]
        if version == STORE_VERSION:
            check_digest(data)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{marker} is damaged ({error}); delete this file, and the next step writes it again"
        ) from error
    return version


def _open_in_group(folder: Path) -> StoredArray:
    expected = group_attributes(folder / "zarr.json").get(ARRAY_DIGEST)
    return open_array(folder / "0", str(expected))


def _write_group(folder: Path, attributes: Mapping[str, Any]) -> None:
    cacl = {**attributes.get("cacl", {}), FILE_DIGEST: BLANK_DIGEST}
    group = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {**attributes, "cacl": cacl},
    }
    data = embed_digest((json.dumps(group, indent=1) + "\n").encode())
    write_atomically(folder / "zarr.json", lambda temporary: temporary.write_bytes(data))


def _create_label(folder: Path, meta: ImageMeta) -> StoredArray:
    shape = (meta.grid.height, meta.grid.width)
    return create_array(folder / "0", shape, meta.tile_px, ("y", "x"))


def _write_label_attrs(
    folder: Path, meta: ImageMeta, name: str, attrs: Mapping[str, Any], colour: palette.Colour
) -> None:
    ome = label_attributes(name, meta.mpp, colour)
    cacl = {**attrs, ARRAY_DIGEST: metadata_digest(folder / "0")}
    _write_group(folder, {"ome": ome, "cacl": cacl})
