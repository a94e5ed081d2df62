"""Spike-in controls: paint DAB bands of known density on negative cores, and segment them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cacl import tables
from cacl.config import ControlsConfig, SegmentConfig
from cacl.controls import dab_threshold
from cacl.controls.candidates import Candidate, candidates
from cacl.controls.core import (
    MIN_BORDER_UM,
    ControlCore,
    PaintedCore,
    measure,
    painted_cores,
    read_core,
)
from cacl.controls.pictures import picture
from cacl.controls.stain_vector import run_dab_vector
from cacl.controls.summary import control_rows, limit_rows
from cacl.model.checkpoint import Model, load_model
from cacl.model.device import default_device, prepare_for_device
from cacl.model.inference.blocks import predict_array_masks
from cacl.model.inference.masks import Morphology
from cacl.runtime.images import DeviceLock, ImageFailure, Outcome, plan_workers, run_images
from cacl.stain.vectors import Vector
from cacl.stats.intervals import seed_of
from cacl.steps.outputs import write_failures
from cacl.steps.parameters import ControlFiles
from cacl.store import Store
from cacl.tables.control_schemas import (
    MODEL,
    ControlCoreRow,
    ControlMeasureRow,
    ControlRow,
    LimitRow,
)
from cacl.tables.schemas import TileRow

log = logging.getLogger(__name__)

EXAMINED_PER_CORE = 3
PICTURES = 3
NO_BORDER = f"less than {MIN_BORDER_UM:g} um of border between columnar epithelium and empty glass"


@dataclass(frozen=True)
class _Bands:
    """The bands that are painted, and the direction of DAB."""

    config: ControlsConfig
    vector: Vector

    def paint(self, core: ControlCore) -> Iterator[PaintedCore]:
        return painted_cores(core, self.config.widths_um, self.config.doses_od, self.vector)


@dataclass(frozen=True, eq=False)
class Examined:
    """A candidate, and its core if it has an apical border."""

    image_id: str
    row: ControlCoreRow
    core: ControlCore | None


@dataclass(frozen=True, eq=False)
class Controlled:
    """What the model finds on one core."""

    image_id: str
    rows: tuple[ControlMeasureRow, ...]
    dice_by_threshold: NDArray[np.float64]
    picture: bytes | None


def controls(
    files: ControlFiles,
    out: Path,
    failures: Path,
    config: ControlsConfig,
    segment: SegmentConfig,
    *,
    seed: int = 0,
    threads: int = 2,
) -> None:
    """Write the tables of the controls, and pictures of some of them.

    `cores` lists the cores that were examined, `measures` has a row per core, band and method,
    `controls` per band and method, `limits` the detection limits. Without a usable core all but
    `cores` are empty.

    Parameters
    ----------
    files
        Table of `cacl select`, store and model.
    out
        Folder of the tables and pictures.
    failures
        CSV of the cores that cannot be read.
    config
        Number of cores, doses and widths of the bands.
    segment
        Postprocessing of the run's masks.
    seed
        Seed of the choice of cores and of the painted stretches.
    threads
        CPU threads.

    Raises
    ------
    CheckpointError
        The model cannot be used.
    TableError
        The table is missing or damaged.
    DiskError, ResourceError
        Disk, memory or file handles are short.
    """
    store, model = Store(files.store), load_model(files.model)
    rows = tables.read_frame([files.tiles], TileRow)
    vector = run_dab_vector(store, rows, seed)
    possible = candidates(rows, seed) if model.classes[0].shape == "line" else []
    examined, failed = _examine(store, possible, config.cores, seed, threads)
    cores = [one.core for one in examined if one.core is not None]
    outcome = _segment_painted(cores, model, _Bands(config, vector), segment, threads)
    measures = [row for controlled in outcome.results for row in controlled.rows]
    thresholds: dict[str, float] = {}
    if measures:
        curves = np.sum([controlled.dice_by_threshold for controlled in outcome.results], axis=0)
        level = int(curves.argmax())
        thresholds = {dab_threshold.METHOD: level * dab_threshold.STEP_OD}
        measures += _measure_threshold(cores, _Bands(config, vector), level, threads)
    write_failures(failures, [*failed, *outcome.failures], strict=False)
    made_with = tables.made_with(
        "controls",
        model=model.digest,
        seed=seed,
        dab_vector=[round(value, 4) for value in vector],
        **config.model_dump(),
        **segment.model_dump(),
    )
    tables.write_parquet(out / "measures.parquet", measures, ControlMeasureRow, made_with)
    frame = tables.read_frame([out / "measures.parquet"], ControlMeasureRow)
    written: tuple[tuple[str, type, Sequence[Any]], ...] = (
        ("cores", ControlCoreRow, [one.row for one in examined]),
        ("controls", ControlRow, control_rows(frame, thresholds)),
        ("limits", LimitRow, limit_rows(frame)),
    )
    for name, record, records in written:
        tables.write_parquet(out / f"{name}.parquet", records, record, made_with)
        tables.write_checked_text(out / f"{name}.csv", tables.table_csv(records, record))
    _write_pictures(outcome.results, out)
    log.info("controls: %d of %d examined cores were painted", len(cores), len(examined))


def _examine(
    store: Store, possible: Sequence[Candidate], cores: int, seed: int, threads: int
) -> tuple[list[Examined], list[ImageFailure]]:
    """Examine candidates until enough have an apical border; return them and the failures."""

    def examine(candidate: Candidate) -> Examined:
        rng = np.random.default_rng(seed_of(candidate.image_id, seed))
        core = read_core(store, candidate, rng)
        used = core.border.length_um >= MIN_BORDER_UM
        row = ControlCoreRow(
            image_id=core.image_id,
            antibody_id=core.antibody_id,
            used=used,
            border_um=core.border.length_um,
            painted_um=core.painted_um if used else 0.0,
            note="" if used else NO_BORDER,
        )
        return Examined(core.image_id, row, core if used else None)

    examined: list[Examined] = []
    failed: list[ImageFailure] = []
    remaining = list(possible[: EXAMINED_PER_CORE * cores])
    while remaining and (missing := cores - sum(one.core is not None for one in examined)) > 0:
        batch, remaining = remaining[:missing], remaining[missing:]
        outcome = run_images(
            "controls: borders", batch, examine, source=lambda one: one.image_id, jobs=threads
        )
        examined += outcome.results
        failed += outcome.failures
    return examined, failed


def _segment_painted(
    cores: Sequence[ControlCore],
    model: Model,
    bands: _Bands,
    segment: SegmentConfig,
    threads: int,
) -> Outcome[Controlled]:
    """Segment every core as it is and with every band."""
    morphology = Morphology(segment.morphology, segment.radius_px)
    device = default_device()
    for network in model.networks:
        prepare_for_device(network, device)
    plan = plan_workers(threads, len(cores), on_gpu=device.type == "cuda")
    torch.set_num_threads(plan.threads)
    device_lock = DeviceLock() if plan.lock_device else None
    shown = {core.image_id for core in cores[:PICTURES]}

    def segment_painted(core: ControlCore) -> Controlled:
        painted = list(bands.paint(core))
        masks = [
            np.asarray(
                predict_array_masks(
                    one.rgb,
                    core.cell.astype(np.uint8),
                    core.tile_px,
                    model,
                    morphology,
                    device_lock=device_lock,
                    vectors=core.stain_vectors,
                )[0]
            )
            for one in painted
        ]
        doses = 1 + len(bands.config.doses_od)
        has_tiles = bool(painted[0].windows)
        return Controlled(
            image_id=core.image_id,
            rows=tuple(measure(one, MODEL, mask) for one, mask in zip(painted, masks, strict=True)),
            dice_by_threshold=np.sum(
                [dab_threshold.dice_by_level(one) for one in painted if one.dose_od], axis=0
            ),
            picture=(
                picture(painted[:doses], masks[:doses])
                if core.image_id in shown and has_tiles
                else None
            ),
        )

    return run_images(
        "controls", cores, segment_painted, source=lambda core: core.image_id, jobs=plan.images
    )


def _measure_threshold(
    cores: Sequence[ControlCore], bands: _Bands, level: int, threads: int
) -> list[ControlMeasureRow]:
    """Return the measures of a DAB threshold on every painted core."""

    def measure_core(core: ControlCore) -> list[ControlMeasureRow]:
        return [
            measure(one, dab_threshold.METHOD, dab_threshold.dab_mask_above(one, level))
            for one in bands.paint(core)
        ]

    outcome = run_images(
        "controls: threshold", cores, measure_core, source=lambda core: core.image_id, jobs=threads
    )
    return [row for rows in outcome.results for row in rows]


def _write_pictures(results: Sequence[Controlled], out: Path) -> None:
    """Write the pictures, and remove those of an earlier run."""
    for path in out.glob("picture-*"):
        path.unlink()
    pictures = [one.picture for one in results if one.picture is not None]
    for number, data in enumerate(pictures, start=1):
        tables.write_checked_bytes(out / f"picture-{number}.jpg", data)
