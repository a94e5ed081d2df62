"""The state of a training: a file that does not fit the run is refused with a remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cacl.errors import CheckpointError
from cacl.model.checkpoint import read_tensors, write_tensors
from tests.fuzz.readers import training_files, training_state

Edit = Callable[[dict[str, Tensor], dict[str, Any]], object]


def drop(name: str) -> Edit:
    return lambda tensors, values: tensors.pop(name)


def tensor(name: str, value: Tensor) -> Edit:
    return lambda tensors, values: tensors.update({name: value})


def progress(name: str, value: object) -> Edit:
    return lambda tensors, values: values.update({name: value})


EDITS = {
    "random generator missing": drop("rng"),
    "labels missing": drop("labels.positive"),
    "labels of more tiles": tensor("labels.positive", torch.zeros(3, 1, dtype=torch.bool)),
    "labels as numbers": tensor("labels.positive", torch.zeros(2, 1)),
    "fractions not finite": tensor("labels.positive_fraction", torch.full((2, 1), torch.nan)),
    "moments of another shape": tensor("optimiser.0.exp_avg", torch.zeros(3)),
    "negative step": progress("step", -1),
    "step without bound": progress("step", float("inf")),
    "step as text": progress("step", "3"),
    "rows that are texts": progress("history", ["loss"]),
    "rows that are no list": progress("recent", {"loss": 1.0}),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_state_that_does_not_fit_is_refused(tmp_path: Path, edit: Edit) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(training_files()[path.name])
    tensors, metadata = read_tensors(path)
    values = json.loads(metadata["progress"])
    edit(tensors, values)
    write_tensors(path, tensors, metadata | {"progress": json.dumps(values)})
    with pytest.raises(CheckpointError, match=r"delete it and run `cacl train` again"):
        training_state(tmp_path)


def test_state_that_fits_is_used(tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(training_files()["state.safetensors"])
    training_state(tmp_path)
