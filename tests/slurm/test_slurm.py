"""The demo on a real Slurm, through profiles/slurm-gpu; each test goes on from the last one."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from one_node import Slurm
from slurm_run import Run

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]

ON_GPU = ("train", "segment")
PER_SHARD = ("acquire", "tile", "segment", "measure")


@pytest.fixture(scope="module")
def finished(run: Run) -> subprocess.CompletedProcess[str]:
    return run()


def wait_for(what: Callable[[], object], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def test_the_demo_runs_on_the_cluster(
    run: Run, finished: subprocess.CompletedProcess[str], checkout: Path
) -> None:
    assert finished.returncode == 0, finished.stdout
    assert (run.folder / "results/report/report.html").exists()
    jobs = run.jobs()
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    rules = [job["Comment"].split("_")[1] for job in jobs]
    once = ["phantom", "report", "select", "train"]
    assert sorted(rules) == sorted(once + 2 * list(PER_SHARD))

    profile = yaml.safe_load((checkout / "profiles/slurm-gpu/config.yaml").read_text())
    for job, rule in zip(jobs, rules, strict=True):
        asked = profile["default-resources"] | profile["set-resources"].get(rule, {})
        on_gpu = rule in ON_GPU
        assert job["Partition"] == ("gpu" if on_gpu else "cpu"), rule
        assert job["Account"] == "lab"
        assert ("gres:gpu:1" in job.get("TresPerJob", "")) == on_gpu, rule
        assert job["JOB_GRES"] == ("gpu:fake:1" if on_gpu else "(null)"), rule
        assert f"mem={asked['mem_mb'].split()[0]}M" in job["TRES"], rule
        assert job["TimeLimit"] == "01:00:00"
        threads = profile["set-threads"].get(rule)
        if threads is not None:
            assert job["NumCPUs"] == str(threads), rule


def test_a_job_killed_for_memory_or_preempted_goes_on(
    run: Run, finished: subprocess.CompletedProcess[str]
) -> None:
    assert finished.returncode == 0
    before = {job["JobId"] for job in run.jobs()}
    mask = next(run.folder.glob("results/atlas.zarr/*/*/labels/stain/zarr.json"))
    written = mask.stat().st_mtime_ns
    (run.folder / "results/segmented/0.parquet").unlink()
    resources = ("--set-resources", "segment:mem_mb=400*attempt*attempt")
    process = run.start(*resources, "--", "results/segmented/0.parquet")

    def attempts() -> list[dict[str, str]]:
        return [job for job in run.jobs("segment") if job["JobId"] not in before]

    wait_for(lambda: len(attempts()) == 2 and attempts()[1]["JobState"] == "RUNNING")
    run.slurm("sbatch", "-p", "urgent", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 1")
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said

    killed, preempted = attempts()
    assert "mem=400M" in killed["TRES"]
    assert killed["JobState"] in ("FAILED", "OUT_OF_MEMORY")
    log = next(run.folder.glob(f"logs/slurm/**/{killed['JobId']}.log")).read_text()
    assert re.search("exceeded (job )?memory limit|oom", log, re.IGNORECASE)
    assert "mem=1600M" in preempted["TRES"]
    assert preempted["Restarts"] == "1"
    assert preempted["JobState"] == "COMPLETED"
    assert mask.stat().st_mtime_ns == written, "a finished mask was made again"


def test_a_time_limit_is_said_and_training_goes_on_from_its_last_step(
    run: Run, finished: subprocess.CompletedProcess[str]
) -> None:
    assert finished.returncode == 0
    long = {"preset": "paper", "max_steps": 3000, "max_tiles": 64}
    run.configure(train=long)
    before = len(run.jobs("train"))
    target = "results/model/model.json"
    process = run.start("--retries", "0", "--", target)
    state = run.folder / "results/model/state.safetensors"
    wait_for(state.exists)
    job = run.jobs("train")[before]["JobId"]
    run.slurm("scontrol", "update", f"JobId={job}", "EndTime=now")
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 1
    assert "SLURM status is: 'TIMEOUT'" in said
    assert "Rule train ran into its time limit: raise `runtime` of the rule in the profile" in said

    run.configure(train=long | {"max_minutes": 0.05})
    again = run("--", target)
    assert again.returncode == 0, again.stdout
    assert "train: going on at step" in (run.folder / "logs/train.log").read_text()


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        ("slurm_partition=nowhere", "names a partition that this cluster does not have"),
        ("runtime=6000", "asks for more time than its partition allows"),
        ("mem_mb=9000000", "asks for more than any node of its partition has"),
    ],
)
def test_what_the_cluster_refuses_is_a_sentence_with_its_remedy(
    run: Run, finished: subprocess.CompletedProcess[str], resources: str, sentence: str
) -> None:
    assert finished.returncode == 0
    options = ("--retries", "0", "--force", "--set-resources", f"select:{resources}")
    result = run(*options, "--", "results/training/tiles.parquet")
    assert result.returncode == 1
    assert f"Rule select {sentence}" in result.stdout


def test_a_cluster_without_gpus(checkout: Path, new_slurm: Callable[..., Slurm], run: Run) -> None:
    bare = Run(checkout, run.folder, new_slurm(gpus=0))
    result = bare("--retries", "0", "--force", "--", "results/segmented/1.parquet")
    assert result.returncode == 1
    assert "Rule segment asks for" in result.stdout
    assert "leave GPUs out (train and segment run on CPUs too)" in result.stdout
