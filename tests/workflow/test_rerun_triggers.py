"""Rules that run again when a key of the configuration or a version changes: exactly these."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from cacl import config, tables
from cacl.diagnostics.workflow_triggers import training_settings
from cacl.runtime.step_versions import STEP_VERSIONS
from cacl.runtime.validation import json_schema
from cacl.tables.schemas import AnnotationRow, ImageRow
from tests.fixtures.workflow import Workflow

SHARDS = 2
ADDED = {"catalog"}
SEGMENTED = {"segment", "measure", "report"}
CONTROLLED = {"controls", "report"}
TRAINED = {"train", *CONTROLLED, *SEGMENTED}
SELECTED = {"select", *TRAINED}
TILED = {"tile", "list_tile_tables", *SELECTED}
RETILED = {"catalog", "acquire", "tile", "list_tile_tables", *SEGMENTED}
SYNTHESISED = {"phantom", "catalog"}

CHANGES: dict[str, tuple[Any, set[str]]] = {
    "source.kind": ("mirror", {"catalog", "acquire", *TILED}),
    "source.hpa_version": ("24", {"catalog", "acquire", *TILED}),
    "source.genes": (["ANPEP"], ADDED),
    "source.antibodies": (["HPA900001"], ADDED),
    "source.tissues": (["colon"], {"catalog", *SELECTED}),
    "source.mirror": (None, set()),
    "source.manifest": ("other.csv", {"catalog", *SELECTED}),
    "source.requests_per_second": (1, set()),
    "source.allowed_hosts": (["example.org"], RETILED),
    "source.host": ("https://example.org", {"catalog", "acquire", *TILED}),
    "source.max_minutes": (5, set()),
    "phantom.antibodies": (20, SYNTHESISED),
    "phantom.patients": (1, SYNTHESISED),
    "phantom.setting": ("duodenum-b", {"phantom", "catalog", "acquire", *TILED}),
    "labels.cell_type": ("glandular cells", {"catalog", *SELECTED}),
    "labels.positive": (["high"], {"catalog", *SELECTED}),
    "labels.negative": (["low"], {"catalog", *SELECTED}),
    "labels.classes": ({"nuclei": {"cell_type": "glandular cells"}}, {"catalog", *SELECTED}),
    "labels.overrides": ("labels.csv", {"catalog", *SELECTED}),
    "labels.drawn": ("drawn", SELECTED),
    "stain.vectors": (
        {"hematoxylin": [0.6, 0.6, 0.4], "dab": [0.4, 0.6, 0.7]},
        TILED,
    ),
    "tiles.source_px": (750, TILED),
    "tiles.tile_px": (64, TILED),
    "tiles.min_tissue_fraction": (0.5, TILED),
    "train.preset": ("paper", TRAINED),
    "train.seeds": (2, TRAINED),
    "train.max_steps": (7, TRAINED),
    "train.max_minutes": (7, TRAINED),
    "train.max_tiles": (7, SELECTED),
    "train.model": ("other_model", {"reuse_model", "select_test", *CONTROLLED, *SEGMENTED}),
    "train.start_from": ("other_model", SELECTED),
    "segment.morphology": ("dilation", CONTROLLED | SEGMENTED),
    "segment.radius_px": (2, CONTROLLED | SEGMENTED),
    "controls.cores": (7, CONTROLLED),
    "controls.doses_od": ([0.3], CONTROLLED),
    "controls.widths_um": ([2.0, 4.0], CONTROLLED),
    "census.shards": (3, RETILED),
    "benchmark.truth": ("truth", set()),
    "seed": (1, {"phantom", "catalog", "acquire", *TILED}),
}
"""Another value of each key, and the rules that run again.

If the catalog runs again, it is marked as done with unchanged lists; `test_workflow` shows what
follows from a changed list. If `acquire`, `tile` or `list_tile_tables` runs again, it is marked as
done: with another table if `select` is expected to run, with the same table otherwise.
"""


def keys() -> list[str]:
    return [
        f"{section}.{key}" if "properties" in node else section
        for section, node in json_schema(config.Config)["properties"].items()
        for key in node.get("properties", [""])
    ]


def test_every_key_is_listed() -> None:
    assert sorted(CHANGES) == sorted(keys())


@pytest.fixture(scope="module")
def finished(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A run that Snakemake regards as finished: its products exist and are recorded as made."""
    workflow = Workflow(checkout, tmp_path_factory.mktemp("finished"))
    (workflow.folder / "labels.csv").touch()
    (workflow.folder / "other.csv").touch()
    (workflow.folder / "drawn").mkdir()
    (workflow.folder / "other_model").mkdir()
    path = workflow.configure(census={"shards": SHARDS})
    workflow.make_empty_products("--configfile", path)
    for shard in range(SHARDS + 1):
        lists = workflow.folder / "results" / "catalog"
        tables.write_parquet(lists / f"shards/{shard}.parquet", [], ImageRow)
        tables.write_parquet(lists / f"annotations/{shard}.parquet", [], AnnotationRow)
    trained = training_settings(config.resolve({"census": {"shards": SHARDS}}))
    (workflow.folder / "results/training/config.txt").write_text(trained)
    touched = workflow("--configfile", path, "--touch", "--forceall")
    assert touched.returncode == 0, touched.stdout + touched.stderr
    assert workflow.jobs("--configfile", path) == {}
    return workflow


