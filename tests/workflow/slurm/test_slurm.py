"""The demo on a real Slurm with profiles/slurm-gpu: killed, preempted and rejected jobs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from cacl.diagnostics.slurm_check import evaluate_resource
from tests.workflow.slurm.slurm_run import Run, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]

ON_GPU = ("train", "segment")
PER_SHARD = ("acquire", "tile", "segment", "measure")


def test_demo_runs_with_the_resources_of_the_profile(finished: Run, checkout: Path) -> None:
    assert (finished.folder / "results/report/report.html").exists()
    jobs = finished.jobs()
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    rules = [job["Comment"].split("_")[1] for job in jobs]
    single = ["controls", "phantom", "report", "select", "train"]
    assert sorted(rules) == sorted(single + 2 * list(PER_SHARD))

    profile = yaml.safe_load((checkout / "profiles/slurm-gpu/config.yaml").read_text())
    for job, rule in zip(jobs, rules, strict=True):
        resources = profile["default-resources"] | profile["set-resources"].get(rule, {})
        on_gpu = rule in ON_GPU
        assert job["Partition"] == ("gpu" if on_gpu else "cpu"), rule
        assert job["Account"] == "lab"
        assert ("gres:gpu:1" in job.get("TresPerJob", "")) == on_gpu, rule
        assert job["JOB_GRES"] == ("gpu:fake:1" if on_gpu else "(null)"), rule
        assert f"mem={evaluate_resource(resources['mem_mb'], 1):.0f}M" in job["TRES"], rule
        assert minutes(job["TimeLimit"]) == evaluate_resource(resources["runtime"], 1), rule
        assert job["NumCPUs"] == str(profile["set-threads"].get(rule, 1)), rule


def minutes(time_limit: str) -> int:
    days, _, clock = time_limit.rpartition("-")
    hours, minute, _ = clock.split(":")
    return 24 * 60 * int(days or 0) + 60 * int(hours) + int(minute)


def test_job_continues_after_memory_kill_and_preemption(finished: Run, tmp_path: Path) -> None:
    run = finished.copy(tmp_path)
    masks = list(run.folder.glob("results/atlas.zarr/*/*/labels/stain/zarr.json"))
    written_at = [mask.stat().st_mtime_ns for mask in masks]
    assert len(written_at) == 4
    (run.folder / "results/segmented/0.parquet").unlink()
    resources = ("--set-resources", "segment:mem_mb=400*attempt*attempt")
    process = run.start(*resources, "--", "results/segmented/0.parquet")

    def attempts() -> list[dict[str, str]]:
        return run.jobs("segment")

    wait_for(lambda: len(attempts()) == 2 and attempts()[1]["JobState"] == "RUNNING")
    run.slurm("sbatch", "-p", "urgent", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 1")
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output

    killed, preempted = attempts()
    assert "mem=400M" in killed["TRES"]
    assert killed["JobState"] in ("FAILED", "OUT_OF_MEMORY")
    log = next(run.folder.glob(f"logs/slurm/**/{killed['JobId']}.log")).read_text()
    assert re.search("exceeded (job )?memory limit|oom", log, re.IGNORECASE)
    assert "mem=1600M" in preempted["TRES"]
    assert preempted["Restarts"] == "1"
    assert preempted["JobState"] == "COMPLETED"
    assert [mask.stat().st_mtime_ns for mask in masks] == written_at, "a mask was written again"


def test_reports_time_limit_and_resumes_training(finished: Run, tmp_path: Path) -> None:
    run = finished.copy(tmp_path)
    long = {"preset": "paper", "max_steps": 3000, "max_tiles": 16}
    run.configure(train=long)
    target, log = "results/model/model.json", run.folder / "logs/train.log"
    log.unlink()
    process = run.start("--retries", "0", "--", target)
    wait_for(lambda: "train: paper, network 1: step" in text_of(log) or process.poll() is not None)
    (job,) = run.jobs("train")
    run.slurm("scontrol", "update", f"JobId={job['JobId']}", "EndTime=now")
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 1
    assert "SLURM status is: 'TIMEOUT'" in output
    assert (
        "Rule train ran into its time limit: raise `runtime` of the rule in the profile" in output
    )

    run.configure(train=long | {"max_minutes": 0.01})
    again = run("--", target)
    assert again.returncode == 0, again.stdout
    assert "train: resumed at step" in text_of(log)


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.fixture(scope="module")
def spare(finished: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished.copy(tmp_path_factory.mktemp("spare"))


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        ("slurm_partition=nowhere", "requests a partition that this cluster does not have"),
        ("runtime=6000", "requests more time than its partition allows"),
        ("mem_mb=9000000", "requests more than any node of its partition has"),
    ],
)
def test_explains_rejected_job_with_its_remedy(spare: Run, resources: str, sentence: str) -> None:
    options = ("--retries", "0", "--force", "--set-resources", f"select:{resources}")
    result = spare(*options, "--", "results/training/tiles.parquet")
    assert result.returncode == 1
    assert f"Rule select {sentence}" in result.stdout
