"""Train one network: one flat loop for every preset."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cacl.model.config import Preset
from cacl.model.data.batches import sample_batch
from cacl.model.data.dataset import TileDataset
from cacl.model.device import set_precision
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.networks.codebook import (
    SHARED,
    background_positions,
    flatten_positions,
    init_kmeans,
    init_random,
    replace_dead_codes,
)
from cacl.model.networks.critic import critic_loss
from cacl.model.training import monitor
from cacl.model.training.losses import batch_losses, warmup_losses
from cacl.model.training.monitor import MetricsLog
from cacl.model.training.pseudo_labels import relabel_instances
from cacl.model.training.run import TrainingRun, learning_rate
from cacl.runtime.distributed import World
from cacl.runtime.signals import StopFlag

log = logging.getLogger(__name__)
STEPS_BETWEEN_SAVES = 100
STEPS_BETWEEN_CHECKS = 50


@dataclass(frozen=True, eq=False)
class Stage:
    """The training of one network.

    Parameters
    ----------
    name
        Name of the network, for messages.
    class_indices
        Its classes, as indices into all classes of the training.
    tiles, held_out
        Tiles of the training split, and held-out negative tiles, labelled in its classes.
    preset
        Its settings.
    steps, seed
        Steps and seed.
    deadline
        Time of `time.monotonic` at which it stops.
    path, fingerprint
        File of the saved run, and what identifies the run.
    start
        Network whose weights and codes it starts with; None for random weights, and codes that are
        set after the warm-up.
    count_done, all_steps
        See `MetricsLog`; `all_steps` is 0 for this network alone.
    """

    name: str
    class_indices: tuple[int, ...]
    tiles: TileDataset
    held_out: TileDataset
    preset: Preset
    steps: int
    seed: int
    deadline: float
    path: Path
    fingerprint: str
    start: AutoEncoder | None = None
    count_done: Callable[[int], int] = int
    all_steps: int = 0


@dataclass(frozen=True, eq=False)
class StageResult:
    """A trained network in evaluation mode, and the record of its training.

    Parameters
    ----------
    network
        The EMA, if the preset has one.
    positive
        (n, k) bool: tiles that count as positive at the end.
    steps
        Steps done.
    history, speed
        See `monitor.write_metrics`.
    """

    network: AutoEncoder
    positive: Tensor
    steps: int
    history: list[dict[str, float]]
    speed: list[list[float]]


def train_stage(stage: Stage, world: World, stop_requested: StopFlag) -> StageResult | None:
    """Train a network as one process of a world; a stopped run resumes at its last saved step.

    Returns
    -------
    The result; None if the training was asked to stop before its end.

    Raises
    ------
    TrainingError
        A loss is not finite.
    CheckpointError
        The file of the saved run is damaged.
    """
    preset, steps, fabric = stage.preset, stage.steps, world.fabric
    optim, codes, mil = preset.optim, preset.codebook, preset.mil
    tiles = dataclasses.replace(stage.tiles, pixels=stage.tiles.pixels.to(fabric.device))
    run = TrainingRun.create(preset, stage.tiles, fabric, stage.seed, stage.start)
    run.resume(stage.path, stage.fingerprint)
    if 0 < run.step < steps:
        log.info("train: resumed at step %d of %s", run.step, stage.name)
    network, codebook, labels = run.network, run.network.codebook, run.labels
    warmup_steps = 0 if stage.start else min(codes.warmup_steps or 0, steps // 4)
    relabel_steps = {round(fraction * steps) for fraction in mil.relabel_at} if mil else set()
    tiles_per_step = optim.batch_size * world.size
    metrics = MetricsLog(run, stage.name, stage.class_indices, tiles_per_step, steps)
    metrics.count_done, metrics.all_steps = stage.count_done, stage.all_steps or steps

    while run.step < steps:
        stop_early = optim.patience is not None and run.bad_checks >= optim.patience
        if not world.all_agree(time.monotonic() < stage.deadline and not stop_early):
            break
        step = run.step
        for group in run.optimiser.param_groups:
            group["lr"] = learning_rate(optim, step, steps)
        network.train()
        rng = run.rank_rng(fabric, stage.seed)
        batch = sample_batch(tiles, labels, preset, step, rng, fabric.device)
        positive = batch.positive.any(1)

        if step == warmup_steps and stage.start is None:
            with torch.no_grad():
                features = network.embed(batch.rgb)
            if codes.warmup_steps is None:
                init_random(codebook, features, run.rng)
            else:
                positions = batch.class_positions, batch.other_class_positions
                init_kmeans(codebook, features, positive, *positions, run.rng)
            world.broadcast(codebook.buffers())
        if step < warmup_steps:
            breakdown = warmup_losses(network, batch, preset)
        else:
            if mil:
                fraction = mil.positive_fraction
                decayed = (labels.positive_fraction * fraction.decay).clamp_min(fraction.end)
                labels.positive_fraction = torch.where(
                    labels.relabelled, labels.positive_fraction, decayed
                )
            breakdown = batch_losses(network, batch, preset, run.critic)
        run.optimiser.zero_grad(set_to_none=True)
        fabric.backward(breakdown.total)
        world.all_reduce_mean(network)
        if optim.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), optim.clip_norm)
        run.optimiser.step()

        if step >= warmup_steps:
            embeddings = flatten_positions(breakdown.features)
            indices = breakdown.indices.flatten()
            background = torch.ones_like(indices, dtype=torch.bool)
            if codes.shared_from_background_only:
                background = background_positions(batch.class_positions)
            used = background | (codebook.codebook_id[indices] != SHARED)
            codebook.update_ema(embeddings[used], indices[used], codes.decay, world.all_reduce_sum)
            if codes.replace_dead:
                replace_dead_codes(
                    codebook,
                    breakdown.features,
                    breakdown.logits,
                    class_positions=batch.class_positions,
                    positive=batch.instance_positive,
                    shared_positions=background,
                    min_separation=codes.min_separation,
                    rng=run.rng,
                )
                world.broadcast(codebook.buffers())
        if run.ema_model is not None:
            run.ema_model.update_parameters(network)
        if preset.critic and run.critic is not None and run.critic_optimiser is not None:
            run.pools[0].add(breakdown.r_n)
            run.pools[1].add(breakdown.r_p[positive])
            if step % preset.critic.every == 0:
                loss = critic_loss(run.critic, batch.rgb / 255.0, positive, run.pools, run.rng)
                run.critic_optimiser.zero_grad(set_to_none=True)
                fabric.backward(loss)
                world.all_reduce_mean(run.critic)
                run.critic_optimiser.step()
                breakdown.losses["critic"] = loss

        run.step += 1
        metrics.add(breakdown)
        if run.step in relabel_steps:
            for class_index in range(len(tiles.classes) if world.is_main else 0):
                relabel_instances(
                    network.eval(),
                    stage.tiles,
                    stage.held_out,
                    labels,
                    class_index,
                    preset.post,
                    run.rng,
                )
            world.broadcast((labels.positive, labels.positive_fraction, labels.relabelled))
        if optim.patience is not None and world.is_main and run.step % STEPS_BETWEEN_CHECKS == 0:
            datasets = stage.tiles, stage.held_out, labels.positive
            run.update_patience(
                monitor.validation_loss(run.final_network.eval(), *datasets, preset.post, run.rng)
            )
        stopped = not world.all_agree(not stop_requested.is_set())
        at_save = run.step == steps or run.step % STEPS_BETWEEN_SAVES == 0
        if world.is_main and (stopped or at_save):
            run.save(stage.path, stage.fingerprint)
        if stopped:
            return None
    network = run.final_network.eval()
    set_precision(network, fabric.device)
    return StageResult(network, labels.positive, run.step, run.history, run.speed)
