"""Look up the locked dependencies in the database of known vulnerabilities, with pip-audit.

The exit status is 1 for a known vulnerability. Packages that the database does not answer for are
named in a warning: they are not checked, and nothing says that they are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements.lock"
AUDIT = (
    "pip-audit",
    "--format",
    "json",
    "--progress-spinner",
    "off",
    "--disable-pip",
    "--requirement",
)
LIMIT_S = 300


def main() -> int:
    """Print the findings; return 1 if there is a vulnerability, else 0."""
    try:
        done = subprocess.run(
            [*AUDIT, str(LOCK)], capture_output=True, text=True, check=False, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return not_checked(f"no answer within {LIMIT_S} s")
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return not_checked((done.stderr.strip().splitlines() or ["no output"])[-1])
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    if len(skipped) == len(packages):
        return not_checked("it knows none of the packages")
    if skipped:
        warn(f"{len(skipped)} packages were not checked: {', '.join(skipped)}")
    found = [(each, vulnerability) for each in packages for vulnerability in each.get("vulns", ())]
    for package, vulnerability in found:
        versions = ", ".join(vulnerability["fix_versions"]) or "no version"
        print(f"{package['name']} {package['version']}: {vulnerability['id']}, fixed in {versions}")
    print(f"{len(packages) - len(skipped)} packages checked, {len(found)} known vulnerabilities")
    return 1 if found else 0


def not_checked(reason: str) -> int:
    """Print that nothing is known; return 0."""
    warn(f"dependencies NOT CHECKED for vulnerabilities: the database does not answer ({reason})")
    return 0


def warn(text: str) -> None:
    """Print a warning, which GitHub shows on the page of the run."""
    print(f"::warning::{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
