"""Run the cases of a target in a process of its own, which a native crash or a hang may end.

The process writes the genome of each case before it runs it and the outcome after it, so that the
case that killed the process is known.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from tests.fuzz.genome import Genome
from tests.fuzz.guard import Guard, Outcome, limit_memory
from tests.fuzz.targets import BY_NAME

SECONDS_PER_CASE = 20.0
SECONDS_WITHOUT_OUTCOME = 90.0
LENGTHS = (8, 16, 32, 64, 128, 256)
SUMMARY = "end"
RunGenome = Callable[[bytes], Outcome]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.fuzz.targets"])


@dataclass(frozen=True)
class Finding:
    """A case that a reader does not handle: its genome (hexadecimal) and what happened."""

    genome: str
    text: str


@dataclass
class Tally:
    """Outcomes of cases.

    Parameters
    ----------
    cases
        Number of cases.
    outcomes
        Number of cases by name of the outcome.
    findings
        The first finding of each name.
    seconds
        Wall time, with the start of the process.
    """

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, other: Tally) -> None:
        """Add another tally."""
        self.cases += other.cases
        self.outcomes += other.outcomes
        self.findings = other.findings | self.findings
        self.seconds += other.seconds


def genome_of(target: str, number: int, seed: int) -> bytes:
    """Return the genome of a numbered case; that of case 0 is empty, a valid file."""
    if number == 0:
        return b""
    rng = random.Random(f"{seed}/{target}/{number}")
    return rng.randbytes(rng.choice(LENGTHS))


def run_seeded(target: str, numbers: range, seed: int = 0) -> Tally:
    """Run numbered cases; a case that kills the process is a finding, and the rest goes on."""
    tally = Tally()
    while len(numbers):
        done = _run_process(_seeded, target, (numbers.start, numbers.stop, seed))
        tally.add(done)
        numbers = numbers[done.cases :]
    return tally


def run_hypothesis(target: str, cases: int) -> Tally:
    """Run cases that hypothesis chooses, the same in every run; it shrinks the first finding."""
    return _run_process(_hypothesis, target, (cases,))


def run_genomes(target: str, genomes: list[bytes]) -> Tally:
    """Run given cases; the first that kills the process is the last."""
    return _run_process(_given_genomes, target, (genomes,))


def _seeded(target: str, run: RunGenome, first: int, stop: int, seed: int) -> None:
    for number in range(first, stop):
        run(genome_of(target, number, seed))


def _given_genomes(_target: str, run: RunGenome, genomes: list[bytes]) -> None:
    for genome in genomes:
        run(genome)


def _hypothesis(_target: str, run: RunGenome, cases: int) -> None:
    from hypothesis import HealthCheck, Phase, example, given, settings
    from hypothesis import strategies as st

    @settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(max_size=LENGTHS[-1]))
    @example(b"")
    def check(genome: bytes) -> None:
        outcome = run(genome)
        assert not outcome.finding, outcome.name

    check()


def _run_process(engine: Callable[..., None], target: str, arguments: tuple[object, ...]) -> Tally:
    start = time.monotonic()
    memory = Path("/dev/shm")  # a case takes a third of the time there
    base = memory if os.access(memory, os.W_OK) else None
    with TemporaryDirectory(prefix="cacl-fuzz-", dir=base) as folder:
        place = Path(folder)
        process = CONTEXT.Process(target=_work, args=(engine, target, arguments, place))
        process.start()
        end = _wait(process, place / "log")
        tally = _read(place, end)
    tally.seconds = time.monotonic() - start
    return tally


def _wait(process: multiprocessing.process.BaseProcess, log: Path) -> str:
    """Wait for a process; return how it ended, empty if it ended by itself."""
    size, since = -1, time.monotonic()
    while process.is_alive():
        process.join(0.2)
        now = log.stat().st_size if log.exists() else 0
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > SECONDS_WITHOUT_OUTCOME:
            process.kill()
            process.join()
            return f"hang of more than {SECONDS_WITHOUT_OUTCOME:g} s in native code"
    code = process.exitcode
    return "" if code == 0 else f"killed by signal {-code}" if code and code < 0 else f"exit {code}"


def _read(place: Path, end: str) -> Tally:
    """Return the tally of a log; a genome without outcome is of the case that ended it."""
    tally, genome = Tally(), ""
    for line in _lines(place / "log"):
        if "genome" in line:
            genome = line["genome"]
            tally.cases += 1
            continue
        tally.outcomes[line["outcome"]] += 1
        if line.get("finding"):
            tally.findings.setdefault(line["outcome"], Finding(genome, line["finding"]))
        genome = ""
    if end:
        trace = (
            (place / "faults").read_text(errors="replace") if (place / "faults").exists() else ""
        )
        name = f"{end}: {_top(trace)}" if tally.cases else f"the process did not start ({end})"
        tally.outcomes[name] += 1
        tally.cases = max(tally.cases, 1)
        tally.findings[name] = Finding(genome, trace or end)
    return tally


def _lines(log: Path) -> Iterator[dict[str, str]]:
    for line in log.read_text().splitlines() if log.exists() else ():
        yield json.loads(line)


def _top(trace: str) -> str:
    """Return file and line of the first frame of faulthandler's trace."""
    frames = [line.strip() for line in trace.splitlines() if line.strip().startswith("File")]
    return frames[0] if frames else "no trace"


def _work(
    engine: Callable[..., None], name: str, arguments: tuple[object, ...], place: Path
) -> None:
    """Run an engine in this process: quiet, with its limits, logging every case."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    logging.disable(logging.CRITICAL)
    target = BY_NAME[name]
    faults = (place / "faults").open("w")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    faulthandler.enable(faults)
    folder = place / "case"
    folder.mkdir()
    guard = Guard(folder, SECONDS_PER_CASE)
    guard.run(target.make(Genome(b"")), target.read)  # so that imports count for no case
    limit_memory(target.memory_mb)
    with (place / "log").open("w", buffering=1) as log:

        def run(genome: bytes) -> Outcome:
            _write(log, genome=genome.hex())
            outcome = guard.run(target.make(Genome(genome)), target.read)
            _write(log, outcome=outcome.name, finding=outcome.finding)
            return outcome

        with suppress(AssertionError, ExceptionGroup):  # of hypothesis; the log has the finding
            engine(name, run, *arguments)
    os._exit(0)


def _write(log: TextIO, **values: str) -> None:
    log.write(
        json.dumps({key: value for key, value in values.items() if value or key != "finding"})
    )
    log.write("\n")
