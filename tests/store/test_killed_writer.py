"""A store whose writer was killed: the next run finds no half image and leaves no leftover."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cacl.store import Store, ome_zarr
from tests.store.test_store import META

IMAGE = np.zeros((3, 256, 384), np.uint8)
MASK = np.zeros((256, 384), bool)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "atlas.zarr")
    store.write_image(META, IMAGE, MASK)
    return store


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


def leave_behind(target: Path) -> None:
    """Write what a process leaves that is killed after it has written `target`."""
    temporary = target.with_name(f".{target.name}.tmp")
    (temporary / "old").mkdir(parents=True)
    (temporary / "lock").touch()


def test_leftovers_beside_complete_images_and_masks_are_removed(store: Store) -> None:
    image = store.path(META.image_id)
    store.write_label(META.image_id, "stain", MASK, "m")
    leave_behind(image)
    leave_behind(image / "labels" / "stain")
    store.remove_leftovers(META.image_id)
    assert not (image.parent / f".{image.name}.tmp").exists()
    store.remove_leftovers(META.image_id, "stain")
    assert hidden(store.root) == []
    assert store.label_digest(META.image_id, "stain") == "m"


def test_half_written_marker_of_a_killed_process_is_no_foreign_file(tmp_path: Path) -> None:
    root = tmp_path / "atlas.zarr"
    root.mkdir()
    (root / ".zarr.json.tmp").write_text('{"zarr_')
    Store(root).write_image(META, IMAGE, MASK)
    assert Store(root).has_image(META.image_id, META.digest)
    assert hidden(root) == []


def test_mask_that_counts_as_done_is_listed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the write after which a process is killed, the list has every complete mask."""
    labels = store.path(META.image_id) / "labels"
    write_group, writes = ome_zarr._write_group, list[Path]()
    for allowed in range(1, 3):

        def killed_after(folder: Path, attributes: dict[str, object], n: int = allowed) -> None:
            if len(writes) == n:
                raise KeyboardInterrupt
            writes.append(folder)
            write_group(folder, attributes)

        monkeypatch.setattr(ome_zarr, "_write_group", killed_after)
        writes.clear()
        try:
            store.write_label(META.image_id, f"stain-{allowed}", MASK, "m")
        except KeyboardInterrupt:
            assert allowed == 1
        listed = json.loads((labels / "zarr.json").read_text())["attributes"]["ome"]["labels"]
        complete = {path.parent.name for path in labels.glob("[!.]*/zarr.json")}
        assert complete <= set(listed)
    assert len(writes) == 2
    assert complete == {"cell", "stain-2"}
