"""Monitoring of a training: validation loss, codebook usage, and the log of metrics."""

from __future__ import annotations

import csv
import io
import itertools
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cacl.errors import TrainingError
from cacl.model.checkpoint import CURVES
from cacl.model.config import PostConfig
from cacl.model.data.dataset import FLAGS, TileDataset
from cacl.model.inference.predict import predict_logits, tile_logits
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.networks.codebook import SHARED, ClassAwareCodebook, perplexity
from cacl.model.training.losses import LossBreakdown
from cacl.model.training.pseudo_labels import REFERENCE_TILES, highest_logits, sample_tiles
from cacl.model.training.run import TrainingRun
from cacl.runtime.progress import LoggedProgress
from cacl.tables import write_checked_text

log = logging.getLogger(__name__)
MAX_TILE_LOSS = 10.0
MIN_USAGE, MAX_USAGE = 0.0005, 0.9
SPEED = "speed.csv"
STEPS_PER_ROW = 10
SECONDS_BETWEEN_LINES = 10.0
LOSSES = (
    "total",
    "reconstruction",
    "commitment",
    "discriminative",
    "mapping",
    "critic",
    "negative_bce",
    "hard_negative_bce",
    "background_bce",
    "topk_positive",
    "self_training",
    "pseudo_label_bce",
    "drawn_bce",
)
COLUMNS = (
    "step",
    "network",
    *LOSSES,
    "perplexity_s",
    "perplexity_c",
    "dead_codes",
    "c_fraction",
    "positive_tiles",
)


def validation_loss(
    model: AutoEncoder,
    tiles: TileDataset,
    held_out: TileDataset,
    positive: Tensor,
    post: PostConfig,
    rng: torch.Generator,
) -> float:
    """Return the cross entropy of the highest 1 % of each tile's logits; no mask is read.

    It is averaged over a sample of positive tiles of the training split and of held-out negative
    tiles; the two means are added, and averaged over the classes.

    Parameters
    ----------
    model
        In evaluation mode.
    tiles, held_out
        Tiles of the training split, and held-out negative tiles.
    positive
        (n, k) bool: tiles that count as positive.
    post
        Whether logits are masked to candidate pixels.
    rng
        Samples 100 tiles of each label.
    """
    total = 0.0
    for class_index in range(len(tiles.classes)):
        for sign, dataset, labelled in (
            (-1.0, tiles, positive[:, class_index]),
            (1.0, held_out, held_out.negative[:, class_index]),
        ):
            indices = sample_tiles(labelled, rng)
            logits = predict_logits([model], dataset, indices, class_index, post, 1)
            cost = torch.nn.functional.softplus(sign * highest_logits(logits))
            total += float(cost.clamp_max(MAX_TILE_LOSS).mean())
    return total / len(tiles.classes)


