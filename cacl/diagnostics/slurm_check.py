"""Ask Slurm whether it would accept the jobs of a Snakemake profile, without submitting any."""

from __future__ import annotations

import ast
import operator
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from cacl.diagnostics.check_result import CheckResult, CheckStatus, check
from cacl.diagnostics.slurm_errors import remedy_for
from cacl.errors import ConfigError

COMMAND_TIMEOUT_S = 30
ASK_ADMINISTRATOR = "ask the administrator of the cluster"
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


def check_slurm(profile: Mapping[str, Any]) -> Iterator[CheckResult]:
    """Check Slurm's programs, controller, accounting, preemption, and the request of every rule.

    The resources of each rule are passed to `sbatch --test-only`, for the first and for the last
    attempt, so that Slurm itself checks partition, account, time, memory and GPUs.

    Parameters
    ----------
    profile
        A Snakemake profile as read from YAML.
    """
    missing = [name for name in ("sbatch", "squeue", "scontrol") if shutil.which(name) is None]
    if missing:
        remedy = "log in to a machine that submits jobs, or omit the profile"
        yield CheckResult("Slurm", CheckStatus.FAIL, f"no {', '.join(missing)} on PATH", remedy)
        return
    process = _run("scontrol", "show", "config")
    if process.returncode:
        remedy = f"{ASK_ADMINISTRATOR}; `scontrol ping` must print UP"
        yield CheckResult("Slurm", CheckStatus.FAIL, _last_line(process), remedy)
        return
    slurm = dict(re.findall(r"^(\w+)\s*= (.*)$", process.stdout, re.MULTILINE))
    yield CheckResult("Slurm", CheckStatus.OK, f"{slurm.get('SLURM_VERSION', '?')} responds")
    yield _check_accounting(slurm, profile)
    yield from _check_min_job_age(slurm, profile)
    yield _check_preemption(slurm, profile)
    retries = int(profile.get("retries", 0))
    for rule in ["default", *profile.get("set-resources", {})]:
        yield _check_request(profile, rule, retries)


def _check_accounting(slurm: Mapping[str, str], profile: Mapping[str, Any]) -> CheckResult:
    name, command = "Slurm accounting", profile.get("slurm-status-command")
    enabled = not slurm.get("AccountingStorageType", "").endswith("none")
    if enabled and _run("sacct", "-n", "-X").returncode == 0:
        return CheckResult(name, CheckStatus.OK, f"sacct responds; the profile uses {command}")
    accounting = "enabled, but sacct does not respond" if enabled else "none"
    if command == "squeue":
        return CheckResult(name, CheckStatus.OK, f"{accounting}; the profile uses squeue")
    remedy = "add `slurm-status-command: squeue` to the profile, or a run waits forever"
    detail = f"{accounting}; the profile uses {command or 'sacct'}"
    return CheckResult(name, CheckStatus.FAIL, detail, remedy)


def _check_min_job_age(
    slurm: Mapping[str, str], profile: Mapping[str, Any]
) -> Iterator[CheckResult]:
    """Check that squeue lists a finished job (MinJobAge) until the run asks for its status."""
    min_job_age_s = int(slurm.get("MinJobAge", "0").split()[0])
    needed_s = 3 * int(profile.get("slurm-init-seconds-before-status-checks", 40))
    if profile.get("slurm-status-command") == "squeue":
        remedy = (
            "lower slurm-init-seconds-before-status-checks in the profile to "
            f"{min_job_age_s // 3}, or ask for a longer MinJobAge"
        )
        detail = f"finished jobs are listed for {min_job_age_s} s, at least {needed_s} s expected"
        yield check("Slurm MinJobAge", min_job_age_s >= needed_s, detail, remedy)


def _check_preemption(slurm: Mapping[str, str], profile: Mapping[str, Any]) -> CheckResult:
    name, mode = "Slurm preemption", slurm.get("PreemptMode", "OFF")
    if "CANCEL" in mode:
        remedy = (
            "a preempted job is cancelled while the run still waits for it: stop the run with "
            "Ctrl-C and start it again, it continues where it stopped"
        )
        return CheckResult(name, CheckStatus.WARN, mode, remedy)
    if "REQUEUE" in mode and not profile.get("slurm-requeue"):
        remedy = "add `slurm-requeue: true` to the profile"
        return CheckResult(name, CheckStatus.FAIL, f"{mode}, jobs are not requeued", remedy)
    return CheckResult(name, CheckStatus.OK, mode)


