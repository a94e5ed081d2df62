"""How closely `cacl acquire` keeps to `source.requests_per_second`, and what an image costs.

The tests' HTTP server, in a process of its own, serves images on loopback; `acquire` fetches them
in another. The server's clock says how fast. On a small machine the server needs a core itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import simplejpeg
from skimage.data import immunohistochemistry

from benchmarks._lib.report import peak_mb, write_up
from cacl.config import SourceConfig
from cacl.steps.acquire import acquire
from cacl.steps.parameters import AcquireOptions
from cacl.tables import read_parquet, write_parquet
from cacl.tables.schemas import AcquiredRow, ImageRow

HERE = Path(__file__).parents[1]
SEED = 0
DIFFERENT_IMAGES = 8
JPEG_QUALITY = 80
IMAGES_A_FOLDER = 3
TARGET = 0.05


@dataclass(frozen=True)
class Run:
    """A limit in requests a second, the images' side, and their number."""

    rate: float
    side_px: int
    images: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return a run from `<requests a second>:<side in px>:<images>`."""
        rate, side_px, images = text.split(":")
        return cls(float(rate), int(side_px), int(images))


@dataclass(frozen=True)
class Taken:
    """What the client used."""

    acquired: int
    wall_s: float
    cpu_s: float
    peak_mb: float


def place(number: int) -> str:
    """Return the path of an image at the host."""
    return f"images/{number // IMAGES_A_FOLDER + 1}/{number}_A_7_2.jpg"


def write_images(host: Path, run: Run) -> int:
    """Write the images of a host; return the mean size of one in bytes."""
    tile = immunohistochemistry()
    repeats = -(-run.side_px // tile.shape[0])
    core = np.tile(tile, (repeats, repeats, 1))[: run.side_px, : run.side_px]
    rolls = np.random.default_rng(SEED).integers(0, tile.shape[0], DIFFERENT_IMAGES)
    files = [
        simplejpeg.encode_jpeg(np.ascontiguousarray(np.roll(core, roll, 0)), JPEG_QUALITY)
        for roll in rolls
    ]
    for number in range(run.images):
        path = host / place(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < DIFFERENT_IMAGES:
            path.write_bytes(files[number])
        else:
            path.hardlink_to(host / place(number % DIFFERENT_IMAGES))
    return sum(map(len, files)) // len(files)


def write_shard(path: Path, images: int) -> None:
    """Write the list of images as the catalog does."""
    empty = {"ensembl_id": "", "gene": "", "patient_id": "", "sex": "", "path": "", "licence": ""}
    rows = [
        ImageRow(
            image_id=f"HPA{number // IMAGES_A_FOLDER + 1:06d}/{number}_A_7_2",
            antibody_id=f"HPA{number // IMAGES_A_FOLDER + 1:06d}",
            tissue="duodenum",
            age=None,
            url=f"https://v23.proteinatlas.org/{place(number)}",
            hpa_version="23",
            mpp=None,
            label="",
            label_source="",
            **empty,
        )
        for number in range(images)
    ]
    write_parquet(path, rows, ImageRow)


def serve(host: Path) -> None:
    """Serve a folder until the standard input ends, then print when what was asked for."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from tests.fixtures.hpa_server import HpaServer

    with HpaServer(host) as server:
        print(server.url, flush=True)
        sys.stdin.read()
    print(json.dumps({"times": [when for when, _, _ in server.requests], "open": server.most_open}))


def fetch(root: Path, url: str, rate: float) -> Taken:
    """Acquire the images of a shard in this process."""
    os.environ["NO_PROXY"] = "*"
    source = SourceConfig(kind="hpa", genes=("all",), host=url, requests_per_second=rate)
    out = root / "acquired.parquet"
    wall, cpu = time.perf_counter(), time.process_time()
    acquire(
        root / "shard.parquet",
        root / "images",
        out,
        root / "failures.csv",
        source,
        AcquireOptions(jobs=4, strict=True),
    )
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    return Taken(len(read_parquet(out, AcquiredRow)), wall_s, cpu_s, peak_mb())


def row(run: Run) -> list[str]:
    """Measure one run; return its row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size_bytes = write_images(root / "host", run)
        write_shard(root / "shard.parquet", run.images)
        with subprocess.Popen(
            [sys.executable, __file__, "--serve", str(root / "host")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            said = subprocess.run(
                [sys.executable, __file__, "--fetch", str(root), url, str(run.rate)],
                check=True,
                stdout=subprocess.PIPE,
            ).stdout
            met = json.loads(server.communicate()[0])
    taken = Taken(**json.loads(said))
    times = sorted(met["times"])
    if not taken.acquired == len(times) == run.images:
        raise SystemExit(f"{taken.acquired} images by {len(times)} requests of {run.images}")
    achieved = (len(times) - 1) / (times[-1] - times[0])
    return [
        f"{run.rate:g}",
        f"{run.side_px:,}",
        f"{size_bytes / 1e6:.2f}",
        f"{run.images:,}",
        f"{taken.wall_s:.1f}",
        f"{achieved:.2f}",
        f"{achieved / run.rate:.3f}",
        f"{1000 * taken.cpu_s / run.images:.1f}",
        f"{taken.peak_mb:.0f}",
        str(met["open"]),
        f"{os.getloadavg()[0]:.1f}",
        bound_by(achieved / run.rate, run.rate * taken.cpu_s / run.images),
    ]


def bound_by(reached: float, cores_needed: float) -> str:
    """Return what kept a run from being faster."""
    if reached >= 1 - TARGET:
        return "limit"
    return "CPU" if cores_needed > (os.cpu_count() or 1) else "load"


HEADER = [
    "limit /s",
    "side px",
    "MB an image",
    "images",
    "s",
    "achieved /s",
    "achieved / limit",
    "CPU ms an image",
    "peak MB",
    "connections",
    "load",
    "bound by",
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
    parser.add_argument("--out", type=Path, default=HERE / "results" / "acquire.md")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--fetch", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    elif options.fetch:
        root, url, rate = options.fetch
        print(json.dumps(asdict(fetch(Path(root), url, float(rate)))))
    else:
        runs = [Run(run.rate, run.side_px, options.images or run.images) for run in options.runs]
        notes = [
            f"images: one tissue tile repeated to the side, JPEG quality {JPEG_QUALITY}, "
            f"{DIFFERENT_IMAGES} different ones, seed {SEED}; real cores have 3,000 px",
            "CPU is the client's (fetch, full decode, SHA-256, receipt); the server's is not "
            "counted, but it shares the cores, and so does what else ran on the machine: load is "
            "the mean number of processes that wanted a core in the run's last minute",
            "bound by: the limit where it was reached; else CPU where rate times CPU per image is "
            "more than the cores of the machine, or the load by what else ran on it",
            f"target: achieved / limit at least {1 - TARGET:g}, at most 1 but for the clock",
        ]
        write_up(options.out, "Acquiring images", notes, HEADER, [row(run) for run in runs])


if __name__ == "__main__":
    main()
