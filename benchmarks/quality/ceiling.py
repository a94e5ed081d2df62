"""Upper limits of the method: networks trained on ground-truth masks.

Needs a finished run on the synthetic atlas with its external sets (`snakemake -- benchmark`). First
the student of `robust` is trained on the run's own tiles with their ground truth in place of
pseudo-labels; thresholds and gate are calibrated as usual. Second a U-Net is, see `unet`. The third
row needs no network: the local DAB maxima near the ground truth, which is the limit that the edge
of a stain sets.

Example: python -m benchmarks.quality.ceiling --run .
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from benchmarks._lib.report import RESULTS, write_table
from benchmarks.ablation.ablation import Plan
from benchmarks.quality.quality import SHOWN
from benchmarks.quality.unet import trained_unet
from cacl.benchmark.evaluation_set import EvaluationImage
from cacl.benchmark.ground_truth import read_ground_truth
from cacl.benchmark.method import Method
from cacl.benchmark.metric_sums import MEASURES, measures
from cacl.errors import StoppedError
from cacl.hpa.pixel_labels import PseudoLabel
from cacl.image.local_dab import MASK_LEVEL, edge_blur_sigma, local_dab_mask
from cacl.model.checkpoint import Model, load_model, save_model
from cacl.model.data.dataset import TileDataset, calibration_tiles, read_rows, training_tiles
from cacl.model.device import make_fabric
from cacl.model.inference.thresholds import calibrate_thresholds
from cacl.model.presets import ROBUST
from cacl.model.training.loop import Stage, train_stage
from cacl.phantom.settings import BRUSH_BORDER_SETTINGS
from cacl.runtime.distributed import World, launch
from cacl.runtime.signals import StopFlag
from cacl.store import ImageMeta, Store

TRUTH = Path("resources/phantom/truth")
NEAR_PX = 3


class GroundTruthStore:
    """A store whose images are the ground-truth masks of another: 1 in all three channels."""

    def __init__(self, store: Store, truth: Path) -> None:
        self.store, self.truth = store, truth

    def meta(self, image_id: str) -> ImageMeta:
        """Return the metadata of an image."""
        return self.store.meta(image_id)

    def label(self, image_id: str, name: str) -> object:
        """Return a label of the wrapped store."""
        return self.store.label(image_id, name)

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """Return the ground truth of an image as (3, y, x) uint8."""
        stained, _ = read_ground_truth(self.truth, image_id, self.store.meta(image_id).grid)
        return np.broadcast_to(stained.astype(np.uint8), (3, *stained.shape))


def ground_truth_tiles(plan: Plan) -> TileDataset:
    """Return the run's training tiles with their ground truth as pseudo-labels."""
    rows, store = read_rows(plan.tiles), Store(plan.store)
    tiles = training_tiles(rows, store, plan.seed)
    truth = cast("Store", GroundTruthStore(store, plan.run / TRUTH))
    true = training_tiles(rows, truth, plan.seed).pixels[:, :1] == 1
    labels = torch.where(true, int(PseudoLabel.POSITIVE), int(PseudoLabel.NEGATIVE))
    return dataclasses.replace(
        tiles, pixels=torch.cat([tiles.pixels, labels.to(torch.uint8)], dim=1)
    )


def learn(world: World, stop_requested: StopFlag, plan: Plan, folder: Path) -> None:
    """Train on the ground truth, and write a model."""
    rows, store = read_rows(plan.tiles), Store(plan.store)
    tiles = ground_truth_tiles(plan)
    negatives, _ = calibration_tiles(rows, store, plan.seed)
    preset = dataclasses.replace(ROBUST, optim=dataclasses.replace(ROBUST.optim, patience=None))
    steps, state = plan.steps or ROBUST.optim.steps, folder / "state.safetensors"
    how = (preset, steps, plan.seed, math.inf, state, "ceiling")
    stage = Stage(preset.name, (0,), tiles, negatives, *how)
    found = train_stage(stage, world, stop_requested)
    if found is None:
        raise StoppedError("stopped by SIGTERM")
    thresholds = calibrate_thresholds([found.network], tiles, negatives, preset)
    save_model(
        folder, [found.network], ROBUST, classes=tiles.classes, thresholds=thresholds, attributes={}
    )


def ceiling(plan: Plan) -> Model:
    """Return a model trained on the ground truth of the run's training antibodies."""
    with tempfile.TemporaryDirectory() as name:
        launch(make_fabric(1), plan.threads, learn, plan, Path(name))
        return load_model(Path(name))


def local_dab_near_truth(core: EvaluationImage) -> NDArray[np.float32]:
    """Return 1 at local DAB maxima on cells near the ground truth, else 0: (y, x)."""
    if not core.ground_truth.any():
        return np.zeros(core.ground_truth.shape, np.float32)
    near = distance_transform_edt(~core.ground_truth) <= NEAR_PX
    local_dab = local_dab_mask(core.rgb, edge_blur_sigma(core.rgb), MASK_LEVEL)
    score: NDArray[np.float32] = (near & core.cell & local_dab).astype(np.float32)
    return score


def row(set_name: str, method: str, sums: NDArray[np.float64]) -> list[str]:
    """Return a row of the table from (antibodies, k) sums."""
    values = measures(sums.sum(0))
    return [set_name, method, *(f"{values[MEASURES.index(name)]:.3f}" for name in SHOWN)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, train, test on the external sets, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(), help="folder of a finished run")
    parser.add_argument("--steps", type=int, help="of a training; the preset's by default")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 3], help="multiples of steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "ceiling.md")
    options = parser.parse_args(arguments)
    plan = Plan(options.run, BRUSH_BORDER_SETTINGS[0], options.seed, options.steps, options.threads)
    torch.set_num_threads(plan.threads)
    base_steps = plan.steps or ROBUST.optim.steps
    models: dict[str, Model] = {}
    methods: list[Method] = []
    for times in options.times:
        longer = dataclasses.replace(plan, steps=times * base_steps)
        models[f"student trained on ground truth, {longer.steps} steps"] = ceiling(longer)
        tiles = ground_truth_tiles(plan)
        methods.append(trained_unet(tiles, ROBUST, times * base_steps, plan.seed))
    methods.append(Method("local DAB near ground truth", local_dab_near_truth, 0.5, False))
    rows = []
    for set_name in BRUSH_BORDER_SETTINGS:
        on_set = dataclasses.replace(plan, external_set=set_name)
        rows += [row(set_name, name, on_set.sums(model)) for name, model in models.items()]
        rows += [row(set_name, method.name, on_set.sums_by(method)) for method in methods]
    notes = [
        f"ground truth: of the training antibodies, seed {plan.seed}; networks: the student of "
        "`robust`, and a plain U-Net; tested on external sets",
        f"local DAB near ground truth: local DAB maxima within {NEAR_PX} px of it; no network",
    ]
    header = ["set", "method", *SHOWN.values()]
    title = "Upper limits: training on ground truth"
    write_table(options.out, title, notes, header, rows, runs=[options.run])


if __name__ == "__main__":
    main()
