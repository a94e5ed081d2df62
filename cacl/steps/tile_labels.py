"""Labels of tiles in the table that `cacl select` makes."""

from __future__ import annotations

import pandas as pd

from cacl.hpa.target_class import split_labels, with_first
from cacl.tables.selection import LABELS


def kind_of(label: str, class_labels: str) -> str:
    """Return the kind of an image or tile: `positive`, `negative` or empty."""
    labels = [*split_labels(class_labels).values()] or [label]
    return next((kind for kind in LABELS if kind in labels), "")


def tile_index(frame: pd.DataFrame) -> dict[tuple[str, int, int], int]:
    """Return the index of each tile (image, row, col)."""
    keys = zip(frame["image_id"], frame["row"], frame["col"], strict=True)
    return {
        (str(image_id), int(row), int(col)): index
        for index, (image_id, row, col) in enumerate(keys)
    }


def label_tile(frame: pd.DataFrame, index: int, label: str) -> None:
    """Change the label of a tile in the first class."""
    class_labels = with_first(str(frame.loc[index, "class_labels"]), label)
    frame.loc[index, "label"] = label
    frame.loc[index, "class_labels"] = class_labels
    frame.loc[index, "kind"] = kind_of(label, class_labels)
