"""Tiles per second in training and segmentation, against the released code at equal channels.

Usage: python -m benchmarks.speed.train_speed [--threads N] [--seconds S] [--rounds N] [--out FILE]

Every method runs for S seconds in every round, one after the other; the fastest round counts.
Ratios are of wall time and of CPU time; the latter depends less on other load.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._lib.images import TILE_PX, UInt8, analysis_pixels, cores
from benchmarks._lib.report import RESULTS, load_note, write_table
from benchmarks.speed.released import Released, Trainer, make_critic, masks
from cacl.hpa.pixel_labels import PseudoLabel
from cacl.hpa.target_class import SINGLE_CLASS
from cacl.image.cell_mask import cell_mask
from cacl.image.local_dab import edge_blur_sigma
from cacl.image.pixel_flags import PixelFlag, pixel_flags
from cacl.model import device
from cacl.model.checkpoint import Model
from cacl.model.config import Preset
from cacl.model.data.dataset import TileDataset
from cacl.model.device import default_device, describe_arithmetic, make_fabric, prepare_for_device
from cacl.model.inference.masks import Morphology, Thresholds
from cacl.model.inference.predict import predict_block
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.presets import PAPER, ROBUST, TEACHER
from cacl.model.training.loop import Stage, train_stage
from cacl.runtime.distributed import World
from cacl.runtime.malloc import tune_malloc
from cacl.runtime.signals import StopFlag

WIDTH, CHANNELS = 128, 64
WARMUP_STEPS = 4
MANY_STEPS = 100_000
MATRIX_SIZE, PRODUCTS = 2048, 20


@dataclass(frozen=True)
class Speed:
    """Tiles per second of wall time and of CPU time (all threads), and the number of tiles."""

    wall: float
    cpu: float
    tiles: int


def with_released_channels(preset: Preset) -> Preset:
    """Return the preset with the released code's channels."""
    shape = dataclasses.replace(preset.network, width=WIDTH, embedding_channels=CHANNELS)
    return dataclasses.replace(preset, network=shape)


def image_layers(path: Path) -> UInt8:
    """Return a core at analysis resolution: (4, y, x) RGB and cell mask."""
    rgb = analysis_pixels(path)
    return np.concatenate([rgb, cell_mask(rgb)[None]]).astype(np.uint8)


