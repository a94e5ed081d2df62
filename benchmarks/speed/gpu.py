"""Training and segmentation of the full-size model on a GPU, against the card's dense bf16 rate.

Usage: python -m benchmarks.speed.gpu [--batch N] [--seconds S] [--small] [--out FILE]

The rate is that of a large product of bfloat16 matrices, measured in the same run. PyTorch counts
the operations of a step. `--small` runs everything with tiny sizes, on the CPU too, and writes no
table.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._lib.images import TILE_PX, UInt8, repeated_tissue
from benchmarks._lib.report import RESULTS, write_table
from benchmarks.speed.train_speed import (
    segment_image,
    tile_dataset,
    training_speed,
    untrained_model,
    with_released_channels,
)
from cacl.image.cell_mask import cell_mask
from cacl.model.config import Preset
from cacl.model.device import make_fabric
from cacl.model.inference.predict import pixel_logits
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.presets import ROBUST

TARGET_FRACTION = 0.25


@dataclass(frozen=True)
class Sizes:
    """Sizes of the matrix product, the training set and the images."""

    matrix: int = 8192
    tiles: int = 1480
    image_tiles: int = 8
    images: int = 8


SMALL = Sizes(matrix=256, tiles=32, image_tiles=2, images=1)


def synchronized_time(device: torch.device) -> float:
    """Return the time after all operations of the device are finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds_per_call(work: Callable[[], object], device: torch.device, calls: int) -> float:
    """Return the mean duration of a call in seconds, after two calls of warm-up."""
    for _ in range(2):
        work()
    start = synchronized_time(device)
    for _ in range(calls):
        work()
    return (synchronized_time(device) - start) / calls


def dense_rate(device: torch.device, size: int) -> float:
    """Return the floating-point operations per second of a bfloat16 matrix product."""
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / seconds_per_call(lambda: left @ right, device, 10)


def flops(work: Callable[[], object]) -> float:
    """Return the floating-point operations of a call."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def synthetic_images(number: int, tiles_per_side: int) -> list[UInt8]:
    """Return images at analysis resolution: (4, y, x) RGB and cell mask."""
    tissue = repeated_tissue(tiles_per_side * TILE_PX).transpose(2, 0, 1)
    images = []
    for index in range(number):
        rgb = np.ascontiguousarray(np.roll(tissue, 37 * index, 1))
        images.append(np.concatenate([rgb, cell_mask(rgb)[None]]).astype(np.uint8))
    return images


def training_flops(preset: Preset) -> float:
    """Return the operations of forward and backward pass per tile, counted on the CPU."""
    network = AutoEncoder(preset.network).train()
    rgb = torch.randint(0, 256, (2, 3, TILE_PX, TILE_PX)).float()

    def step() -> None:
        features, distances = network(rgb)
        torch.autograd.backward(network.decoder(features).mean() + distances.mean())

    return flops(step) / 2


def table_rows(preset: Preset, sizes: Sizes, train_s: float) -> tuple[list[list[str]], float]:
    """Measure; return the rows of the table, and the dense rate."""
    device = make_fabric(1).device
    rate = dense_rate(device, sizes.matrix)
    images = synthetic_images(-(-sizes.tiles // sizes.image_tiles**2), sizes.image_tiles)
    speed = training_speed(preset, tile_dataset(images), train_s).wall
    rows = [_row("training", speed, training_flops(preset), rate)]

    model = untrained_model(preset)
    n_tta, number = preset.post.n_tta, sizes.image_tiles**2
    block = torch.from_numpy(images[0][None, :3]).to(device)
    uncompiled = AutoEncoder(preset.network).eval()
    per_tile = flops(lambda: pixel_logits([uncompiled], block.cpu(), n_tta)) / number
    logits_s = seconds_per_call(
        lambda: pixel_logits(model.networks, block, n_tta), device, sizes.images
    )
    rows.append(_row("segmentation: scores alone", number / logits_s, per_tile, rate))
    cycle = itertools.cycle(images[: sizes.images])
    masks_s = seconds_per_call(lambda: segment_image(next(cycle), model), device, sizes.images)
    name = "segmentation: masks, from and to memory"
    rows.append(_row(name, number / masks_s, per_tile, rate))
    return rows, rate


def _row(name: str, speed: float, flops_per_tile: float, rate: float) -> list[str]:
    gflop, fraction = flops_per_tile / 1e9, speed * flops_per_tile / rate
    return [name, f"{speed:,.0f}", f"{gflop:.2f}", f"{fraction:.1%}"]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20.0, help="of training")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.md")
    options = parser.parse_args()
    if not (options.small or torch.cuda.is_available()):
        raise SystemExit("There is no GPU; --small runs the script on the CPU, as a test")
    preset, sizes = with_released_channels(ROBUST), Sizes()
    if options.small:
        options.batch, options.seconds, sizes, preset = 4, 0.1, SMALL, ROBUST
    optim = dataclasses.replace(preset.optim, batch_size=options.batch)
    preset = dataclasses.replace(preset, optim=optim)
    rows, rate = table_rows(preset, sizes, options.seconds)
    header = ["work", "tiles/s", "GFLOP per tile", "fraction of the dense rate"]
    if options.small:
        print("\n".join(" | ".join(row) for row in [header, *rows]))
        return
    notes = [
        f"GPU: {torch.cuda.get_device_name()}, torch {torch.__version__}; dense bfloat16 rate: "
        f"{rate / 1e12:.0f} TFLOP/s, of a product of {sizes.matrix} x {sizes.matrix} matrices",
        f"preset robust with feature maps of {preset.network.width} and embeddings of "
        f"{preset.network.embedding_channels} channels, batch {preset.optim.batch_size}, "
        f"{sizes.tiles} tiles of {TILE_PX} px; {preset.post.n_tta} views per tile in segmentation",
        f"load average: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
        f"target of segmentation: {TARGET_FRACTION:.0%} of the dense rate; if masks are slower "
        "than scores alone, the CPU limits them",
    ]
    write_table(options.out, "On a GPU", notes, header, rows)


if __name__ == "__main__":
    main()
