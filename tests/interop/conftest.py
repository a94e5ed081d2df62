"""A small census with hostile names, its exports, and the record of what was opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cacl.steps.export import export
from cacl.steps.parameters import ExportFiles
from tests.fixtures.hostile_names import GENES
from tests.fixtures.reports import run
from tests.fixtures.small_atlas import Core, SmallAtlas, build

STAININGS = ("high", "medium", "low", "not detected")

Shown = Callable[[str, str, str, str], None]
"""Takes software, version, what was opened, what was found."""


@dataclass(frozen=True)
class Census:
    """A finished run of 128 x 128 px cores, one per hostile name of a gene, and its exports."""

    atlas: SmallAtlas
    masks: Path
    h5ad: Path
    xlsx: Path

    @property
    def report(self) -> Path:
        return self.atlas.path("report")


@pytest.fixture(scope="session")
def census(tmp_path_factory: pytest.TempPathFactory) -> Census:
    atlas = build(tmp_path_factory.mktemp("census"), cores())
    atlas.measure()
    run(atlas, failures=[atlas.path("failures.csv")])
    made = Census(atlas, atlas.path("masks"), atlas.path("atlas.h5ad"), atlas.path("atlas.xlsx"))
    files = ExportFiles(geojson=made.masks, h5ad=made.h5ad, xlsx=made.xlsx)
    export(made.report, atlas.path("atlas.zarr"), files)
    return made


def cores() -> list[Core]:
    """Return one core per name, with more stain the earlier its name is in the list."""
    return [
        Core(
            f"HPA{number:06d}",
            2 * (len(GENES) - number),
            gene=gene,
            ensembl_id=f"ENSG{number:011d}",
            label="positive" if number % 2 else "negative",
            staining=STAININGS[number % len(STAININGS)],
        )
        for number, gene in enumerate(GENES)
    ]


@pytest.fixture
def shown(record_property: Callable[[str, object], None]) -> Shown:
    """Return the function that adds a row to the table of `benchmarks.interop.interop`."""

    def record(*row: str) -> None:
        record_property("interop", json.dumps(row))

    return record
