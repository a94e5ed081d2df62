"""A small atlas on disk for tests: cores with known areas, segmented, not yet measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cacl import tables
from cacl.records import AnnotationRow, ImageRow, SegmentedRow, TileStatRow
from cacl.steps.measure import measure
from cacl.store import ImageMeta, Store, digest_of

TILE = 32
GRID = 4
CELL_TYPE = "enterocytes - microvilli"
BROWN = (120, 70, 30)
BLUE = (110, 110, 170)


@dataclass(frozen=True)
class Core:
    """One core: a square of tissue, whose uppermost rows are stained."""

    antibody_id: str
    stained_rows: int
    name: str = "1_A_7_2"
    gene: str = ""
    ensembl_id: str = ""
    patient_id: str = "1"
    label: str = ""
    staining: str = ""

    @property
    def image_id(self) -> str:
        return f"{self.antibody_id}/{self.name}"


def pixels_of(core: Core) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (3, y, x) pixels, cell mask and stain mask: 96 x 96 px of cells in 128 x 128 px."""
    side, rng = GRID * TILE, np.random.default_rng(0)
    cell = np.zeros((side, side), dtype=bool)
    cell[:96, :96] = True
    stained = np.zeros_like(cell)
    stained[: core.stained_rows] = True
    rgb = np.full((3, side, side), 245, dtype=np.int64)
    rgb[:, cell] = np.array(BLUE)[:, None]
    rgb[:, cell & stained] = np.array(BROWN)[:, None]
    rgb[:, cell] += rng.integers(-20, 21, cell.sum())
    return rgb.astype(np.uint8), cell, stained


@dataclass(frozen=True)
class SmallAtlas:
    """The files of a run, below one folder."""

    root: Path

    def path(self, name: str) -> Path:
        return self.root / name

    @property
    def store(self) -> Store:
        return Store(self.path("atlas.zarr"))

    def measure(self, **options: Any) -> None:
        given = {"cell_type": CELL_TYPE, "min_tissue_fraction": 0.2} | options
        measure(
            self.path("segmented.parquet"),
            self.path("catalog/images.parquet"),
            self.path("catalog/annotations.parquet"),
            self.path("tiles.parquet"),
            self.path("atlas.zarr"),
            self.path("census.parquet"),
            self.path("failures.csv"),
            **given,
        )


def build(root: Path, cores: list[Core], annotations: list[AnnotationRow] | None = None) -> Any:
    """Write catalog, store and receipts of `cores` below `root`."""
    atlas = SmallAtlas(root)
    store = atlas.store
    stats = [stat for core in cores for stat in _write(store, core)]
    rows = [annotation_of(core) for core in cores if core.staining and core.name == "1_A_7_2"]
    for name, table, record in (
        ("catalog/images.parquet", [_image_row(core) for core in cores], ImageRow),
        ("catalog/annotations.parquet", rows + (annotations or []), AnnotationRow),
        ("segmented.parquet", [_receipt(core) for core in cores], SegmentedRow),
        ("tiles.parquet", stats, TileStatRow),
    ):
        tables.write_parquet(atlas.path(name), table, record)
    return atlas


def annotation_of(core: Core, **changes: str) -> AnnotationRow:
    given = {
        "antibody_id": core.antibody_id,
        "ensembl_id": core.ensembl_id,
        "gene": core.gene,
        "tissue": "duodenum",
        "cell_type": CELL_TYPE,
        "staining": core.staining,
        "intensity": "strong",
        "quantity": ">75%",
        "location": "cytoplasmic/membranous",
        "reliability": "enhanced",
    }
    return AnnotationRow(**(given | changes))


def _receipt(core: Core) -> SegmentedRow:
    digest = digest_of("mask", core)
    return SegmentedRow(image_id=core.image_id, antibody_id=core.antibody_id, digest=digest)


def _write(store: Store, core: Core) -> list[TileStatRow]:
    rgb, cell, stained = pixels_of(core)
    side = GRID * TILE
    meta = ImageMeta(
        image_id=core.image_id,
        source_sha256="0" * 64,
        source_height=side,
        source_width=side,
        source_px=TILE,
        tile_px=TILE,
        mpp=None,
        digest=digest_of("image", core),
    )
    store.write_image(meta, rgb, cell)
    store.write_label(core.image_id, "stain", stained, _receipt(core).digest)
    share = cell.reshape(GRID, TILE, GRID, TILE).mean(axis=(1, 3))
    return [
        TileStatRow(
            image_id=core.image_id,
            antibody_id=core.antibody_id,
            row=row,
            col=col,
            tissue_fraction=float(share[row, col]),
            dab_fraction=0.0,
            digest=meta.digest,
        )
        for row, col in meta.grid.tiles()
    ]


def _image_row(core: Core) -> ImageRow:
    return ImageRow(
        image_id=core.image_id,
        antibody_id=core.antibody_id,
        ensembl_id=core.ensembl_id,
        gene=core.gene,
        tissue="duodenum",
        patient_id=core.patient_id,
        sex="female",
        age=50,
        url=f"https://images.proteinatlas.org/{core.image_id}.jpg",
        path="",
        hpa_version="23",
        licence="CC BY-SA 4.0",
        mpp=None,
        label=core.label,
        label_source="",
    )
