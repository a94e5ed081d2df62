"""Speed and memory of reading the file of all genes, `proteinatlas.xml.gz`.

Usage: python -m benchmarks.io.bulk_xml [--megabytes N ...] [--runs N] [--xml FOLDER] [--out FILE]

The file is generated from the entries of real gene XML (release 18), each copy with ids of its own,
and read in a fresh process: by the parser alone, and by `cacl catalog`. It is deleted afterwards.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks._lib.process import Usage, print_usage, read_usage
from benchmarks._lib.report import CHECKOUT, RESULTS, write_table
from cacl.config import LabelsConfig, SourceConfig
from cacl.hpa.gene_xml import read_entries
from cacl.steps.catalog import catalog

MODULE = "benchmarks.io.bulk_xml"
REAL_XML = CHECKOUT.parent / "shared" / "data" / "hpa-xml"
TISSUE = "duodenum"
GZIP_LEVEL = 6
HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n<proteinAtlas schemaVersion="2.5">\n'
TAIL = b"</proteinAtlas>\n"
MIN_MB_PER_S, MAX_MB = 60, 500


def entries_of(folder: Path) -> Iterator[bytes]:
    """Yield the gene entries of a folder in an endless cycle, each with ids of its own."""
    entries: list[tuple[bytes, list[bytes]]] = []
    for path in sorted(folder.glob("ENSG*.xml")):
        (gene,) = read_entries(path)
        data = path.read_bytes()
        entry = data[data.index(b"<entry") : data.rindex(b"</entry>") + len(b"</entry>\n")]
        ids = [gene.name.ensembl_id, *(antibody.antibody_id for antibody in gene.antibodies)]
        entries.append((entry, [name.encode() for name in ids]))
    if not entries:
        raise SystemExit(f"{folder} holds no ENSG*.xml; name a folder with --xml")
    for number in itertools.count():
        entry, (gene_id, *antibody_ids) = entries[number % len(entries)]
        entry = entry.replace(gene_id, f"ENSG{number:011d}".encode())
        for index, antibody_id in enumerate(antibody_ids):
            entry = entry.replace(antibody_id, f"HPA{number * 100 + index:07d}".encode())
        yield entry


def write_bulk(path: Path, folder: Path, size_bytes: int) -> tuple[int, int]:
    """Write the file of all genes; return the numbers of entries and of uncompressed bytes."""
    count, written = 0, len(HEAD) + len(TAIL)
    with gzip.open(path, "wb", GZIP_LEVEL) as stream:
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
    """Run `cacl catalog` on the mirror with the file; return the number of genes."""
    out = path.parent.parent / "out"
    source = SourceConfig(kind="mirror", mirror=path.parent.parent, genes=("all",))
    return catalog(out, out / "failures.csv", source, LabelsConfig(), shards=4).genes


READERS = {"parser": read_parser, "catalog": read_catalog}


def measured(reader: str, path: Path, entries: int) -> Usage:
    """Measure a reader in a fresh process."""
    usage = read_usage(MODULE, "--measure", reader, str(path))
    if usage.items != entries:
        raise SystemExit(f"The {reader} found {usage.items} genes, expected {entries}")
    return usage


def row(reader: str, path: Path, entries: int, size_bytes: int, runs: int) -> list[str]:
    """Measure a reader several times; return its row of the table."""
    usages = [measured(reader, path, entries) for _ in range(runs)]
    speeds = sorted(size_bytes / 1e6 / usage.cpu_s for usage in usages)
    return [
        reader,
        f"{size_bytes / 1e6:,.0f}",
        f"{path.stat().st_size / 1e6:,.0f}",
        f"{entries:,}",
        f"{statistics.median(usage.wall_s for usage in usages):.1f}",
        f"{statistics.median(speeds):.0f}",
        f"{speeds[0]:.0f} to {speeds[-1]:.0f}",
        f"{max(usage.peak_mb for usage in usages):.0f}",
    ]


HEADER = [
    "reader",
    "uncompressed MB",
    "gzip MB",
    "genes",
    "s (median)",
    "MB/s per core (median)",
    "range",
    "peak MB",
]


def main() -> None:
    """Parse the options, and measure, or run one reader."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--megabytes", type=int, nargs="+", default=[500, 2000], help="uncompressed size"
    )
    parser.add_argument("--runs", type=int, default=3, help="per reader")
    parser.add_argument("--xml", type=Path, default=REAL_XML, help="folder of real gene XML")
    parser.add_argument("--out", type=Path, default=RESULTS / "bulk_xml.md")
    parser.add_argument("--measure", nargs=2, metavar=("READER", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        reader, path = options.measure
        print_usage(lambda: READERS[reader](Path(path)))
        return
    rows: list[list[str]] = []
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            bulk = Path(folder) / "download" / "proteinatlas.xml.gz"
            bulk.parent.mkdir()
            entries, size_bytes = write_bulk(bulk, options.xml, megabytes * 10**6)
            rows += [row(reader, bulk, entries, size_bytes, options.runs) for reader in READERS]
    notes = [
        f"input: gene XML of release 18, repeated with new ids, gzip level {GZIP_LEVEL}; no "
        "random numbers, no seed",
        f"tissue: {TISSUE}; one thread, gunzip included; speed: per CPU time (user and system), "
        f"{options.runs} run(s); load average at the end: {os.getloadavg()[0]:.1f}",
        f"targets: at least {MIN_MB_PER_S} MB/s uncompressed per core, at most {MAX_MB} MB",
    ]
    write_table(options.out, "Reading the file of all genes", notes, HEADER, rows)


if __name__ == "__main__":
    main()
