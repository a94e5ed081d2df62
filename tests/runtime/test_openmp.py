"""How long OpenMP threads wait actively."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from cacl.runtime.openmp import SPIN_COUNT, WAITING

PROGRAM = """
import sys
from typer.testing import CliRunner
from cacl.cli import app

assert "torch" not in sys.modules
CliRunner().invoke(app, ["top", "--help"])
import torch  # it loads the OpenMP library, which prints its settings
"""


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, str(SPIN_COUNT)),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, "0"),
    ],
)
def test_command_limits_active_waiting_unless_the_user_sets_it(
    own: Mapping[str, str], expected: str
) -> None:
    variables = {name: text for name, text in os.environ.items() if name not in WAITING}
    variables |= {"OMP_DISPLAY_ENV": "VERBOSE", **own}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=variables, capture_output=True, text=True, check=True
    )
    assert f"GOMP_SPINCOUNT = '{expected}'" in run.stderr
