"""Training and segmentation of the full-size model on a GPU, against the card's dense bf16 rate.

Usage: python benchmarks/gpu.py [--batch N] [--seconds S] [--small] [--out FILE]

The rate is that of a large product of bfloat16 matrices, measured in the same run. What a step
computes is counted by PyTorch. `--small` runs all of it with tiny sizes, on the CPU too, and
writes no table.
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
from skimage.data import immunohistochemistry
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._lib.report import write_up
from benchmarks.speed.train_speed import equal, ours, tile_set
from cacl.hpa.target_class import SINGLE_CLASS
from cacl.image.cell_mask import cell_mask
from cacl.model.checkpoint import Model
from cacl.model.config import ROBUST, Preset
from cacl.model.device import make_fabric, prepare_for_device
from cacl.model.inference.masks import Morphology, Thresholds
from cacl.model.inference.predict import pixel_logits, predict_block
from cacl.model.networks.autoencoder import AutoEncoder

HERE = Path(__file__).parents[1]
TILE_PX = 128
TARGET_SHARE = 0.25


@dataclass(frozen=True)
class Sizes:
    """How much is run."""

    matrix: int = 8192
    tiles: int = 1480
    image_tiles: int = 8
    images: int = 8


SMALL = Sizes(matrix=256, tiles=32, image_tiles=2, images=1)


def synchronised(device: torch.device) -> float:
    """Return the time after all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(work: Callable[[], object], device: torch.device, times: int) -> float:
    """Return the seconds of one call, after two to warm up."""
    for _ in range(2):
        work()
    started = synchronised(device)
    for _ in range(times):
        work()
    return (synchronised(device) - started) / times


def dense_rate(device: torch.device, matrix: int) -> float:
    """Return the floating-point operations a second of a bfloat16 matrix product."""
    one, other = (
        torch.randn(matrix, matrix, device=device, dtype=torch.bfloat16) for _ in range(2)
    )
    return 2 * matrix**3 / seconds(lambda: one @ other, device, 10)


def counted(work: Callable[[], object]) -> float:
    """Return the floating-point operations of a call."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def images_of(number: int, tiles_a_side: int) -> list[np.ndarray]:
    """Return images at analysis scale: (4, y, x) red, green, blue and the cell mask."""
    side = tiles_a_side * TILE_PX
    tissue = immunohistochemistry()
    repeats = -(-side // tissue.shape[0])
    whole = np.tile(tissue, (repeats, repeats, 1))[:side, :side].transpose(2, 0, 1)
    found = []
    for place in range(number):
        rgb = np.ascontiguousarray(np.roll(whole, 37 * place, 1))
        found.append(np.concatenate([rgb, cell_mask(rgb)[None]]).astype(np.uint8))
    return found


def masks_of(layers: np.ndarray, model: Model) -> None:
    """Predict and pack the masks of an image of (4, y, x) red, green, blue and the cell mask."""
    interior = np.ones(layers.shape[1:], bool)
    predict_block(layers[:3], layers[3], interior, model, Morphology("dilation", 1)).pack()


def training_flops(preset: Preset) -> float:
    """Return the operations of forward and backward, a tile, counted on the CPU."""
    network = AutoEncoder(preset.network).train()
    rgb = torch.randint(0, 256, (2, 3, TILE_PX, TILE_PX)).float()

    def step() -> None:
        features, distances = network(rgb)
        (network.decoder(features).mean() + distances.mean()).backward()

    return counted(step) / 2


def rows_of(preset: Preset, sizes: Sizes, train_s: float) -> tuple[list[list[str]], float]:
    """Measure; return the rows of the table, and the dense rate."""
    fabric = make_fabric(1)
    device = fabric.device
    rate = dense_rate(device, sizes.matrix)
    images = images_of(-(-sizes.tiles // sizes.image_tiles**2), sizes.image_tiles)
    tiles = tile_set(images)
    speed = ours(preset, tiles, train_s).wall
    rows = [_row("training", speed, training_flops(preset), rate)]

    network = prepare_for_device(AutoEncoder(preset.network).eval(), device)
    limits = (Thresholds(low=0.0, high=2.0, edge_high=2.0, min_area_fraction=0.0),)
    model = Model(
        networks=(network,), preset=preset, classes=(SINGLE_CLASS,), thresholds=limits, digest=""
    )
    block = torch.from_numpy(images[0][None, :3]).to(device)
    number = sizes.image_tiles**2
    plain = AutoEncoder(preset.network).eval()
    flops = counted(lambda: pixel_logits([plain], block.cpu(), preset.post.n_tta)) / number
    score = seconds(lambda: pixel_logits([network], block, preset.post.n_tta), device, sizes.images)
    rows.append(_row("segmentation: scores alone", number / score, flops, rate))
    turn = itertools.cycle(images[: sizes.images])
    masks = seconds(
        lambda: masks_of(next(turn), model),
        device,
        sizes.images,
    )
    rows.append(_row("segmentation: masks, from and to memory", number / masks, flops, rate))
    return rows, rate


def _row(name: str, speed: float, flops: float, rate: float) -> list[str]:
    return [name, f"{speed:,.0f}", f"{flops / 1e9:.2f}", f"{speed * flops / rate:.1%}"]


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20.0, help="of training")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "gpu.md")
    given = parser.parse_args()
    if not (given.small or torch.cuda.is_available()):
        raise SystemExit("There is no GPU here; --small runs the script on the CPU, for a test")
    preset, sizes = equal(ROBUST), Sizes()
    if given.small:
        given.batch, given.seconds, sizes, preset = 4, 0.1, SMALL, ROBUST
    optim = dataclasses.replace(preset.optim, batch_size=given.batch)
    preset = dataclasses.replace(preset, optim=optim)
    rows, rate = rows_of(preset, sizes, given.seconds)
    header = ["work", "tiles/s", "GFLOP a tile", "of the dense rate"]
    if given.small:
        print("\n".join(" | ".join(row) for row in [header, *rows]))
        return
    notes = [
        f"GPU: {torch.cuda.get_device_name()}, torch {torch.__version__}; dense bfloat16 rate: "
        f"{rate / 1e12:.0f} TFLOP/s, of a product of {sizes.matrix} x {sizes.matrix} matrices",
        f"preset robust with feature maps of {preset.network.width} and embeddings of "
        f"{preset.network.embedding_channels} channels, batch {preset.optim.batch_size}, "
        f"{sizes.tiles} tiles of {TILE_PX} px; {preset.post.n_tta} views a tile in segmentation",
        f"load average: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
        f"target of segmentation: {TARGET_SHARE:.0%} of the dense rate; where masks from memory "
        "are slower than scores alone, the CPU's part of them is what bounds it",
    ]
    write_up(given.out, "On a GPU", notes, header, rows)


if __name__ == "__main__":
    main()
