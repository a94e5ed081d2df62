"""Select the tiles for training, validation and test, and split them by antibody.

Labels belong to images, training needs tiles, and a positive image also holds tiles without the
class. A tile of a positive image is selected if its DAB fraction exceeds the median of the tiles
of negative images, or is in the upper half of its own image: where negative images are strongly
stained elsewhere, the first criterion alone selects little. Training relabels tiles later
(docs/method.md). HPA shows the same patients for many antibodies, so the split is by antibody: no
test antibody is seen in training.

Drawings (`labels.drawn`) label pixels of training tiles: their antibodies are for training whatever
the split says, and their tiles are selected whatever the rules say.

With several classes an image is of the kind `positive` if it is positive in any class, and
`negative` if it is negative in every class in which it has a label; the criteria use that kind.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cacl import tables
from cacl.errors import ConfigError, TableError, TrainingError
from cacl.hpa.labels import read_overrides
from cacl.hpa.target_class import split_labels
from cacl.steps.drawn_tiles import move_to_training, read_drawn_tiles, select_drawn
from cacl.steps.earlier_model import NO_MODEL, read_splits
from cacl.steps.parameters import EarlierModel, SelectionFiles
from cacl.steps.tile_labels import kind_of, label_tile, tile_index
from cacl.store import Store
from cacl.tables.schemas import ImageRow, TileRow, TileStatRow
from cacl.tables.selection import LABELS, NEGATIVE, POSITIVE, SelectionReason, Split

log = logging.getLogger(__name__)

TEST_FRACTION = 0.25
VALIDATION_FRACTION = 0.125
MIN_ANTIBODIES_TO_SPLIT = 3
MAX_IMBALANCE = 2
KEPT_REASONS = (str(SelectionReason.OVERRIDE), str(SelectionReason.DRAWN))
SPLIT_CYCLE = (*(Split.TRAIN, Split.TEST, Split.TRAIN) * 2, Split.VALIDATION, Split.TRAIN)


def select(
    files: SelectionFiles,
    out: Path,
    *,
    min_tissue_fraction: float,
    overrides: Path | None = None,
    drawn: Path | None = None,
    max_tiles: int = 6000,
    seed: int = 0,
    earlier: EarlierModel = NO_MODEL,
) -> None:
    """Write `training/tiles.parquet`: one `TileRow` for each tile of a labelled image.

    Parameters
    ----------
    files
        The catalog's table of images (`ImageRow`), tables of all tiles (`TileStatRow`), one per
        shard, and the store, which is read only for drawings.
    out
        Path of the table that is written.
    min_tissue_fraction
        Tiles with a smaller fraction of tissue are left out, 0 to 1.
    overrides
        CSV `image_id,row,col,label` of single tiles with known labels (see `read_overrides`).
        Rows without `row` and `col` are labels of whole images, which the catalog applies.
    drawn
        Folder of drawings; see `read_drawn`. Tiles with a drawn pixel are selected; those with a
        positive one are positive, and the others keep their label.
    max_tiles
        Maximum number of tiles in the training split.
    seed
        Seed of the split and of the tiles that are left out.
    earlier
        A model whose training antibodies keep their split. If it is used again, all others are test
        antibodies, and no label is required.

    Raises
    ------
    TrainingError
        No positive or no negative image has tiles, in one of the classes.
    ConfigError
        The overrides cannot be read or name tiles that do not exist, or a drawing cannot be used.
    TableError
        A table is missing or damaged, or is given twice.
    CheckpointError
        The earlier model cannot be used, or has no record of its training data.
    """
    images, tiles = files.images, files.tiles
    if len(set(tiles)) < len(tiles):
        twice = next(path for path in tiles if tiles.count(path) > 1)
        raise TableError(
            f"{twice} is given twice; name each table once (if Snakemake lists them: delete "
            "results/tiles/tables.txt and run the same command again)"
        )
    frame = _labelled_tiles(images, tiles)
    if earlier.model is None:
        _require_both_labels(frame, images)
    known = read_splits(earlier)
    labels = _labels_of_antibodies(frame)
    new = {antibody: text for antibody, text in labels.items() if antibody not in known.splits}
    several_classes = bool(frame["class_labels"].ne("").any())
    split = stratified_group_split if several_classes else split_antibodies
    splits = dict.fromkeys(new, Split.TEST) if earlier.model else split(new, seed)
    frame["split"] = frame["antibody_id"].map(known.splits | splits)
    drawn_labels = None if drawn is None else read_drawn_tiles(drawn, files, frame)
    if drawn_labels is not None:
        frame = move_to_training(frame, drawn_labels)
    frame = _apply_rules(frame, min_tissue_fraction)
    if overrides is not None:
        frame = _override(frame, overrides)
    if drawn_labels is not None:
        frame = select_drawn(frame, drawn_labels, Store(files.store))
    max_imbalance = None if several_classes else MAX_IMBALANCE
    frame = _balance(frame, max_tiles, max_imbalance, np.random.default_rng(seed))
    frame = frame.sort_values(["image_id", "row", "col"], kind="stable")
    made_with = tables.made_with(
        "select",
        min_tissue_fraction=min_tissue_fraction,
        max_tiles=max_tiles,
        seed=seed,
        **({} if drawn_labels is None else {"drawn": drawn_labels.digest}),
        **known.parameters,
    )
    tables.write_parquet(out, frame, TileRow, made_with)
    _log_counts(frame)


def _labelled_tiles(images: Path, tiles: Sequence[Path]) -> pd.DataFrame:
    labels = tables.read_frame([images], ImageRow)[["image_id", "label", "class_labels"]]
    pairs = zip(labels["label"], labels["class_labels"], strict=True)
    labels["kind"] = [kind_of(str(label), str(text)) for label, text in pairs]
    stats = tables.read_frame(tiles, TileStatRow)
    frame = stats.merge(labels[labels["kind"].isin(LABELS)], on="image_id", validate="m:1")
    return frame.sort_values(["image_id", "row", "col"], kind="stable").reset_index(drop=True)


def _require_both_labels(frame: pd.DataFrame, images: Path) -> None:
    texts = set(frame["class_labels"])
    by_class = pd.DataFrame({text: split_labels(str(text)) for text in texts if text}).T
    labels_of = {str(name): set(labels) for name, labels in by_class.items()}
    for name, labels in (labels_of or {"": set(frame["label"])}).items():
        for label in LABELS:
            if label not in labels:
                in_class = f" in the class {name}" if name else ""
                listed = _count_listed(images, name, label)
                if listed:
                    raise TrainingError(
                        f"All images labelled {label}{in_class} ({listed}) failed in an earlier "
                        "step, and training needs positive and negative images; see the reasons in "
                        "results/failures/*/*.csv"
                    )
                raise TrainingError(
                    f"No tiled image is labelled {label}{in_class}, and training needs positive "
                    f"and negative images; {images} needs at least one {label} image: add a gene "
                    "or antibody with such an annotation, or label images through "
                    "labels.overrides (CSV image_id,label) or the manifest's column label"
                )


def _count_listed(images: Path, class_name: str, label: str) -> int:
    """Return how many images of the catalog have a label, tiled or not."""
    frame = tables.read_frame([images], ImageRow)
    if not class_name:
        return int((frame["label"] == label).sum())
    return sum(split_labels(str(text)).get(class_name) == label for text in frame["class_labels"])


def _labels_of_antibodies(frame: pd.DataFrame) -> dict[str, str]:
    """Return the set of labels of each antibody's images, joined into one text."""
    labels = frame["class_labels"].where(frame["class_labels"] != "", frame["label"])
    joined = labels.groupby(frame["antibody_id"]).agg(lambda values: "+".join(sorted(set(values))))
    return {str(antibody): str(text) for antibody, text in joined.items()}


