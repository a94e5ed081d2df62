"""Kill and disturb a census in every step, and compare it with one that nothing disturbed.

Usage: python -m benchmarks.reliability.chaos [--kills 25] [--single 10] [--seed 0]
    [--presets paper robust] [--no-faults] [--folder FOLDER] [--out FILE]

For each preset one census runs undisturbed. A second one is killed: `--kills` times as a whole,
`--single` times one of its jobs. A third one meets every fault in every step: a full disk, a
read-only folder, few file handles, little memory; root is needed to mount its disks. Each time the
same command goes on. At the end every product must equal that of the first byte for byte, and
nothing may be left over. The exit status is 1 otherwise.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks._lib.report import RESULTS, load_note, write_table
from benchmarks.reliability.census import NOT_COMPARED, PRESETS, STEPS, Census, problems
from benchmarks.reliability.faults import (
    FULL_DISK,
    READ_ONLY,
    Fault,
    few_handles,
    little_memory,
    repair,
    sentence_problems,
    small_disks,
    with_fault,
)
from benchmarks.reliability.kills import PLANNING, Killed, kill, plan_kills

HANDLES = 8
MEMORY_SHARES = (0.9, 0.7)
"""Limits of the address space as shares of what the step takes."""


def disturb_by_kills(
    census: Census, kills: int, single_jobs: int, seed: int, seconds: Mapping[str, float]
) -> list[Killed]:
    """Kill a census until it was killed as often as wanted, then let it end."""
    killed = []
    for planned in plan_kills(kills, single_jobs, seed):
        start = time.monotonic()
        one = kill(census, planned, seconds)
        if one is None:
            break
        killed.append(one)
        census.unlock()
        print(
            f"{len(killed)}. {planned.step} at {planned.fraction:.2f}"
            f"{', one job' if planned.single else ''}: {', '.join(one.running) or 'no job'} "
            f"({time.monotonic() - start:.0f} s)",
            flush=True,
        )
    status, output = census.run()
    if status:
        raise RuntimeError(output)
    return killed


def faults(peaks_kb: Mapping[str, int], step: str) -> list[Fault]:
    """Return the faults of a step."""
    return [
        FULL_DISK,
        READ_ONLY,
        few_handles(HANDLES),
        *(little_memory(int(share * peaks_kb[step])) for share in MEMORY_SHARES),
    ]


def disturb_by_faults(
    census: Census, scripts: Path, peaks_kb: Mapping[str, int]
) -> Iterator[tuple[str, str, str]]:
    """Bring about every fault in every step; yield step, fault and how it ended."""
    for step in STEPS:
        for fault in faults(peaks_kb, step):
            disturbed = with_fault(census, scripts, fault, step)
            # A step that an earlier limit let finish runs again, else the fault would not be tried.
            status, output = disturbed.run("--forcerun", step, "--", *census.targets(step))
            repair(census.folder)
            wrong = ", ".join(sentence_problems(fault, status, output))
            end = wrong and f"PROBLEM: {wrong}"
            end = end or (f"status {status} and a sentence" if status else "ended as usual")
            print(f"{step}: {fault.name}: {end}", flush=True)
            yield step, fault.name, end
    status, output = census.run()
    if status:
        raise RuntimeError(output)


def kill_rows(preset: str, killed: list[Killed], found: list[str]) -> list[list[str]]:
    """Return the rows of the table for the kills of a preset."""
    whole = Counter(one.kill.step for one in killed if not one.kill.single)
    single = Counter(one.kill.step for one in killed if one.kill.single)
    outcome = "equal" if not found else f"{len(found)} problems"
    return [
        [preset, step, str(whole[step]), str(single[step]), "", outcome]
        for step in (PLANNING, *STEPS)
    ]


def main() -> None:
    """Disturb censuses and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--single", type=int, default=len(STEPS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--presets", nargs="+", default=[*PRESETS], choices=[*PRESETS])
    parser.add_argument("--no-faults", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS / "chaos.md")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    folder = options.folder or Path(tempfile.mkdtemp())
    rows, all_problems, compared = list[list[str]](), list[str](), 0
    for preset in options.presets:
        reference = Census(folder / preset / "undisturbed", PRESETS[preset])
        status, output, peaks = reference.run_measured()
        if status:
            raise SystemExit(output[-3000:])
        products = reference.products()
        seconds = {step: reference.seconds(step) for step in STEPS}
        compared += len(products)
        census = Census(folder / preset / "killed", PRESETS[preset])
        killed = disturb_by_kills(census, options.kills, options.single, options.seed, seconds)
        found = problems(census, products)
        wanted = options.kills + options.single
        if len(killed) < wanted:
            found.append(f"only {len(killed)} of {wanted} kills before the run was done")
        rows += kill_rows(preset, killed, found)
        all_problems += [f"{preset}, killed: {line}" for line in found]
        if not options.no_faults:
            census = Census(folder / preset / "faults", PRESETS[preset])
            with small_disks(census.folder):
                ends = list(disturb_by_faults(census, folder / preset / "scripts", peaks))
                found = problems(census, products)
            all_problems += [
                f"{preset}, {step}, {name}: {end}" for step, name, end in ends if "PROBLEM" in end
            ]
            all_problems += [f"{preset}, faults: {line}" for line in found]
            outcome = "equal" if not found else f"{len(found)} problems"
            rows += [[preset, step, "", "", f"{name}: {end}", outcome] for step, name, end in ends]
        notes = [
            f"seed {options.seed}; {compared} files compared; not compared: "
            + "; ".join(f"`{name}` ({reason})" for name, reason in NOT_COMPARED.items()),
            load_note(load),
            *(f"PROBLEM: {line}" for line in all_problems),
        ]
        header = ["preset", "step", "kills of the run", "kills of one job", "fault", "end"]
        write_table(options.out, "Killed and disturbed censuses", notes, header, rows)
    if options.folder is None:
        shutil.rmtree(folder)
    sys.exit(bool(all_problems))


if __name__ == "__main__":
    main()
