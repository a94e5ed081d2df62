"""A folder with a catalog of three images, and ways to acquire them, for the tests."""

from __future__ import annotations

import json
from pathlib import Path

import hpa_server as hpa
from hpa_server import HpaServer, antibody_xml, gene_xml

from cacl.atlas.catalog import build_catalog
from cacl.atlas.client import Limits
from cacl.atlas.options import LabelOptions, SourceOptions
from cacl.records import AcquiredRow, FailureRow
from cacl.steps.acquire import acquire
from cacl.tables import read_csv, read_parquet

SI = "ENSG00000090402"
PLACES = [f"/images/135/{number}_A_7_2.jpg" for number in range(3)]
LIMITS = Limits(attempts=2, silence_s=10, first_wait_s=0.01)


class Work:
    """A folder with a catalog of one antibody and three images, and what came of acquiring it."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "work"
        self.images = self.root / "resources" / "images"
        self.host = tmp_path / "host"
        self.host.mkdir(parents=True, exist_ok=True)
        urls = tuple(f"http://v23.proteinatlas.org{place}" for place in PLACES)
        text = gene_xml(antibodies=(antibody_xml("HPA000135", urls),))
        (self.host / f"{SI}.xml").write_text(text)
        self.catalog(SourceOptions(kind="mirror", mirror=self.host))

    def catalog(self, source: SourceOptions) -> None:
        self.source = source
        build_catalog(self.root, self.root / "c.csv", source, LabelOptions(), shards=1)

    def serve(self) -> None:
        """Put the images into the folder of the host."""
        for number, place in enumerate(PLACES):
            path = self.host / place.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(hpa.jpeg(number))

    def run(self, source: SourceOptions | None = None, **options: object) -> list[AcquiredRow]:
        values: dict[str, object] = {"jobs": 2, "strict": False, "limits": LIMITS}
        acquire(
            self.root / "shards" / "0.parquet",
            self.images,
            self.root / "acquired.parquet",
            self.root / "a.csv",
            source or self.source,
            **(values | options),  # type: ignore[arg-type]
        )
        rows: list[AcquiredRow] = read_parquet(self.root / "acquired.parquet", AcquiredRow)
        return rows

    def failures(self) -> list[tuple[str, str]]:
        frame = read_csv(self.root / "a.csv", FailureRow)
        return list(zip(frame["image_id"], frame["reason"], strict=True))

    def files(self) -> dict[str, bytes]:
        """Return what lies below `resources`; times in receipts are left out."""
        found: dict[str, bytes] = {}
        for path in sorted(self.images.rglob("*")):
            if path.is_file():
                data = path.read_bytes()
                if path.suffix == ".json":
                    receipt = json.loads(data)
                    receipt.pop("fetched")
                    data = json.dumps(receipt).encode()
                found[str(path.relative_to(self.images))] = data
        return found


def hpa_source(server: HpaServer, **options: object) -> SourceOptions:
    values: dict[str, object] = {
        "kind": "hpa",
        "genes": (SI,),
        "host": server.url,
        "requests_per_second": 200.0,
    }
    return SourceOptions(**(values | options))  # type: ignore[arg-type]


def names(rows: list[AcquiredRow]) -> list[str]:
    return [row.image_id.partition("/")[2] for row in rows]


ALL = ["0_A_7_2", "1_A_7_2", "2_A_7_2"]
