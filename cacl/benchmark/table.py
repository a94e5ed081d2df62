"""The benchmark: one row a method, on tiles of antibodies that training has never seen."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cacl import tables
from cacl.benchmark import deconvolution as colour
from cacl.benchmark.metrics import MIN_TRUTH_PX, agreement, concordance, dice
from cacl.benchmark.panels import Panel, panel, write_page
from cacl.benchmark.truth import read_truth
from cacl.errors import TrainingError
from cacl.model import morphology
from cacl.model.checkpoint import load_model
from cacl.model.choice import Split
from cacl.records import MeasureRow, TileRow, column
from cacl.steps.segment import image_mask
from cacl.store import Store

log = logging.getLogger(__name__)
Bool = NDArray[np.bool_]
POSITIVE_PANELS, NEGATIVE_PANELS = 6, 3


@dataclass(frozen=True, kw_only=True)
class BenchmarkRow:
    """One method on the test split."""

    method: str = column("what made the mask, and its threshold")
    dice: float = column("mean over tiles, the paper's convention", "0-1")
    recall: float = column("mean over tiles, the paper's convention", "0-1")
    precision: float = column("mean over tiles, the paper's convention", "0-1")
    bce: float = column("binary cross entropy, the paper's convention", "0-100")
    dice_positive: float = column("mean Dice over tiles with truth", "0-1")
    negative_area: float | None = column("stained share of negative images' cell area", "0-1")
    ccc: float = column("Lin's concordance of the stained-to-cell ratio over images", "-1-1")
    tiles: int = column("test tiles")
    positive_tiles: int = column("test tiles with at least 20 px of truth")
    images: int = column("test images")
    antibodies: int = column("test antibodies")


@dataclass(frozen=True, eq=False)
class Core:
    """One test image with everything that a method or a measure needs; arrays are (y, x)."""

    image_id: str
    antibody_id: str
    rgb: NDArray[np.uint8]
    cell: Bool
    dab: NDArray[np.float32]
    truth: Bool
    true_cell: Bool
    windows: tuple[tuple[slice, slice], ...]
    masks: Mapping[str, Bool]


def benchmark(
    tiles: Path,
    store: Path,
    model: Path,
    truth: Path,
    census: Sequence[Path],
    out: Path,
    *,
    seed: int = 0,
) -> None:
    """Write `table.csv` and `table.html`: baselines and CaCL against hidden truth.

    Baselines get the threshold that is best on these very tiles, CaCL none.

    Parameters
    ----------
    tiles
        Table of `cacl select`; its test split is evaluated.
    store
        The store.
    model
        The folder of `cacl train`.
    truth
        Folder of truth masks; see `truth.read_truth`.
    census
        Tables of `cacl measure`; an image that none of them holds is not evaluated.
    out
        Folder for the table.
    seed
        Which tiles are pictured.

    Raises
    ------
    TrainingError
        There is no test antibody.
    ConfigError
        A truth mask is missing.
    StoreError
        An image or its mask is missing.
    CheckpointError
        The model cannot be used.
    """
    measured = set(tables.read_frame(census, MeasureRow)["image_id"])
    rows = tables.read_frame([tiles], TileRow)
    rows = rows[(rows["split"] == Split.TEST) & rows["kept"] & rows["image_id"].isin(measured)]
    if rows.empty:
        raise TrainingError(
            f"{tiles} has no measured image in its test split, so there is nothing to benchmark "
            "on; a label needs at least three antibodies for one of them to be tested"
        )
    atlas, trained = Store(store), load_model(model)

    def masks(image_id: str) -> dict[str, Bool]:
        name = f"CaCL {trained.preset.name}"
        plain = np.asarray(image_mask(atlas, atlas.meta(image_id), trained, "none", 0))
        return {name: plain, f"{name}, dilated by 1 px": morphology.apply(plain, "dilation", 1)}

    cores = [_core(atlas, truth, str(name), part, masks) for name, part in rows.groupby("image_id")]
    methods = _methods(cores)
    results = [evaluate(name, method, cores) for name, method in methods.items()]
    tables.write_csv(out / "table.csv", results, BenchmarkRow)
    write_page(out / "table.html", results, _pictured(cores, methods, seed))
    for row in results:
        log.info(
            "benchmark: %s: Dice %.3f, on positive tiles %.3f, CCC %.3f",
            row.method,
            row.dice,
            row.dice_positive,
            row.ccc,
        )


Method = Callable[[Core], Bool]


def _core(
    atlas: Store,
    truth: Path,
    image_id: str,
    rows: pd.DataFrame,
    masks: Callable[[str], Mapping[str, Bool]],
) -> Core:
    grid = atlas.meta(image_id).grid
    rgb = np.asarray(atlas.image(image_id)[:], dtype=np.uint8)
    stained, true_cell = read_truth(truth, image_id, grid)
    return Core(
        image_id=image_id,
        antibody_id=image_id.split("/")[0],
        rgb=rgb,
        cell=np.asarray(atlas.label(image_id, "cell")[:]) > 0,
        dab=colour.dab_density(rgb),
        truth=stained,
        true_cell=true_cell,
        windows=tuple(
            grid.window(int(row), int(col))
            for row, col in zip(rows["row"], rows["col"], strict=True)
        ),
        masks=masks(image_id),
    )


def _methods(cores: Sequence[Core]) -> dict[str, Method]:
    """Return every method by name; the baseline's best thresholds are found on the way."""

    def above(threshold: float) -> Method:
        return lambda core: core.dab > threshold

    def score(measure: str) -> Callable[[float], float]:
        return lambda threshold: float(getattr(evaluate("", above(threshold), cores), measure))

    for_paper = colour.best(score("dice"))
    for_positive = colour.best(score("dice_positive"))
    methods: dict[str, Method] = {
        f"colour deconvolution, {colour.FIXED_OD} OD": above(colour.FIXED_OD),
        "colour deconvolution, Otsu": lambda core: core.dab > colour.otsu_od(core.dab, core.cell),
        f"colour deconvolution, best for Dice ({for_paper} OD)": above(for_paper),
        f"colour deconvolution, best on positive tiles ({for_positive} OD)": above(for_positive),
    }
    return methods | {name: _stored(name) for name in cores[0].masks}


