"""Tiles with drawn labels (`labels.drawn`): for training, selected, and labelled by the drawing."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from cacl import tables
from cacl.hpa.pixel_labels import DrawnLabels, read_drawn
from cacl.steps.parameters import SelectionFiles
from cacl.steps.tile_labels import label_tile, tile_index
from cacl.store import Store
from cacl.tables.schemas import ImageRow
from cacl.tables.selection import POSITIVE, SelectionReason, Split

log = logging.getLogger(__name__)

MAX_NAMES = 10
MAX_NAME_CHARACTERS = 100
NO_CLASS = "no class"


def read_drawn_tiles(
    folder: Path, files: SelectionFiles, frame: pd.DataFrame
) -> DrawnLabels | None:
    """Return the drawn labels of the labelled images with tiles; None if no pixel is labelled."""
    others = set(tables.read_frame([files.images], ImageRow)["image_id"])
    drawn = read_drawn(folder, Store(files.store), set(frame["image_id"]), others)
    for problem, names in (
        ("of no image of this run, which are not used", drawn.unknown),
        (
            "of images without a label or without tiles, which are not used (labels.overrides "
            "labels images)",
            drawn.unused,
        ),
        ("without a pixel in an area of the class positive or negative", drawn.empty),
        ("with other classes, whose areas are ignored", sorted(drawn.ignored)),
    ):
        if names:
            shown = ", ".join(name[:MAX_NAME_CHARACTERS] or NO_CLASS for name in names[:MAX_NAMES])
            more = ", ..." if len(names) > MAX_NAMES else ""
            log.warning(
                "select: drawings below %s %s: %d (%s%s)", folder, problem, len(names), shown, more
            )
    for image_id, count in drawn.contradictory_px.items():
        log.warning(
            "select: the drawing of %s has %d pixels that are positive and negative, which are "
            "ignored",
            image_id,
            count,
        )
    if not drawn.labels:
        log.warning("select: no drawing below %s labels a pixel of a labelled image", folder)
        return None
    return drawn


def move_to_training(frame: pd.DataFrame, drawn: DrawnLabels) -> pd.DataFrame:
    """Return the tiles with the antibodies of drawn images in the training split.

    Parameters
    ----------
    frame
        Columns `image_id`, `antibody_id` and `split`.
    drawn
        Drawn labels of some of the images.
    """
    is_drawn = frame["image_id"].isin(drawn.labels)
    moves = frame["antibody_id"].isin(set(frame.loc[is_drawn, "antibody_id"]))
    for split in (Split.VALIDATION, Split.TEST):
        antibodies = sorted(set(frame.loc[moves & (frame["split"] == split), "antibody_id"]))
        if antibodies:
            log.warning(
                "select: antibodies of drawn images move from the %s split to training: %s",
                split,
                ", ".join(antibodies),
            )
    return frame.assign(split=frame["split"].mask(moves, Split.TRAIN))


def select_drawn(frame: pd.DataFrame, drawn: DrawnLabels, store: Store) -> pd.DataFrame:
    """Return the tiles with those that hold a drawn pixel selected.

    A tile with a positive pixel is positive; another one keeps its label, and its override.

    Parameters
    ----------
    frame
        Tiles with the columns of `TileRow` and `kind`.
    drawn
        Drawn labels of some of the images.
    store
        The store, which knows the side of a tile.
    """
    frame, index_of = frame.copy(), tile_index(frame)
    for image_id in drawn.labels:
        touched = drawn.touched_tiles(image_id, store.meta(image_id).tile_px)
        for (row, col), is_positive in touched.items():
            index = index_of[image_id, row, col]
            if is_positive:
                label_tile(frame, index, POSITIVE)
            is_override = frame.loc[index, "reason"] == str(SelectionReason.OVERRIDE)
            if is_positive or not (is_override and frame.loc[index, "selected"]):
                frame.loc[index, "reason"] = str(SelectionReason.DRAWN)
            frame.loc[index, "selected"] = True
    return frame
