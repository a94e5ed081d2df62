"""What the method could reach with true masks, which no method here ever sees.

Needs a finished run on the synthetic atlas with its unseen atlases (`snakemake -- benchmark`). In
one row the last network of `robust` is trained on the run's own tiles and their hidden truth
instead of on what its teacher is sure of; thresholds and gate are chosen as always. In another a
U-Net is, see `unet`. In the last nothing is learned: of what stands out in DAB, all that lies near
the truth is kept. So much the edge of a stain allows, whatever decides between the pattern and the
rest.

Example: python benchmarks/ceiling.py --run .
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from benchmarks._lib.report import write_up
from benchmarks.ablation.ablation import Plan
from benchmarks.quality.quality import SHOWN
from benchmarks.quality.unet import taught_unet
from cacl.benchmark.evaluation_set import EvaluationImage
from cacl.benchmark.ground_truth import read_ground_truth
from cacl.benchmark.method import Method
from cacl.benchmark.metric_sums import MEASURES, measures
from cacl.errors import StoppedError
from cacl.image.local_dab import MASK_LEVEL, edge_blur_sigma, local_dab_mask
from cacl.model.checkpoint import Model, load_model, save_model
from cacl.model.config import ROBUST
from cacl.model.data.dataset import (
    PseudoLabel,
    TileDataset,
    calibration_tiles,
    read_rows,
    training_tiles,
)
from cacl.model.device import make_fabric
from cacl.model.inference.thresholds import calibrate_thresholds
from cacl.model.training.loop import Stage, train_stage
from cacl.phantom.settings import BRUSH_BORDER_SETTINGS
from cacl.runtime.distributed import World, launch
from cacl.store import ImageMeta, Store

TRUTH = Path("resources/phantom/truth")
NEAR_PX = 3


class TruthStore:
    """A store whose images are the true masks of another's: 1 in all three colours."""

    def __init__(self, store: Store, truth: Path) -> None:
        self.store, self.truth = store, truth

    def meta(self, image_id: str) -> ImageMeta:
        """Return what the store says of an image."""
        return self.store.meta(image_id)

    def label(self, image_id: str, name: str) -> object:
        """Return the store's own label."""
        return self.store.label(image_id, name)

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """Return (3, y, x) uint8."""
        stained, _ = read_ground_truth(self.truth, image_id, self.store.meta(image_id).grid)
        return np.broadcast_to(stained.astype(np.uint8), (3, *stained.shape))


def told_truth(plan: Plan) -> TileDataset:
    """Return the run's training tiles with their truth as the layer that teaches."""
    rows, store = read_rows(plan.tiles), Store(plan.store)
    tiles = training_tiles(rows, store, plan.seed)
    truth = cast("Store", TruthStore(store, plan.run / TRUTH))
    true = training_tiles(rows, truth, plan.seed).pixels[:, :1] == 1
    told = torch.where(true, int(PseudoLabel.POSITIVE), int(PseudoLabel.NEGATIVE)).to(torch.uint8)
    return dataclasses.replace(tiles, pixels=torch.cat([tiles.pixels, told], dim=1))


def learn(world: World, stop_requested: threading.Event, plan: Plan, folder: Path) -> None:
    """Train on the truth, and write a model."""
    rows, store = read_rows(plan.tiles), Store(plan.store)
    tiles = told_truth(plan)
    negatives, _ = calibration_tiles(rows, store, plan.seed)
    preset = dataclasses.replace(ROBUST, optim=dataclasses.replace(ROBUST.optim, patience=None))
    steps, state = plan.steps or ROBUST.optim.steps, folder / "state.safetensors"
    how = (preset, steps, plan.seed, math.inf, state, "ceiling")
    stage = Stage(preset.name, (0,), tiles, negatives, *how)
    found = train_stage(stage, world, stop_requested)
    if found is None:
        raise StoppedError("stopped by SIGTERM")
    limits = calibrate_thresholds([found.network], tiles, negatives, preset)
    save_model(
        folder, [found.network], ROBUST, classes=tiles.classes, thresholds=limits, attributes={}
    )


def ceiling(plan: Plan) -> Model:
    """Return the model that saw the truth of the run's own antibodies."""
    with tempfile.TemporaryDirectory() as name:
        launch(make_fabric(1), plan.threads, learn, plan, Path(name))
        return load_model(Path(name))


def edges_near_truth(core: EvaluationImage) -> NDArray[np.float32]:
    """Return 1 where DAB stands out on a cell near the truth, else 0: (y, x)."""
    if not core.ground_truth.any():
        return np.zeros(core.ground_truth.shape, np.float32)
    near = distance_transform_edt(~core.ground_truth) <= NEAR_PX
    edges = local_dab_mask(core.rgb, edge_blur_sigma(core.rgb), MASK_LEVEL)
    shown: NDArray[np.float32] = (near & core.cell & edges).astype(np.float32)
    return shown


def line(unseen: str, what: str, sums: NDArray[np.float64]) -> list[str]:
    """Return a row of the table from (antibodies, k) sums."""
    found = measures(sums.sum(0))
    return [unseen, what, *(f"{found[MEASURES.index(name)]:.3f}" for name in SHOWN)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, train, test on antibodies of atlases never seen, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(), help="folder of a finished run")
    parser.add_argument("--steps", type=int, help="none for the preset's")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 3], help="longer trainings too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ceiling.md"))
    options = parser.parse_args(arguments)
    plan = Plan(options.run, BRUSH_BORDER_SETTINGS[0], options.seed, options.steps, options.threads)
    torch.set_num_threads(plan.threads)
    base = plan.steps or ROBUST.optim.steps
    networks: dict[str, Model] = {}
    ways: list[Method] = []
    for times in options.times:
        longer = dataclasses.replace(plan, steps=times * base)
        networks[f"the last network taught true masks, {longer.steps} steps"] = ceiling(longer)
        ways.append(taught_unet(told_truth(plan), ROBUST, times * base, plan.seed))
    ways.append(Method("edges near the truth", edges_near_truth, 0.5, False))
    rows = []
    for unseen in BRUSH_BORDER_SETTINGS:
        one = dataclasses.replace(plan, unseen=unseen)
        rows += [line(unseen, name, one.sums(model)) for name, model in networks.items()]
        rows += [line(unseen, way.name, one.sums_by(way)) for way in ways]
    notes = [
        f"taught true masks: those of the training antibodies, seed {plan.seed}; "
        "the last network of `robust`, or a plain U-Net; tested on atlases never seen",
        f"edges near the truth: what stands out in DAB within {NEAR_PX} px of it; no network",
    ]
    header = ["atlas", "what is known", *SHOWN.values()]
    write_up(options.out, "Ceilings: true masks", notes, header, rows)


if __name__ == "__main__":
    main()
