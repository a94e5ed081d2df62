"""Several devices hold equal models; a run stopped by SIGTERM resumes bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from lightning_fabric import Fabric

from cacl.model import device
from cacl.model.data import dataset
from cacl.model.device import (
    describe_arithmetic,
    make_fabric,
    prepare_for_device,
    set_precision,
)
from cacl.model.networks.autoencoder import AutoEncoder
from cacl.model.presets import get_preset
from cacl.model.training import monitor, networks
from cacl.model.training.plan import stages
from cacl.model.training.run import TrainingRun
from cacl.runtime.distributed import World, launch
from cacl.runtime.signals import StopFlag, catch_sigterm
from cacl.store import Store
from tests.fixtures.model_atlas import ModelAtlas

pytestmark = pytest.mark.slow

PRODUCTS = ("checkpoint.safetensors", "model.json", "training.csv")
STEPS, PAPER_STEPS = 36, 24


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> ModelAtlas:
    made = ModelAtlas(tmp_path_factory.mktemp("atlas")).build()
    made.select()
    return made


@pytest.mark.parametrize("instructions", [(), ("avx512_bf16",), ("amx_bf16", "avx512_bf16")])
def test_cpu_segments_in_float32_and_trains_in_bfloat16_where_it_has_instructions(
    monkeypatch: pytest.MonkeyPatch, instructions: tuple[str, ...]
) -> None:
    fabric = make_fabric(1)
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    found = dict.fromkeys(device.BF16_INSTRUCTIONS, False) | dict.fromkeys(instructions, True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert (fabric.world_size, fabric.device.type) == (1, "cpu")
    network = prepare_for_device(AutoEncoder(get_preset("robust").network), fabric.device)
    assert network.encoder.bf16 == network.decoder.bf16 == bool(instructions)
    assert network.encoder._compiled_call_impl is None
    assert ("bfloat16" in describe_arithmetic(fabric.device)) == bool(instructions)
    set_precision(network.eval(), fabric.device)
    assert not network.encoder.bf16
    assert not network.decoder.bf16


def test_an_older_pytorch_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not device.cpu_has_bf16()


def test_only_encoder_and_decoder_compute_in_bfloat16() -> None:
    torch.manual_seed(0)
    network = AutoEncoder(get_preset("robust").network).eval()
    rgb = torch.randint(0, 256, (1, 3, 32, 32)).float()
    with torch.no_grad():
        exact, distances = network(rgb)
        network.use_bf16(True)
        rough, rough_distances = network(rgb)
        reconstructed = network.decoder(rough)
    assert rough.dtype == rough_distances.dtype == reconstructed.dtype == torch.float32
    assert not torch.equal(rough, exact)
    assert (rough - exact).abs().max() < 0.05
    assert (rough_distances - distances).abs().max() < 0.1


def test_runs_uncompiled_if_compilation_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    network = AutoEncoder(get_preset("robust").network).train()
    before = {name: values.clone() for name, values in network.state_dict().items()}

    def refuse(model: object, inputs: object) -> None:
        raise RuntimeError("no compiler")

    compiled = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled(self, backend=refuse))
    device._compile(network)
    assert "not compiled" in caplog.text
    assert "no compiler" in caplog.text
    assert network.encoder._compiled_call_impl is None
    assert network(torch.zeros(1, 3, 32, 32))[0].shape == (1, 32, 16, 16)
    for name, values in network.state_dict().items():
        assert torch.equal(values, before[name]) or "running" in name or "tracked" in name


def train_in_process(world: World, stop_requested: StopFlag, *arguments: Any) -> dict[str, bool]:
    """Train in one of two processes; return which values are equal in both processes."""
    runs: list[TrainingRun] = []
    create = TrainingRun.create

    def create_and_keep(*args: Any) -> TrainingRun:
        runs.append(create(*args))
        return runs[-1]

    monitor.MIN_USAGE, monitor.MAX_USAGE = -1.0, 2.0
    with patch.object(TrainingRun, "create", create_and_keep):
        done = networks.train_networks(world, stop_requested, *arguments)
    run = runs[-1]
    weights = torch.cat([part.detach().flatten().float() for part in run.network.parameters()])
    statistics = [
        values for name, values in run.network.named_buffers() if name.endswith("running_mean")
    ]
    random_numbers = torch.rand(4, generator=run.rank_rng(world.fabric, 0))
    state = {
        "done": torch.tensor([float(done)]),
        "codes": run.network.codebook.codes,
        "counts": run.network.codebook.cluster_size,
        "weights": weights,
        "statistics": torch.cat(statistics),
        "fractions": run.labels.positive_fraction,
        "random_numbers": random_numbers,
    }
    is_equal = {}
    for name, values in state.items():
        largest, smallest = values.detach().clone(), values.detach().clone()
        torch.distributed.all_reduce(largest, op=torch.distributed.ReduceOp.MAX)
        torch.distributed.all_reduce(smallest, op=torch.distributed.ReduceOp.MIN)
        is_equal[name] = torch.equal(largest, smallest)
    return is_equal


def test_two_processes_hold_equal_models(atlas: ModelAtlas, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("two processes would need two GPUs")
    rows, store = dataset.read_rows(atlas.path("training.parquet")), Store(atlas.path("atlas.zarr"))
    learning = dataset.training_tiles(rows, store, 0)
    negatives, _ = dataset.calibration_tiles(rows, store, 0)
    preset, out = get_preset("robust"), tmp_path / "model"
    (out / networks.STATES).mkdir(parents=True)
    plan = networks.TrainingPlan(preset, stages(preset, STEPS), learning, negatives, out, {}, 0)
    is_equal = launch(make_fabric(2), 1, train_in_process, plan)
    assert is_equal.pop("random_numbers") is False
    assert is_equal == dict.fromkeys(is_equal, True)
    assert sorted(path.name for path in out.iterdir()) == [
        "checkpoint.safetensors",
        "model.json",
        "speed.csv",
        "speed.csv.sha256",
        "training.csv",
        "training.csv.sha256",
    ]


def mean_train_in_process(
    world: World, stop_requested: StopFlag
) -> tuple[list[float], list[float], bool, bool]:
    """Give each process its own gradient, statistics and request to stop."""
    rank = world.fabric.global_rank
    layer = torch.nn.BatchNorm1d(2)
    layer.weight.grad = torch.tensor([1.0, 3.0]) * (1 + 2 * rank)
    layer.bias.grad = torch.zeros(2)
    assert layer.running_mean is not None
    layer.running_mean.fill_(float(rank))
    world.all_reduce_mean(layer)
    shared = torch.tensor([rank == 0, rank == 1])
    world.broadcast((shared,))
    assert shared.tolist() == [True, False]
    return (
        layer.weight.grad.tolist(),
        layer.running_mean.tolist(),
        world.all_agree(True),
        world.all_agree(rank == 0),
    )


def test_averages_gradients_and_batch_statistics() -> None:
    if torch.cuda.is_available():
        pytest.skip("two processes would need two GPUs")
    gradient, statistics, all_wish, one_wishes = launch(make_fabric(2), 1, mean_train_in_process)
    assert gradient == [2.0, 6.0]
    assert statistics == [0.5, 0.5]
    assert all_wish
    assert not one_wishes


def test_single_process_communicates_nothing(atlas: ModelAtlas) -> None:
    world = World(Fabric(accelerator="cpu", devices=1))
    layer = torch.nn.BatchNorm1d(2)
    assert layer.running_mean is not None
    layer.running_mean.fill_(7.0)
    world.all_reduce_mean(layer)
    assert layer.running_mean.tolist() == [7.0, 7.0]
    assert world.all_agree(True)
    assert not world.all_agree(False)


def test_sigterm_sets_the_flag_without_ending_the_process() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with catch_sigterm() as stop_requested:
        assert not stop_requested.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop_requested.is_set()
    assert signal.getsignal(signal.SIGTERM) == before


def test_nested_block_keeps_an_earlier_signal() -> None:
    with catch_sigterm() as outer:
        os.kill(os.getpid(), signal.SIGTERM)
        assert outer.is_set()
        with catch_sigterm() as inner:
            assert inner.is_set()


ENDS_ITSELF = """
import os, runpy, signal, threading, time

