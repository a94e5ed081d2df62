"""Choose the tiles a model learns from, and split them by antibody.

Labels are known for images, tiles are needed. A positive image also holds tiles without the
pattern; the first rule takes those whose DAB share exceeds the median of the negative images'
tiles. Where negatives are strongly stained elsewhere that leaves little, so the upper half of
each image counts too, and training judges again (METHOD, section 4). HPA shows the same
patients for many antibodies, so the split is by antibody: what is tested was never seen.

With several classes an image is of the kind `positive` if it is positive in any of them, and
`negative` if it is negative in every one that it has a label in; the rules go by that kind.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cacl import tables
from cacl.errors import ConfigError, TrainingError
from cacl.hpa.target_class import split_labels, with_first
from cacl.model.data.selection import LABELS, NEGATIVE, POSITIVE, SelectionReason, Split
from cacl.tables.schemas import ImageRow, TileRow, TileStatRow

log = logging.getLogger(__name__)

TEST_SHARE = 0.25
VALIDATION_SHARE = 0.125
MIN_ANTIBODIES_TO_SPLIT = 3
MAX_IMBALANCE = 2
TURNS = (*(Split.TRAIN, Split.TEST, Split.TRAIN) * 2, Split.VALIDATION, Split.TRAIN)
OVERRIDE_COLUMNS = ["image_id", "row", "col", "label"]


def select(
    images: Path,
    tiles: Sequence[Path],
    out: Path,
    *,
    min_tissue_fraction: float,
    overrides: Path | None = None,
    max_tiles: int = 6000,
    seed: int = 0,
) -> None:
    """Write `training/tiles.parquet`: one `TileRow` for each tile of a labelled image.

    Parameters
    ----------
    images
        The catalog's images table (`ImageRow`).
    tiles
        Tables of all tiles (`TileStatRow`), one a shard.
    out
        Where the table goes.
    min_tissue_fraction
        Tiles with less tissue are left out, 0 to 1.
    overrides
        CSV `image_id,row,col,label` of single tiles whose label is known; rows without `row`
        and `col` are about whole images and belong to the catalog.
    max_tiles
        Most tiles kept in the training split.
    seed
        Of the split and of what is left out.

    Raises
    ------
    TrainingError
        No positive or no negative image has tiles, in one of the classes.
    ConfigError
        The overrides cannot be read or name tiles that do not exist.
    TableError
        A table is missing or damaged.
    """
    frame = _labelled_tiles(images, tiles)
    _check_classes(frame, images)
    classes = _classes_of_antibodies(frame)
    several = bool(frame["class_labels"].ne("").any())
    splits = deal_antibodies(classes, seed) if several else split_antibodies(classes, seed)
    frame["split"] = frame["antibody_id"].map(splits)
    frame = _judge(frame, min_tissue_fraction)
    if overrides is not None:
        frame = _override(frame, overrides)
    imbalance = None if several else MAX_IMBALANCE
    frame = _balance(frame, max_tiles, imbalance, np.random.default_rng(seed))
    frame = frame.sort_values(["image_id", "row", "col"], kind="stable")
    tables.write_parquet(out, frame, TileRow)
    _tell(frame)


def _labelled_tiles(images: Path, tiles: Sequence[Path]) -> pd.DataFrame:
    labels = tables.read_frame([images], ImageRow)[["image_id", "label", "class_labels"]]
    pairs = zip(labels["label"], labels["class_labels"], strict=True)
    labels["kind"] = [kind_of(str(label), str(text)) for label, text in pairs]
    stats = tables.read_frame(tiles, TileStatRow)
    frame = stats.merge(labels[labels["kind"].isin(LABELS)], on="image_id", validate="m:1")
    return frame.sort_values(["image_id", "row", "col"], kind="stable").reset_index(drop=True)


def kind_of(label: str, class_labels: str) -> str:
    """Return `positive`, `negative` or empty for an image or tile; see the module."""
    labels = [*split_labels(class_labels).values()] or [label]
    return next((kind for kind in LABELS if kind in labels), "")


def _check_classes(frame: pd.DataFrame, images: Path) -> None:
    texts = set(frame["class_labels"])
    by_class = pd.DataFrame({text: split_labels(str(text)) for text in texts if text}).T
    found = {str(name): set(labels) for name, labels in by_class.items()}
    for name, labels in (found or {"": set(frame["label"])}).items():
        for label in LABELS:
            if label not in labels:
                of_class = f" in the class {name}" if name else ""
                raise TrainingError(
                    f"No tiled image is labelled {label}{of_class}, so there is nothing to tell "
                    f"the pattern from; {images} needs at least one {label} image: add a gene or "
                    "antibody with such an annotation, or label images through labels.overrides "
                    "(CSV image_id,label) or the manifest's column label"
                )


def _classes_of_antibodies(frame: pd.DataFrame) -> dict[str, str]:
    """Return for each antibody which labels its images have, as one word."""
    labels = frame["class_labels"].where(frame["class_labels"] != "", frame["label"])
    found = labels.groupby(frame["antibody_id"]).agg(lambda found: "+".join(sorted(set(found))))
    return {str(antibody): str(classes) for antibody, classes in found.items()}


def split_antibodies(classes: Mapping[str, str], seed: int) -> dict[str, Split]:
    """Assign each antibody to one split, each class of antibodies on its own.

    A class of fewer than three antibodies is all for training, so that training has both
    classes before validation and test have any. Validation is first of all for negatives, on
    which the threshold is set.

    Parameters
    ----------
    classes
        Antibody to its class: `positive`, `negative` or `negative+positive`.
    seed
        Of the shuffle.

    Returns
    -------
    Antibody to split.
    """
    splits: dict[str, Split] = {}
    for number, kind in enumerate(sorted(set(classes.values()))):
        members = sorted(antibody for antibody, found in classes.items() if found == kind)
        order = np.random.default_rng([seed, number]).permutation(len(members))
        test = validation = 0
        if len(members) >= MIN_ANTIBODIES_TO_SPLIT:
            test = max(1, round(TEST_SHARE * len(members)))
            validation = int(VALIDATION_SHARE * len(members))
            if kind != POSITIVE:
                validation = max(1, validation)
        for place, member in enumerate(order):
            in_test, held_out = place < test, place < test + validation
            splits[members[member]] = (
                Split.TEST if in_test else Split.VALIDATION if held_out else Split.TRAIN
            )
    return splits


def deal_antibodies(classes: Mapping[str, str], seed: int) -> dict[str, Split]:
    """Assign each antibody to one split, where several classes make too many kinds to split each.

    Antibodies are ordered by their labels, by chance where these are alike, and dealt out in
    turns of eight, so that each split gets about its share of every class.

    Parameters
    ----------
    classes
        Antibody to its labels.
    seed
        Of the order of equals, and of where the turns begin.

    Returns
    -------
    Antibody to split.
    """
    rng = np.random.default_rng(seed)
    luck = dict(zip(sorted(classes), rng.permutation(len(classes)), strict=True))
    ordered = sorted(classes, key=lambda antibody: (classes[antibody], luck[antibody]))
    start = int(rng.integers(len(TURNS)))
    return {name: TURNS[(start + place) % len(TURNS)] for place, name in enumerate(ordered)}


def _judge(frame: pd.DataFrame, min_tissue_fraction: float) -> pd.DataFrame:
    """Give each tile its first rule; the median is that of the training split's negatives."""
    tissue = frame["tissue_fraction"] >= min_tissue_fraction
    negative = frame["kind"] == NEGATIVE
    reference = frame.loc[negative & tissue & (frame["split"] == Split.TRAIN), "dab_fraction"]
    median = float(reference.median()) if len(reference) else 0.0
    above = frame["dab_fraction"] > median
    own = frame["dab_fraction"].where(tissue).groupby(frame["image_id"]).transform("median")
    rule = pd.Series(str(SelectionReason.DAB_BELOW), index=frame.index, dtype="string")
    rule[frame["dab_fraction"] >= own] = str(SelectionReason.DAB_UPPER_HALF)
    rule[above] = str(SelectionReason.DAB_ABOVE)
    rule[negative] = str(SelectionReason.NEGATIVE_IMAGE)
    rule[frame["split"] == Split.TEST] = str(SelectionReason.TEST)
    rule[~tissue] = str(SelectionReason.LITTLE_TISSUE)
    left_out = rule.isin([str(SelectionReason.DAB_BELOW), str(SelectionReason.LITTLE_TISSUE)])
    log.info("select: the negatives' median DAB share is %.4f", median)
    return frame.assign(reason=rule, selected=~left_out)


