"""profiles/slurm-gpu asks for every job of the workflow: time, memory, and a GPU where it helps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cacl.diagnostics.slurm_check import sbatch_options

CHECKOUT = Path(__file__).parents[2]
PROFILE: dict[str, Any] = yaml.safe_load(
    (CHECKOUT / "profiles/slurm-gpu/config.yaml").read_text(encoding="utf-8")
)
ON_GPU = {"train", "segment", "train_paper"}


def rules() -> set[str]:
    files = (CHECKOUT / "workflow" / "rules").glob("*.smk")
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return set(re.findall(r"^(?:rule|checkpoint) (\w+):", text, re.MULTILINE))


def local() -> set[str]:
    text = (CHECKOUT / "workflow" / "Snakefile").read_text(encoding="utf-8")
    return set(re.findall(r"\w+", text.partition("localrules:")[2])) - {"all"}


def test_the_rules_are_found() -> None:
    assert {"phantom", "acquire", "train", "report", "benchmark"} <= rules()
    assert {"catalog"} <= local() <= rules()


def test_the_profile_names_rules_that_exist() -> None:
    named = {*PROFILE["set-threads"], *PROFILE["set-resources"]}
    assert named <= rules() - local(), "Snakemake ignores the names of rules that there are not"


@pytest.mark.parametrize("rule", sorted(rules() - local()))
def test_a_rule_asks_for_threads_time_and_memory_and_more_when_it_is_tried_again(rule: str) -> None:
    asked = [options(rule, attempt) for attempt in (1, 2)]
    assert asked[0]["time"] >= 60
    assert asked[0]["mem"] >= 2000
    assert asked[1]["time"] == 2 * asked[0]["time"]
    assert asked[1]["mem"] == 2 * asked[0]["mem"]
    assert rule in PROFILE["set-threads"]
    assert asked[0].get("gpus", 0) == (1 if rule in ON_GPU else 0)
    assert options(rule, 1, "partition") == ("gpu" if rule in ON_GPU else "cpu")


def options(rule: str, attempt: int, name: str = "") -> Any:
    """Return what a rule asks of Slurm: its numbers, or one option as text."""
    found = dict(
        option.removeprefix("--").split("=") for option in sbatch_options(PROFILE, rule, attempt)
    )
    return found[name] if name else {k: int(v) for k, v in found.items() if v.isdigit()}