@pytest.mark.slow
def test_estimate_of_the_stain_vectors_precedes_the_tiles(
    checkout: Path, finished: Workflow, tmp_path: Path
) -> None:
    """The estimate is made once the run asks for it; with its model, further images keep it."""
    workflow = Workflow(checkout, tmp_path / "run")
    shutil.copytree(finished.folder, workflow.folder)
    sections: dict[str, Any] = {"census": {"shards": SHARDS}, "stain": {"vectors": "estimated"}}
    path = workflow.configure(**sections)
    jobs = workflow.jobs("--configfile", path)
    assert jobs["estimate_stain"] == 1
    assert jobs["tile"] == SHARDS
    assert "acquire" not in jobs
    estimate = workflow.folder / "results/stain/vectors.json"
    estimate.parent.mkdir()
    estimate.touch()
    trained = training_settings(config.resolve(sections))
    (workflow.folder / "results/training/config.txt").write_text(trained)
    touched = workflow("--configfile", path, "--touch", "--forceall")
    assert touched.returncode == 0, touched.stdout + touched.stderr
    (workflow.folder / "results/acquired/0.parquet").write_text("one more image")
    assert "estimate_stain" not in workflow.jobs("--configfile", path)
    (workflow.folder / "results/training/config.txt").write_text("other settings")
    assert "estimate_stain" in workflow.jobs("--configfile", path)


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(CHANGES))
def test_changed_key_reruns_exactly_the_rules_that_depend_on_it(
    checkout: Path, finished: Workflow, tmp_path: Path, key: str
) -> None:
    value, expected = CHANGES[key]
    sections: dict[str, Any] = {"census": {"shards": SHARDS}}
    section, _, name = key.partition(".")
    if name:
        sections.setdefault(section, {})[name] = value
    else:
        sections[section] = value
    if key == "source.kind":
        sections["source"]["mirror"] = "resources/phantom/host"
    workflow = Workflow(checkout, tmp_path / "run")
    shutil.copytree(finished.folder, workflow.folder)
    (workflow.folder / "resources/phantom/host").mkdir(exist_ok=True)
    path = workflow.configure(**sections)
    assert rerun(workflow, path, sections["census"]["shards"], expected) == expected


def rerun(workflow: Workflow, path: Path, shards: int, expected: set[str]) -> set[str]:
    """Return the rules that run again, see `CHANGES`."""
    jobs = set(workflow.jobs("--configfile", path))
    for step, tables_of in (
        ("catalog", ["results/catalog/images.parquet"]),
        ("acquire", [f"results/acquired/{shard}.parquet" for shard in range(shards)]),
        ("tile", [f"results/tiles/{shard}.parquet" for shard in range(shards)]),
        ("list_tile_tables", ["results/tiles/tables.txt"]),
    ):
        if step not in jobs:
            continue
        if step != "catalog" and "select" in expected:
            for table in tables_of:
                (workflow.folder / table).write_text(f"as {step} writes it now")
        made = workflow("--configfile", path, "--touch", *tables_of)
        assert made.returncode == 0, made.stdout + made.stderr
        jobs |= set(workflow.jobs("--configfile", path))
    return jobs - {"all"}


OWN = {step: f'STEP_VERSIONS["{step}"]' for step in STEP_VERSIONS}
TRAINING = f"({OWN['train']}, MODEL_VERSION)"
VERSIONS = OWN | {
    "acquire": None,
    "list_tile_tables": None,
    "synthesise_external": f"({OWN['phantom']}, {OWN['tile']})",
    "train": TRAINING,
    "train_paper": TRAINING,
    "reuse_model": "MODEL_VERSION",
    "select_test": OWN["select"],
    "report": "__version__",
}
"""The version that each rule depends on.

None where nothing is computed: bytes from outside, verified by their digest, and a list of files.
"""


def test_each_rule_depends_on_the_version_of_its_step(checkout: Path) -> None:
    found: dict[str, str | None] = {}
    for file in (checkout / "workflow/rules").glob("*.smk"):
        for rule in re.split(r"^(?:rule|checkpoint) ", file.read_text(), flags=re.MULTILINE)[1:]:
            name, _, text = rule.partition(":")
            versions = re.findall(r"^        version=(.*),$", text, re.MULTILINE)
            found[name] = versions[0] if versions else None
    assert found == VERSIONS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ('"tile": ', TILED),
        ('"measure": ', {"measure", "report"}),
        ("__version__ = ", {"report"}),
    ],
)
def test_release_that_raises_a_version_reruns_exactly_what_depends_on_it(
    checkout: Path, finished: Workflow, tmp_path: Path, before: str, expected: set[str]
) -> None:
    release, raised = tmp_path / "release", 0
    for name in ("cacl", "workflow", "config", "profiles"):
        shutil.copytree(checkout / name, release / name)
    shutil.copy(checkout / "environment.yml", release)
    for file in ("cacl/runtime/step_versions.py", "cacl/__init__.py"):
        text, found = re.subn(
            rf"^( *{before}).*?(,?)$",
            r'\1"raised"\2',
            (release / file).read_text(),
            flags=re.MULTILINE,
        )
        (release / file).write_text(text)
        raised += found
    assert raised == 1
    workflow = Workflow(release, tmp_path / "run")
    shutil.copytree(finished.folder, workflow.folder)
    path = workflow.configure(census={"shards": SHARDS})
    assert rerun(workflow, path, SHARDS, expected) == expected
