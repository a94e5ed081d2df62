"""A small report for tests: what it is made from, and how it is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from small_atlas import CELL_TYPE, Core, SmallAtlas, build

from cacl import tables
from cacl.records import AntibodyRow, FailureRow
from cacl.report.dictionary import described
from cacl.steps.report import report

HOSTILE = "<script>alert('x')</script>\"'&</script>"
OPTIONS = {
    "cell_type": CELL_TYPE,
    "min_tissue_fraction": 0.2,
    "morphology": "dilation",
    "radius_px": 1,
    "seed": 0,
}


def cores() -> list[Core]:
    """Two stained antibodies of one gene, one without a label, six that are not stained."""
    stained = [
        Core("HPA000001", 48, "1_A_7_2", "SI", "ENSG00000090402", "1", "positive", "high"),
        Core("HPA000001", 24, "1_A_8_2", "SI", "ENSG00000090402", "2", "positive", "high"),
        Core("HPA000002", 24, "1_A_7_2", "SI", "ENSG00000090402", "1", "positive", "medium"),
        Core("HPA000003", 12, "1_A_7_2", HOSTILE, "not-ensembl/../x", HOSTILE, "", ""),
    ]
    bare = [
        Core(
            f"HPA00001{i}", i, "1_A_7_2", f"NEG{i}", f"ENSG0000000000{i}", "1", "negative",
            "not detected",
        )
        for i in range(6)
    ]  # fmt: skip
    return stained + bare


def failed(image_id: str = "HPA000009/9_A_7_2", message: str = "HTTP 404") -> FailureRow:
    return FailureRow(
        image_id=image_id, stage="acquire", reason="not_found", message=message, source="https://x/"
    )


def write_model(atlas: SmallAtlas) -> None:
    folder = atlas.path("model")
    folder.mkdir()
    (folder / "training.csv").write_text(
        "step,loss,unused,perplexity_s\n1,0.5,0,3\n2,0.25,0,4\n3,0.2,0,\n"
    )
    (folder / "model.json").write_text(
        json.dumps({"preset": "robust", "thresholds": {"score": 0.4}, "code": HOSTILE})
    )


def run(atlas: SmallAtlas, out: str = "report", **changes: Any) -> Path:
    places = {
        "census": [atlas.path("census.parquet")],
        "failures": [atlas.path("failures.csv"), atlas.path("acquire.csv")],
        "store": atlas.path("atlas.zarr"),
        "model": atlas.path("model"),
        "catalog": atlas.path("catalog"),
        "out": atlas.path(out),
    }
    report(**(places | OPTIONS | changes))
    return atlas.path(out)


def hostile_atlas(root: Path) -> SmallAtlas:
    """Return an atlas with its report, two failures, and names that are markup."""
    made: SmallAtlas = build(root, cores())
    made.measure()
    write_model(made)
    rows = [failed(message=HOSTILE), failed("HPA000008/8_A_7_2")]
    tables.write_csv(made.path("acquire.csv"), rows, FailureRow)
    run(made)
    return made


def empty_atlas(root: Path) -> SmallAtlas:
    """Return an atlas of which nothing is left, without its report."""
    made: SmallAtlas = build(root, [])
    made.measure()
    tables.write_csv(made.path("acquire.csv"), [], FailureRow)
    return made


def page_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def antibody(name: str, ratio: float | None, **changes: Any) -> AntibodyRow:
    given: dict[str, Any] = dict.fromkeys(tables.columns(AntibodyRow), "")
    numbers = [column.name for column in described(AntibodyRow) if column.is_optional]
    given |= dict.fromkeys(numbers) | {"rank": 1, "antibody_id": name, "images": 1, "patients": 1}
    return AntibodyRow(**(given | {"stained_to_cell_ratio": ratio} | changes))