def split_antibodies(labels: Mapping[str, str], seed: int) -> dict[str, Split]:
    """Assign each antibody to one split, separately for each set of labels.

    If fewer than three antibodies have the same labels, all of them are for training: training
    needs both labels before validation and test have any. Validation antibodies are first of all
    negative ones, because the thresholds are calibrated on negatives.

    Parameters
    ----------
    labels
        Antibody to the labels of its images: `positive`, `negative` or `negative+positive`.
    seed
        Seed of the shuffle.

    Returns
    -------
    Antibody to split.
    """
    splits: dict[str, Split] = {}
    for number, text in enumerate(sorted(set(labels.values()))):
        members = sorted(antibody for antibody, own in labels.items() if own == text)
        order = np.random.default_rng([seed, number]).permutation(len(members))
        n_test = n_validation = 0
        if len(members) >= MIN_ANTIBODIES_TO_SPLIT:
            n_test = max(1, round(TEST_FRACTION * len(members)))
            n_validation = int(VALIDATION_FRACTION * len(members))
            if text != POSITIVE:
                n_validation = max(1, n_validation)
        for rank, index in enumerate(order):
            held_out = Split.TEST if rank < n_test else Split.VALIDATION
            splits[members[index]] = held_out if rank < n_test + n_validation else Split.TRAIN
    return splits


