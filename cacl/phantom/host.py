"""Write a host folder as the atlas lays it out, with the truth beside it."""

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
from cacl.phantom.camera import photograph, truth_png
from cacl.phantom.fields import generator, within
from cacl.phantom.listing import Antibody, Core, Patient, bulk_table, gene_xml
from cacl.phantom.paint import paint
from cacl.phantom.settings import Setting, named
from cacl.phantom.staining import annotate, draw_staining
from cacl.runtime.progress import track

POSITIONS = ("7_2", "8_2", "9_2")
MOST_ANTIBODIES = 99_999
FEWEST_PX = 250
# Part of every receipt: raise it whenever the pictures change for the same settings.
VERSION = 1


@dataclass(frozen=True)
class Job:
    """One core to draw, and where its files go."""

    core: Core
    antibody: Antibody
    image: Path
    mask: Path
    digest: str

    @property
    def receipt(self) -> Path:
        """The file that says what the other two were made from."""
        return self.mask.with_suffix(".json")


def write_phantom(
    host: Path,
    truth: Path,
    *,
    antibodies: int,
    patients: int,
    seed: int,
    jobs: int,
    setting: str | Setting = "duodenum-a",
    core_px: int = 3000,
) -> None:
    """Write a synthetic atlas; what is there already and still matches is left as it is.

    Parameters
    ----------
    host
        Folder of gene XML, the bulk table and JPEG cores, usable as a mirror.
    truth
        Folder of masks, `<antibody_id>/<stem>.png`, uint8 of the core's size: 0 = neither,
        1 = cell, 2 = stained brush border (which is also cell), and where the setting shows more
        patterns 3 = stained cytoplasm, 4 = stained nucleus; beside each a receipt.
    antibodies
        How many, each of a gene of its own. Of each pair one stains the brush border.
    patients
        How many patients each, 1 to 3; the same people for all antibodies.
    seed
        With the setting, decides every byte. More antibodies leave the earlier ones unchanged.
    jobs
        Cores at a time; does not change the result.
    setting
        A setting or the name of one.
    core_px
        Height and width of a core's picture, in source pixels.

    Raises
    ------
    ConfigError
        A number out of range, or no setting of that name.
    OSError
        Disk full or no permission.
    """
    chosen = named(setting) if isinstance(setting, str) else setting
    _check("antibodies", antibodies, 1, MOST_ANTIBODIES)
    _check("patients", patients, 1, len(POSITIONS))
    _check("jobs", jobs, 1, 1024)
    _check("core_px", core_px, FEWEST_PX, 20_000)
    people = [_patient(seed, chosen, place) for place in range(patients)]
    everyone = [_antibody(seed, chosen, number, people) for number in range(1, antibodies + 1)]
    work = [
        _job(host, truth, chosen, antibody, core, seed, core_px)
        for antibody in everyone
        for core in antibody.cores
    ]
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        done = pool.map(lambda job: _draw(job, seed, chosen, core_px), work)
        for _ in track(done, "phantom: cores", len(work)):
            pass
    for antibody in everyone:
        tables.write_text(host / f"{antibody.ensembl_id}.xml", gene_xml(antibody))
    archive = _zipped("normal_tissue.tsv", bulk_table(everyone))
    place = host / "download" / "normal_tissue.tsv.zip"
    tables.write_atomically(place, lambda temporary: temporary.write_bytes(archive))


def _draw(job: Job, seed: int, setting: Setting, core_px: int) -> None:
    """Draw one core, unless it is there."""
    if _is_there(job):
        return
    core = job.core
    image_id = f"{job.antibody.antibody_id}/{core.stem}"
    rng = generator("core", seed, setting.name, image_id)
    anatomy = draw_anatomy(rng, setting.geometry, core_px)
    staining = job.antibody.staining
    stronger = float(np.exp(rng.normal(0.0, 0.07)))
    border = dataclasses.replace(staining, border_od=staining.border_od * stronger)
    cover = staining.cover * core.patient.cover
    painting = paint(rng, anatomy, setting, border, cover)
    jpeg = photograph(rng, painting, setting, core_px)
    png = truth_png(painting, core_px)
    tables.write_atomically(job.image, lambda temporary: temporary.write_bytes(jpeg))
    tables.write_atomically(job.mask, lambda temporary: temporary.write_bytes(png))
    receipt = {"digest": job.digest, "image_sha256": _sha256(jpeg), "truth_sha256": _sha256(png)}
    tables.write_text(job.receipt, json.dumps(receipt, indent=1) + "\n")


def _is_there(job: Job) -> bool:
    """Tell whether image and mask are the ones that the receipt speaks of."""
    try:
        receipt = json.loads(job.receipt.read_text(encoding="utf-8"))
        found = {
            "digest": job.digest,
            "image_sha256": _sha256(job.image.read_bytes()),
            "truth_sha256": _sha256(job.mask.read_bytes()),
        }
    except (FileNotFoundError, ValueError):
        return False
    return bool(receipt == found)


def _job(
    host: Path,
    truth: Path,
    setting: Setting,
    antibody: Antibody,
    core: Core,
    seed: int,
    core_px: int,
) -> Job:
    parameters = {
        "version": VERSION,
        "seed": seed,
        "core_px": core_px,
        "setting": dataclasses.asdict(setting),
        "antibody": antibody.antibody_id,
        "stem": core.stem,
    }
    return Job(
        core=core,
        antibody=antibody,
        image=host / "images" / str(antibody.number) / f"{core.stem}.jpg",
        mask=truth / antibody.antibody_id / f"{core.stem}.png",
        digest=_sha256(json.dumps(parameters, sort_keys=True).encode()),
    )


def _patient(seed: int, setting: Setting, place: int) -> Patient:
    rng = generator("patient", seed, setting.name, place)
    return Patient(
        patient_id=str(int(rng.integers(1000, 9999))),
        sex="Female" if rng.random() < 0.5 else "Male",
        age=int(rng.integers(25, 85)),
        position=POSITIONS[place],
        cover=within(rng, setting.strengths.patient_cover),
    )


def _antibody(seed: int, setting: Setting, index: int, people: Sequence[Patient]) -> Antibody:
    number = 900_000 + index
    staining = draw_staining(seed, setting, index)
    cores = tuple(
        Core(stem=f"{number}_A_{patient.position}", patient=patient) for patient in people
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


def _zipped(name: str, text: str) -> bytes:
    """Return a zip archive of one text file; the same bytes for the same text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo(name, date_time=(2023, 6, 19, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, text)
    return buffer.getvalue()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(
            f"The phantom got {name}={value}; choose a whole number from {low} to {high}"
        )
