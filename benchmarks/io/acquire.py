"""How closely `cacl acquire` keeps to `source.requests_per_second`, and the cost per image.

Usage: python -m benchmarks.io.acquire [RATE:SIDE_PX:IMAGES ...] [--images N] [--out FILE]

The HTTP server of the tests runs in a process of its own and serves images on the loopback
interface; `acquire` fetches them in another process. The rate is measured by the server's clock. On
a small machine the server needs a core for itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import simplejpeg

from benchmarks._lib.images import JPEG_QUALITY, TISSUE_TILE_PX, repeated_tissue
from benchmarks._lib.process import Usage, command, environment, print_usage, read_usage
from benchmarks._lib.report import RESULTS, write_table
from cacl.config import SourceConfig
from cacl.steps.acquire import acquire
from cacl.steps.parameters import AcquireOptions
from cacl.tables import read_parquet, write_parquet
from cacl.tables.schemas import AcquiredRow, ImageRow
from tests.fixtures.hpa_server import HpaServer

MODULE = "benchmarks.io.acquire"
SEED = 0
DIFFERENT_IMAGES = 8
IMAGES_PER_ANTIBODY = 3
TOLERANCE = 0.05


@dataclass(frozen=True)
class Run:
    """A limit in requests per second, the side of the images, and their number."""

    rate: float
    side_px: int
    images: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return a run from `<requests per second>:<side in px>:<images>`."""
        rate, side_px, images = text.split(":")
        return cls(float(rate), int(side_px), int(images))


def url_path(number: int) -> str:
    """Return the path of an image at the host."""
    return f"images/{number // IMAGES_PER_ANTIBODY + 1}/{number}_A_7_2.jpg"


def write_images(host: Path, run: Run) -> int:
    """Write the images of a host; return their mean size in bytes."""
    core = repeated_tissue(run.side_px)
    rolls = np.random.default_rng(SEED).integers(0, TISSUE_TILE_PX, DIFFERENT_IMAGES)
    files = [
        simplejpeg.encode_jpeg(np.ascontiguousarray(np.roll(core, roll, 0)), JPEG_QUALITY)
        for roll in rolls
    ]
    for number in range(run.images):
        path = host / url_path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < DIFFERENT_IMAGES:
            path.write_bytes(files[number])
        else:
            path.hardlink_to(host / url_path(number % DIFFERENT_IMAGES))
    return sum(map(len, files)) // len(files)


def write_shard(path: Path, images: int) -> None:
    """Write the table of images of a shard, as `cacl catalog` does."""
    names = "ensembl_id", "gene", "patient_id", "sex", "path", "licence", "label", "label_source"
    empty: dict[str, Any] = dict.fromkeys(names, "")
    rows = [
        ImageRow(
            image_id=f"HPA{number // IMAGES_PER_ANTIBODY + 1:06d}/{number}_A_7_2",
            antibody_id=f"HPA{number // IMAGES_PER_ANTIBODY + 1:06d}",
            tissue="duodenum",
            age=None,
            url=f"https://v23.proteinatlas.org/{url_path(number)}",
            hpa_version="23",
            mpp=None,
            **empty,
        )
        for number in range(images)
    ]
    write_parquet(path, rows, ImageRow)


def serve(host: Path) -> None:
    """Serve a folder until the standard input ends, then print the times of the requests."""
    with HpaServer(host) as server:
        print(server.url, flush=True)
        sys.stdin.read()
    times = [seconds for seconds, _, _ in server.requests]
    print(json.dumps({"times": times, "connections": server.max_open}))


def fetch(root: Path, url: str, rate: float) -> int:
    """Acquire the images of a shard in this process; return their number."""
    os.environ["NO_PROXY"] = "*"
    source = SourceConfig(kind="hpa", genes=("all",), host=url, requests_per_second=rate)
    out = root / "acquired.parquet"
    acquire(
        root / "shard.parquet",
        root / "images",
        out,
        root / "failures.csv",
        source,
        AcquireOptions(jobs=4, strict=True),
    )
    return len(read_parquet(out, AcquiredRow))


