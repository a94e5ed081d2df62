"""A small labelled atlas with known truth: a stained rim round the lumen, or stain elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cacl import stain, tables
from cacl.model import fit
from cacl.model.codebook import ClassAwareCodebook, unit_length
from cacl.model.train import train
from cacl.records import ImageRow, TileStatRow
from cacl.steps.segment import segment
from cacl.steps.select import select
from cacl.store import ImageMeta, Store, digest_of

TILE = 32
GRID = 4
SIDE = TILE * GRID
BROWN = (125, 75, 45)


def draw(seed: int, *, positive: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return (3, y, x) pixels and truth (y, x): 0, 1 = cell, 2 = stained rim."""
    rng = np.random.default_rng(seed)
    rgb = np.full((SIDE, SIDE, 3), (175, 170, 205), np.uint8)
    truth = np.ones((SIDE, SIDE), np.uint8)
    for _ in range(25):
        spot = tuple(int(value) for value in rng.integers(0, SIDE, 2))
        cv2.circle(rgb, spot, 3, (110, 100, 160), -1)
    for _ in range(10):
        spot = tuple(int(value) for value in rng.integers(0, SIDE, 2))
        cv2.circle(rgb, spot, int(rng.integers(3, 5)), BROWN, -1)
    for row in range(2):
        for col in range(2):
            middle = tuple(
                int(value) for value in 64 * np.array([col, row]) + rng.integers(26, 38, 2)
            )
            radius = int(rng.integers(12, 18))
            cv2.circle(rgb, middle, radius, (245, 245, 245), -1)
            cv2.circle(truth, middle, radius, 0, -1)
            if positive:
                cv2.circle(rgb, middle, radius, BROWN, 3)
                cv2.circle(truth, middle, radius, 2, 3)
    noisy = rgb.astype(np.int64) + rng.integers(-6, 7, rgb.shape)
    return noisy.clip(0, 255).astype(np.uint8).transpose(2, 0, 1).copy(), truth


@dataclass(frozen=True)
class ModelAtlas:
    """The files of a run, below one folder."""

    root: Path

    def path(self, name: str) -> Path:
        return self.root / name

    @cached_property
    def store(self) -> Store:
        return Store(self.path("atlas.zarr"))

    def build(self, antibodies: int = 8, images: int = 1) -> ModelAtlas:
        """Write the store, the catalog's images, the tiles and the truth; odd ones are positive."""
        rows: list[ImageRow] = []
        stats: list[TileStatRow] = []
        for number in range(1, antibodies + 1):
            for image in range(images):
                name = f"HPA{number:06d}/{number}_A_{7 + image}_2"
                rgb, truth = draw(10 * number + image, positive=number % 2 == 1)
                stats += self.add(name, rgb)
                rows.append(image_row(name, "positive" if number % 2 == 1 else "negative"))
                place = self.path("truth") / f"{name}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(place), truth)
        tables.write_parquet(self.path("images.parquet"), rows, ImageRow)
        tables.write_parquet(self.path("tiles.parquet"), stats, TileStatRow)
        return self

    def add(self, image_id: str, rgb: np.ndarray) -> list[TileStatRow]:
        """Write one image and return its tiles."""
        meta = ImageMeta(
            image_id=image_id,
            source_sha256="",
            source_height=rgb.shape[1],
            source_width=rgb.shape[2],
            source_px=TILE,
            tile_px=TILE,
            mpp=None,
            digest=digest_of(image_id, int(rgb.sum())),
        )
        cell, dab = stain.cell_mask(rgb), stain.dab_mask(rgb)
        self.store.write_image(meta, rgb, cell)
        found = []
        for row, col in meta.grid.tiles():
            window = meta.grid.window(row, col)
            share = float((cell & dab)[window].sum() / max(1, cell[window].sum()))
            found.append(
                TileStatRow(
                    image_id=image_id,
                    antibody_id=image_id.split("/")[0],
                    row=row,
                    col=col,
                    tissue_fraction=float(cell[window].mean()),
                    dab_fraction=share,
                    digest=meta.digest,
                )
            )
        return found

    def select(self, **options: object) -> None:
        given = {"min_tissue_fraction": 0.2, "seed": 0} | options
        select(
            self.path("images.parquet"),
            [self.path("tiles.parquet")],
            self.path("training.parquet"),
            **given,  # type: ignore[arg-type]
        )

    def train(self, out: str = "model", **options: object) -> Path:
        given = {"preset": "scout", "max_steps": 40, "seed": 0, "threads": 1} | options
        train(
            self.path("training.parquet"),
            self.path("atlas.zarr"),
            self.path(out),
            **given,  # type: ignore[arg-type]
        )
        return self.path(out)

    def segment(self, model: str = "model", **options: object) -> None:
        given = {"morphology": "none", "radius_px": 0, "threads": 1} | options
        segment(
            self.path("tiles.parquet"),
            self.path("atlas.zarr"),
            self.path(model),
            self.path("segmented.parquet"),
            self.path("failures.csv"),
            **given,  # type: ignore[arg-type]
        )


def image_row(image_id: str, label: str, class_labels: str = "") -> ImageRow:
    return ImageRow(
        image_id=image_id,
        antibody_id=image_id.split("/")[0],
        ensembl_id="",
        gene="",
        tissue="duodenum",
        patient_id="1",
        sex="",
        age=None,
        url="",
        path="",
        hpa_version="",
        licence="",
        mpp=None,
        label=label,
        label_source="test",
        class_labels=class_labels,
    )


def set_adrift(monkeypatch: pytest.MonkeyPatch, book: int) -> None:
    """Let one codebook lose touch with all embeddings, of length 1, at every step."""
    follow = ClassAwareCodebook.follow

    def lose(self: ClassAwareCodebook, *given: Any) -> None:
        follow(self, *given)
        lost = self.codes[self.book == book]
        self.codes[self.book == book] = 10.0 * unit_length(lost, 1)

    monkeypatch.setattr(ClassAwareCodebook, "follow", lose)
    monkeypatch.setattr(fit, "revive", lambda *_: None)
