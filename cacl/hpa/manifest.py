"""Read a manifest: a user's CSV of images."""

from __future__ import annotations

from pathlib import Path

from cacl.errors import ConfigError, ImageError, ManifestError
from cacl.hpa.gene_names import spreadsheet_date, without_version
from cacl.hpa.labels import LABELS
from cacl.hpa.local_path import local_path
from cacl.hpa.pixel_size import parse_core_um, parse_mpp
from cacl.hpa.target_class import join_labels, split_labels
from cacl.hpa.urls import image_id_of
from cacl.image.region import Region, parse_region
from cacl.tables.schemas import ImageRow
from cacl.tables.user_csv import Columns, Line, read_lines

COLUMNS = Columns(
    required=("image_path", "antibody_id", "patient_id"),
    optional=(
        "label",
        "class_labels",
        "gene",
        "ensembl_id",
        "tissue",
        "image_id",
        "mpp",
        "core_um",
        "region",
        "position",
        "status",
    ),
    paths=("image_path",),
    names=("antibody_id", "patient_id", "gene", "ensembl_id", "tissue", "image_id", "position"),
)
MAX_PROBLEMS = 10


def read_manifest(path: Path) -> list[ImageRow]:
    """Return one row per image, in the order of the manifest.

    Relative image paths resolve against the folder of the manifest; see `local_path` for other
    forms. The default `image_id` is `<antibody_id>/<file stem>`; of a region, `_<position>` or
    `_<x>_<y>` follows. The step `acquire` checks whether the files exist, `tile` whether regions
    lie inside them. Missing values are those of `cacl.tables.cells.MISSING`. `status` is what
    `cacl dearray` says of a core, for the reader.

    Raises
    ------
    ManifestError
        The file is not a table, or lines are invalid: an unknown label, an id that cannot be a
        file name, an mpp outside 0.05 to 5 um/px, a core_um outside 200 to 5,000 um, a URL or a
        Windows path, a gene that a spreadsheet made a date, a region that is none, or a duplicate
        image. The message lists up to ten lines. Or regions without a patient.
    """
    rows: list[ImageRow] = []
    problems: list[str] = []
    first_lines: dict[str, int] = {}
    without_patient: list[str] = []
    for line in read_lines(path, COLUMNS, ManifestError):
        try:
            row = _row(path, line)
        except (ManifestError, ImageError, ConfigError) as error:
            problems.append(f"{path}, line {line.number}: {error}")
            continue
        first_line = first_lines.setdefault(row.image_id.lower(), line.number)
        if first_line != line.number:
            problems.append(
                f"{path}, line {line.number}: the image {row.image_id} is already on line "
                f"{first_line}; remove one, or give them different names in a column image_id"
            )
        if row.region and not row.patient_id:
            position = line.values["position"]
            without_patient.append(f"{line.number}{f' (core {position})' if position else ''}")
        rows.append(row)
    if problems:
        omitted = len(problems) - MAX_PROBLEMS
        ending = [f"... and {omitted} more line(s)"] if omitted > 0 else []
        raise ManifestError("\n".join([*problems[:MAX_PROBLEMS], *ending]))
    if without_patient:
        raise ManifestError(
            f"{path}: patient_id is empty on {len(without_patient)} of {len(rows)} lines, the "
            f"first of them line {without_patient[0]}; write the patient of each core of a slide, "
            "because cores of one patient count as one in the intervals: by hand, or with the map "
            "of the array, `cacl dearray --map`"
        )
    return rows


def _row(path: Path, line: Line) -> ImageRow:
    values = line.values
    image_path = values["image_path"]
    if not image_path:
        raise ManifestError("image_path is empty; write the path of an image file")
    image_file = local_path(image_path, path.parent)
    label = values["label"].lower()
    if label not in (*LABELS, ""):
        raise ManifestError(
            f"the label {values['label'][:50]!r} is unknown; expected positive, negative or nothing"
        )
    class_labels = split_labels(values["class_labels"].lower())
    if class_labels and label not in (next(iter(class_labels.values())), ""):
        raise ManifestError(
            f"the label {label} differs from the first of class_labels, "
            f"{values['class_labels'][:100]!r}; leave one of the two columns empty"
        )
    label = next(iter(class_labels.values()), label)
    antibody_id = values["antibody_id"]
    region = _region(values["region"])
    name = values["image_id"].removeprefix(f"{antibody_id}/")
    if not name:
        position = values["position"] or (region and f"{region.x}_{region.y}")
        name = f"{image_file.stem}_{position}" if region else image_file.stem
    return ImageRow(
        image_id=image_id_of(antibody_id, name),
        antibody_id=antibody_id,
        ensembl_id=without_version(values["ensembl_id"]),
        gene=_gene(values["gene"]),
        tissue=values["tissue"].lower(),
        patient_id=values["patient_id"],
        sex="",
        age=None,
        url="",
        path=str(image_file),
        hpa_version="",
        licence="",
        mpp=parse_mpp(values["mpp"]),
        label=label,
        label_source=path.name if label else "",
        core_um=parse_core_um(values["core_um"]),
        class_labels=join_labels(class_labels),
        region=str(region or ""),
    )


def _region(text: str) -> Region | None:
    try:
        return parse_region(text)
    except ValueError as error:
        raise ManifestError(str(error)) from error


def _gene(name: str) -> str:
    symbol = spreadsheet_date(name)
    if symbol:
        raise ManifestError(
            f"the gene {name!r} is a date that a spreadsheet made of a gene's name; write "
            f"{symbol}, and import the column as text"
        )
    return name
