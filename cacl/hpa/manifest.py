"""Read a user's own table of images."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from cacl.errors import ConfigError, ImageError, ManifestError
from cacl.hpa.options import LABELS
from cacl.hpa.target_class import join_labels, split_labels
from cacl.hpa.urls import image_id_of
from cacl.tables.schemas import ImageRow
from cacl.tables.user_csv import Line, read_lines

REQUIRED = ("image_path", "antibody_id", "patient_id")
OPTIONAL = ("label", "class_labels", "gene", "ensembl_id", "tissue", "image_id", "mpp")
MAX_PROBLEMS = 10


def read_manifest(path: Path) -> list[ImageRow]:
    """Return one row an image, in the manifest's order.

    Relative image paths resolve against the manifest's folder. A missing `image_id` is
    `<antibody_id>/<file stem>`. Whether the files exist is for `acquire` to say.

    Raises
    ------
    ManifestError
        The file cannot be read as a table, or lines are wrong: an unknown label, an id that cannot
        be a file name, an mpp that is no positive number, a web address, or an image that is named
        twice. Up to ten lines are named.
    """
    rows: list[ImageRow] = []
    problems: list[str] = []
    first_line: dict[str, int] = {}
    for line in read_lines(path, required=REQUIRED, optional=OPTIONAL, error=ManifestError):
        try:
            row = _row(path, line)
        except (ManifestError, ImageError, ConfigError) as error:
            problems.append(f"{path}, line {line.number}: {error}")
            continue
        first = first_line.setdefault(row.image_id.lower(), line.number)
        if first != line.number:
            problems.append(
                f"{path}, line {line.number}: the image {row.image_id} is already on line {first}; "
                "remove one, or tell them apart in a column image_id"
            )
        rows.append(row)
    if problems:
        more = len(problems) - MAX_PROBLEMS
        rest = [f"... and {more} more line(s)"] if more > 0 else []
        raise ManifestError("\n".join([*problems[:MAX_PROBLEMS], *rest]))
    return rows


def _row(path: Path, line: Line) -> ImageRow:
    values = line.values
    image_path = values["image_path"]
    if not image_path:
        raise ManifestError("image_path is empty; write the path of an image file")
    if "://" in image_path:
        raise ManifestError(
            f"image_path is the web address {image_path[:100]!r}; a manifest lists files on this "
            "machine, so download it first"
        )
    label = values["label"].lower()
    if label not in (*LABELS, ""):
        raise ManifestError(
            f"the label {values['label'][:50]!r} is unknown; expected positive, negative or nothing"
        )
    classes = split_labels(values["class_labels"].lower())
    if classes and label not in (next(iter(classes.values())), ""):
        raise ManifestError(
            f"the label {label} is not that of the first of class_labels, "
            f"{values['class_labels'][:100]!r}; leave one of the two columns empty"
        )
    label = next(iter(classes.values()), label)
    antibody_id = values["antibody_id"]
    name = values["image_id"].removeprefix(f"{antibody_id}/") or Path(image_path).stem
    return ImageRow(
        image_id=image_id_of(antibody_id, name),
        antibody_id=antibody_id,
        ensembl_id=values["ensembl_id"],
        gene=values["gene"],
        tissue=values["tissue"].lower(),
        patient_id=values["patient_id"],
        sex="",
        age=None,
        url="",
        path=str(path.parent / image_path),
        hpa_version="",
        licence="",
        mpp=_number(values["mpp"], lambda value: f"mpp is {value!r}"),
        label=label,
        label_source=path.name if label else "",
        class_labels=join_labels(classes),
    )


def _number(text: str, what: Callable[[str], str]) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ManifestError(f"{what(text[:50])}; expected micrometres per pixel, such as 0.5")
    return value