def _check_request(profile: Mapping[str, Any], rule: str, retries: int) -> CheckResult:
    name = f"Slurm job of {'other rules' if rule == 'default' else rule}"
    for attempt in sorted({1, retries + 1}):
        options = sbatch_options(profile, rule, attempt)
        process = _test_submit(options)
        if process.returncode == 0:
            continue
        remedy = remedy_for(process.stdout + process.stderr) or ASK_ADMINISTRATOR
        if _requests_gpus(options) and _accepts_gres(options):
            remedy = 'write `gres: "gpu:1"` instead of `gpu: 1` in the profile'
        status = CheckStatus.FAIL if attempt == 1 else CheckStatus.WARN
        detail = f"attempt {attempt}: {_last_line(process)} ({' '.join(options)})"
        return CheckResult(name, status, detail, remedy)
    return CheckResult(name, CheckStatus.OK, " ".join(sbatch_options(profile, rule, 1)))


def _requests_gpus(options: list[str]) -> bool:
    return any(option.startswith("--gpus=") for option in options)


def _accepts_gres(options: list[str]) -> bool:
    """Return whether Slurm accepts the job with `--gres` instead of `--gpus`."""
    gres = [option.replace("--gpus=", "--gres=gpu:") for option in options]
    return _test_submit(gres).returncode == 0


def sbatch_options(profile: Mapping[str, Any], rule: str, attempt: int) -> list[str]:
    """Return a rule's resources as options of `sbatch`, as the Snakemake plugin writes them.

    Parameters
    ----------
    profile
        A Snakemake profile as read from YAML.
    rule
        A rule; one that the profile does not name has the default resources.
    attempt
        1 for the first attempt; resources may depend on it.

    Raises
    ------
    ConfigError
        A resource is not an arithmetic expression of numbers and `attempt`.
    """
    overrides = profile.get("set-resources", {}).get(rule, {})
    resources = profile.get("default-resources", {}) | overrides
    options = []
    for name, option in (
        ("slurm_partition", "--partition={}"),
        ("slurm_account", "--account={}"),
        ("qos", "--qos={}"),
        ("gpu", "--gpus={}"),
        ("gres", "--gres={}"),
        ("constraint", "--constraint={}"),
    ):
        if resources.get(name):
            options.append(option.format(resources[name]))
    for name, option in (("runtime", "--time={}"), ("mem_mb", "--mem={}")):
        if resources.get(name):
            options.append(option.format(int(evaluate_resource(resources[name], attempt))))
    threads = profile.get("set-threads", {}).get(rule, 1)
    return [*options, f"--cpus-per-task={threads}"]


def evaluate_resource(value: object, attempt: int) -> float:
    """Return the number of a resource such as `2000 * attempt`.

    Raises
    ------
    ConfigError
        The resource is not an arithmetic expression of numbers and `attempt`.
    """

    def evaluate(node: ast.expr) -> float:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return node.value
        if isinstance(node, ast.Name) and node.id == "attempt":
            return attempt
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            number: float = OPERATORS[type(node.op)](evaluate(node.left), evaluate(node.right))
            return number
        raise ConfigError(
            f"The profile's resource {value!r} cannot be checked; expected numbers and `attempt`"
        )

    try:
        return evaluate(ast.parse(str(value), mode="eval").body)
    except SyntaxError as error:
        raise ConfigError(
            f"The profile's resource {value!r} is not an arithmetic expression; expected numbers "
            "and `attempt`"
        ) from error


def _test_submit(options: list[str]) -> subprocess.CompletedProcess[str]:
    return _run("sbatch", "--test-only", *options, "--wrap", "true")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  # nosec B603  # a list, no shell
            command, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _last_line(process: subprocess.CompletedProcess[str]) -> str:
    lines = (process.stderr or process.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit status {process.returncode}"