def codebook_usage_warnings(
    model: AutoEncoder, tiles: TileDataset, positive: Tensor
) -> dict[str, str]:
    """Return a warning for each class, by name: positive tiles use its C_k nowhere or everywhere.

    It is empty for a class without such a collapse. `positive` is (n, k) bool.
    """
    warnings = {target_class.name: "" for target_class in tiles.classes}
    for class_index, name in enumerate(warnings):
        indices = torch.nonzero(positive[:, class_index]).flatten()
        sample = indices[:: max(1, len(indices) // REFERENCE_TILES)]
        pixels = tiles.pixels[sample, :FLAGS]
        logits = tile_logits([model], pixels, 1, class_index, tiles.stain_vectors)
        usage = float((logits > 0).float().mean())
        if MIN_USAGE < usage < MAX_USAGE:
            continue
        where = "nowhere" if usage <= MIN_USAGE else "everywhere"
        warnings[name] = (
            f"The class codebook C is used {where} on positive tiles{tiles.describe(class_index)} "
            f"({usage:.2%} of their pixels), so the model has not learned the class; train for "
            "more steps (train.max_steps), with another seed, or with more antibodies of each label"
        )
    return warnings


def raise_if_collapsed(warnings: Sequence[dict[str, str]]) -> None:
    """Raise if every model that learned a class has collapsed; one that has not is enough.

    Parameters
    ----------
    warnings
        `codebook_usage_warnings` of each model.

    Raises
    ------
    TrainingError
        All models of some class have collapsed; masks would be empty or full.
    """
    for name in dict.fromkeys(itertools.chain(*warnings)):
        texts = [model_warnings[name] for model_warnings in warnings if name in model_warnings]
        if all(texts):
            raise TrainingError(texts[0])


class MetricsLog:
    """Rows of `training.csv`, each the mean over ten steps, and the progress line.

    Equal runs write equal bytes, so the speed is in a file of its own, `speed.csv`.

    Parameters
    ----------
    run
        Its `history`, `recent` and `speed` are extended.
    name
        Name of the network, for the progress line.
    class_indices
        Classes of the network, as indices into all classes of the training.
    tiles_per_step
        Tiles per step, over all processes.
    steps
        Steps of the network.

    Attributes
    ----------
    count_done, all_steps
        Returns the steps of all networks that are done, from those of this one; the steps of all
        networks. Both are for the progress of the training.
    """

    def __init__(
        self,
        run: TrainingRun,
        name: str,
        class_indices: tuple[int, ...],
        tiles_per_step: int,
        steps: int,
    ) -> None:
        self.run, self.name, self.class_indices = run, name, class_indices
        self.tiles_per_step, self.steps = tiles_per_step, steps
        self.count_done: Callable[[int], int] = int
        self.all_steps = steps
        self.row_start = self.line_time = time.monotonic()

    def add(self, breakdown: LossBreakdown) -> None:
        """Add the losses of one step.

        Raises
        ------
        TrainingError
            A loss is not finite.
        """
        values = {name: float(loss.detach()) for name, loss in breakdown.losses.items()}
        values["total"] = sum(value for name, value in values.items() if name != "critic")
        not_finite = [name for name, value in values.items() if not math.isfinite(value)]
        if not_finite:
            raise TrainingError(
                f"The loss {not_finite[0]} is not a finite number at step {self.run.step}, so "
                "training has diverged; try another seed, and look for damaged tiles"
            )
        self.run.recent.append(values)
        if len(self.run.recent) == STEPS_PER_ROW or self.run.step == self.steps:
            self._add_row(self.run.network.codebook)

    def _add_row(self, codebook: ClassAwareCodebook) -> None:
        run, sizes = self.run, codebook.cluster_size
        row: dict[str, float] = {"step": run.step}
        for name in LOSSES:
            values = [losses[name] for losses in run.recent if name in losses]
            if values:
                row[name] = sum(values) / len(values)
        row["perplexity_s"] = float(perplexity(sizes[codebook.codebook_id == SHARED]))
        row["dead_codes"] = int(codebook.dead().sum())
        labels = zip(self.class_indices, run.labels.positive.unbind(1), strict=True)
        for number, (class_index, positive) in enumerate(labels, start=1):
            class_sizes, suffix = sizes[codebook.codebook_id == number], _class_suffix(class_index)
            row[f"perplexity_c{suffix}"] = float(perplexity(class_sizes))
            row[f"c_fraction{suffix}"] = float(class_sizes.sum() / sizes.sum())
            row[f"positive_tiles{suffix}"] = int(positive.sum())
        run.history.append(row)
        now = time.monotonic()
        rate = len(run.recent) * self.tiles_per_step / max(now - self.row_start, 1e-9)
        run.speed.append([run.step, rate])
        run.recent.clear()
        self.row_start = now
        done = self.count_done(run.step)
        if now - self.line_time >= SECONDS_BETWEEN_LINES or run.step == self.steps:
            self.line_time = now
            metrics = [f"{name} {row[name]:.4g}" for name in _columns([row])[1:] if name in row]
            log.info(
                "train: %s: step %d of %d, %.1f tiles/s, %s",
                self.name,
                run.step,
                self.steps,
                rate,
                ", ".join(metrics),
            )
            log.info("%s, %s", LoggedProgress("train: steps", done, self.all_steps), self.name)


def write_metrics(
    folder: Path,
    histories: Sequence[list[dict[str, float]]],
    speeds: Sequence[list[list[float]]],
) -> None:
    """Write `training.csv` and `speed.csv` of networks that were trained one after the other.

    Steps continue from network to network; the column `network` numbers these from 1. The columns
    of `speed.csv` are `step` and `tiles_per_second`.

    Parameters
    ----------
    folder
        Folder of both files.
    histories
        Rows of each network.
    speeds
        Steps and tiles per second of each network; see `TrainingRun`.
    """
    rows, speed, offset = [], [], 0.0
    for number, (history, rates) in enumerate(zip(histories, speeds, strict=True), start=1):
        rows += [row | {"step": offset + row["step"], "network": number} for row in history]
        speed += [[f"{offset + step:.6g}", f"{rate:.1f}"] for step, rate in rates]
        offset = rows[-1]["step"] if rows else offset
    columns = _columns(rows)
    curves = _csv(columns, [_format_row(row, columns) for row in rows])
    write_checked_text(folder / CURVES, curves)
    write_checked_text(folder / SPEED, _csv(("step", "tiles_per_second"), speed))


def _class_suffix(class_index: int) -> str:
    """Return the suffix of a class's columns: none for the first class."""
    return f"_{class_index + 1}" if class_index else ""


def _columns(rows: list[dict[str, float]]) -> tuple[str, ...]:
    """Return all columns: those of every training, then those of further classes."""
    further = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    return (*COLUMNS, *further)


def _format_row(row: dict[str, float], columns: tuple[str, ...]) -> list[str]:
    return [f"{row[name]:.6g}" if name in row else "" for name in columns]


def _csv(header: tuple[str, ...], rows: list[list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