def tile_dataset(layers: list[UInt8]) -> TileDataset:
    """Return the tiles of images with pseudo-labels from local DAB; every other is positive."""
    tiles_of_images = []
    for image in layers:
        rgb, cell = image[:3], image[3]
        flags = pixel_flags(rgb, cell, cell >= 0, edge_blur_sigma(rgb))
        flagged = np.concatenate([rgb, flags[None]])
        rows, cols = (size // TILE_PX for size in flagged.shape[1:])
        tiles = flagged.reshape(4, rows, TILE_PX, cols, TILE_PX).transpose(1, 3, 0, 2, 4)
        tiles_of_images.append(tiles.reshape(-1, 4, TILE_PX, TILE_PX))
    pixels = torch.from_numpy(np.concatenate(tiles_of_images))
    number = len(pixels)
    positive = (torch.arange(number) % 2 == 0)[:, None]
    label = torch.where(positive[:, :, None], int(PseudoLabel.POSITIVE), int(PseudoLabel.NEGATIVE))
    pseudo_labels = label * (pixels[:, 3] & int(PixelFlag.LOCAL_DAB))
    pixels = torch.cat([pixels, pseudo_labels[:, None].to(torch.uint8)], dim=1)
    return TileDataset(
        pixels=pixels,
        positive=positive,
        negative=~positive,
        selected=torch.ones(number, dtype=torch.bool),
        image_index=torch.zeros(number, dtype=torch.int64),
        manual=torch.zeros_like(positive),
        classes=(SINGLE_CLASS,),
    )


class StepTimer(StopFlag):
    """A stop event that records the time of every check, once per step; set after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.times: list[tuple[float, float]] = []

    def is_set(self) -> bool:
        """Return whether the time is up."""
        self.times.append((time.perf_counter(), time.process_time()))
        timed = self.times[WARMUP_STEPS:]
        return len(timed) > 1 and timed[-1][0] - timed[0][0] >= self.seconds

    def speed(self, batch: int) -> Speed:
        """Return the speed after the warm-up steps."""
        timed = self.times[WARMUP_STEPS:]
        tiles = (len(timed) - 1) * batch
        wall, cpu = (last - first for first, last in zip(timed[0], timed[-1], strict=True))
        return Speed(tiles / wall, tiles / cpu, len(self.times) * batch)


def every_step(preset: Preset) -> Preset:
    """Return the preset without the operations that are not part of every step."""
    warmup = preset.codebook.warmup_steps
    return dataclasses.replace(
        preset,
        codebook=dataclasses.replace(preset.codebook, warmup_steps=warmup and min(warmup, 2)),
        mil=preset.mil and dataclasses.replace(preset.mil, relabel_at=()),
        optim=dataclasses.replace(preset.optim, patience=None),
        distill=None,
    )


def training_speed(preset: Preset, tiles: TileDataset, seconds: float) -> Speed:
    """Train for `seconds`, without the operations that are not part of every step."""
    timer = StepTimer(seconds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        settings = (every_step(preset), MANY_STEPS, 0, math.inf, path, "")
        stage = Stage("robust", (0,), tiles, tiles, *settings)
        train_stage(stage, World(make_fabric(1)), timer)
    return timer.speed(preset.optim.batch_size)


def released_training(tiles: TileDataset) -> Iterator[int]:
    """Train with the released step; yield the number of tiles per step."""
    trainer = Trainer()
    while True:
        index = trainer.steps % len(tiles)
        rgb = tiles.pixels[index : index + 1, :3].float() / 255.0
        trainer.step(rgb, bool(tiles.positive[index]))
        yield 1


def untrained_model(preset: Preset) -> Model:
    """Return an untrained model of one network."""
    network = prepare_for_device(AutoEncoder(preset.network).eval(), default_device())
    thresholds = (Thresholds(low=0.0, high=2.0, edge_high=2.0, min_area_fraction=0.0),)
    return Model(
        networks=(network,),
        preset=preset,
        classes=(SINGLE_CLASS,),
        thresholds=thresholds,
        digest="",
    )


def segment_image(layers: UInt8, model: Model) -> None:
    """Predict and pack the masks of an image (4, y, x) of RGB and cell mask."""
    interior = np.ones(layers.shape[1:], bool)
    predict_block(layers[:3], layers[3], interior, model, Morphology("dilation", 1)).pack()


def segmentation(preset: Preset, layers: list[UInt8]) -> Iterator[int]:
    """Segment images as `cacl segment` does, without input and output; yield numbers of tiles."""
    model = untrained_model(preset)
    while True:
        for image in layers:
            segment_image(image, model)
            yield (image.shape[1] // TILE_PX) * (image.shape[2] // TILE_PX)


def released_segmentation(tiles: TileDataset) -> Iterator[int]:
    """Segment tiles with the released test loop; yield numbers of tiles."""
    network, critic = Released(), make_critic()
    while True:
        for start in range(0, len(tiles), 4):
            rgb = tiles.pixels[start : start + 4, :3].float() / 255.0
            yield len(masks(network, critic, rgb))


def speed_of(work: Iterator[int], seconds: float) -> Speed:
    """Run for `seconds`, after one step of warm-up."""
    first = next(work)
    tiles, wall, cpu = 0, time.perf_counter(), time.process_time()
    while tiles == 0 or time.perf_counter() - wall < seconds:
        tiles += next(work)
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    return Speed(tiles / wall_s, tiles / cpu_s, first + tiles)


Work = Callable[[float], Speed]


def fastest(works: dict[str, Work], seconds: float, rounds: int) -> dict[str, Speed]:
    """Run every method for `seconds` in every round; return the fastest round of each."""
    speeds = dict.fromkeys(works, Speed(0.0, 0.0, 0))
    for _ in range(rounds):
        for name, work in works.items():
            speed, best = work(seconds), speeds[name]
            wall, cpu = max(best.wall, speed.wall), max(best.cpu, speed.cpu)
            speeds[name] = Speed(wall, cpu, best.tiles + speed.tiles)
    return speeds


def gflop_per_tile(work: Work) -> float:
    """Return the floating-point operations per tile in units of 10^9, counted over a few steps."""
    with FlopCounterMode(display=False) as counter:
        speed = work(0.0)
    return float(counter.get_total_flops()) / speed.tiles / 1e9


def machine_rate() -> float:
    """Return the rate of products of large float32 matrices, in 10^9 operations per second."""
    left, right = torch.rand(MATRIX_SIZE, MATRIX_SIZE), torch.rand(MATRIX_SIZE, MATRIX_SIZE)
    best = math.inf
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - start)
    return 2 * MATRIX_SIZE**3 / best / 1e9


TRAINING = "training: the released step (batch 1)"
TESTING = "segmentation: the released test loop (batch 1)"


def training_speed_in_float32(preset: Preset, tiles: TileDataset, seconds: float) -> Speed:
    """Measure `training_speed` as on a machine without instructions for bfloat16."""
    with patch.object(device, "cpu_has_bf16", return_value=False):
        return training_speed(preset, tiles, seconds)


def works_of(tiles: TileDataset, layers: list[UInt8]) -> dict[str, Work]:
    """Return all measured methods by name."""
    equal = with_released_channels(ROBUST)
    one_view = dataclasses.replace(equal, post=dataclasses.replace(ROBUST.post, n_tta=1))
    width = ROBUST.network.width
    return {
        TRAINING: lambda seconds: speed_of(released_training(tiles), seconds),
        "training: preset paper (batch 1)": functools.partial(training_speed, PAPER, tiles),
        f"training: preset robust at {WIDTH} channels": functools.partial(
            training_speed, equal, tiles
        ),
        f"training: preset robust, {width} channels": functools.partial(
            training_speed, ROBUST, tiles
        ),
        "training: the same in float32": functools.partial(
            training_speed_in_float32, ROBUST, tiles
        ),
        "training: teacher of preset robust": functools.partial(training_speed, TEACHER, tiles),
        "training: the same teacher in float32": functools.partial(
            training_speed_in_float32, TEACHER, tiles
        ),
        TESTING: lambda seconds: speed_of(released_segmentation(tiles), seconds),
        f"segmentation: preset robust at {WIDTH} channels": (
            lambda seconds: speed_of(segmentation(equal, layers), seconds)
        ),
        f"segmentation: the same, one view instead of {ROBUST.post.n_tta}": (
            lambda seconds: speed_of(segmentation(one_view, layers), seconds)
        ),
        f"segmentation: preset robust, {width} channels": (
            lambda seconds: speed_of(segmentation(ROBUST, layers), seconds)
        ),
    }


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "train_speed.md")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    tune_malloc()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        paths, description = cores(Path(folder), 2)
        layers = [image_layers(path) for path in paths]
    works = works_of(tile_dataset(layers), layers)
    speeds = fastest(works, options.seconds, options.rounds)
    rows, rate = [], machine_rate()
    for name, speed in speeds.items():
        gflop = gflop_per_tile(works[name])
        released = speeds[TRAINING if name.startswith("training") else TESTING]
        rows.append(
            [
                name,
                f"{speed.wall:.1f}",
                f"{speed.cpu:.2f}",
                f"{speed.wall / released.wall:.1f}",
                f"{speed.cpu / released.cpu:.1f}",
                f"{gflop:.2f}",
                f"{gflop * speed.wall / rate:.0%}",
            ]
        )
    notes = [
        f"tiles of {TILE_PX} px of {description}, seed 0; {options.threads} threads; the fastest "
        f"of {options.rounds} rounds of {options.seconds:g} s each, one after the other",
        load_note(load_before),
        f"equal channels: feature maps of {WIDTH}, embeddings of {CHANNELS}; the released step is "
        "reimplemented (`benchmarks/speed/released.py`), because it does not run unchanged",
        f"training on {describe_arithmetic(default_device())}: steps alone, as in `cacl train`, "
        "without k-means, relabelling and saving",
        "segmentation: of images in memory, from pixels to masks; without the reading, writing and "
        "resizing of the released loop",
        f"rate: of products of {MATRIX_SIZE} x {MATRIX_SIZE} float32 matrices, {rate:.0f} GFLOP/s; "
        "convolutions can exceed it; the highest fraction below is the fastest arithmetic measured "
        "here, and the ratio to it is the most that a row could gain",
        "targets: training at least 8 x, segmentation at least 12 x the released code",
    ]
    header = [
        *("work", "tiles/s", "tiles per CPU s", "wall time ratio", "CPU time ratio"),
        *("GFLOP per tile", "fraction of the rate"),
    ]
    write_table(options.out, "Speed of training and segmentation", notes, header, rows)


if __name__ == "__main__":
    main()
