"""`cacl estimate`: times from known rates, and the calibration of this machine."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cacl import config, tables
from cacl.diagnostics.calibrate import (
    Calibration,
    Rate,
    controls_rate,
    rate_between,
    seconds_per_step,
)
from cacl.diagnostics.estimate import Workload, as_table, duration, estimate, workload_of
from cacl.diagnostics.process_cost import Cost, measure_commands
from cacl.errors import CaclError
from cacl.model.config import Preset
from cacl.model.presets import PAPER, ROBUST, TEACHER, with_classes
from cacl.model.training.plan import PlannedNetwork
from cacl.tables.schemas import ImageRow
from tests.fixtures.model_atlas import image_row


def rate(start_s: float, unit_s: float, unit_bytes: float = 0.0) -> Rate:
    return Rate(start_s, unit_s, start_s, unit_s, 500.0, unit_bytes)


MACHINE = Calibration(
    {
        "phantom": rate(1, 1),
        "catalog": rate(2, 0.01),
        "acquire": rate(1, 0.1),
        "tile": rate(2, 0.5, 2e6),
        "select": rate(3, 0),
        "train": rate(10, 0.5),
        "segment": rate(4, 1.0),
        "measure": rate(1, 0.1),
        "controls": rate(4, 2.5),
        "report": rate(5, 0.02),
    },
    cores=2,
)
WORK = Workload(
    images=1200, shards=12, train_steps=100, synthetic=False, basis="given", controls=24
)


def test_known_rates_give_known_times() -> None:
    steps = {step.name: step for step in estimate(WORK, MACHINE)}
    assert "phantom" not in steps
    assert steps["tile"].job_s == 2 + 100 * 0.5
    assert steps["tile"].one_node_s == (12 * 2 + 1200 * 0.5) / 2
    assert steps["tile"].disk_bytes == 2.4e9
    assert steps["train"].one_node_s == steps["train"].all_nodes_s == 10 + 100 * 0.5
    assert steps["report"].one_node_s == 5 + 1200 * 0.02
    assert steps["segment"].cpu_s == 12 * 4 + 1200
    assert steps["controls"].one_node_s == 4 + 24 * 2.5


def test_controls_segment_each_core_with_every_band() -> None:
    settings = config.ControlsConfig(doses_od=(0.1, 0.2, 0.4), widths_um=(2.0, 4.0))
    controls = controls_rate(Rate(4.0, 1.0, 3.0, 0.5, 800.0, 5.0), settings)
    assert controls == Rate(4.0, 4.0, 3.0, 4.0, 800.0, 0.0)


def test_more_nodes_help_until_every_job_has_a_core() -> None:
    steps = {step.name: step for step in estimate(WORK, MACHINE, nodes=3)}
    assert steps["segment"].all_nodes_s == (12 * 4 + 1200) / 6
    many = {step.name: step for step in estimate(WORK, MACHINE, nodes=1000)}
    assert many["segment"].all_nodes_s == many["segment"].job_s == 104


def test_request_rate_does_not_depend_on_the_number_of_nodes() -> None:
    work = Workload(1200, 12, 100, synthetic=False, basis="", requests_per_second=4)
    steps = {step.name: step for step in estimate(work, MACHINE, nodes=50)}
    assert steps["acquire"].one_node_s == steps["acquire"].all_nodes_s == 300


def test_model_of_another_run_trains_nothing_and_a_continued_one_a_quarter(
    tmp_path: Path,
) -> None:
    steps = {
        name: workload_of(config.resolve({"train": train}), tmp_path).train_steps
        for name, train in (("all", {}), ("quarter", {"start_from": "m"}), ("none", {"model": "m"}))
    }
    assert steps["quarter"] == steps["all"] // 4 > 0
    assert steps["none"] == 0
    work = dataclasses.replace(WORK, train_steps=0)
    assert "train" not in {step.name for step in estimate(work, MACHINE)}


def test_table_has_one_row_per_step_and_a_sum() -> None:
    table = as_table(estimate(WORK, MACHINE, nodes=2), WORK, 2)
    assert [column.header for column in table.columns] == [
        *("step", "jobs", "one job", "this machine", "on 2 machines", "memory", "disk")
    ]
    assert table.row_count == 10


def test_further_rounds_are_named_where_they_may_come(tmp_path: Path) -> None:
    extra = {
        name: workload_of(config.resolve({"train": train}), tmp_path).extra_steps
        for name, train in (
            ("robust", {"preset": "robust"}),
            ("quick", {"preset": "quick"}),
            ("limited", {"preset": "robust", "max_steps": 100}),
            ("continued", {"start_from": "m"}),
        )
    }
    student = ROBUST.optim.steps
    assert extra == {"robust": 2 * student, "quick": 0, "limited": 0, "continued": 0}
    with_extra = dataclasses.replace(WORK, extra_steps=50)
    caption = str(as_table(estimate(WORK, MACHINE), with_extra, 1).caption)
    assert "up to about 30 s more training" in caption
    assert "training" not in str(as_table(estimate(WORK, MACHINE), WORK, 1).caption)


@pytest.mark.parametrize(
    ("sections", "images"),
    [
        ({"phantom": {"antibodies": 16, "patients": 3}}, 48),
        ({"phantom": {"antibodies": 10, "patients": 2}}, 20),
        ({"source": {"kind": "hpa", "genes": "all"}}, 75_000),
        ({"source": {"kind": "hpa", "genes": ["all"], "tissues": ["colon", "ileum"]}}, 150_000),
        ({"source": {"kind": "hpa", "genes": [f"G{n}" for n in range(100)]}}, 390),
        ({"source": {"kind": "hpa", "antibodies": ["HPA000001"]}}, 3),
    ],
)
def test_counts_images_from_the_configuration(
    tmp_path: Path, sections: dict[str, object], images: int
) -> None:
    assert workload_of(config.resolve(sections), tmp_path).images == images


def test_catalog_overrides_the_configuration(tmp_path: Path) -> None:
    rows = [image_row(f"HPA000001/{name}", "") for name in "abcde"]
    tables.write_parquet(tmp_path / "results/catalog/images.parquet", rows, ImageRow)
    work = workload_of(config.resolve({"source": {"kind": "hpa", "genes": "all"}}), tmp_path)
    assert (work.images, work.basis) == (5, "from the catalog")


def test_counts_lines_of_manifest_and_gene_list(tmp_path: Path) -> None:
    manifest, genes = tmp_path / "m.csv", tmp_path / "genes.txt"
    manifest.write_text("image_path,antibody_id,patient_id\na,b,c\nd,e,f\n\n")
    genes.write_text("\n".join(f"A{number}, a{number}" for number in range(100)))
    source = {"kind": "manifest", "manifest": str(manifest)}
    assert workload_of(config.resolve({"source": source}), tmp_path).images == 2
    source = {"kind": "hpa", "genes": str(genes)}
    assert workload_of(config.resolve({"source": source}), tmp_path).images == 390


def test_configurations_merge_as_in_snakemake(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(yaml.safe_dump({"census": {"shards": 9}, "tiles": {"tile_px": 64}}))
    second.write_text(yaml.safe_dump({"tiles": {"source_px": 200}, "seed": 3}))
    merged = {
        "census": {"shards": 9},
        "tiles": {"tile_px": 64, "source_px": 200},
        "seed": 3,
    }
    assert config.load([first, second]) == config.resolve(merged)


def test_durations_use_the_largest_fitting_unit() -> None:
    texts = [duration(seconds) for seconds in (4.4, 119, 600, 9000, 200_000)]
    assert texts == ["4 s", "119 s", "10 min", "2.5 h", "2.3 d"]


def test_rate_from_two_runs() -> None:
    rate = rate_between(Cost(5, 4, 300), 4, Cost(9, 6, 200), 8, unit_bytes=10)
    assert rate == Rate(1.0, 1.0, 2.0, 0.5, 300, 10)
    faster = rate_between(Cost(5, 4, 300), 0, Cost(4, 3, 200), 8)
    assert (faster.start_s, faster.unit_s, faster.unit_cpu_s) == (5, 0, 0)


def test_training_step_takes_the_median_over_intervals() -> None:
    speed = {10: 8.0, 20: 16.0, 30: 4.0, 40: 16.0, 50: 32.0}
    teachers = planned((TEACHER, 50))
    assert seconds_per_step(speed, teachers, teachers) == 16 / 16.0
    teacher_s, student_s = 16 / 8.0, 16 / 24.0
    mixed = planned((TEACHER, 3), (with_classes(ROBUST, 2), 1))
    for parts in ([(TEACHER, 30), (ROBUST, 20)], [(TEACHER, 10), (TEACHER, 20), (ROBUST, 20)]):
        trained = planned(*parts)
        assert seconds_per_step(speed, trained, planned((ROBUST, 1))) == student_s
        assert seconds_per_step(speed, trained, mixed) == (3 * teacher_s + student_s) / 4
    at_once = planned(*[(TEACHER, 6)] * 3, (ROBUST, 3))
    assert seconds_per_step(speed, trained, at_once) == (12 * teacher_s + 3 * student_s) / 21
    paper = planned((PAPER, 3))
    assert seconds_per_step({10: 4.0}, paper, paper) == 0.25


def planned(*parts: tuple[Preset, int]) -> list[PlannedNetwork]:
    return [PlannedNetwork(preset, steps, (0,)) for preset, steps in parts]


def test_every_class_has_its_own_teachers(tmp_path: Path) -> None:
    classes = {name: {"cell_type": name} for name in ("a", "b", "c")}
    steps = [
        workload_of(config.resolve({"labels": {"classes": selected}}), tmp_path).train_steps
        for selected in ({}, classes)
    ]
    assert steps == [number * TEACHER.optim.steps + ROBUST.optim.steps for number in (8, 12)]


def test_measures_commands_and_reports_a_failure() -> None:
    program = "x = bytearray(200_000_000); sum(range(10**6))"
    cost = measure_commands([[sys.executable, "-c", program]] * 2)
    assert cost.memory_mb > 200
    assert cost.cpu_s > 0
    assert cost.seconds > 0
    with pytest.raises(CaclError, match=r"`cacl tile` failed .*\(Error: no\); run `cacl doctor`"):
        measure_commands([[sys.executable, "-c", "import sys; sys.exit('Error: no')", "tile"]])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_calibrates_this_machine_with_the_demo_configuration(tmp_path: Path) -> None:
    """Run every step, including training, on tiles of a quarter of the demo's pixels."""
    demo, small = Path(__file__).parents[2] / "config" / "config.yaml", tmp_path / "small.yaml"
    small.write_text(yaml.safe_dump({"tiles": {"tile_px": 64}}))
    command = [sys.executable, "-m", "cacl", "estimate", "--json"]
    command += ["--config", str(demo), "--config", str(small)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    costs = json.loads(done.stdout)
    steps = {step["name"]: step for step in costs}
    assert list(steps) == [
        *("phantom", "catalog", "acquire", "tile"),
        *("select", "train", "segment", "measure", "controls", "report"),
    ]
    assert max(costs, key=lambda step: step["one_node_s"]) == steps["train"]
    assert all(step["memory_mb"] > 50 for step in costs)
    assert steps["catalog"]["memory_mb"] < 400, "the memory is that of the parent process"
    assert "calibrating" in done.stderr
