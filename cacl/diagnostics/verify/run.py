"""Check everything in parallel, and count what is bad."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from cacl import tables
from cacl.diagnostics.unfinished import is_unfinished
from cacl.diagnostics.verify.files import (
    STORE,
    TABLE,
    list_items,
    model_items,
    report_items,
    table_items,
)
from cacl.diagnostics.verify.images import image_items
from cacl.diagnostics.verify.result import Item, KindResult
from cacl.diagnostics.workflow_lock import is_locked
from cacl.errors import CaclError, TableError
from cacl.model.checkpoint import DESCRIPTION, read_description
from cacl.runtime.file_digest import FILE_DIGEST
from cacl.runtime.progress import track
from cacl.runtime.resources import Shortage, find_shortage, raise_if_short
from cacl.store import Store, list_image_ids
from cacl.store.full_check import check_image
from cacl.tables.schemas import AcquiredRow, SegmentedRow, TileStatRow

STORE_KIND, IMAGE_IN_STORE = "store", "image in the store"
REPLACEMENT_S = 1.0
"""Snakemake removes a product and marks it as unfinished within this time."""


def verify(results: Path, jobs: int = 1) -> list[KindResult]:
    """Check every product of a run: records, digests, tables, the store, the model, the report.

    A product is checked against the digest of its own bytes, and against what it was made from: an
    image against its provenance record, the store against the tables. A bad product is read a
    second time before it counts, because a running step may have replaced it in between. One that
    a job of the workflow writes now, or wrote when it was killed, counts as unfinished.

    Parameters
    ----------
    results
        Folder of the results; `resources` with the images lies beside it.
    jobs
        Number of things that are checked at the same time.

    Returns
    -------
    One entry per kind, in the order of the workflow.

    Raises
    ------
    TableError
        There are no results.
    """
    if not results.is_dir() or not any(results.iterdir()):
        raise TableError(f"{results} has no results; name the folder `results` of a run")
    run, items = results.parent, list(items_of(results))
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        first = track(pool.map(problem_of, items), "verify: items", len(items))
        suspicious = [item for item, problem in zip(items, first, strict=True) if problem]
        if suspicious and is_locked(run):
            time.sleep(REPLACEMENT_S)
        second = pool.map(partial(_remaining_problem, run=run), suspicious)
        problems = dict(zip(suspicious, second, strict=True))
    kinds = dict.fromkeys(item.kind for item in items)
    return [
        _count(kind, [problems.get(item, "") for item in items if item.kind == kind])
        for kind in kinds
    ]


def _remaining_problem(item: Item, run: Path) -> str | None:
    """Return what is still wrong with an item, empty if nothing; None if it is unfinished."""

    def unfinished() -> bool:
        return item.product is not None and is_unfinished(item.product, run)

    problem = None if unfinished() else problem_of(item)
    return None if problem and unfinished() else problem


def _count(kind: str, problems: list[str | None]) -> KindResult:
    bad = list(filter(None, problems))
    unfinished = problems.count(None)
    return KindResult(kind, len(problems) - unfinished, len(bad), next(iter(bad), ""), unfinished)


def items_of(results: Path) -> Iterator[Item]:
    """Yield everything that is checked, in the order of the workflow."""
    run = results.parent
    acquired = _rows_by_image(results / "acquired", AcquiredRow)
    yield from image_items(acquired, run)
    yield from table_items(results)
    yield from list_items(results)
    yield from _store_items(results, acquired)
    for external in sorted(results.glob(f"benchmark/external/*/{STORE}")):
        yield from _images_of(external, {}, {}, {})
    yield from model_items(results)
    masks_model = partial(_check_model_of_masks, results)
    yield Item(TABLE, "model of the masks", masks_model, results / "model")
    yield from report_items(results / "report")


def _store_items(results: Path, acquired: Mapping[str, AcquiredRow]) -> Iterator[Item]:
    tiled = _rows_by_image(results / "tiles", TileStatRow)
    segmented = _rows_by_image(results / "segmented", SegmentedRow)
    if (results / STORE).exists() or tiled:
        yield from _images_of(results / STORE, acquired, tiled, segmented)


def _images_of(
    root: Path,
    acquired: Mapping[str, AcquiredRow],
    tiled: Mapping[str, TileStatRow],
    segmented: Mapping[str, SegmentedRow],
) -> Iterator[Item]:
    """Yield the images of a store, and those that the tables name but the store lacks."""
    yield Item(STORE_KIND, str(root), partial(Store, root))
    for image_id in sorted({*list_image_ids(root), *tiled}):
        expected: dict[str, str] = {}
        if image_id in tiled:
            expected["digest"] = tiled[image_id].digest
        if image_id in tiled and image_id in acquired:
            expected["source_sha256"] = acquired[image_id].sha256
        if image_id in segmented:
            expected["mask_digest"] = segmented[image_id].digest
        yield Item(
            IMAGE_IN_STORE,
            image_id,
            partial(_check_stored, root, image_id, expected),
        )


def _check_stored(root: Path, image_id: str, expected: Mapping[str, str]) -> None:
    check_image(Store(root), image_id, **expected)


def _rows_by_image(folder: Path, record: type) -> dict[str, Any]:
    """Return a row of each image; tables that cannot be read are left out, they are items too."""
    rows: dict[str, Any] = {}
    for path in sorted(folder.glob("*.parquet")):
        try:
            rows |= {row.image_id: row for row in tables.read_parquet(path, record)}
        except TableError as error:
            _raise_if_short(error, str(path))
            continue
    return rows


def _check_model_of_masks(results: Path) -> None:
    """Check that all masks are of one model, the present one if there is one."""
    description = results / "model" / DESCRIPTION
    models: dict[str, Path] = {}
    for path in sorted((results / "segmented").glob("*.parquet")):
        models.setdefault(str(tables.read_made_with(path)["parameters"]["model"]), path)
    if not models:
        return
    present = str(read_description(description)[FILE_DIGEST])
    for digest, path in models.items():
        if digest != present:
            raise TableError(
                f"The masks of {path} are of the model {digest[:12]}, but {description} is of "
                f"{present[:12]}; run the same command again, it segments anew"
            )


def _raise_if_short(error: Exception, name: str) -> None:
    """Raise what is short on this machine; what the disk cannot read is a problem of the item."""
    found = find_shortage(error)
    if found is not None and found[0] is not Shortage.INPUT_OUTPUT:
        raise_if_short(error, f"verify: {name}")


def problem_of(item: Item) -> str:
    """Return what is wrong with an item, empty if nothing."""
    try:
        item.check()
    except CaclError as error:
        _raise_if_short(error, item.name)
        return f"{item.name}: {error}" if item.name not in str(error) else str(error)
    except OSError as error:
        _raise_if_short(error, item.name)
        return f"{item.name} cannot be read ({error}); see the disk or its permissions"
    return ""
