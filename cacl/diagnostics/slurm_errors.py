"""Explain failures that Slurm, a full disk or a crash caused: one sentence with the remedy."""

from __future__ import annotations

import errno
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RERUN = "then run the same command again: it continues where it stopped"
DISK_FULL = (
    f"ran out of disk space: free some space (`cacl estimate` says how much is needed), {RERUN}."
)
PROBE_BYTES = 1_000_000


@dataclass(frozen=True)
class Remedy:
    """The explanation of an error message: a pattern, and the sentence that follows the rule."""

    pattern: re.Pattern[str]
    sentence: str


def _remedy(pattern: str, sentence: str) -> Remedy:
    return Remedy(re.compile(pattern, re.IGNORECASE | re.MULTILINE), sentence)


CRASH = _remedy(
    r"^Fatal Python error: (Segmentation fault|Bus error|Aborted)|memory allocation of \d+ bytes f",
    "crashed in a library, as some libraries do when the memory is short: give the job more memory "
    f"(ulimit -v; on Slurm: mem_mb of the profile) or fewer threads, {RERUN}; if it crashes again, "
    "report it with the log.",
)
REMEDIES = (
    CRASH,
    _remedy(
        r"SLURM status is: 'TIMEOUT'|DUE TO TIME LIMIT",
        "ran into its time limit: raise `runtime` of the rule in the profile (below its "
        f"partition's limit, sinfo -o '%P %l'), or make census.shards larger, {RERUN}.",
    ),
    _remedy(
        r"SLURM status is: 'OUT_OF_MEMORY'|oom.kill|exceeded (job )?memory limit",
        f"was killed for memory: raise `mem_mb` of the rule in the profile, {RERUN}.",
    ),
    _remedy(
        r"SLURM status is: '(PREEMPTED|CANCELLED[^']*)'|CANCELLED AT .* DUE TO PREEMPTION",
        "was cancelled or preempted: if you did not cancel it, choose a partition without "
        f"preemption, {RERUN}.",
    ),
    _remedy(
        r"SLURM status is: '(NODE_FAIL|BOOT_FAIL)'|due to a node failure",
        f"lost its node: no change is needed; {RERUN.removeprefix('then ')}.",
    ),
    _remedy(
        r"invalid partition|partition .* not (exist|available)",
        "requests a partition that this cluster does not have: set `slurm_partition` in the "
        f"profile to one of `sinfo -s`, {RERUN}.",
    ),
    _remedy(
        r"invalid account|account/partition combination|account \S+ appears to be invalid",
        "requests an account that you cannot use there: set `slurm_account` in the profile to "
        f"one of `sacctmgr show assoc user=$USER format=account,partition`, {RERUN}.",
    ),
    _remedy(
        r"invalid generic resource|gres.*(invalid|specification)|invalid gres|"
        r"gres option unsupported|"
        r"(invalid|unrecognized) (option|argument).*gpus",
        'requests a GPU by an option that this cluster does not support: write `gres: "gpu:1"` '
        "instead of `gpu: 1` in the profile, or omit both to run train and segment on CPUs, "
        f"{RERUN}.",
    ),
    _remedy(
        r"requested time limit is invalid|time limit.*exceeds",
        "requests more time than its partition allows (sinfo -o '%P %l'): lower `runtime` in the "
        f"profile, or choose another partition, {RERUN}.",
    ),
    _remedy(
        r"requested node configuration is not available|memory specification can not be satisfied",
        "requests more than any node of its partition has (sinfo -o '%P %c %m %G'): lower `mem_mb` "
        "or threads in the profile, omit GPUs (train and segment run on CPUs too), or choose "
        f"another partition, {RERUN}.",
    ),
    _remedy(r"no space left on device|disk quota exceeded", DISK_FULL),
    _remedy(
        r"some output files are missing|missing files after \d+ seconds",
        "wrote files that did not appear in time: raise `latency-wait` in the profile (network "
        f"file systems show new files with a delay), {RERUN}.",
    ),
    _remedy(
        r"unable to contact slurm controller|slurm_load_jobs error",
        f"could not reach Slurm's controller: wait until `squeue` responds, {RERUN}.",
    ),
)


def explain(log: Path, folder: Path = Path()) -> list[str]:
    """Return one sentence per failed rule and cause that Snakemake's log reveals.

    Parameters
    ----------
    log
        Log of the Snakemake process.
    folder
        The run's working directory; paths of job logs in the messages are relative to it.
    """
    sentences = {
        f"{rule} {remedy.sentence}": None
        for rule, text in _errors(_read(log), folder)
        for remedy in REMEDIES
        if remedy.pattern.search(text)
    }
    if not any(DISK_FULL in sentence for sentence in sentences) and not has_space(folder):
        sentences[f"The run {DISK_FULL}"] = None
    return list(sentences)


def has_space(folder: Path) -> bool:
    """Return whether one more megabyte fits on the disk; logs are also lost on a full disk."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
    except OSError as error:
        return error.errno not in (errno.ENOSPC, errno.EDQUOT)
    return True


def remedy_for(text: str) -> str:
    """Return the remedy for an error message of sbatch; empty if the message is unknown."""
    sentences = (remedy.sentence for remedy in REMEDIES if remedy.pattern.search(text))
    return next(sentences, "").partition(": ")[2].partition(", then")[0]


def _errors(text: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the rule and the text of every error, including the logs that the error lists."""
    parts = re.split(r"^Error in rule (\w+)(?:, jobid: \d+)?:?$", text, flags=re.MULTILINE)
    for rule, body in zip(parts[1::2], parts[2::2], strict=True):
        entry = body.split("\n\n")[0]
        logs = re.findall(r"(\S+\.log)\b", entry)
        yield f"Rule {rule}", "\n".join([entry, *(_read(folder / name) for name in logs)])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
