"""Ask a Slurm whether it would take the jobs of a Snakemake profile, without submitting any."""

from __future__ import annotations

import ast
import operator
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from cacl.diagnostics.check_result import CheckStatus, Finding, judged
from cacl.diagnostics.slurm_errors import remedy_for
from cacl.errors import ConfigError

SECONDS_TO_ANSWER = 30
OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


def slurm_findings(profile: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is found of the programs, the controller, accounting, and every rule's request.

    Each rule's resources go to `sbatch --test-only`, for the first attempt and for the last one,
    so that it is Slurm itself who judges partition, account, time, memory and GPUs.
    """
    lacking = [name for name in ("sbatch", "squeue", "scontrol") if shutil.which(name) is None]
    if lacking:
        remedy = "log in to a machine that submits jobs, or leave the profile out"
        yield Finding("Slurm", CheckStatus.MISS, f"no {', '.join(lacking)} on PATH", remedy)
        return
    answer = _run("scontrol", "show", "config")
    if answer.returncode:
        remedy = "ask whoever runs the cluster; `scontrol ping` must answer UP"
        yield Finding("Slurm", CheckStatus.MISS, _last_line(answer), remedy)
        return
    facts = dict(re.findall(r"^(\w+)\s*= (.*)$", answer.stdout, re.MULTILINE))
    yield Finding("Slurm", CheckStatus.OK, f"{facts.get('SLURM_VERSION', '?')} answers")
    yield _accounting(facts, profile)
    yield from _memory_of_jobs(facts, profile)
    yield _preemption(facts, profile)
    retries = int(profile.get("retries", 0))
    for rule in ["default", *profile.get("set-resources", {})]:
        yield _request(profile, rule, retries)


def _accounting(facts: Mapping[str, str], profile: Mapping[str, Any]) -> Finding:
    what, asked = "Slurm accounting", profile.get("slurm-status-command")
    kept = not facts.get("AccountingStorageType", "").endswith("none")
    if kept and _run("sacct", "-n", "-X").returncode == 0:
        return Finding(what, CheckStatus.OK, f"sacct answers; the profile asks {asked}")
    found = "kept, but sacct does not answer" if kept else "none"
    if asked == "squeue":
        return Finding(what, CheckStatus.OK, f"{found}; the profile asks squeue")
    remedy = "write `slurm-status-command: squeue` into the profile, or a run waits for ever"
    return Finding(what, CheckStatus.MISS, f"{found}; the profile asks {asked or 'sacct'}", remedy)


def _memory_of_jobs(facts: Mapping[str, str], profile: Mapping[str, Any]) -> Iterator[Finding]:
    """Squeue forgets an ended job after MinJobAge; a run that asks later never hears of it."""
    kept_s = int(facts.get("MinJobAge", "0").split()[0])
    needed_s = 3 * int(profile.get("slurm-init-seconds-before-status-checks", 40))
    if profile.get("slurm-status-command") == "squeue":
        fine = kept_s >= needed_s
        remedy = (
            f"lower slurm-init-seconds-before-status-checks in the profile to {kept_s // 3}, or "
            "ask for a longer MinJobAge"
        )
        words = f"ended jobs are known for {kept_s} s, at least {needed_s} s expected"
        yield judged("Slurm's memory", fine, words, remedy)


def _preemption(facts: Mapping[str, str], profile: Mapping[str, Any]) -> Finding:
    mode = facts.get("PreemptMode", "OFF")
    if "CANCEL" in mode:
        remedy = (
            "a job that is preempted there is gone while the run still waits for it: stop the run "
            "with Ctrl-C and start it again, it goes on where it stopped"
        )
        return Finding("Slurm preemption", CheckStatus.NOTE, mode, remedy)
    if "REQUEUE" in mode and not profile.get("slurm-requeue"):
        remedy = "write `slurm-requeue: true` into the profile"
        return Finding("Slurm preemption", CheckStatus.MISS, f"{mode}, jobs not requeued", remedy)
    return Finding("Slurm preemption", CheckStatus.OK, mode)


def _request(profile: Mapping[str, Any], rule: str, retries: int) -> Finding:
    what = f"Slurm job of {'other rules' if rule == 'default' else rule}"
    for attempt in sorted({1, retries + 1}):
        options = sbatch_options(profile, rule, attempt)
        answer = _run("sbatch", "--test-only", *options, "--wrap", "true")
        if answer.returncode == 0:
            continue
        said = _last_line(answer)
        remedy = remedy_for(answer.stdout + answer.stderr) or "ask whoever runs the cluster"
        if _asks_gpu(options) and _takes_gres(options):
            remedy = 'write `gres: "gpu:1"` instead of `gpu: 1` in the profile'
        verdict = CheckStatus.MISS if attempt == 1 else CheckStatus.NOTE
        return Finding(what, verdict, f"attempt {attempt}: {said} ({' '.join(options)})", remedy)
    return Finding(what, CheckStatus.OK, " ".join(sbatch_options(profile, rule, 1)))


def _asks_gpu(options: list[str]) -> bool:
    return any(option.startswith("--gpus=") for option in options)


def _takes_gres(options: list[str]) -> bool:
    other = [option.replace("--gpus=", "--gres=gpu:") for option in options]
    return _run("sbatch", "--test-only", *other, "--wrap", "true").returncode == 0


def sbatch_options(profile: Mapping[str, Any], rule: str, attempt: int) -> list[str]:
    """Return the options by which a rule's resources reach `sbatch`, as the plugin writes them.

    Parameters
    ----------
    profile
        A Snakemake profile as read from YAML.
    rule
        A rule; one that the profile does not name has its defaults.
    attempt
        1 for the first; resources may depend on it.

    Raises
    ------
    ConfigError
        A resource is no arithmetic of numbers and `attempt`.
    """
    given = profile.get("default-resources", {}) | profile.get("set-resources", {}).get(rule, {})
    options = []
    for name, option in (
        ("slurm_partition", "--partition={}"),
        ("slurm_account", "--account={}"),
        ("qos", "--qos={}"),
        ("gpu", "--gpus={}"),
        ("gres", "--gres={}"),
        ("constraint", "--constraint={}"),
    ):
        if given.get(name):
            options.append(option.format(given[name]))
    for name, option in (("runtime", "--time={}"), ("mem_mb", "--mem={}")):
        if given.get(name):
            options.append(option.format(int(evaluate(given[name], attempt))))
    threads = profile.get("set-threads", {}).get(rule, 1)
    return [*options, f"--cpus-per-task={threads}"]


def evaluate(value: object, attempt: int) -> float:
    """Return a resource such as `2000 * attempt` as a number.

    Raises
    ------
    ConfigError
        It is something else.
    """

    def number(node: ast.expr) -> float:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return node.value
        if isinstance(node, ast.Name) and node.id == "attempt":
            return attempt
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
            found: float = OPERATIONS[type(node.op)](number(node.left), number(node.right))
            return found
        raise ConfigError(
            f"The profile's resource {value!r} cannot be checked; expected numbers and `attempt`"
        )

    try:
        return number(ast.parse(str(value), mode="eval").body)
    except SyntaxError as error:
        raise ConfigError(f"The profile's resource {value!r} is no arithmetic") from error


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, timeout=SECONDS_TO_ANSWER
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _last_line(answer: subprocess.CompletedProcess[str]) -> str:
    lines = (answer.stderr or answer.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit status {answer.returncode}"
