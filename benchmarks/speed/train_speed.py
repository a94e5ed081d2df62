"""Tiles a second in training and in segmentation, against the released code at equal channels.

Usage: python benchmarks/train_speed.py [--threads N] [--seconds S] [--turns N] [--out FILE]

Each is run for so many seconds, in turn, several times; the fastest turn of each counts. Ratios are
of CPU time as well as of the clock: where other work shares the cores, the former is what both
sides have in common.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._lib.images import cores
from benchmarks._lib.report import write_up
from benchmarks.speed.released import Released, Trainer, critic, masks
from cacl.hpa.target_class import SINGLE_CLASS
from cacl.image.cell_mask import cell_mask
from cacl.image.local_dab import edge_blur_sigma
from cacl.image.pixel_flags import PixelFlag, pixel_flags
from cacl.image.readers import open_source
from cacl.image.tile_grid import TileGrid
from cacl.model.checkpoint import Model
from cacl.model.config import PAPER, ROBUST, Preset
from cacl.model.data.dataset import PseudoLabel, TileDataset
from cacl.model.device import default_device, make_fabric, prepare_for_device
from cacl.model.inference.masks import Morphology, Thresholds
from cacl.model.inference.predict import predict_block
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.training.loop import Stage, train_stage
from cacl.runtime.distributed import World
from cacl.runtime.malloc import tune_malloc

HERE = Path(__file__).parents[1]
WIDTH, CHANNELS = 128, 64
FIRST_STEPS = 4
MANY_STEPS = 100_000
SOURCE_PX, TILE_PX = 375, 128
MATRIX, PRODUCTS = 2048, 20


@dataclass(frozen=True)
class Speed:
    """Tiles a second, of a clock and of the CPU (all threads together), and how many there were."""

    wall: float
    cpu: float
    tiles: int


def equal(preset: Preset) -> Preset:
    """Return the preset with the released code's channels."""
    shape = dataclasses.replace(preset.network, width=WIDTH, embedding_channels=CHANNELS)
    return dataclasses.replace(preset, network=shape)


def layers_of(path: Path) -> np.ndarray:
    """Return a core at analysis scale: (4, y, x) red, green, blue and the cell mask."""
    with open_source(path) as source:
        grid = TileGrid(source.height, source.width, SOURCE_PX, TILE_PX)
        rgb = source.read(grid, range(grid.rows), range(grid.cols))
    return np.concatenate([rgb, cell_mask(rgb)[None]]).astype(np.uint8)


