"""profiles/slurm-gpu sets time, memory and GPUs of every job of the workflow."""

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


def workflow_text() -> str:
    files = sorted((CHECKOUT / "workflow" / "rules").glob("*.smk"))
    files.append(CHECKOUT / "workflow" / "Snakefile")
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def rules() -> set[str]:
    return set(re.findall(r"^(?:rule|checkpoint) (\w+):", workflow_text(), re.MULTILINE))


def local() -> set[str]:
    lists = re.findall(r"^localrules:\n((?: +\w+,\n)+)", workflow_text(), re.MULTILINE)
    return set(re.findall(r"\w+", "".join(lists)))


def test_rules_are_parsed_from_the_files() -> None:
    assert {"phantom", "acquire", "train", "report", "benchmark"} <= rules()
    assert {"catalog"} <= local() <= rules()


def test_profile_names_existing_rules_only() -> None:
    named = {*PROFILE["set-threads"], *PROFILE["set-resources"]}
    assert named <= rules() - local(), "Snakemake ignores names of rules that do not exist"


@pytest.mark.parametrize("rule", sorted(rules() - local()))
def test_rule_has_threads_time_and_memory_which_grow_with_the_attempt(rule: str) -> None:
    resources = [options(rule, attempt) for attempt in (1, 2)]
    assert resources[0]["time"] >= 60
    assert resources[0]["mem"] >= 2000
    assert resources[1]["time"] == 2 * resources[0]["time"]
    assert resources[1]["mem"] == 2 * resources[0]["mem"]
    assert rule in PROFILE["set-threads"]
    assert resources[0].get("gpus", 0) == (1 if rule in ON_GPU else 0)
    assert options(rule, 1, "partition") == ("gpu" if rule in ON_GPU else "cpu")


def options(rule: str, attempt: int, name: str = "") -> Any:
    """Return the options of a rule for sbatch: its numbers, or one option as text."""
    values = dict(
        option.removeprefix("--").split("=") for option in sbatch_options(PROFILE, rule, attempt)
    )
    return values[name] if name else {k: int(v) for k, v in values.items() if v.isdigit()}
