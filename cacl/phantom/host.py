"""Write a folder with the layout of the HPA host, and a folder of ground truth masks."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cacl import tables
from cacl.errors import ConfigError
from cacl.phantom.anatomy import draw_anatomy
from cacl.phantom.annotation_files import Antibody, Core, Patient, bulk_table, gene_xml
from cacl.phantom.fields import generator, within
from cacl.phantom.imaging import ground_truth_png, render_image
from cacl.phantom.render import render
from cacl.phantom.settings import Setting, setting_by_name
from cacl.phantom.staining import annotate, draw_staining
from cacl.runtime.json_text import parse_json
from cacl.runtime.progress import track

POSITIONS = ("7_2", "8_2", "9_2")
MAX_ANTIBODIES = 99_999
MIN_CORE_PX = 250
# Part of every digest: increase it if the images change for the same settings.
VERSION = 1


@dataclass(frozen=True)
class CoreTask:
    """One core, the paths of its files, and the digest of its parameters."""

    core: Core
    antibody: Antibody
    image: Path
    mask: Path
    digest: str

    @property
    def record(self) -> Path:
        """Path of the provenance record of image and mask."""
        return self.mask.with_suffix(".json")


def write_phantom(
    host: Path,
    ground_truth: Path,
    *,
    antibodies: int,
    patients: int,
    seed: int,
    jobs: int,
    setting: str | Setting = "duodenum-a",
    core_px: int = 3000,
) -> None:
    """Write a phantom; existing images and masks that match their records are kept.

    Parameters
    ----------
    host
        Folder of gene XML, the bulk table and JPEG images, usable as a mirror.
    ground_truth
        Folder of masks `<antibody_id>/<stem>.png`, uint8 of the size of the core: 0 = no cell,
        1 = cell, 2 = stained brush border (which is also cell) and, if the setting has these
        structures, 3 = stained cytoplasm, 4 = stained nucleus. Each has a provenance record beside
        it.
    antibodies
        Number of antibodies, each with its own gene. Of each pair one stains the brush border.
    patients
        Number of patients, 1 to 3; the same for all antibodies.
    seed
        Seed; with the setting it determines every byte. A larger number of antibodies does not
        change the earlier ones.
    jobs
        Number of cores in parallel; does not change the result.
    setting
        A setting or its name.
    core_px
        Height and width of the image of a core, in source pixels.

    Raises
    ------
    ConfigError
        A number is out of range, or no setting has this name.
    OSError
        The disk is full or a folder cannot be written.
    """
    parameters = setting_by_name(setting) if isinstance(setting, str) else setting
    _check_range("antibodies", antibodies, 1, MAX_ANTIBODIES)
    _check_range("patients", patients, 1, len(POSITIONS))
    _check_range("jobs", jobs, 1, 1024)
    _check_range("core_px", core_px, MIN_CORE_PX, 20_000)
    people = [_patient(seed, parameters, index) for index in range(patients)]
    numbers = range(1, antibodies + 1)
    all_antibodies = [_antibody(seed, parameters, number, people) for number in numbers]
    tasks = [
        _task(host, ground_truth, parameters, antibody, core, seed, core_px)
        for antibody in all_antibodies
        for core in antibody.cores
    ]
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        results = pool.map(lambda task: _write_core(task, seed, parameters, core_px), tasks)
        for _ in track(results, "phantom: cores", len(tasks)):
            pass
    for antibody in all_antibodies:
        tables.write_text(host / f"{antibody.ensembl_id}.xml", gene_xml(antibody))
    archive = _zip_text("normal_tissue.tsv", bulk_table(all_antibodies))
    path = host / "download" / "normal_tissue.tsv.zip"
    tables.write_atomically(path, lambda temporary: temporary.write_bytes(archive))


def _write_core(task: CoreTask, seed: int, setting: Setting, core_px: int) -> None:
    """Render and write one core unless its files are up to date."""
    if _is_up_to_date(task):
        return
    core = task.core
    image_id = f"{task.antibody.antibody_id}/{core.stem}"
    rng = generator("core", seed, setting.name, image_id)
    anatomy = draw_anatomy(rng, setting.geometry, core_px)
    staining = task.antibody.staining
    core_factor = float(np.exp(rng.normal(0.0, 0.07)))
    core_staining = dataclasses.replace(staining, border_od=staining.border_od * core_factor)
    coverage = staining.coverage * core.patient.coverage
    maps = render(rng, anatomy, setting, core_staining, coverage)
    jpeg = render_image(rng, maps, setting, core_px)
    png = ground_truth_png(maps, core_px)
    tables.write_atomically(task.image, lambda temporary: temporary.write_bytes(jpeg))
    tables.write_atomically(task.mask, lambda temporary: temporary.write_bytes(png))
    record = {"digest": task.digest, "image_sha256": _sha256(jpeg), "truth_sha256": _sha256(png)}
    tables.write_text(task.record, json.dumps(record, indent=1) + "\n")


def _is_up_to_date(task: CoreTask) -> bool:
    """Return whether image and mask match their provenance record."""
    try:
        record = parse_json(task.record.read_text(encoding="utf-8"))
        expected = {
            "digest": task.digest,
            "image_sha256": _sha256(task.image.read_bytes()),
            "truth_sha256": _sha256(task.mask.read_bytes()),
        }
    except (FileNotFoundError, ValueError):
        return False
    return bool(record == expected)


def _task(
    host: Path,
    ground_truth: Path,
    setting: Setting,
    antibody: Antibody,
    core: Core,
    seed: int,
    core_px: int,
) -> CoreTask:
    fields = dataclasses.asdict(setting)
    if setting.detail is None:
        del fields["detail"]
    parameters = {
        "version": VERSION,
        "seed": seed,
        "core_px": core_px,
        "setting": fields,
        "antibody": antibody.antibody_id,
        "stem": core.stem,
    }
    return CoreTask(
        core=core,
        antibody=antibody,
        image=host / "images" / str(antibody.number) / f"{core.stem}.jpg",
        mask=ground_truth / antibody.antibody_id / f"{core.stem}.png",
        digest=_sha256(json.dumps(parameters, sort_keys=True).encode()),
    )


def _patient(seed: int, setting: Setting, index: int) -> Patient:
    rng = generator("patient", seed, setting.name, index)
    return Patient(
        patient_id=str(int(rng.integers(1000, 9999))),
        sex="Female" if rng.random() < 0.5 else "Male",
        age=int(rng.integers(25, 85)),
        position=POSITIONS[index],
        coverage=within(rng, setting.densities.patient_coverage),
    )


def _antibody(seed: int, setting: Setting, index: int, patients: Sequence[Patient]) -> Antibody:
    number = 900_000 + index
    staining = draw_staining(seed, setting, index)
    cores = tuple(
        Core(stem=f"{number}_A_{patient.position}", patient=patient) for patient in patients
    )
    return Antibody(
        number=number,
        antibody_id=f"HPA{number}",
        ensembl_id=f"ENSG{number:011d}",
        gene=f"PHM{index}",
        staining=staining,
        annotations=annotate(staining),
        cores=cores,
    )


def _zip_text(name: str, text: str) -> bytes:
    """Return a zip archive of one text file; equal texts give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo(name, date_time=(2023, 6, 19, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, text)
    return buffer.getvalue()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(
            f"The phantom got {name}={value}; choose a whole number from {low} to {high}"
        )