def tile_set(layers: list[np.ndarray]) -> TileDataset:
    """Return the tiles of images, as a first network would teach them; every other is positive."""
    parts = []
    for image in layers:
        rgb, cell = image[:3], image[3]
        marks = pixel_flags(rgb, cell, cell >= 0, edge_blur_sigma(rgb))
        marked = np.concatenate([rgb, marks[None]])
        rows, cols = (size // TILE_PX for size in marked.shape[1:])
        cut = marked.reshape(4, rows, TILE_PX, cols, TILE_PX).transpose(1, 3, 0, 2, 4)
        parts.append(cut.reshape(-1, 4, TILE_PX, TILE_PX))
    pixels = torch.from_numpy(np.concatenate(parts))
    number = len(pixels)
    positive = (torch.arange(number) % 2 == 0)[:, None]
    label = torch.where(positive[:, :, None], int(PseudoLabel.POSITIVE), int(PseudoLabel.NEGATIVE))
    told = label * (pixels[:, 3] & int(PixelFlag.LOCAL_DAB))
    pixels = torch.cat([pixels, told[:, None].to(torch.uint8)], dim=1)
    return TileDataset(
        pixels=pixels,
        positive=positive,
        negative=~positive,
        selected=torch.ones(number, dtype=torch.bool),
        image_index=torch.zeros(number, dtype=torch.int64),
        manual=torch.zeros_like(positive),
        classes=(SINGLE_CLASS,),
    )


class Clock(threading.Event):
    """Is asked after every step whether to stop; notes when that was, and says when it is time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.times: list[tuple[float, float]] = []

    def is_set(self) -> bool:
        """Return whether the time is up."""
        self.times.append((time.perf_counter(), time.process_time()))
        counted = self.times[FIRST_STEPS:]
        return len(counted) > 1 and counted[-1][0] - counted[0][0] >= self.seconds

    def speed(self, batch: int) -> Speed:
        """Return the speed of the steps after the first few."""
        counted = self.times[FIRST_STEPS:]
        tiles = (len(counted) - 1) * batch
        wall, cpu = (last - first for first, last in zip(counted[0], counted[-1], strict=True))
        return Speed(tiles / wall, tiles / cpu, len(self.times) * batch)


def ours(preset: Preset, tiles: TileDataset, seconds: float) -> Speed:
    """Train for so long; what happens only now and then is left out."""
    warmup = preset.codebook.warmup_steps
    steady = dataclasses.replace(
        preset,
        codebook=dataclasses.replace(preset.codebook, warmup_steps=warmup and min(warmup, 2)),
        mil=preset.mil and dataclasses.replace(preset.mil, relabel_at=()),
        optim=dataclasses.replace(preset.optim, patience=None),
        distill=None,
    )
    clock = Clock(seconds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        stage = Stage("robust", (0,), tiles, tiles, steady, MANY_STEPS, 0, math.inf, path, "")
        train_stage(stage, World(make_fabric(1)), clock)
    return clock.speed(preset.optim.batch_size)


def released(tiles: TileDataset) -> Iterator[int]:
    """Train as the released code does."""
    trainer = Trainer()
    while True:
        place = trainer.done % len(tiles)
        rgb = tiles.pixels[place : place + 1, :3].float() / 255.0
        trainer.step(rgb, bool(tiles.positive[place]))
        yield 1


def our_masks(preset: Preset, layers: list[np.ndarray]) -> Iterator[int]:
    """Segment images as `cacl segment` does, but for reading and writing."""
    network = prepare_for_device(AutoEncoder(preset.network).eval(), default_device())
    limits = (Thresholds(low=0.0, high=2.0, edge_high=2.0, min_area_fraction=0.0),)
    model = Model(
        networks=(network,), preset=preset, classes=(SINGLE_CLASS,), thresholds=limits, digest=""
    )
    morphology = Morphology("dilation", 1)
    while True:
        for image in layers:
            interior = np.ones(image.shape[1:], bool)
            predict_block(image[:3], image[3], interior, model, morphology).pack()
            yield (image.shape[1] // TILE_PX) * (image.shape[2] // TILE_PX)


def released_masks(tiles: TileDataset) -> Iterator[int]:
    """Segment tiles as the released test loop does."""
    network, judge = Released(), critic()
    while True:
        for start in range(0, len(tiles), 4):
            part = tiles.pixels[start : start + 4, :3].float() / 255.0
            yield len(masks(network, judge, part))


def counted(work: Iterator[int], seconds: float) -> Speed:
    """Run for so long, after one step to warm up."""
    first = next(work)
    tiles, wall, cpu = 0, time.perf_counter(), time.process_time()
    while tiles == 0 or time.perf_counter() - wall < seconds:
        tiles += next(work)
    took = time.perf_counter() - wall, time.process_time() - cpu
    return Speed(tiles / took[0], tiles / took[1], first + tiles)


def fastest(
    works: dict[str, Callable[[float], Speed]], seconds: float, turns: int
) -> dict[str, Speed]:
    """Run each for so long, in turn; return each one's fastest turn."""
    speeds = dict.fromkeys(works, Speed(0.0, 0.0, 0))
    for _ in range(turns):
        for name, work in works.items():
            turn, best = work(seconds), speeds[name]
            wall, cpu = max(best.wall, turn.wall), max(best.cpu, turn.cpu)
            speeds[name] = Speed(wall, cpu, best.tiles + turn.tiles)
    return speeds


def arithmetic(work: Callable[[float], Speed]) -> float:
    """Return the floating-point operations of a tile, in units of 10^9; a few steps are counted."""
    with FlopCounterMode(display=False) as counter:
        done = work(0.0)
    return float(counter.get_total_flops()) / done.tiles / 1e9


def machine_rate() -> float:
    """Return the rate of products of large float32 matrices, in 10^9 operations a second."""
    one, other = torch.rand(MATRIX, MATRIX), torch.rand(MATRIX, MATRIX)
    best = math.inf
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        torch.mm(one, other)
        best = min(best, time.perf_counter() - start)
    return 2 * MATRIX**3 / best / 1e9


TRAINING = "training: the released step (batch 1)"
TESTING = "segmentation: the released test loop (batch 1)"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "train_speed.md")
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(given.threads)
    tune_malloc()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        paths, what = cores(Path(folder), 2)
        layers = [layers_of(path) for path in paths]
    tiles = tile_set(layers)
    one_view = dataclasses.replace(equal(ROBUST), post=dataclasses.replace(ROBUST.post, n_tta=1))
    shown: dict[str, Callable[[float], Speed]] = {
        TRAINING: lambda long: counted(released(tiles), long),
        "training: preset paper (batch 1, to the letter)": lambda long: ours(PAPER, tiles, long),
        f"training: preset robust at {WIDTH} channels": lambda long: ours(
            equal(ROBUST), tiles, long
        ),
        f"training: preset robust as it is, {ROBUST.network.width} channels": (
            lambda long: ours(ROBUST, tiles, long)
        ),
        TESTING: lambda long: counted(released_masks(tiles), long),
        f"segmentation: preset robust at {WIDTH} channels": lambda long: counted(
            our_masks(equal(ROBUST), layers), long
        ),
        f"segmentation: the same, one view in place of {ROBUST.post.n_tta}": lambda long: counted(
            our_masks(one_view, layers), long
        ),
        f"segmentation: preset robust as it is, {ROBUST.network.width} channels": (
            lambda long: counted(our_masks(ROBUST, layers), long)
        ),
    }
    found = fastest(shown, given.seconds, given.turns)
    rows, rate = [], machine_rate()
    for name, speed in found.items():
        cost = arithmetic(shown[name])
        peer = found[TRAINING if name.startswith("training") else TESTING]
        rows.append(
            [
                name,
                f"{speed.wall:.1f}",
                f"{speed.cpu:.2f}",
                f"{speed.wall / peer.wall:.1f}",
                f"{speed.cpu / peer.cpu:.1f}",
                f"{cost:.2f}",
                f"{cost * speed.wall / rate:.0%}",
            ]
        )
    notes = [
        f"tiles of {TILE_PX} px of {what}, seed 0; {given.threads} threads; the fastest of "
        f"{given.turns} turns of {given.seconds:g} s each, one after the other",
        f"load average before and after: {load_before:.1f}, {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores",
        f"equal channels: feature maps of {WIDTH}, embeddings of {CHANNELS}; the released step is "
        "written anew (`benchmarks/released.py`), for it does not run as it is",
        "training: steps alone, as `cacl train` does them; what it does now and then (k-means, "
        "judging tiles, saving) is left out",
        "segmentation is of images in memory, with all that makes a mask of a score; the released "
        "loop's reading, writing and resizing are left out too",
        f"rate: of products of {MATRIX} x {MATRIX} float32 matrices, {rate:.0f} GFLOP/s; "
        "convolutions can exceed it: the largest share below is the fastest arithmetic seen here, "
        "and how far above a row's it is, the most that row could gain by the same arithmetic",
        "targets: training at least 8 x, segmentation at least 12 x the released code",
    ]
    header = [
        *("work", "tiles/s", "tiles per CPU s", "times the released", "the same of CPU time"),
        *("GFLOP a tile", "of the rate"),
    ]
    write_up(given.out, "Speed of training and segmentation", notes, header, rows)


if __name__ == "__main__":
    main()
