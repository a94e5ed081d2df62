"""Explanations of failures that Slurm, a full disk or a crash caused."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cacl.diagnostics.slurm_errors import explain, remedy_for
from cacl.launch.job_errors import failure_sentence
from tests.fixtures.small_disk import small_disk

ENTRY = """
[Mon Nov 23 13:05:39 2026]
Error in rule {rule}:
    message: {message}
    jobid: 9
    output: results/model/model.json
    log: logs/{rule}.log, {slurm} (check log file(s) for error details)

Shutting down, this might take some time.
"""


def explain_entry(folder: Path, message: str, job_log: str = "", rule_log: str = "") -> list[str]:
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / "train.log").write_text(rule_log)
    (folder / "logs" / "7.log").write_text(job_log)
    log = folder / "snakemake.log"
    log.write_text(ENTRY.format(rule="train", message=message, slurm="logs/7.log"))
    return explain(log, folder)


CRASH = """
import os, signal
from cacl.cli.app import main
main(verbose=False, version=False)
os.kill(os.getpid(), signal.{signal})
"""


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS"])
def test_crash_of_a_library_is_explained(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", CRASH.format(signal=name)]
    crashed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert crashed.returncode == -getattr(signal, name)
    [sentence] = explain_entry(tmp_path, "None", rule_log=crashed.stderr)
    assert sentence.startswith("Rule train crashed in a library, as some libraries do when the mem")
    (tmp_path / "train.log").write_text(f"INFO train\n{crashed.stderr}")
    assert failure_sentence([tmp_path / "train.log"]).startswith("it crashed in a library")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("SLURM-job '7' failed, SLURM status is: 'TIMEOUT'. Detailed", "raise `runtime`"),
        ("SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'.", "raise `mem_mb`"),
        ("SLURM-job '7' failed, SLURM status is: 'CANCELLED'.", "cancelled or preempted"),
        ("SLURM-job '7' failed due to a node failure, SLURM status is: 'NODE_FAIL'", "lost its"),
        ("sbatch: error: invalid partition specified: nowhere", "set `slurm_partition`"),
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition "
            "combination specified",
            "set `slurm_account`",
        ),
        (
            "Job submission failed with exception: The given account nobody appears to be "
            "invalid. Available accounts:\n        lab",
            "set `slurm_account`",
        ),
        (
            "sbatch: error: Requested GRES option unsupported by configured SelectType plugin",
            'write `gres: "gpu:1"` instead',
        ),
        (
            "sbatch: error: Batch job submission failed: Invalid generic resource (gres) "
            "specification",
            'write `gres: "gpu:1"` instead',
        ),
        (
            "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing "
            "or exceeds some limit)",
            "lower `runtime`",
        ),
        (
            "sbatch: error: Batch job submission failed: Requested node configuration is not "
            "available",
            "omit GPUs",
        ),
        (
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller "
            "(connect failure)",
            "wait until `squeue` responds",
        ),
    ],
)
def test_explains_rejected_job_with_its_remedy(tmp_path: Path, message: str, expected: str) -> None:
    (sentence,) = explain_entry(tmp_path, message)
    assert sentence.startswith("Rule train ")
    assert expected in sentence
    assert sentence.endswith("run the same command again: it continues where it stopped.")


@pytest.mark.parametrize(
    ("job_log", "rule_log", "expected"),
    [
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.batch", "", "for memory"),
        ("slurmstepd: error: Exceeded job memory limit", "", "for memory"),
        ("slurmstepd: error: *** JOB 7 CANCELLED AT x DUE TO TIME LIMIT ***", "", "time limit"),
        ("", "OSError: [Errno 28] No space left on device", "ran out of disk space"),
        (
            "Job 0 completed successfully, but some output files are missing. Missing files after "
            "60 seconds. This might be due to filesystem latency.",
            "",
            "raise `latency-wait`",
        ),
    ],
)
def test_reads_the_logs_that_an_error_lists(
    tmp_path: Path, job_log: str, rule_log: str, expected: str
) -> None:
    (sentence,) = explain_entry(tmp_path, "SLURM status is: 'FAILED'", job_log, rule_log)
    assert expected in sentence


def test_unknown_error_gives_no_explanation(tmp_path: Path) -> None:
    assert explain_entry(tmp_path, "None", rule_log="Error: labels: no positive image") == []
    assert explain(tmp_path / "none.log") == []


def test_detects_full_disk_without_logs(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2_000):
        log = tmp_path / "snakemake.log"
        log.write_text(ENTRY.format(rule="train", message="None", slurm="logs/7.log"))
        assert explain(log, tmp_path / "disk") == []
        (tmp_path / "disk" / "ballast").write_bytes(bytes(1_500_000))
        (sentence,) = explain(log, tmp_path / "disk")
        assert sentence.startswith("The run ran out of disk space: free some space")


def test_remedy_without_explanation() -> None:
    remedy = remedy_for("sbatch: error: invalid partition specified: nowhere")
    assert remedy == "set `slurm_partition` in the profile to one of `sinfo -s`"
    assert remedy_for("all is well") == ""
