"""What a training runs on."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Compute:
    """CPU threads and devices of a training; the options of the command derive from the fields."""

    threads: int = field(default=2, metadata={"help": "CPU threads per device.", "min": 1})
    devices: int | None = field(
        default=None, metadata={"help": "Number of GPUs; all visible ones if omitted.", "min": 1}
    )
    deterministic: bool = field(
        default=False, metadata={"help": "Equal results of equal runs on a GPU too; slower."}
    )


DEFAULT_COMPUTE = Compute()
