"""How long the threads of OpenMP wait actively for work."""

from __future__ import annotations

import os

SPIN_COUNT = 2_000
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def limit_active_waiting() -> None:
    """Let idle OpenMP threads of this process and its children sleep after `SPIN_COUNT` spins.

    GNU OpenMP, which PyTorch uses, otherwise lets them spin 150 times as long. On a machine that
    other work keeps busy, spinning threads hold the cores that the working threads need.
    `benchmarks/speed/shared_machine.py` compares the settings. The user's own settings remain.
    Call it before PyTorch is imported, which reads the environment once.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