def _override(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Apply labels of single tiles; they are kept whatever the rules say."""
    wanted = _read_overrides(path)
    keys = zip(frame["image_id"], frame["row"], frame["col"], strict=True)
    place_of = {
        (str(image_id), int(row), int(col)): place
        for place, (image_id, row, col) in enumerate(keys)
    }
    for key, label in wanted.items():
        if key not in place_of:
            image_id, row, col = key
            raise ConfigError(
                f"{path} labels tile row {row}, col {col} of {image_id!r}, which is no tile of a "
                "labelled image; correct the row or remove it"
            )
        place = place_of[key]
        class_labels = with_first(str(frame.loc[place, "class_labels"]), label)
        frame.loc[place, "label"] = label
        frame.loc[place, "class_labels"] = class_labels
        frame.loc[place, "kind"] = kind_of(label, class_labels)
        frame.loc[place, "selected"] = True
        frame.loc[place, "reason"] = str(SelectionReason.OVERRIDE)
    return frame


def _read_overrides(path: Path) -> dict[tuple[str, int, int], str]:
    try:
        table = pd.read_csv(path, dtype="string", keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"labels.overrides {path} cannot be read as CSV: {error}") from error
    if not {"row", "col"} <= set(table.columns):
        return {}
    missing = [name for name in OVERRIDE_COLUMNS if name not in table.columns]
    if missing:
        raise ConfigError(
            f"labels.overrides {path} lacks the columns {missing}; expected {OVERRIDE_COLUMNS}"
        )
    wanted: dict[tuple[str, int, int], str] = {}
    for line, (image_id, row, col, label) in enumerate(
        table[OVERRIDE_COLUMNS].itertuples(index=False), start=2
    ):
        if not row and not col:
            continue
        if label not in LABELS or not (row.isdecimal() and col.isdecimal()):
            raise ConfigError(
                f"{path}, line {line}: expected row and col from 0 and a label of {LABELS}, got "
                f"row {row!r}, col {col!r}, label {label!r}"
            )
        wanted[str(image_id), int(row), int(col)] = str(label)
    return wanted


def _balance(
    frame: pd.DataFrame, max_tiles: int, imbalance: int | None, rng: np.random.Generator
) -> pd.DataFrame:
    """Leave out training tiles at random.

    One kind keeps at most `imbalance` times as many tiles as the other (a batch holds as many of
    each anyway, and a rare kind of negative is worth keeping), and both keep to the limit. That
    of several classes is None: few images are negative in all of them.
    """
    training = frame["selected"] & (frame["split"] == Split.TRAIN)
    counts = {label: int((training & (frame["kind"] == label)).sum()) for label in LABELS}
    fewest = min(counts.values())
    limit = max_tiles // 2
    each = limit if imbalance is None else min(imbalance * fewest, limit)
    for label in LABELS:
        members = frame.index[training & (frame["kind"] == label)]
        free = members[frame.loc[members, "reason"] != str(SelectionReason.OVERRIDE)]
        surplus = min(len(members) - each, len(free))
        if surplus <= 0:
            continue
        dropped = np.sort(rng.permutation(len(free))[:surplus])
        frame.loc[free[dropped], "selected"] = False
        frame.loc[free[dropped], "reason"] = str(
            SelectionReason.LIMIT if each == limit else SelectionReason.BALANCE
        )
    return frame


def _tell(frame: pd.DataFrame) -> None:
    kept = frame[frame["selected"]]
    for (split, label), part in kept.groupby(["split", "kind"], observed=True):
        log.info(
            "select: %s, %s: %d tiles of %d antibodies",
            split,
            label,
            len(part),
            part["antibody_id"].nunique(),
        )
