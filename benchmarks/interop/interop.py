"""Run the tests of other software on a small census, and write what was opened, with versions.

Usage: python -m benchmarks.interop.interop [--out FILE] [--pictures FOLDER]

`make interop` installs the software. The exit status is pytest's; the table is written if all
tests pass. The folder of pictures has the screenshots and plots of the tests.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest

from benchmarks._lib.report import CHECKOUT, RESULTS, write_table

HEADER = ("software", "version", "opened", "found")
PICTURES = CHECKOUT / ".cache" / "interop"


class Record:
    """A plugin of pytest that collects the rows that the tests record."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self.passed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the rows of a test that has passed."""
        if report.when == "call" and report.passed:
            self.passed += 1
            rows = (value for name, value in report.user_properties if name == "interop")
            self.rows += [json.loads(str(row)) for row in rows]


def main() -> None:
    """Run the tests and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "interop.md")
    parser.add_argument("--pictures", type=Path, default=PICTURES)
    options = parser.parse_args()
    options.pictures.parent.mkdir(parents=True, exist_ok=True)
    record = Record()
    arguments = ["-m", "interop", "-p", "no:napari", "-p", "no:npe2", "--durations=8"]
    arguments += [f"--basetemp={options.pictures}", str(CHECKOUT / "tests" / "interop")]
    status = pytest.main(arguments, plugins=[record])
    if status == pytest.ExitCode.OK:
        notes = [f"tests passed: {record.passed}", "data: cores of 128 x 128 px, one per name"]
        write_table(options.out, "Other software", notes, HEADER, sorted(record.rows))
    sys.exit(status)


if __name__ == "__main__":
    main()
