"""Where a network is trained and applied: one device or several, and in which precision."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cacl.model.networks.autoencoder import AutoEncoder, merge_norms

if TYPE_CHECKING:
    from lightning_fabric import Fabric

log = logging.getLogger(__name__)
COMPILED_PX = 64
MAX_SAID = 300


def make_fabric(devices: int | None = None, *, deterministic: bool = False) -> Fabric:
    """Return the devices to compute on: GPUs where there are some, else the CPU.

    Several devices are a process each, which `Fabric.launch` starts; nothing else has to be
    started by hand.

    Parameters
    ----------
    devices
        How many; None for all GPUs that are visible (`CUDA_VISIBLE_DEVICES`), or one CPU.
    deterministic
        Ask for algorithms that give equal bits in equal runs on a GPU too, where there are any;
        on the CPU all are.
    """
    from lightning_fabric import Fabric  # takes two seconds, and scoring does not need it
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment

    on_gpu = torch.cuda.is_available()
    number = devices or (torch.cuda.device_count() if on_gpu else 1)
    if deterministic and on_gpu:
        # cuBLAS reads it when it is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices=number,
        strategy="ddp_spawn" if number > 1 else "auto",
        plugins=[LightningEnvironment()],
    )


def default_device() -> torch.device:
    """Return the device of a process that has but one: the first GPU, else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def prepare_for_device(network: AutoEncoder, device: torch.device) -> AutoEncoder:
    """Move a network to a device, as fast as the device allows.

    On GPUs that have it, encoder and decoder compute in bfloat16, while weights, codes, distances
    and losses stay in float32: codes lie closer together than bfloat16 can tell. They are compiled
    too. On the CPU all is float32, as it is written. The norms of a network that is not to be
    trained are merged into its convolutions.
    """
    network.to(device)
    if not network.training:
        merge_norms(network)
    if device.type == "cuda":
        network.use_bf16(torch.cuda.is_bf16_supported())
        _compile(network)
    return network


def _compile(network: AutoEncoder) -> None:
    """Compile encoder and decoder, unless this machine cannot: then they run as they are."""
    parts: tuple[nn.Module, ...] = (network.encoder, network.decoder)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    for part in parts:
        part.compile()
    try:
        _try_out(network)
    except (RuntimeError, OSError, ImportError) as error:
        said = " ".join(str(error).split())[:MAX_SAID]
        log.warning("networks are not compiled, for that failed: %s", said)
        for part in parts:
            part._compiled_call_impl = None
    network.load_state_dict(before)


def _try_out(network: AutoEncoder) -> None:
    """Run a network once, and back where it is to be trained."""
    device = next(network.parameters()).device
    with torch.set_grad_enabled(network.training):
        seen = torch.zeros(2, 3, COMPILED_PX, COMPILED_PX, device=device)
        levels: Tensor = network.decoder(network.embed(seen))
        if network.training:
            torch.autograd.backward(levels.mean())
            network.zero_grad(set_to_none=True)
