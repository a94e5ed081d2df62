"""Compare all methods on real tissue with a painted stain.

Real H&E images of colon become IHC images: eosin is removed, and the DAB of synthetic antibodies is
painted, along lumens for positive ones only. A run on these images takes the default settings, and
its test antibodies come from other patients than the rest. The images (GlaS; Sirinukunwattana et
al., Med Image Anal 2017) are for research use: pictures stay in the run's folder.

Example: python -m benchmarks.quality.real_tissue results/real-tissue
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks._lib.external_sets import final_method
from benchmarks._lib.images import UInt8
from benchmarks._lib.painted_cores import (
    MPP,
    SOURCE_PX,
    TILE_PX,
    Core,
    read_image,
    read_sections,
    write_cores,
)
from benchmarks._lib.process import environment
from benchmarks._lib.report import CHECKOUT, RESULTS, load_note, write_table
from benchmarks.quality.picture import BLUE, GREEN, overlay
from benchmarks.quality.quality import SHOWN, line
from cacl import tables
from cacl.benchmark.evaluation_set import EvaluationSet, EvaluationSource, read_evaluation_set
from cacl.benchmark.ground_truth import STAINED_VALUE, PhantomTruth
from cacl.benchmark.metric_sums import MetricSums
from cacl.benchmark.table import summarise
from cacl.config import SegmentConfig
from cacl.image.cell_mask import background_od, cell_mask
from cacl.image.qc import quality_flags
from cacl.image.readers import open_source
from cacl.image.tile_grid import TileGrid
from cacl.image.tile_stats import compute_row_stats
from cacl.model.checkpoint import load_model
from cacl.runtime.yaml_io import read_yaml
from cacl.steps.benchmark import benchmark
from cacl.steps.parameters import TrainedModels
from cacl.tables.schemas import TileRow
from cacl.tables.selection import Split

GLAS = CHECKOUT.parent / "shared" / "data" / "glas"
SET = "painted colon"
MODELS = {
    "model": "results/model/checkpoint.safetensors",
    "paper": "results/benchmark/paper/checkpoint.safetensors",
    "classifier": "results/benchmark/classifier/classifier.safetensors",
}
TILES = "results/training/tiles.parquet"
CORES = 8
"""Cores of an antibody, 1.1 mm2 together; three cores of the HPA, 1 mm wide, have 2.4 mm2."""

SHEET_TILES, SHEET_CORES, SHEET_QUALITY = 8, 6, 80
RANKING = "unstained antibodies above a stained one"

Bool = NDArray[np.bool_]


def prepare(folder: Path, glas: Path, antibodies: int, cores: int, seed: int) -> list[Core]:
    """Write images, ground truth, manifest and configuration of the run; return its cores."""
    folder.mkdir(parents=True, exist_ok=True)
    planned = write_cores(
        folder, read_sections(glas), antibodies=antibodies, cores=cores, seed=seed
    )
    (folder / "config.yaml").write_text(
        f"source:\n  kind: manifest\n  manifest: manifest.csv\n"
        f"tiles:\n  source_px: {SOURCE_PX}\n  tile_px: {TILE_PX}\nseed: {seed}\n",
        encoding="utf-8",
    )
    return planned


def snakemake(folder: Path, targets: Sequence[str]) -> None:
    """Make files of the run with the workflow of this checkout."""
    variables = environment()
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables["PATH"]])
    command = [sys.executable, "-m", "snakemake", "--directory", str(folder)]
    command += ["--snakefile", str(CHECKOUT / "workflow" / "Snakefile")]
    command += ["--configfile", str(folder / "config.yaml")]
    command += ["--quiet", "host", "reason", "--", *targets]
    subprocess.run(command, check=True, env=variables, cwd=CHECKOUT)  # nosec B603  # no shell


def check_split(rows: pd.DataFrame, patients: pd.Series) -> None:
    """Check that test antibodies share no patient with the others.

    Parameters
    ----------
    rows
        Columns `antibody_id` and `split` of the selected tiles.
    patients
        Patient of each image by antibody, as index.

    Raises
    ------
    ValueError
        They share patients.
    """
    test = set(rows.loc[rows["split"] == Split.TEST, "antibody_id"])
    of_test = set(patients[patients.index.isin(test)])
    shared = of_test & set(patients[~patients.index.isin(test)])
    if shared:
        raise ValueError(
            f"Test antibodies share the patients {sorted(shared)} with other antibodies; paint the "
            "cores again with the seed of the configuration, in an empty folder"
        )


def inversions(frame: pd.DataFrame) -> dict[str, int]:
    """Return by method how many unstained antibodies are ranked above a stained one, or equally.

    Parameters
    ----------
    frame
        Columns of `MetricSums` of one evaluation set and seed.
    """
    counts = {}
    for method, group in frame.groupby("method", sort=False):
        ratio, stained = group["predicted_sum"] / group["cores"], group["true_sum"] > 0
        counts[str(method)] = int((ratio[~stained] >= ratio[stained].min()).sum())
    return counts


def flag_counts(paths: Sequence[Path]) -> Counter[str]:
    """Return how many images carry each QC flag, and how many none; see `cacl.image.qc`."""
    counts: Counter[str] = Counter()
    for path in paths:
        with open_source(path) as source:
            grid = TileGrid(source.height, source.width, SOURCE_PX, TILE_PX)
            rgb = source.read(grid, range(grid.rows), range(grid.cols))
        cell = cell_mask(rgb, background_od(rgb))
        unstained = np.zeros_like(cell)
        slices = [slice(row * TILE_PX, (row + 1) * TILE_PX) for row in range(grid.rows)]
        rows = [compute_row_stats(rgb[:, part], cell[part], unstained[part]) for part in slices]
        flags = quality_flags(rows, grid, MPP * grid.downsample)
        counts.update(list(map(str, flags)) or ["none"])
    return counts


def draw_cores(folder: Path, cores: Sequence[Core]) -> None:
    """Write `pictures/cores_<n>.jpg`: every n-th core beside its ground truth."""
    for number, core in enumerate(cores[:: max(1, len(cores) // SHEET_CORES)], start=1):
        rgb = read_image(folder / "images" / f"{core.image_id}.jpg")
        truth = read_image(folder / "truth" / f"{core.image_id}.png")[..., 0]
        pair = np.hstack([rgb, overlay(rgb, truth == STAINED_VALUE, GREEN)])
        _write_picture(folder / "pictures" / f"cores_{number}.jpg", pair)


def draw_tiles(folder: Path, evaluation_set: EvaluationSet) -> None:
    """Write `pictures/tiles.jpg`: image, truth and mask of test tiles, half of them stained."""
    method = final_method(load_model(folder / "results/model"))
    sample = evaluation_set.sample
    half = len(sample.positions) // 2
    chosen = [
        start + step * max(1, half // SHEET_TILES)
        for start in (0, half)
        for step in range(min(SHEET_TILES, half))
    ]
    masks: dict[int, Bool] = {}
    lines = []
    for tile in chosen:
        index, window = sample.positions[tile]
        image = evaluation_set.images[index]
        if index not in masks:
            masks[index] = method.score(image) > 0.5
        rgb = np.ascontiguousarray(image.rgb[(slice(None), *window)].transpose(1, 2, 0))
        truth, mask = image.ground_truth[window], masks[index][window]
        lines.append(np.hstack([rgb, overlay(rgb, truth, GREEN), overlay(rgb, mask, BLUE)]))
    columns = [np.vstack(lines[:SHEET_TILES]), np.vstack(lines[SHEET_TILES:])]
    _write_picture(folder / "pictures" / "tiles.jpg", np.hstack(columns))


def painted_source(folder: Path) -> EvaluationSource:
    """Return the files of the evaluation set of a run on painted tissue."""
    truth = PhantomTruth(folder / "truth")
    return EvaluationSource(SET, folder / TILES, folder / "results/atlas.zarr", truth)


def evaluate(folder: Path, trained: Mapping[str, str], seed: int, threads: int) -> None:
    """Compare the methods on the test antibodies, and draw some of their tiles.

    Parameters
    ----------
    folder
        Working directory of the run.
    trained
        The models to compare: entries of `MODELS`.
    seed, threads
        Seed of the sample of tiles, and threads of the networks.
    """
    rows = tables.read_frame([folder / TILES], TileRow)
    manifest = pd.read_csv(folder / "manifest.csv", dtype=str)
    check_split(rows, manifest.set_index("antibody_id")["patient_id"])
    source = painted_source(folder)
    models = {name: (folder / path).parent for name, path in trained.items()}
    benchmark(
        [source],
        TrainedModels(**models),
        folder / "results/benchmark",
        SegmentConfig(),
        seed=seed,
        threads=threads,
    )
    draw_tiles(folder, read_evaluation_set(source, seed=seed))


def report(folder: Path, out: Path, seed: int, further_notes: Sequence[str]) -> None:
    """Write the table of a finished run."""
    frame = tables.read_frame([folder / "results/benchmark/antibodies.parquet"], MetricSums)
    rows, ranking = summarise(frame), inversions(frame)
    stained = int((frame.groupby("antibody_id")["true_sum"].max() > 0).sum())
    manifest = pd.read_csv(folder / "manifest.csv", dtype=str)
    selected = tables.read_frame([folder / TILES], TileRow)
    training = selected[selected["selected"] & (selected["split"] == Split.TRAIN)]
    notes = [
        "colon of GlaS (H&E, 0.62 um/px), counterstained with haematoxylin and painted with DAB",
        f"seed {seed}; {len(manifest)} cores of {manifest['antibody_id'].nunique()} antibodies, "
        f"half of them positive; trained on {len(training)} tiles of "
        f"{training['antibody_id'].nunique()} antibodies",
        f"test: {rows[0].antibodies} antibodies, {stained} of them stained, {rows[0].cores} cores, "
        f"of patients that no other antibody has; {rows[0].tiles} tiles in the sample",
        f"preset robust with default settings; tiles of {SOURCE_PX} source px, stored as "
        f"{TILE_PX} px",
        "in brackets: 95 % bootstrap intervals over antibodies",
        "best: at the threshold that is best on the test tiles; CaCL's comes from training data",
        f"{RANKING}: by the mean ratio of their cores, equal ratios included",
        *further_notes,
    ]
    header = ["method", *SHOWN.values(), RANKING]
    cells = [
        [*line(row)[2 : 3 + len(SHOWN)], f"{ranking[row.method]} of {row.antibodies - stained}"]
        for row in rows
    ]
    write_table(out, "Real tissue with a painted stain", notes, header, cells)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, paint the cores, run the workflow, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="working directory of the run")
    parser.add_argument("--glas", type=Path, default=GLAS, help="folder of the GlaS images")
    parser.add_argument("--antibodies", type=int, default=64, help="every other one positive")
    parser.add_argument("--cores", type=int, default=CORES, help="cores per antibody")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--without-baselines",
        action="store_true",
        help="train neither the paper's preset nor the classifier of the CAM methods",
    )
    parser.add_argument("--prepare-only", action="store_true", help="paint and select, then stop")
    parser.add_argument("--out", type=Path, default=RESULTS / "real_tissue.md")
    options = parser.parse_args(arguments)
    folder, load = options.folder.resolve(), os.getloadavg()[0]
    config = folder / "config.yaml"
    if not config.exists():
        cores = prepare(folder, options.glas, options.antibodies, options.cores, options.seed)
        draw_cores(folder, cores)
    elif read_yaml(config)["seed"] != options.seed:
        parser.error(f"{folder} holds cores of another seed; name an empty folder")
    images = sorted((folder / "images").rglob("*.jpg"))
    flags = ", ".join(f"{flag} {count}" for flag, count in flag_counts(images).most_common())
    print(f"quality flags of {len(images)} images: {flags}")
    if options.prepare_only:
        snakemake(folder, [TILES])
        return
    names = ["model"] if options.without_baselines else list(MODELS)
    trained = {name: MODELS[name] for name in names}
    snakemake(folder, list(trained.values()))
    evaluate(folder, trained, options.seed, options.threads)
    missing = [name for name in MODELS if name not in trained]
    notes = [f"not trained in this call: {', '.join(missing)}"] if missing else []
    notes += [f"quality flags: {flags}", load_note(load)]
    report(folder, options.out, options.seed, notes)


def _write_picture(path: Path, rgb: UInt8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, SHEET_QUALITY])


if __name__ == "__main__":
    main()
