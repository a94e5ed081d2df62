"""Train one network: one flat loop for every preset."""

from __future__ import annotations

import dataclasses
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cacl.model.config import Preset
from cacl.model.data.dataset import TileDataset
from cacl.model.data.sampling import draw
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
from cacl.model.training import judge
from cacl.model.training.begin import begin, learning_rate, move_average
from cacl.model.training.distributed import Team
from cacl.model.training.metrics_log import Curve
from cacl.model.training.objective import coded_losses, warmup_losses

STEPS_BETWEEN_SAVES = 100
STEPS_BETWEEN_CHECKS = 50


@dataclass(frozen=True, eq=False)
class Task:
    """What one network is trained on, and how long.

    Parameters
    ----------
    name
        Of the network, for messages.
    classes
        Places of its classes among all of the training.
    learning, negatives
        Tiles of the training split, and negative tiles that are held out, with those classes.
    preset
        How.
    steps, seed
        Of this network.
    deadline
        Of `time.monotonic`.
    path, fingerprint
        Where the run is kept, now and then and at its end, and what says that it is this one.
    """

    name: str
    classes: tuple[int, ...]
    learning: TileDataset
    negatives: TileDataset
    preset: Preset
    steps: int
    seed: int
    deadline: float
    path: Path
    fingerprint: str


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained network, and how its training went."""

    network: AutoEncoder
    positive: Tensor
    steps: int
    curve: Curve


def fit(task: Task, team: Team, asked: threading.Event) -> Fitted | None:
    """Train a network as one process of a team, going on where the same run was stopped.

    Returns
    -------
    The network; None if it was asked to stop before its end.

    Raises
    ------
    TrainingError
        A loss is not a number.
    CheckpointError
        The state of a stopped run is damaged.
    """
    p, learning, steps, fabric = task.preset, task.learning, task.steps, team.fabric
    run = begin(p, learning, fabric, task.seed)
    resident = dataclasses.replace(learning, pixels=learning.pixels.to(fabric.device))
    network, critic, state, optimiser = run.network, run.critic, run.state, run.optimiser
    state.resume(task.path, task.fingerprint)
    optim, codes, mil = p.optim, p.codebook, p.mil
    warmup = min(codes.warmup_steps or 0, steps // 4)
    rescore_at = {round(part * steps) for part in mil.relabel_at} if mil else set()
    told = (task.name, task.classes, optim.batch_size * team.size, steps)
    curve = Curve(state.history, state.recent, *told)

    while state.step < steps:
        bored = optim.patience is not None and state.worse >= optim.patience
        if not team.agree(time.monotonic() < task.deadline and not bored):
            break
        step = state.step
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(optim, step, steps)
        network.train()
        batch = draw(resident, team.own(state, task.seed), p, fabric.device)
        if step == warmup:
            with torch.no_grad():
                features = network.embed(batch.rgb)
            if codes.warmup_steps is not None:
                init_kmeans(
                    network.codebook,
                    features,
                    batch.positive.any(1),
                    batch.coded_possible,
                    batch.coded_other_classes,
                    state.rng,
                )
            else:
                init_random(network.codebook, features, state.rng)
            team.share(network.codebook.buffers())
        if step < warmup:
            found = warmup_losses(network, batch, p)
        else:
            if mil:
                fraction = mil.positive_fraction
                smaller = (state.share * fraction.decay).clamp_min(fraction.end)
                state.share = torch.where(state.judged, state.share, smaller)
            found = coded_losses(network, batch, p, critic)
        optimiser.zero_grad(set_to_none=True)
        fabric.backward(found.total)
        team.average(network)
        if optim.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), optim.clip_norm)
        optimiser.step()

        if step >= warmup:
            vectors, chosen = flatten_positions(found.features), found.assignment.flatten()
            free = torch.ones_like(chosen, dtype=torch.bool)
            if codes.shared_from_background_only:
                free = background_positions(batch.coded_possible)
            followed = free | (network.codebook.codebook_id[chosen] != SHARED)
            network.codebook.update_ema(
                vectors[followed], chosen[followed], codes.decay, team.total
            )
            if codes.replace_dead:
                replace_dead_codes(
                    network.codebook,
                    found.features,
                    found.logits,
                    class_positions=batch.coded_possible,
                    positive=batch.shown,
                    shared_positions=free,
                    min_separation=codes.min_separation,
                    rng=state.rng,
                )
                team.share(network.codebook.buffers())
        if optim.ema_decay is not None:
            move_average(run.average, network, optim.ema_decay, step)
        if p.critic and critic is not None and run.critic_optimiser is not None:
            run.pools[0].add(found.r_n)
            run.pools[1].add(found.r_p[batch.positive.any(1)])
            if step % p.critic.every == 0:
                real, positive = batch.rgb / 255.0, batch.positive.any(1)
                cost = critic_loss(critic, real, positive, run.pools, state.rng)
                run.critic_optimiser.zero_grad(set_to_none=True)
                fabric.backward(cost)
                team.average(critic)
                run.critic_optimiser.step()
                found.losses["classifier"] = cost
        state.step += 1
        curve.add(state, found, network.codebook)
        if state.step in rescore_at:
            for number in range(len(learning.classes) if team.leads else 0):
                judged = judge.rescore(
                    network.eval(), learning, task.negatives, number, p, state.rng
                )
                state.take(number, judged)
            team.share((state.positive, state.share, state.judged))
        if optim.patience is not None and team.leads and state.step % STEPS_BETWEEN_CHECKS == 0:
            judged_by = (learning, task.negatives, state.positive, p, state.rng)
            state.note(judge.unease(run.average.eval(), *judged_by))
        stopped = not team.agree(not asked.is_set())
        ends = stopped or state.step == steps or state.step % STEPS_BETWEEN_SAVES == 0
        if team.leads and ends:
            state.save(task.path, task.fingerprint)
        if stopped:
            return None
    return Fitted(run.average.eval(), state.positive, state.step, curve)
