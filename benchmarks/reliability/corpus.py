"""End, peak memory and time of every image and table of the corpus of `tests/corpus`, each alone.

Usage: python -m benchmarks.reliability.corpus [--out FILE]

An image runs through `acquire` and `tile` in a forked process whose libraries are loaded. The exit
status is 1 if a case ends otherwise than it must.
"""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks._lib.report import RESULTS, load_note, write_table
from tests.corpus import images, tables
from tests.corpus.image_case import Corpus, Outcome
from tests.corpus.table_case import run_case

TIMEOUT_S = 120
MAX_CHARACTERS = 80
MB = 2**20 / 1e6
HEADER = ("kind", "case", "end", "peak MB above start", "CPU s")
FORK = multiprocessing.get_context("fork")

Row = tuple[str, str, Outcome]


def main() -> None:
    """Run all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "corpus.md")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    load_before = os.getloadavg()[0]
    rows = [*image_rows(), *table_rows()]
    cells = [
        [kind, text(name), text(each.end), f"{each.peak_mb:.1f}", f"{each.seconds:.2f}"]
        for kind, name, each in rows
    ]
    wrong = [f"{kind}, {name}: {text(part)}" for kind, name, o in rows for part in o.differences]
    notes = [*summary(rows), f"cases that end otherwise than they must: {len(wrong)}"]
    write_table(options.out, "Corpus", [*notes, *wrong, load_note(load_before)], HEADER, cells)
    sys.exit(bool(wrong))


def image_rows() -> Iterator[Row]:
    """Yield the end of each image, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images.write_corpus(folder)
        gc.collect()
        gc.freeze()  # a child would copy the pages of all objects to search them
        for number, case in enumerate(images.CASES):
            yield "image", case.name, alone(folder, number)


def alone(folder: Path, number: int) -> Outcome:
    """Measure an image in a forked process, which has no threads of other images."""
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=send_outcome, args=(sender, folder, number))
    process.start()
    sender.close()
    try:
        if receiver.poll(TIMEOUT_S):
            outcome: Outcome = receiver.recv()
            return outcome
        return Outcome("hang", (f"no end after {TIMEOUT_S} s",), 0.0, TIMEOUT_S)
    except EOFError:
        return Outcome("crash", ("the process ended without an outcome",), 0.0, 0.0)
    finally:
        process.kill()
        process.join()


def send_outcome(sender: Connection, folder: Path, number: int) -> None:
    """Load the libraries, then measure an image."""
    corpus = Corpus(folder)
    corpus.load_libraries()
    sender.send(corpus.measure(number, images.CASES[number]))


def table_rows() -> Iterator[Row]:
    """Yield the end of each table or list; its memory is what Python allocates."""
    for case in tables.CASES:
        with tempfile.TemporaryDirectory() as name:
            ended = run_case(case, Path(name))
        sentence = ended.sentence.replace(f"{name}/", "")
        end = sentence or ", ".join(sorted(set(ended.failures.values()))) or "right value"
        differences = tuple(tables.differences(case, ended))
        yield str(case.kind), case.name, Outcome(end, differences, ended.mib * MB, ended.seconds)


def summary(rows: list[Row]) -> Iterator[str]:
    """Yield the number of cases by their end, and the largest memory and time."""
    ends = Counter(each.end for kind, _, each in rows if kind == "image")
    yield f"{ends.total()} images: " + ", ".join(f"{n} {end}" for end, n in ends.most_common())
    kinds = Counter(str(case.end) for case in tables.CASES)
    yield f"{kinds.total()} tables: " + ", ".join(f"{n} {end}" for end, n in kinds.most_common())
    for what, are_images in (("image", True), ("table", False)):
        group = [each for kind, _, each in rows if (kind == "image") == are_images]
        peak_mb, seconds = max(e.peak_mb for e in group), max(e.seconds for e in group)
        yield f"largest values of one {what}: {peak_mb:.0f} MB, {seconds:.1f} s of CPU time"
    yield "memory: resident (images), allocated by Python (tables); MB are 10^6 bytes"


def text(value: str) -> str:
    """Return a value as a cell of Markdown, shortened."""
    line = " ".join(value.split())
    short = line if len(line) <= MAX_CHARACTERS else f"{line[:MAX_CHARACTERS]}..."
    return short.replace("|", "\\|")


if __name__ == "__main__":
    main()
