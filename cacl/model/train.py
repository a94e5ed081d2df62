"""Train CaCL: one flat loop for both presets."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from cacl.model import judge
from cacl.model.autoencoder import AutoEncoder, flat
from cacl.model.checkpoint import save_model
from cacl.model.codes import place_at_random, place_by_kmeans, revive
from cacl.model.critic import Critic, Pool, critic_loss
from cacl.model.curve import Curve
from cacl.model.data import calibration_tiles, data_digest, read_rows, training_tiles
from cacl.model.draw import draw
from cacl.model.objective import coded_losses, warmup_losses
from cacl.model.preset import Preset, named
from cacl.model.state import STATE, State
from cacl.store import Store, digest_of

log = logging.getLogger(__name__)
RAMP_STEPS = 20
STEPS_BETWEEN_SAVES = 100


def train(
    tiles: Path,
    store: Path,
    out: Path,
    *,
    preset: str = "robust",
    max_steps: int | None = None,
    max_minutes: float | None = None,
    seed: int = 0,
    threads: int = 2,
) -> None:
    """Learn from labelled tiles where the pattern is, and write `out`/ whole.

    Equal tiles, preset, steps, seed and threads give equal bytes on a CPU. A run that was
    stopped goes on from its last saved step. Only image-wise labels are read, no mask.

    Parameters
    ----------
    tiles
        Table of `cacl select` (`TileRow`).
    store
        The OME-Zarr store.
    out
        Gets `checkpoint.safetensors`, `model.json`, `training.csv` and `speed.csv`.
    preset
        `robust`, or `paper` for the published method to the letter.
    max_steps
        Steps; None for the preset's own number. The learning rate's schedule ends there.
    max_minutes
        Stop after this time; the result then depends on the machine's speed.
    seed
        Of everything random.
    threads
        CPU threads.

    Raises
    ------
    TrainingError
        A class without tiles, a loss that is not a number, or a codebook that collapsed.
    ConfigError
        No such preset.
    CheckpointError
        The state of a stopped run is damaged.
    """
    p = named(preset)
    steps = max_steps or p.steps
    torch.set_num_threads(threads)
    atlas, rows = Store(store), read_rows(tiles)
    digest = data_digest(rows, atlas)
    learning = training_tiles(rows, atlas, seed)
    negatives, threshold_source = calibration_tiles(rows, atlas, seed)

    fabric = Fabric(accelerator="auto", devices=1, plugins=[LightningEnvironment()])
    torch.manual_seed(seed)
    network = AutoEncoder(p.architecture).to(fabric.device)
    critic = Critic().to(fabric.device) if p.critic_every else None
    optimiser = torch.optim.Adam(network.parameters(), lr=p.learning_rate)
    pools = (Pool(p.pool), Pool(p.pool))
    state = State(
        modules={"network": network},
        optimisers={"optimiser": optimiser},
        pools=dict(zip(("fake_negative", "fake_positive"), pools, strict=True)),
        rng=torch.Generator().manual_seed(seed),
        positive=torch.nonzero(learning.positive & learning.kept).flatten(),
        share=torch.full((len(learning),), p.share),
    )
    if critic is not None:
        critic_optimiser = torch.optim.Adam(critic.parameters(), lr=p.critic_learning_rate)
        state.modules |= {"critic": critic}
        state.optimisers |= {"critic_optimiser": critic_optimiser}
    out.mkdir(parents=True, exist_ok=True)
    fingerprint = digest_of("train", digest, p, steps, seed)
    state.resume(out / STATE, fingerprint)
    rescore_at = {round(part * steps) for part in p.rescore}
    curve = Curve(state.history, p.batch, steps)
    deadline = time.monotonic() + 60.0 * (max_minutes or math.inf)

    while state.step < steps and time.monotonic() < deadline:
        step = state.step
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(p, step, steps)
        network.train()
        batch = draw(learning, state, p, fabric.device)
        if step == p.warmup:
            with torch.no_grad():
                features = network.embed(batch.rgb)
            if p.warmup:
                place_by_kmeans(network, batch, features, state.rng)
            else:
                place_at_random(network.codebook, features, state.rng)
        if step < p.warmup:
            found = warmup_losses(network, batch, p)
        else:
            if not state.judged:
                state.share = (state.share * p.share_decay).clamp_min(p.share_end)
            found = coded_losses(network, batch, p, critic)
        optimiser.zero_grad(set_to_none=True)
        fabric.backward(found.total)
        torch.nn.utils.clip_grad_norm_(network.parameters(), p.clip)
        optimiser.step()

        if step >= p.warmup:
            network.codebook.follow(flat(found.features), found.assignment.flatten(), p.decay)
            if p.revive:
                revive(network.codebook, batch, found, state.rng)
        if critic is not None:
            pools[0].add(found.r_n)
            pools[1].add(found.r_p[batch.positive])
            if step % p.critic_every == 0:
                cost = critic_loss(critic, batch.rgb / 255.0, batch.positive, pools, state.rng)
                critic_optimiser.zero_grad(set_to_none=True)
                fabric.backward(cost)
                critic_optimiser.step()
                found.losses["classifier"] = cost
        state.step += 1
        curve.add(state, found, network.codebook)
        if state.step in rescore_at:
            judgement = judge.rescore(network.eval(), learning, negatives, p, state.rng)
            if judgement is not None:
                state.positive, state.share = judgement.positive, judgement.share
                state.judged = True
        if state.step % STEPS_BETWEEN_SAVES == 0:
            state.save(out / STATE, fingerprint)

    network.eval()
    judge.refuse_collapsed(network, learning, state.positive, p)
    limits = judge.thresholds(network, negatives, p)
    facts = {
        "training_data_digest": digest,
        "seed": seed,
        "steps": state.step,
        "threshold_source": f"{threshold_source} negatives" if p.sure_area else "nearest code",
        "positive_tiles": len(state.positive),
    }
    curve.write(out)
    save_model(out, network.cpu(), p, thresholds=limits, facts=facts)
    (out / STATE).unlink(missing_ok=True)
    log.info("train: done after %d steps; %s", state.step, limits)


def learning_rate(preset: Preset, step: int, steps: int) -> float:
    """Return the learning rate of a step: a short ramp, then a cosine to 0, if it is asked for."""
    if not preset.cosine:
        return preset.learning_rate
    ramp = min(1.0, (step + 1) / RAMP_STEPS)
    return preset.learning_rate * ramp * 0.5 * (1.0 + math.cos(math.pi * step / steps))
