"""Compare the tables of two reports, and the masks of two stores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from cacl import tables
from cacl.runtime.progress import track
from cacl.store import Store
from cacl.tables import dictionary
from cacl.tables.schemas import SegmentedRow

RATIO = "stained_to_cell_ratio"
STORE = "atlas.zarr"
KEYS: dict[str, tuple[str, ...]] = {
    "antibodies": ("antibody_id",),
    "genes": ("ensembl_id", "gene"),
    "disagreements": ("antibody_id",),
    "review": ("image_id",),
    "agreement": ("measure",),
    "images": ("image_id",),
    "classes": ("image_id", "class_name"),
    "controls": ("method", "width_um", "dose_od"),
    "limits": ("method", "width_um"),
    "failures": ("image_id", "stage"),
}
"""Columns that identify a row, also where its rank differs."""


def table_differences(first: Path, second: Path) -> Iterator[str]:
    """Yield a sentence per table of the reports that differs.

    Parameters
    ----------
    first, second
        Folders of the reports.
    """
    for table in dictionary.report_tables(""):
        paths = [folder / f"{table.name}.parquet" for folder in (first, second)]
        present = [path for path in paths if path.exists()]
        if len(present) == 1:
            yield f"{table.name}: only in {present[0]}"
        if len(present) == 2:
            old, new = (tables.read_frame([path], table.record) for path in paths)
            sentence = _compare_frames(old, new, list(KEYS[table.name]))
            yield from [f"{table.name}: {sentence}"] if sentence else []


def _compare_frames(old: pd.DataFrame, new: pd.DataFrame, key: list[str]) -> str:
    """Return rows that are added, removed and changed, and the largest difference of the ratio."""
    old, new = (_by_key(frame, key) for frame in (old, new))
    removed, added = old.index.difference(new.index), new.index.difference(old.index)
    common = old.index.intersection(new.index)
    old, new = old.loc[common], new.loc[common]
    same = (old == new) | (old.isna() & new.isna())
    changed = common[~same.fillna(value=False).all(axis=1).to_numpy(bool)]
    if not len(removed) and not len(added) and not len(changed):
        return ""
    counts = f"{len(removed)} rows removed, {len(added)} added, {len(changed)} changed"
    if RATIO not in old or not len(changed):
        return counts
    change = (new[RATIO] - old[RATIO]).abs().astype("Float64").dropna()
    if change.empty or change.max() == 0:
        return f"{counts}, no ratio differs"
    name = str(change.idxmax())
    return (
        f"{counts}; largest difference of the ratio {change.max():.6g} "
        f"({name}: {old[RATIO][name]:.6g} -> {new[RATIO][name]:.6g})"
    )


def _by_key(frame: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Return the rows by key; rows with an equal key are numbered."""
    name = frame[key].astype(str).agg(" ".join, axis=1) if len(frame) else pd.Series(dtype=str)
    number = name.groupby(name).cumcount()
    labels = [text if n == 0 else f"{text} ({n + 1})" for text, n in zip(name, number, strict=True)]
    return frame.set_axis(pd.Index(labels, dtype=object), axis=0)


def mask_differences(first: Path, second: Path, jobs: int) -> list[str]:
    """Return how many masks of the images in both runs differ.

    Parameters
    ----------
    first, second
        Folders of the results.
    jobs
        Number of images at a time.

    Raises
    ------
    StoreError
        A store or a mask is damaged.
    """
    images = sorted(_segmented(first) & _segmented(second))
    if not images:
        return []
    stores = [Store(folder / STORE) for folder in (first, second)]
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        results = pool.map(lambda image_id: _differing(stores, image_id), images)
        found = list(track(results, "compare: images", len(images)))
    compared = sum(count for count, _ in found)
    differing = [
        (fraction, image)
        for image, (_, all_) in zip(images, found, strict=True)
        for fraction in all_
    ]
    if not differing:
        return []
    fraction, image_id = max(differing)
    return [
        f"{len(differing)} of {compared} masks differ; the most, {100 * fraction:.3g} % of the "
        f"pixels, in {image_id}"
    ]


def _segmented(folder: Path) -> set[str]:
    return {
        row.image_id
        for path in sorted((folder / "segmented").glob("*.parquet"))
        for row in tables.read_parquet(path, SegmentedRow)
    }


def _differing(stores: Sequence[Store], image_id: str) -> tuple[int, list[float]]:
    """Return the number of masks of an image, and the differing fraction of those that differ."""
    folders = [store.path(image_id) / "labels" for store in stores]
    names = sorted({path.name for folder in folders for path in folder.glob("[!.]*/")})
    differing = []
    for name in names:
        present = [(folder / name).exists() for folder in folders]
        if not all(present):
            differing.append(1.0)
        elif len({_bytes_digest(folder / name / "0" / "c") for folder in folders}) > 1:
            fraction = _pixel_difference(stores, image_id, name)
            differing += [fraction] if fraction else []
    return len(names), differing


def _bytes_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _pixel_difference(stores: Sequence[Store], image_id: str, name: str) -> float:
    """Return the fraction of the pixels of a mask that differ; 1 if its size differs."""
    old, new = (store.label(image_id, name) for store in stores)
    if old.shape != new.shape:
        return 1.0
    strip, differing = old.shards[-2], 0
    for top in range(0, old.shape[-2], strip):
        rows = slice(top, top + strip)
        differing += int(np.count_nonzero(old[rows] != new[rows]))
    return differing / (old.shape[0] * old.shape[1])
