"""Speed and memory of reading the file of all genes, `proteinatlas.xml.gz`.

The file is made from the entries of real gene XML (release 18), each copy with ids of its own, and
read in a fresh process: by the parser alone, and by the whole catalog. It is deleted afterwards.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._lib.report import peak_mb, write_up
from cacl.config import LabelsConfig, SourceConfig
from cacl.hpa.gene_xml import read_entries
from cacl.steps.catalog import catalog

HERE = Path(__file__).parents[1]
REAL = HERE.parents[1] / "shared" / "data" / "hpa-xml"
TISSUE = "duodenum"
LEVEL = 6
HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n<proteinAtlas schemaVersion="2.5">\n'
TAIL = b"</proteinAtlas>\n"
TARGET_MB_PER_S, TARGET_MB = 60, 500


def entries_of(folder: Path) -> Iterator[bytes]:
    """Yield the entries of a folder's gene XML again and again, each with ids of its own."""
    entries: list[tuple[bytes, list[bytes]]] = []
    for path in sorted(folder.glob("ENSG*.xml")):
        (gene,) = read_entries(path)
        data = path.read_bytes()
        entry = data[data.index(b"<entry") : data.rindex(b"</entry>") + len(b"</entry>\n")]
        old = [gene.name.ensembl_id, *(antibody.antibody_id for antibody in gene.antibodies)]
        entries.append((entry, [name.encode() for name in old]))
    if not entries:
        raise SystemExit(f"{folder} holds no ENSG*.xml; name a folder with --xml")
    for number in itertools.count():
        entry, (gene_id, *antibody_ids) = entries[number % len(entries)]
        entry = entry.replace(gene_id, f"ENSG{number:011d}".encode())
        for place, antibody_id in enumerate(antibody_ids):
            entry = entry.replace(antibody_id, f"HPA{number * 100 + place:07d}".encode())
        yield entry


def write_bulk(path: Path, folder: Path, size_bytes: int) -> tuple[int, int]:
    """Write the file of all genes; return how many entries and unpacked bytes it has."""
    count, written = 0, len(HEAD) + len(TAIL)
    with gzip.open(path, "wb", LEVEL) as stream:
        stream.write(HEAD)
        for entry in entries_of(folder):
            if written >= size_bytes:
                break
            stream.write(entry)
            written += len(entry)
            count += 1
        stream.write(TAIL)
    return count, written


def read_parser(path: Path) -> int:
    """Read the file with the parser alone; return the number of its genes."""
    return sum(1 for _ in read_entries(path, tissues=frozenset((TISSUE,))))


def read_catalog(path: Path) -> int:
    """Make the catalog of the mirror that the file is in; return the number of its genes."""
    out = path.parent.parent / "out"
    source = SourceConfig(kind="mirror", mirror=path.parent.parent, genes=("all",))
    return catalog(out, out / "failures.csv", source, LabelsConfig(), shards=4).genes


READERS = {"parser": read_parser, "catalog": read_catalog}


@dataclass(frozen=True)
class Taken:
    """What one reading took."""

    genes: int
    wall_s: float
    cpu_s: float
    peak_mb: float


def measure(reader: str, path: Path) -> Taken:
    """Read the file in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    genes = READERS[reader](path)
    return Taken(genes, time.perf_counter() - wall, time.process_time() - cpu, peak_mb())


def measured(reader: str, path: Path, entries: int) -> Taken:
    """Measure a reader in a fresh process."""
    command = [sys.executable, __file__, "--measure", reader, str(path)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    taken = Taken(**json.loads(said.splitlines()[-1]))
    if taken.genes != entries:
        raise SystemExit(f"The {reader} found {taken.genes} genes, expected {entries}")
    return taken


def row(reader: str, path: Path, entries: int, size_bytes: int, runs: int) -> list[str]:
    """Measure a reader several times; return its row of the table."""
    taken = [measured(reader, path, entries) for _ in range(runs)]
    speeds = sorted(size_bytes / 1e6 / one.cpu_s for one in taken)
    return [
        reader,
        f"{size_bytes / 1e6:,.0f}",
        f"{path.stat().st_size / 1e6:,.0f}",
        f"{entries:,}",
        f"{statistics.median(one.wall_s for one in taken):.1f}",
        f"{statistics.median(speeds):.0f}",
        f"{speeds[0]:.0f} to {speeds[-1]:.0f}",
        f"{max(one.peak_mb for one in taken):.0f}",
    ]


HEADER = [
    "reader",
    "unpacked MB",
    "packed MB",
    "genes",
    "s (median)",
    "MB/s a core (median)",
    "range",
    "peak MB",
]


def main() -> None:
    """Parse the options, and measure or be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[500, 2000], help="unpacked")
    parser.add_argument("--runs", type=int, default=3, help="of each reader, for the median")
    parser.add_argument("--xml", type=Path, default=REAL, help="folder of real gene XML")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "bulk_xml.md")
    parser.add_argument("--measure", nargs=2, metavar=("READER", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        taken = measure(options.measure[0], Path(options.measure[1]))
        print(json.dumps(asdict(taken)))
        return
    rows: list[list[str]] = []
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "download" / "proteinatlas.xml.gz"
            path.parent.mkdir()
            entries, size_bytes = write_bulk(path, options.xml, megabytes * 10**6)
            rows += [row(reader, path, entries, size_bytes, options.runs) for reader in READERS]
    notes = [
        f"input: the gene XML of release 18 repeated with ids of their own, gzip level {LEVEL}; no "
        "randomness, so no seed",
        f"tissue: {TISSUE}; one thread, gunzip included; speed is by CPU time (user and system), "
        f"{options.runs} run(s); load of the machine at the end: {os.getloadavg()[0]:.1f}",
        f"targets: at least {TARGET_MB_PER_S} MB/s unpacked a core, at most {TARGET_MB} MB",
    ]
    write_up(options.out, "Reading the file of all genes", notes, HEADER, rows)


if __name__ == "__main__":
    main()