def measure(run: Run) -> tuple[int, Usage, list[float], int]:
    """Serve and fetch the images of a run in two processes.

    Returns
    -------
    Mean size of an image in bytes, usage of the client, sorted times of the requests in seconds,
    and the maximum number of simultaneous connections.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size_bytes = write_images(root / "host", run)
        write_shard(root / "shard.parquet", run.images)
        with subprocess.Popen(  # nosec B603  # a list, no shell
            command(MODULE, "--serve", str(root / "host")),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        ) as server:
            assert server.stdout is not None  # nosec B101  # narrows a type
            url = server.stdout.readline().strip()
            usage = read_usage(MODULE, "--fetch", str(root), url, str(run.rate))
            served = json.loads(server.communicate()[0])
    return size_bytes, usage, sorted(served["times"]), served["connections"]


def row(run: Run) -> list[str]:
    """Measure one run; return its row of the table."""
    size_bytes, usage, times, connections = measure(run)
    if not usage.items == len(times) == run.images:
        raise SystemExit(f"{usage.items} images by {len(times)} requests of {run.images}")
    achieved = (len(times) - 1) / (times[-1] - times[0])
    return [
        f"{run.rate:g}",
        f"{run.side_px:,}",
        f"{size_bytes / 1e6:.2f}",
        f"{run.images:,}",
        f"{usage.wall_s:.1f}",
        f"{achieved:.2f}",
        f"{achieved / run.rate:.3f}",
        f"{1000 * usage.cpu_s / run.images:.1f}",
        f"{usage.peak_mb:.0f}",
        str(connections),
        f"{os.getloadavg()[0]:.1f}",
        limited_by(achieved / run.rate, run.rate * usage.cpu_s / run.images),
    ]


def limited_by(achieved_fraction: float, cores_needed: float) -> str:
    """Return what limits the rate: the configured limit, the CPU, or other load."""
    if achieved_fraction >= 1 - TOLERANCE:
        return "limit"
    return "CPU" if cores_needed > (os.cpu_count() or 1) else "load"


HEADER = [
    "limit /s",
    "side px",
    "MB per image",
    "images",
    "s",
    "achieved /s",
    "achieved / limit",
    "CPU ms per image",
    "peak MB",
    "connections",
    "load",
    "limited by",
]


def main() -> None:
    """Parse the options, and measure, serve or fetch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "runs",
        nargs="*",
        type=Run.parse,
        default=[Run(200, 256, 2000), Run(200, 3000, 400), Run(4, 3000, 400), Run(4, 256, 2000)],
        metavar="RATE:SIDE_PX:IMAGES",
    )
    parser.add_argument("--images", type=int, help="number of images in every run")
    parser.add_argument("--out", type=Path, default=RESULTS / "acquire.md")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--fetch", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    elif options.fetch:
        root, url, rate = options.fetch
        print_usage(lambda: fetch(Path(root), url, float(rate)))
    else:
        runs = [Run(run.rate, run.side_px, options.images or run.images) for run in options.runs]
        notes = [
            f"images: one tissue tile, repeated, JPEG quality {JPEG_QUALITY}, "
            f"{DIFFERENT_IMAGES} different ones, seed {SEED}; real cores have 3,000 px",
            "CPU: of the client (fetch, full decode, SHA-256, provenance record); the server and "
            "other processes share the cores; load: load average of the run's last minute",
            "limited by: the limit if it is reached; CPU if rate times CPU per image exceeds the "
            "cores of the machine; else the load of other processes",
            f"target: achieved / limit from {1 - TOLERANCE:g} to 1, apart from clock resolution",
        ]
        write_table(options.out, "Acquiring images", notes, HEADER, [row(run) for run in runs])


if __name__ == "__main__":
    main()
