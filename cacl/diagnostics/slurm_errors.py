"""Say in a sentence each, with its remedy, what Slurm or a full disk did to a run."""

from __future__ import annotations

import errno
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

AGAIN = "then run the same command again: it goes on where it stopped"
FULL = f"found the disk full: free some space (`cacl estimate` says how much is needed), {AGAIN}."
PROBE_BYTES = 1_000_000


@dataclass(frozen=True)
class Remedy:
    """What a message means, and what to do about it."""

    pattern: re.Pattern[str]
    sentence: str


def _remedy(pattern: str, sentence: str) -> Remedy:
    return Remedy(re.compile(pattern, re.IGNORECASE), sentence)


REMEDIES = (
    _remedy(
        r"SLURM status is: 'TIMEOUT'|DUE TO TIME LIMIT",
        "ran into its time limit: raise `runtime` of the rule in the profile (below its "
        f"partition's limit, sinfo -o '%P %l'), or make census.shards larger, {AGAIN}.",
    ),
    _remedy(
        r"SLURM status is: 'OUT_OF_MEMORY'|oom.kill|exceeded (job )?memory limit",
        f"was killed for memory: raise `mem_mb` of the rule in the profile, {AGAIN}.",
    ),
    _remedy(
        r"SLURM status is: '(PREEMPTED|CANCELLED[^']*)'|CANCELLED AT .* DUE TO PREEMPTION",
        "was cancelled or preempted, not broken: if that was not you, ask for a partition that "
        f"is not preempted, {AGAIN}.",
    ),
    _remedy(
        r"SLURM status is: '(NODE_FAIL|BOOT_FAIL)'|due to a node failure",
        f"lost its node: nothing has to be changed; {AGAIN.removeprefix('then ')}.",
    ),
    _remedy(
        r"invalid partition|partition .* not (exist|available)",
        "names a partition that this cluster does not have: set `slurm_partition` in the profile "
        f"to one of `sinfo -s`, {AGAIN}.",
    ),
    _remedy(
        r"invalid account|account/partition combination|account \S+ appears to be invalid",
        "names an account that you may not use there: set `slurm_account` in the profile to one of "
        f"`sacctmgr show assoc user=$USER format=account,partition`, {AGAIN}.",
    ),
    _remedy(
        r"invalid generic resource|gres.*(invalid|specification)|invalid gres|"
        r"gres option unsupported|"
        r"(invalid|unrecognized) (option|argument).*gpus",
        'asks for a GPU in a way that this cluster does not know: write `gres: "gpu:1"` instead '
        "of `gpu: 1` in the profile, or leave both out to run train and segment on CPUs, "
        f"{AGAIN}.",
    ),
    _remedy(
        r"requested time limit is invalid|time limit.*exceeds",
        "asks for more time than its partition allows (sinfo -o '%P %l'): lower `runtime` in the "
        f"profile, or name another partition, {AGAIN}.",
    ),
    _remedy(
        r"requested node configuration is not available|memory specification can not be satisfied",
        "asks for more than any node of its partition has (sinfo -o '%P %c %m %G'): lower `mem_mb` "
        "or threads in the profile, leave GPUs out (train and segment run on CPUs too), or name "
        f"another partition, {AGAIN}.",
    ),
    _remedy(
        r"no space left on device|disk quota exceeded",
        FULL,
    ),
    _remedy(
        r"some output files are missing|missing files after \d+ seconds",
        "wrote files that were not seen in time: raise `latency-wait` in the profile (network file "
        f"systems show files late), {AGAIN}.",
    ),
    _remedy(
        r"unable to contact slurm controller|slurm_load_jobs error",
        f"could not reach Slurm's controller: wait until `squeue` answers, {AGAIN}.",
    ),
)


def explain(log: Path, folder: Path = Path()) -> list[str]:
    """Return one sentence for each rule and cause that can be told from Snakemake's log.

    Parameters
    ----------
    log
        Log of Snakemake's own process.
    folder
        The run's working directory; logs that the messages name are read below it.
    """
    found = {
        f"{rule} {remedy.sentence}": None
        for rule, text in _errors(_read(log), folder)
        for remedy in REMEDIES
        if remedy.pattern.search(text)
    }
    if not any(FULL in sentence for sentence in found) and not can_be_written(folder):
        found[f"The run {FULL}"] = None
    return list(found)


def can_be_written(folder: Path) -> bool:
    """Return whether a folder takes another megabyte; a full disk keeps logs back as well."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
    except OSError as error:
        return error.errno not in (errno.ENOSPC, errno.EDQUOT)
    return True


def remedy_for(text: str) -> str:
    """Return what to do about Slurm's refusal of a job; empty if that cannot be told."""
    found = (one.sentence for one in REMEDIES if one.pattern.search(text))
    return next(found, "").partition(": ")[2].partition(", then")[0]


def _errors(text: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the rule and the words of every error, with those of the logs that it names."""
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
