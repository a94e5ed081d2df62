"""Fuzz the readers of everything that comes from outside; see `tests/fuzz`.

Cases are numbered, and a number gives the same case everywhere. Blocks of 1,000 cases are kept in a
folder of state, so that an interrupted run goes on, and several processes share the work. What a
reader does not handle is saved there with its files and the shortest genome that still shows it.

A target whose row in the table has all cases is not run again unless it is named: the work of hours
may be spread over several calls. Each row states the code that it is of.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from benchmarks._lib.report import CHECKOUT, RESULTS, write_table
from tests.fuzz.engine import Finding, Tally, run_genomes, run_seeded
from tests.fuzz.genome import Genome
from tests.fuzz.targets import BY_NAME, TARGETS

BLOCK = 1_000
HEADER = (
    "target",
    "cases",
    "accepted",
    "distinct errors",
    "crashes",
    "seconds",
    "seed",
    "commits (blocks)",
    "how cases are made",
)


def main() -> None:
    """Run the missing blocks of each target, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000, help="cases of each target")
    parser.add_argument("--target", action="append", choices=sorted(BY_NAME), help="repeat")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, default=CHECKOUT / ".fuzz", help="folder of blocks")
    parser.add_argument("--out", type=Path, default=RESULTS / "fuzz.md")
    parser.add_argument("--table-only", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    state, seed = arguments.state, arguments.seed
    if not arguments.table_only:
        rows = read_rows(arguments.out)
        missing = [
            target.name
            for target in TARGETS
            if int(rows.get(target.name, ("", "0"))[1].replace(",", "")) < arguments.cases
        ]
        for name in arguments.target or missing:
            run_target(name, arguments.cases, seed, state)
    write_results(state, seed, arguments.out)


def run_target(name: str, cases: int, seed: int, state: Path) -> None:
    """Run the blocks of a target that no process has run or is running."""
    for first in range(0, cases, BLOCK):
        path = state / name / f"{seed}-{first}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(f"{path}.lock", blocking=False):
                if not path.exists():
                    tally = run_seeded(name, range(first, min(cases, first + BLOCK)), seed)
                    save_findings(name, tally, state)
                    path.write_text(json.dumps({"commit": commit(), **as_json(tally)}))
                    print(
                        f"{name}: {first + tally.cases}, {len(tally.findings)} findings", flush=True
                    )
        except Timeout:
            continue  # another process runs this block


def as_json(tally: Tally) -> dict[str, Any]:
    """Return a tally as values of JSON; `asdict` alone breaks a Counter."""
    return vars(tally) | {"findings": {name: asdict(each) for name, each in tally.findings.items()}}


def save_findings(name: str, tally: Tally, state: Path) -> None:
    """Save the files and the shortest genome of each finding that is new."""
    for outcome, finding in tally.findings.items():
        digest = hashlib.sha256(outcome.encode()).hexdigest()[:8]
        folder = state / "findings" / f"{name}-{digest}"
        if folder.exists():
            continue
        genome = shortest(name, outcome, bytes.fromhex(finding.genome))
        for file, data in BY_NAME[name].make(Genome(genome)).items():
            (folder / "files" / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / "files" / file).write_bytes(data)
        (folder / "finding.txt").write_text(f"{outcome}\ngenome {genome.hex()}\n{finding.text}\n")
        print(f"{name}: {outcome}: {folder}", flush=True)


def shortest(name: str, outcome: str, genome: bytes) -> bytes:
    """Return a shorter genome, with more zeros, that has the same outcome."""
    step = len(genome)
    while step:
        candidates = [
            genome[:start] + middle + genome[start + step :]
            for start in range(0, len(genome), step)
            for middle in (b"", bytes(step))
        ]
        better = first_with(name, outcome, [each for each in candidates if each != genome])
        if better is None:
            step //= 2
        else:
            genome = better
    return genome


def first_with(name: str, outcome: str, genomes: Sequence[bytes]) -> bytes | None:
    """Return the first genome with an outcome; None also where a case ends the process."""
    for start in range(0, len(genomes), 64):
        tally = run_genomes(name, list(genomes[start : start + 64]))
        if outcome in tally.findings:
            return bytes.fromhex(tally.findings[outcome].genome)
    return None


def read_rows(table: Path) -> dict[str, tuple[str, ...]]:
    """Return the rows of a table that this module wrote, by target; none of another layout."""
    lines = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    cells = [tuple(line.strip("| ").split(" | ")) for line in lines if line.startswith("| ")]
    return {row[0]: row for row in cells[2:]} if cells[:1] == [HEADER] else {}


def write_results(state: Path, seed: int, out: Path) -> None:
    """Write the table: rows of the blocks that exist, and of earlier calls for other targets."""
    rows = read_rows(out)
    for target in TARGETS:
        tally, commits = Tally(), Counter[str]()
        for block, code in read_blocks(state / target.name, seed):
            tally.add(block)
            commits[code] += 1
        if not commits:
            continue
        accepted = tally.outcomes.pop("accepted", 0)
        errors = len(tally.outcomes.keys() - tally.findings.keys())
        codes = ", ".join(f"{code} ({count})" for code, count in sorted(commits.items()))
        rows[target.name] = (
            target.name, f"{tally.cases:,}", f"{accepted:,}", str(errors), str(len(tally.findings)),
            f"{tally.seconds:,.0f}", str(seed), codes, target.strategy,
        )  # fmt: skip
    notes = [
        "accepted: a reader returned a value; other cases ended in an error of `cacl.errors`",
        "distinct errors: classes, reasons and lines of the code that raised them",
        "crashes: distinct other errors, hangs, memory limits, native crashes, forbidden acts",
        f"commits: of the code, and the blocks of {BLOCK:,} cases that ran on it",
    ]
    names = [target.name for target in TARGETS if target.name in rows]
    write_table(out, "Fuzzing", notes, HEADER, [rows[name] for name in names])


def read_blocks(folder: Path, seed: int) -> Iterator[tuple[Tally, str]]:
    """Yield tally and commit of each block of a target."""
    for path in sorted(folder.glob(f"{seed}-*.json")):
        values = json.loads(path.read_text())
        code = values.pop("commit")
        findings = {name: Finding(**each) for name, each in values.pop("findings").items()}
        outcomes = Counter(values.pop("outcomes"))
        yield Tally(**values, outcomes=outcomes, findings=findings), code


def commit() -> str:
    """Return the commit of the checkout; it ends in -dirty for changed files."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(  # nosec B603  # a list, no shell
        command, cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