def once_it_listens():
    while getattr(signal.getsignal(signal.SIGTERM), "__module__", "") != "cacl.runtime.signals":
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGTERM)

signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
threading.Thread(target=once_it_listens, daemon=True).start()
runpy.run_module("cacl", run_name="__main__", alter_sys=True)
"""


def test_resumes_run_stopped_by_sigterm_bit_for_bit(atlas: ModelAtlas) -> None:
    def into(out: Path) -> tuple[str | Path, ...]:
        stored = (
            *("--tiles", atlas.path("training.parquet")),
            *("--store", atlas.path("atlas.zarr")),
        )
        how = ("--preset", "paper", "--max-steps", str(PAPER_STEPS), "--threads", "1")
        return ("train", *stored, *how, "--out", out)

    out, whole = atlas.path("terminated"), atlas.path("whole")
    run = subprocess.run(
        [sys.executable, "-c", ENDS_ITSELF, *into(out)], capture_output=True, text=True
    )
    assert run.returncode == 1
    assert "was stopped by SIGTERM" in " ".join(run.stderr.split())
    assert any((out / networks.STATES).iterdir())
    assert not (out / "model.json").exists()

    for again in (out, whole):
        subprocess.run(
            [sys.executable, "-m", "cacl", *into(again)], check=True, capture_output=True
        )
    assert not (out / networks.STATES).exists()
    for name in PRODUCTS:
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
