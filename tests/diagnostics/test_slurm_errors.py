"""What Slurm and a full disk do to a run, in a sentence each."""

from __future__ import annotations

from pathlib import Path

import pytest

from cacl.diagnostics.slurm_errors import explain, remedy_for
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


def told(folder: Path, message: str, job_log: str = "", own_log: str = "") -> list[str]:
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / "train.log").write_text(own_log)
    (folder / "logs" / "7.log").write_text(job_log)
    log = folder / "snakemake.log"
    log.write_text(ENTRY.format(rule="train", message=message, slurm="logs/7.log"))
    return explain(log, folder)


@pytest.mark.parametrize(
    ("message", "words"),
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
            "leave GPUs out",
        ),
        (
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller "
            "(connect failure)",
            "wait until `squeue` answers",
        ),
    ],
)
def test_each_refusal_is_one_sentence_with_its_remedy(
    tmp_path: Path, message: str, words: str
) -> None:
    (sentence,) = told(tmp_path, message)
    assert sentence.startswith("Rule train ")
    assert words in sentence
    assert sentence.endswith("run the same command again: it goes on where it stopped.")


@pytest.mark.parametrize(
    ("job_log", "own_log", "words"),
    [
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.batch", "", "for memory"),
        ("slurmstepd: error: Exceeded job memory limit", "", "for memory"),
        ("slurmstepd: error: *** JOB 7 CANCELLED AT x DUE TO TIME LIMIT ***", "", "time limit"),
        ("", "OSError: [Errno 28] No space left on device", "found the disk full"),
        (
            "Job 0 completed successfully, but some output files are missing. Missing files after "
            "60 seconds. This might be due to filesystem latency.",
            "",
            "raise `latency-wait`",
        ),
    ],
)
def test_the_logs_that_a_message_names_are_read(
    tmp_path: Path, job_log: str, own_log: str, words: str
) -> None:
    (sentence,) = told(tmp_path, "SLURM status is: 'FAILED'", job_log, own_log)
    assert words in sentence


def test_what_it_does_not_know_it_leaves_to_the_log(tmp_path: Path) -> None:
    assert told(tmp_path, "None", own_log="Error: labels: no positive image") == []
    assert explain(tmp_path / "none.log") == []


def test_a_full_disk_is_seen_even_if_no_log_could_be_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2_000):
        log = tmp_path / "snakemake.log"
        log.write_text(ENTRY.format(rule="train", message="None", slurm="logs/7.log"))
        assert explain(log, tmp_path / "disk") == []
        (tmp_path / "disk" / "ballast").write_bytes(bytes(1_500_000))
        (sentence,) = explain(log, tmp_path / "disk")
        assert sentence.startswith("The run found the disk full: free some space")


def test_a_remedy_alone() -> None:
    remedy = remedy_for("sbatch: error: invalid partition specified: nowhere")
    assert remedy == "set `slurm_partition` in the profile to one of `sinfo -s`"
    assert remedy_for("all is well") == ""
