"""Read every byte of an image of the store, to find damage that no step has met yet."""

from __future__ import annotations

from collections.abc import Mapping

from cacl.errors import StoreError
from cacl.store.arrays import StoredArray
from cacl.store.ome_zarr import Store, group_attributes

CELL = "cell"


def check_image(
    store: Store,
    image_id: str,
    *,
    source_sha256: str | None = None,
    digest: str | None = None,
    mask_digest: str | None = None,
) -> None:
    """Check all metadata and chunks of an image and its masks, and what they were made from.

    Parameters
    ----------
    store, image_id
        The image.
    source_sha256, digest, mask_digest
        What the tables say: SHA-256 of the source, digest of the image and of its masks; None for
        no expectation.

    Raises
    ------
    StoreError
        A file is missing or damaged, or something was made from other data.
    ImageError
        The id is not valid.
    """
    folder = store.path(image_id)
    meta = store.meta(image_id)
    group_attributes(folder.parent / "zarr.json")
    listed = group_attributes(folder / "labels" / "zarr.json", "ome").get("labels")
    names = sorted(path.name for path in (folder / "labels").glob("[!.]*/"))
    if listed != names:
        raise StoreError(
            f"{folder}/labels lists the masks {listed}, expected {names}; delete {folder} and run "
            "`cacl tile` again (`snakemake --forcerun tile`)"
        )
    found: dict[str, tuple[object, object]] = {
        "SHA-256 of its source": (meta.source_sha256, source_sha256),
        "digest": (meta.digest, digest),
    }
    for name in names:
        attributes = store.label_attrs(image_id, name)
        expected = meta.digest if name == CELL else mask_digest
        found[f"digest of the mask {name}"] = attributes.get("digest"), expected
    _compare(image_id, found)
    for array in (store.image(image_id), *(store.label(image_id, name) for name in names)):
        _read(array)


def _read(array: StoredArray) -> None:
    height, strip = array.shape[-2], array.shards[-2]
    for top in range(0, height, strip):
        array[..., top : top + strip, :]


def _compare(image_id: str, found: Mapping[str, tuple[object, object]]) -> None:
    for name, (actual, expected) in found.items():
        if expected is not None and actual != expected:
            raise StoreError(
                f"{image_id} in the store has another {name} than the tables say "
                f"({str(actual)[:12]}, expected {str(expected)[:12]}); run `cacl tile` and `cacl "
                "segment` again (`snakemake --forcerun tile`)"
            )
