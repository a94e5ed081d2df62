from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from cacl.model.training import monitor
from tests.fixtures.browser import OpenPage, launched_chromium, open_page
from tests.fixtures.small_atlas import SmallAtlas

CHECKOUT = Path(__file__).parents[1]

# A busy or slow machine is no fault of the code under test.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

SLOW_FOLDERS = {"corpus", "fuzz", "workflow"}
"""Their tests are left out by `make test-fast`, as single modules marked with `slow` are."""


def unit_of(nodeid: str) -> str:
    """Return the file of a test, or its folder if its tests share what a `conftest.py` provides."""
    file = CHECKOUT / nodeid.split("::")[0]
    shares = file.parent.name != "tests" and (file.parent / "conftest.py").exists()
    return str(file.parent if shares else file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadfile`, run tests that share a run or a Slurm cluster in one process."""
    if config.getoption("dist") != "loadfile":
        return None
    scheduling = LoadFileScheduling(config, log)
    scheduling._split_scope = unit_of
    return scheduling


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test-fast` leaves out; files with slow tests come first.

    Processes that share the files then end at about the same time.
    """
    for item in items:
        if SLOW_FOLDERS & set(item.path.relative_to(CHECKOUT).parts):
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, "workflow" not in item.path.parts))


@pytest.fixture(scope="session")
def checkout() -> Path:
    return CHECKOUT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    place = CHECKOUT.parent / "shared" / "data"
    if not place.is_dir():
        pytest.skip(f"real material is missing: no folder {place.name} beside the checkout")
    return place


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few steps need not learn anything."""
    monkeypatch.setattr(monitor, "MIN_USAGE", -1.0)
    monkeypatch.setattr(monitor, "MAX_USAGE", 2.0)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with launched_chromium() as browser:
        yield browser


@pytest.fixture
def opened(chromium: Any, atlas: SmallAtlas) -> Iterator[OpenPage]:
    """The report of the module's fixture `atlas`."""
    with open_page(chromium, atlas.path("report") / "report.html") as page:
        yield page
