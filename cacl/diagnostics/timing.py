"""Train a short plan to measure the speed of training: `python -m cacl.diagnostics.timing train`.

It takes the options of `cacl train` that calibration needs and writes the same files.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cacl.model.config import DistillConfig, Preset
from cacl.model.presets import ROBUST, get_preset
from cacl.runtime.compute import Compute


def timing_preset(name: str) -> Preset:
    """Return the preset with two teachers for many, whether or not their codebooks collapse."""
    preset = get_preset(name)
    if preset.distill is None:
        return preset
    return dataclasses.replace(
        preset,
        distill=DistillConfig(teacher=preset.distill.teacher, n_teachers=2, top_k=1),
        post=dataclasses.replace(preset.post, fail_on_collapse=False),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and train."""
    from cacl.model.training.train import TrainingFiles, TrainingLimits, train

    parser = argparse.ArgumentParser(prog="python -m cacl.diagnostics.timing")
    parser.add_argument("command", choices=["train"])
    for name in ("--tiles", "--store", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--preset", default=ROBUST.name)
    for name in ("--seeds", "--max-steps", "--threads"):
        parser.add_argument(name, type=int, required=True)
    options = parser.parse_args(arguments)
    train(
        TrainingFiles(options.tiles, options.store),
        options.out,
        preset=dataclasses.replace(timing_preset(options.preset), n_ensemble=options.seeds),
        limits=TrainingLimits(options.max_steps),
        compute=Compute(threads=options.threads),
    )


if __name__ == "__main__":
    main()
