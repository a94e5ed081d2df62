"""Which cores serve as controls: negative ones, of antibodies that training has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cacl.hpa.target_class import split_labels
from cacl.tables.selection import NEGATIVE, Split


@dataclass(frozen=True)
class Candidate:
    """A negative core.

    Parameters
    ----------
    image_id, antibody_id
        Identifiers.
    tiles
        Row and column of its tiles with tissue.
    """

    image_id: str
    antibody_id: str
    tiles: tuple[tuple[int, int], ...]


def candidates(rows: pd.DataFrame, seed: int) -> list[Candidate]:
    """Return the negative cores of the test split, antibodies in turn, in random order.

    Parameters
    ----------
    rows
        Columns of `TileRow`. A core is negative if all its tiles are, in the first class if there
        are several.
    seed
        Seed of the order.
    """
    test = rows[(rows["split"] == str(Split.TEST)) & rows["selected"]]
    by_antibody: dict[str, list[Candidate]] = {}
    for image_id, group in test.groupby("image_id", sort=True):
        labels = zip(group["label"], group["class_labels"], strict=True)
        if {_label_in_first_class(str(label), str(text)) for label, text in labels} == {NEGATIVE}:
            tiles = sorted(zip(group["row"].tolist(), group["col"].tolist(), strict=True))
            antibody_id = str(group["antibody_id"].iloc[0])
            candidate = Candidate(str(image_id), antibody_id, tuple(tiles))
            by_antibody.setdefault(antibody_id, []).append(candidate)
    rng = np.random.default_rng(seed)
    antibodies = [by_antibody[name] for name in rng.permutation(sorted(by_antibody)).tolist()]
    shuffled = [[cores[index] for index in rng.permutation(len(cores))] for cores in antibodies]
    return _in_turn(shuffled)


def _label_in_first_class(label: str, class_labels: str) -> str:
    return next(iter(split_labels(class_labels).values()), label)


def _in_turn(groups: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """Return the first of each group, then the second of each, and so on."""
    longest = max(map(len, groups), default=0)
    return [group[turn] for turn in range(longest) for group in groups if turn < len(group)]
