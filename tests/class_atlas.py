"""A small atlas of two classes, each there or not: a stained rim and stained discs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from model_atlas import BROWN, SIDE, ModelAtlas, draw, image_row

from cacl import tables
from cacl.patterns import Pattern, join_labels
from cacl.records import ImageRow, TileStatRow

RIM = Pattern(name="rim", cell_type="x")
DISC = Pattern(name="disc", cell_type="y", shape="area")
PATTERNS = (RIM, DISC)
WORDS = {True: "positive", False: "negative"}


def has(number: int) -> dict[str, bool]:
    """Return which classes the antibody of that number shows: all four combinations in turn."""
    return {"rim": number % 2 == 1, "disc": number // 2 % 2 == 1}


def drawn(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (3, y, x) pixels and truth (y, x) of the discs."""
    shown = has(number)
    rgb = np.ascontiguousarray(draw(10 * number, positive=shown["rim"])[0].transpose(1, 2, 0))
    discs = np.zeros((SIDE, SIDE), np.uint8)
    if shown["disc"]:
        for place in ((64, 24), (16, 80), (112, 64), (64, 100)):
            cv2.circle(rgb, place, 9, BROWN, -1)
            cv2.circle(discs, place, 9, 1, -1)
    return rgb.transpose(2, 0, 1).copy(), discs > 0


def build(root: Path, antibodies: int = 16) -> ModelAtlas:
    """Write store, images and tiles of as many antibodies."""
    atlas = ModelAtlas(root)
    rows: list[ImageRow] = []
    stats: list[TileStatRow] = []
    for number in range(1, antibodies + 1):
        name = f"HPA{number:06d}/{number}_A_7_2"
        stats += atlas.add(name, drawn(number)[0])
        labels = {one: WORDS[shown] for one, shown in has(number).items()}
        rows.append(image_row(name, labels["rim"], join_labels(labels)))
    tables.write_parquet(atlas.path("images.parquet"), rows, ImageRow)
    tables.write_parquet(atlas.path("tiles.parquet"), stats, TileStatRow)
    return atlas
