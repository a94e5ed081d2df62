"""Devices: selection, distributed training, precision and compilation of networks."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cacl.model.networks.autoencoder import AutoEncoder, fuse_batchnorm
from cacl.runtime.resources import raise_if_short

if TYPE_CHECKING:
    from lightning_fabric import Fabric

log = logging.getLogger(__name__)
WARMUP_PX = 64
MAX_MESSAGE_LENGTH = 300
BF16_INSTRUCTIONS = "avx512_bf16", "amx_bf16"


def make_fabric(devices: int | None = None, *, deterministic: bool = False) -> Fabric:
    """Return a Fabric on all GPUs, or on the CPU if there is no GPU.

    With several devices, `Fabric.launch` starts one process per device; no external launcher is
    needed.

    Parameters
    ----------
    devices
        Number of devices; None for all visible GPUs (`CUDA_VISIBLE_DEVICES`), or one CPU.
    deterministic
        Use deterministic algorithms on a GPU where PyTorch has them, so that equal runs give equal
        bits; on the CPU all algorithms are deterministic.
    """
    from lightning_fabric import Fabric  # the import takes two seconds; inference does not need it
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment

    on_gpu = torch.cuda.is_available()
    n_devices = devices or (torch.cuda.device_count() if on_gpu else 1)
    if deterministic and on_gpu:
        # cuBLAS reads this variable on first use.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices=n_devices,
        strategy="ddp_spawn" if n_devices > 1 else "auto",
        plugins=[LightningEnvironment()],
    )


def default_device() -> torch.device:
    """Return the device of a single-device process: the first GPU, else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def describe_arithmetic(device: torch.device) -> str:
    """Return what the last bits of a training depend on besides its inputs.

    Sums over several threads, and instructions of another width, round differently: equal inputs
    and seed give equal weights where this text is equal.
    """
    if device.type == "cuda":
        return f"GPU {torch.cuda.get_device_name(device)}"
    instructions = torch.backends.cpu.get_cpu_capability() + ", bfloat16" * cpu_has_bf16()
    return f"CPU with {instructions}, {torch.get_num_threads()} thread(s)"


def cpu_has_bf16() -> bool:
    """Return whether the CPU is known to have instructions that multiply bfloat16 numbers."""
    # Older releases of PyTorch do not tell; they train in float32.
    found: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(bool(found.get(name)) for name in BF16_INSTRUCTIONS)


def set_precision(network: AutoEncoder, device: torch.device) -> None:
    """Let encoder and decoder compute in bfloat16 where this is faster, else in float32.

    On a GPU that supports it they always do. On a CPU that supports it they do in training mode
    alone, so that a model gives equal masks on all CPUs of equal width. Weights, codes, distances
    and losses are always float32: bfloat16 cannot resolve the distances between codes.
    """
    if device.type == "cuda":
        network.use_bf16(torch.cuda.is_bf16_supported())
    else:
        network.use_bf16(network.training and cpu_has_bf16())


def prepare_for_device(network: AutoEncoder, device: torch.device) -> AutoEncoder:
    """Move a network to a device and optimise it for that device.

    Its precision is that of `set_precision`. On a GPU, encoder and decoder are compiled. Batch
    normalisation of a network in evaluation mode is fused into its convolutions.
    """
    network.to(device)
    if not network.training:
        fuse_batchnorm(network)
    set_precision(network, device)
    if device.type == "cuda":
        _compile(network)
    return network


def _compile(network: AutoEncoder) -> None:
    """Compile encoder and decoder; on a machine without a working compiler, log a warning."""
    modules: tuple[nn.Module, ...] = (network.encoder, network.decoder)
    state = {name: values.clone() for name, values in network.state_dict().items()}
    for module in modules:
        module.compile()
    try:
        _warm_up(network)
    except (RuntimeError, OSError, ImportError) as error:
        raise_if_short(error, "compilation of the network")
        message = " ".join(str(error).split())[:MAX_MESSAGE_LENGTH]
        log.warning("networks are not compiled, because compilation failed: %s", message)
        for module in modules:
            module._compiled_call_impl = None
    network.load_state_dict(state)


def _warm_up(network: AutoEncoder) -> None:
    """Run a forward pass, and a backward pass in training mode, to trigger compilation."""
    device = next(network.parameters()).device
    with torch.set_grad_enabled(network.training):
        rgb = torch.zeros(2, 3, WARMUP_PX, WARMUP_PX, device=device)
        levels: Tensor = network.decoder(network.embed(rgb))
        if network.training:
            torch.autograd.backward(levels.mean())
            network.zero_grad(set_to_none=True)
