"""Symbolic links in a mirror, among acquired images and in a store lead to no other file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cacl.runtime.digest import digest_of
from cacl.store import ImageMeta
from tests.fixtures import hpa_server as hpa
from tests.fixtures.acquiring import PATHS, Workspace
from tests.fixtures.reports import cores
from tests.fixtures.small_atlas import GRID, TILE, build, pixels_of


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path)
    made.serve()
    return made


@pytest.mark.parametrize("target", ["/etc/passwd", "/dev/zero", ".", "loop"])
def test_link_in_a_mirror_to_another_kind_of_file_is_one_failure(
    work: Workspace, target: str
) -> None:
    path = work.host / PATHS[1].lstrip("/")
    path.unlink()
    path.symlink_to(path if target == "loop" else target)
    rows = work.run()
    assert len(rows) == 2
    assert not (work.images / "135" / path.name).exists()
    for file in work.images.rglob("*"):
        assert not file.is_symlink(), file
        assert file.is_dir() or b"root:" not in file.read_bytes(), file


def test_acquire_replaces_a_link_and_does_not_write_through_it(
    work: Workspace, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    image = work.images / "135" / Path(PATHS[1]).name
    image.parent.mkdir(parents=True)
    image.symlink_to(victim)
    image.with_suffix(".json").symlink_to(victim)
    assert len(work.run()) == 3
    assert victim.read_text() == "kept"
    assert not image.is_symlink()
    assert image.read_bytes() == hpa.jpeg(1)


def test_store_replaces_a_link_and_does_not_empty_its_folder(tmp_path: Path) -> None:
    core = cores()[0]
    atlas = build(tmp_path / "atlas", [core])
    victim = tmp_path / "victim"
    (victim / "labels").mkdir(parents=True)
    (victim / "kept").write_text("kept")
    image = atlas.store.path(core.image_id)
    image.rename(tmp_path / "moved")
    image.symlink_to(victim)
    rgb, cell, _ = pixels_of(core)
    side = GRID * TILE
    meta = ImageMeta(
        image_id=core.image_id, source_sha256="0" * 64, source_height=side, source_width=side,
        source_px=TILE, tile_px=TILE, mpp=None, digest=digest_of("image", core),
    )  # fmt: skip
    atlas.store.write_image(meta, rgb, cell)
    assert not image.is_symlink()
    assert sorted(path.name for path in victim.iterdir()) == ["kept", "labels"]
    assert atlas.store.meta(core.image_id) == meta
