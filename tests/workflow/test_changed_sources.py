"""Changed mirrors and hosts: exactly the steps that they concern run; no model is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from cacl import tables
from cacl.tables.schemas import AcquiredRow, FailureRow, ImageRow
from tests.fixtures import hpa_server as hpa
from tests.fixtures.censuses import FAST, Census, shard_jobs, write_host
from tests.fixtures.hpa_server import HpaServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

TILES = "results/tiles/tables.txt"
NAMES = [f"HPA90000{number}" for number in range(1, 7)]


def image_of(folder: Path, number: int) -> Path:
    (path,) = (folder / "images" / f"{900_000 + number}").glob("*.jpg")
    return path


def digests(census: Census) -> dict[str, str]:
    """Return the digest of the acquired image of each antibody."""
    paths = sorted((census.folder / "results/acquired").glob("*.parquet"))
    frame = tables.read_frame(paths, AcquiredRow)
    return dict(zip(frame["antibody_id"], frame["sha256"], strict=True))


def acquire_failures(census: Census) -> set[tuple[str, str]]:
    frames = [
        tables.read_csv(path, FailureRow)
        for path in sorted((census.folder / "results/failures/acquire").glob("*.csv"))
    ]
    return {
        (str(image_id).partition("/")[0], str(reason))
        for frame in frames
        for image_id, reason in zip(frame["image_id"], frame["reason"], strict=True)
    }


@pytest.fixture(scope="module")
def tiled(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Census:
    census = Census(checkout, tmp_path_factory.mktemp("mirror"))
    write_host(census.folder / "mirror")
    census.configure(source={"kind": "mirror", "mirror": "mirror"}, **FAST)
    census.run(TILES)
    assert sorted(digests(census)) == NAMES
    assert census.plan(TILES) == {}
    return census


@pytest.mark.parametrize("in_place", [True, False])
def test_changed_image_of_a_mirror_is_read(tiled: Census, tmp_path: Path, in_place: bool) -> None:
    """An image that is changed in place changes the hard link, one that is replaced does not."""
    census = tiled.copy_to(tmp_path / "run")
    mirror, copies = census.folder / "mirror", census.folder / "resources"
    before = digests(census)
    image, copy = image_of(mirror, 1), image_of(copies, 1)
    data = image_of(mirror, 2).read_bytes()
    copy.unlink()
    copy.hardlink_to(image)
    if in_place:
        image.write_bytes(data)
        assert copy.read_bytes() == data
    else:
        image.unlink()
        image.write_bytes(data)
        assert copy.read_bytes() != data
    assert census.run(TILES) == shard_jobs(NAMES[0], "acquire", "tile") | {"list_tile_tables"}
    assert copy.read_bytes() == data
    assert digests(census) == before | {NAMES[0]: before[NAMES[1]]}
    assert census.plan(TILES) == {}


def test_damaged_copy_of_a_mirror_is_replaced(tiled: Census, tmp_path: Path) -> None:
    census = tiled.copy_to(tmp_path / "run")
    before = digests(census)
    copy = image_of(census.folder / "resources", 3)
    data = bytearray(copy.read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data)
    assert census.run(TILES) == shard_jobs(NAMES[2], "acquire", "tile") | {"list_tile_tables"}
    assert digests(census) == before
    assert census.plan(TILES) == {}


def test_image_that_a_mirror_lacked_is_read_once_it_is_there(tiled: Census, tmp_path: Path) -> None:
    census = tiled.copy_to(tmp_path / "run")
    image = image_of(census.folder / "mirror", 4)
    data = image.read_bytes()
    image.unlink()
    assert census.run(TILES) == shard_jobs(NAMES[3], "acquire", "tile") | {"list_tile_tables"}
    assert acquire_failures(census) == {(NAMES[3], "not_found")}
    assert census.run(TILES) == shard_jobs(NAMES[3], "acquire", "tile") | {"list_tile_tables"}
    image.write_bytes(data)
    assert census.run(TILES) == shard_jobs(NAMES[3], "acquire", "tile") | {"list_tile_tables"}
    assert acquire_failures(census) == set()
    assert census.plan(TILES) == {}


def test_changed_annotation_of_a_mirror_is_read(tiled: Census, tmp_path: Path) -> None:
    census = tiled.copy_to(tmp_path / "run")
    lists = [census.folder / f"results/catalog/shards/{shard}.parquet" for shard in (0, 1)]
    before = tables.read_frame(lists, ImageRow).set_index("antibody_id")["gene"]
    (path,) = [
        path
        for path in (census.folder / "mirror").glob("ENSG*.xml")
        if NAMES[4] in path.read_text()
    ]
    path.write_text(
        path.read_text().replace(f"<name>{before[NAMES[4]]}</name>", "<name>NEW</name>")
    )
    assert census.run(TILES) == {"catalog"}
    after = tables.read_frame(lists, ImageRow).set_index("antibody_id")["gene"]
    assert dict(after) == dict(before) | {NAMES[4]: "NEW"}
    assert census.plan(TILES) == {}


def test_image_that_the_host_refused_is_fetched_by_the_next_run(
    checkout: Path, tmp_path: Path
) -> None:
    write_host(tmp_path / "host")
    census = Census(checkout, tmp_path / "run")
    census.folder.mkdir()
    path = "/" + image_of(tmp_path / "host", 5).relative_to(tmp_path / "host").as_posix()
    with HpaServer(tmp_path / "host") as server:
        source = {
            "kind": "hpa",
            "genes": sorted(path.stem for path in (tmp_path / "host").glob("ENSG*.xml")),
            "host": server.url,
            "requests_per_second": 200,
        }
        census.configure(source=source, **FAST)
        server.fail(path, hpa.status(503, Retry_After="0"), always=True)
        census.run(TILES)
        assert acquire_failures(census) == {(NAMES[4], "unreachable")}
        server.fail(path)
        others = [image_of(tmp_path / "host", number) for number in (1, 2, 3, 4, 6)]
        requests = len(server.requests)
        again = shard_jobs(NAMES[4], "acquire", "tile") | {"list_tile_tables"}
        assert census.run(TILES) == again
        assert {requested for _, requested, _ in server.requests[requests:]} == {path}
        assert acquire_failures(census) == set()
        assert len(digests(census)) == 1 + len(others)
        assert census.plan(TILES) == {}