def stratified_group_split(labels: Mapping[str, str], seed: int) -> dict[str, Split]:
    """Assign each antibody to one split, if several classes give too many sets of labels.

    Antibodies are sorted by their labels, ties in random order, and assigned in cycles of eight,
    so that each split gets about its fraction of every set of labels.

    Parameters
    ----------
    labels
        Antibody to its labels in all classes.
    seed
        Seed of the order of ties and of the start in the cycle.

    Returns
    -------
    Antibody to split.
    """
    rng = np.random.default_rng(seed)
    tie_break = dict(zip(sorted(labels), rng.permutation(len(labels)), strict=True))
    ordered = sorted(labels, key=lambda antibody: (labels[antibody], tie_break[antibody]))
    start, length = int(rng.integers(len(SPLIT_CYCLE))), len(SPLIT_CYCLE)
    return {name: SPLIT_CYCLE[(start + rank) % length] for rank, name in enumerate(ordered)}


def _apply_rules(frame: pd.DataFrame, min_tissue_fraction: float) -> pd.DataFrame:
    """Add the columns `reason` and `selected`; the median is of the training split's negatives."""
    has_tissue = frame["tissue_fraction"] >= min_tissue_fraction
    negative, training = frame["kind"] == NEGATIVE, frame["split"] == Split.TRAIN
    reference = frame.loc[negative & has_tissue & training, "dab_fraction"]
    median = float(reference.median()) if len(reference) else 0.0
    by_image = frame["dab_fraction"].where(has_tissue).groupby(frame["image_id"])
    reason = pd.Series(str(SelectionReason.DAB_BELOW), index=frame.index, dtype="string")
    upper_half = frame["dab_fraction"] >= by_image.transform("median")
    reason[upper_half] = str(SelectionReason.DAB_UPPER_HALF)
    reason[frame["dab_fraction"] > median] = str(SelectionReason.DAB_ABOVE)
    reason[negative] = str(SelectionReason.NEGATIVE_IMAGE)
    reason[frame["split"] == Split.TEST] = str(SelectionReason.TEST)
    reason[~has_tissue] = str(SelectionReason.LITTLE_TISSUE)
    left_out = reason.isin([str(SelectionReason.DAB_BELOW), str(SelectionReason.LITTLE_TISSUE)])
    log.info("select: the median DAB fraction of negative tiles is %.4f", median)
    return frame.assign(reason=reason, selected=~left_out)


def _override(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Apply labels of single tiles, whatever the rules decide; an empty label leaves a tile out."""
    index_of = tile_index(frame)
    for override in read_overrides(path):
        if override.row is None or override.col is None:
            continue
        key = (override.image_id, override.row, override.col)
        if key not in index_of:
            raise ConfigError(
                f"{path}, line {override.line}: labels tile row {override.row}, col {override.col} "
                f"of {override.image_id!r}, which is no tile of a labelled image; correct the row "
                "or remove it"
            )
        index, label = index_of[key], override.label
        frame.loc[index, "reason"] = str(SelectionReason.OVERRIDE)
        frame.loc[index, "selected"] = bool(label)
        if not label:
            continue
        label_tile(frame, index, label)
    return frame


def _balance(
    frame: pd.DataFrame, max_tiles: int, max_imbalance: int | None, rng: np.random.Generator
) -> pd.DataFrame:
    """Leave out training tiles at random.

    One kind keeps at most `max_imbalance` times as many tiles as the other: a batch holds equal
    numbers of both, and rare kinds of negatives are worth keeping. Both keep at most half of
    `max_tiles`. With several classes `max_imbalance` is None, because few images are negative in
    all of them.
    """
    training = frame["selected"] & (frame["split"] == Split.TRAIN)
    counts = {label: int((training & (frame["kind"] == label)).sum()) for label in LABELS}
    half = max_tiles // 2
    limit = half if max_imbalance is None else min(max_imbalance * min(counts.values()), half)
    reason = SelectionReason.LIMIT if limit == half else SelectionReason.BALANCE
    for label in LABELS:
        members = frame.index[training & (frame["kind"] == label)]
        free = members[~frame.loc[members, "reason"].isin(KEPT_REASONS)]
        surplus = min(len(members) - limit, len(free))
        if surplus <= 0:
            continue
        dropped = np.sort(rng.permutation(len(free))[:surplus])
        frame.loc[free[dropped], "selected"] = False
        frame.loc[free[dropped], "reason"] = str(reason)
    return frame


def _log_counts(frame: pd.DataFrame) -> None:
    selected = frame[frame["selected"]]
    for (split, label), group in selected.groupby(["split", "kind"], observed=True):
        log.info(
            "select: %s, %s: %d tiles of %d antibodies",
            split,
            label,
            len(group),
            group["antibody_id"].nunique(),
        )
