"""Finished censuses of own images, for all tests of this folder, which must not change them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures import censuses
from tests.fixtures.censuses import Census


@pytest.fixture(scope="package")
def damaged(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Census:
    """A finished census of own images; A7 is cut short, A8 is too small."""
    census = censuses.write_manifest_census(checkout, tmp_path_factory.mktemp("damaged"))
    census.run()
    return census


@pytest.fixture(scope="package")
def repaired(damaged: Census, tmp_path_factory: pytest.TempPathFactory) -> Census:
    """The census in which A7 is repaired, and what has run; no run tries an image again."""
    census = damaged.copy_to(tmp_path_factory.mktemp("repaired") / "run")
    image = census.folder / "images" / "a7.jpg"
    image.write_bytes((census.folder / "images" / "a3.jpg").read_bytes())
    census.last_run = census.run()
    return census