def _stored(name: str) -> Method:
    return lambda core: core.masks[name]


def evaluate(name: str, method: Method, cores: Sequence[Core]) -> BenchmarkRow:
    """Return a method's row over all test images."""
    agreements, on_positive, found_ratio, true_ratio, negative = [], [], [], [], []
    for core in cores:
        mask = method(core)
        tested = np.zeros_like(mask)
        for window in core.windows:
            tested[window] = True
            agreements.append(agreement(mask[window], core.truth[window]))
            if int(core.truth[window].sum()) >= MIN_TRUTH_PX:
                on_positive.append(dice(mask[window], core.truth[window]))
        cells = max(1, int((core.cell & tested).sum()))
        found_ratio.append(int((mask & core.cell & tested).sum()) / cells)
        true_cells = max(1, int((core.true_cell & tested).sum()))
        true_ratio.append(int((core.truth & tested).sum()) / true_cells)
        if not core.truth.any():
            negative.append(found_ratio[-1])
    return BenchmarkRow(
        method=name,
        dice=float(np.mean([one.dice for one in agreements])),
        recall=float(np.mean([one.recall for one in agreements])),
        precision=float(np.mean([one.precision for one in agreements])),
        bce=float(np.mean([one.bce for one in agreements])),
        dice_positive=float(np.mean(on_positive)) if on_positive else 0.0,
        negative_area=float(np.mean(negative)) if negative else None,
        ccc=concordance(np.array(found_ratio), np.array(true_ratio)),
        tiles=len(agreements),
        positive_tiles=len(on_positive),
        images=len(cores),
        antibodies=len({core.antibody_id for core in cores}),
    )


def _pictured(cores: Sequence[Core], methods: Mapping[str, Method], seed: int) -> list[Panel]:
    """Return panels of some tiles with much truth, and of some without any, by seed."""
    rng = np.random.default_rng(seed)
    places = [(core, window) for core in cores for window in core.windows]
    areas = np.array([int(core.truth[window].sum()) for core, window in places])
    positive = np.flatnonzero(areas > np.median(areas[areas > 0])) if areas.any() else areas[:0]
    negative = np.flatnonzero(areas == 0)
    chosen = [
        *rng.permutation(positive)[:POSITIVE_PANELS],
        *rng.permutation(negative)[:NEGATIVE_PANELS],
    ]
    panels = []
    for place in chosen:
        core, window = places[int(place)]
        size = window[0].stop - window[0].start
        title = f"{core.image_id} ({window[0].start // size}, {window[1].start // size})"
        masks = {name: method(core)[window] for name, method in methods.items()}
        panels.append(panel(title, core.rgb[(slice(None), *window)], core.truth[window], masks))
    return panels
