"""The corpus of tables and lists; `python -m tests.corpus.tables` prints how each case ends."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.corpus import tables_genes, tables_manifest, tables_other
from tests.corpus.table_case import Case, End, Outcome, run_case

CASES: list[Case] = [*tables_manifest.CASES, *tables_genes.CASES, *tables_other.CASES]


def differences(case: Case, outcome: Outcome) -> list[str]:
    """Return what differs between how a case ends and how it is to end; empty if nothing."""
    found = [
        f"{name}: {outcome.values.get(name)!r} instead of {value!r}"
        for name, value in case.values.items()
        if outcome.values.get(name) != value
    ]
    if bool(case.sentence) != bool(outcome.sentence):
        found.append(f"ends with {outcome.sentence!r}")
    found += [
        f"no {part!r} in {outcome.sentence!r}"
        for part in case.sentence
        if part not in outcome.sentence
    ]
    if not case.sentence and outcome.failures != case.failures:
        found.append(f"failures {outcome.failures} instead of {dict(case.failures)}")
    return found


def main() -> None:
    """Print the number of cases by input and by how they end, and the largest time and memory."""
    logging.disable(logging.CRITICAL)
    counts: Counter[tuple[str, str]] = Counter()
    seconds = mib = 0.0
    wrong: list[str] = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            outcome = run_case(case, Path(folder))
        wrong += [f"{case.kind}, {case.name}: {text}" for text in differences(case, outcome)]
        counts[case.kind, case.end] += 1
        seconds, mib = max(seconds, outcome.seconds), max(mib, outcome.mib)
    lines = ["| input | right value | failure row | sentence |", "|---|---|---|---|"]
    for kind in dict.fromkeys(case.kind for case in CASES):
        ends = (str(counts[kind, end]) for end in End)
        lines.append(f"| {kind} | {' | '.join(ends)} |")
    limits = f"at most {seconds:.1f} s of CPU time and {mib:.0f} MiB each"
    lines += ["", f"{len(CASES)} cases, {len(wrong)} wrong; {limits}", *wrong]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
