"""Images overlap while the device is one's at a time; failures and Ctrl-C end as they should."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cacl.model.training import monitor
from cacl.runtime.images import run_images
from cacl.runtime.pipeline import IMAGES_ON_GPU, DeviceLock, Pipeline, plan
from cacl.runtime.signals import deferred_interrupt
from tests.fixtures.model_atlas import ModelAtlas


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    made = ModelAtlas(tmp_path_factory.mktemp("atlas")).build(antibodies=6)
    made.select()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monitor, "MIN_USAGE", -1.0)
        patch.setattr(monitor, "MAX_USAGE", 2.0)
        made.train(preset="robust", max_steps=32)
    return made


def files(atlas: ModelAtlas, image_id: str) -> dict[str, bytes]:
    folder = atlas.store.path(image_id) / "labels" / "stain"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_several_at_a_time_write_the_bytes_of_one(atlas: ModelAtlas) -> None:
    atlas.segment(morphology="none", radius_px=0, threads=1)
    images = sorted(set(pd.read_parquet(atlas.path("tiles.parquet"))["image_id"]))
    one = {image: files(atlas, image) for image in images}
    receipts = atlas.path("segmented.parquet").read_bytes()
    for image in images:
        (atlas.store.path(image) / "labels" / "stain" / "zarr.json").unlink()
    atlas.segment(morphology="none", radius_px=0, threads=3)
    assert {image: files(atlas, image) for image in images} == one
    assert atlas.path("segmented.parquet").read_bytes() == receipts


def test_images_share_what_there_is() -> None:
    assert plan(4, 100, on_gpu=False) == Pipeline(2, 2, turns=False)
    assert plan(8, 2, on_gpu=False) == Pipeline(2, 4, turns=False)
    assert plan(2, 1, on_gpu=False) == Pipeline(1, 2, turns=False)
    assert plan(2, 0, on_gpu=False) == Pipeline(1, 2, turns=False)
    assert plan(4, 100, on_gpu=True) == Pipeline(IMAGES_ON_GPU, 4, turns=True)


def test_an_image_that_fails_is_one_row_and_stops_nobody(atlas: ModelAtlas) -> None:
    broken = "HPA000003/3_A_7_2"
    chunk = next(atlas.store.path(broken).glob("0/c/0/0/0"))
    before = chunk.read_bytes()
    chunk.write_bytes(before[: len(before) // 2])
    try:
        atlas.segment(morphology="dilation", radius_px=1)
    finally:
        chunk.write_bytes(before)
    failed = pd.read_csv(atlas.path("failures.csv"))
    assert list(failed["image_id"]) == [broken]
    assert len(pd.read_parquet(atlas.path("segmented.parquet"))) == 5


def test_the_device_is_ones_at_a_time() -> None:
    turns, inside, most = DeviceLock(), [0], [0]

    def compute(value: int) -> int:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.002)
        inside[0] -= 1
        return value * value

    found: list[int] = []
    threads = [
        threading.Thread(target=lambda n=number: found.append(turns.take(compute, n)))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert sorted(found) == [number**2 for number in range(8)]


@dataclass(frozen=True)
class Named:
    image_id: str


def interrupted(rows: int, at: int) -> list[str]:
    """Run so many rows, send Ctrl-C when the `at`th begins, and return those that began."""
    begun: list[str] = []

    def work(row: Named) -> Named:
        begun.append(row.image_id)
        if len(begun) == at:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.002)
        return row

    named = [Named(str(number)) for number in range(rows)]
    with pytest.raises(KeyboardInterrupt):
        run_images("segment", named, work, source=lambda row: row.image_id, jobs=IMAGES_ON_GPU)
    return begun


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("turn", range(20))
@pytest.mark.usefixtures("ctrl_c")
def test_after_ctrl_c_nothing_more_begins(turn: int) -> None:
    begun = interrupted(1500, at=4 + turn)
    assert 4 + turn <= len(begun) < 1500
    assert np.unique(begun).size == len(begun)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_during_the_last_image_is_not_forgotten() -> None:
    assert len(interrupted(3, at=3)) == 3


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_waits_for_nothing() -> None:
    said: list[bool] = []

    def interrupted_twice() -> None:
        with deferred_interrupt() as came:
            os.kill(os.getpid(), signal.SIGINT)
            said.append(came())
            os.kill(os.getpid(), signal.SIGINT)
            said.append(False)

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()
    assert said == [True]


def test_ctrl_c_is_ignored_where_it_was_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_interrupt() as came:
            os.kill(os.getpid(), signal.SIGINT)
            assert not came()
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_label_is_whole_or_absent_after_a_failure(atlas: ModelAtlas, tmp_path: Path) -> None:
    for image in sorted(set(pd.read_parquet(atlas.path("tiles.parquet"))["image_id"])):
        labels = atlas.store.path(image) / "labels"
        assert not [path for path in labels.iterdir() if path.name.startswith(".")]
