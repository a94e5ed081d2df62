"""Read a manifest: a user's CSV of images."""

from __future__ import annotations

from pathlib import Path

from cacl.errors import ConfigError, ImageError, ManifestError
from cacl.hpa.labels import LABELS
from cacl.hpa.pixel_size import parse_mpp
from cacl.hpa.target_class import join_labels, split_labels
from cacl.hpa.urls import image_id_of
from cacl.tables.schemas import ImageRow
from cacl.tables.user_csv import Line, read_lines

REQUIRED = ("image_path", "antibody_id", "patient_id")
OPTIONAL = ("label", "class_labels", "gene", "ensembl_id", "tissue", "image_id", "mpp")
MAX_PROBLEMS = 10


def read_manifest(path: Path) -> list[ImageRow]:
    """Return one row per image, in the order of the manifest.

    Relative image paths resolve against the folder of the manifest. The default `image_id` is
    `<antibody_id>/<file stem>`. The step `acquire` checks whether the files exist.

    Raises
    ------
    ManifestError
        The file is not a table, or lines are invalid: an unknown label, an id that cannot be a
        file name, an mpp outside the range of microscopes, a URL instead of a path, or a duplicate
        image. The message lists up to ten lines.
    """
    rows: list[ImageRow] = []
    problems: list[str] = []
    first_lines: dict[str, int] = {}
    for line in read_lines(path, required=REQUIRED, optional=OPTIONAL, error=ManifestError):
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
        rows.append(row)
    if problems:
        omitted = len(problems) - MAX_PROBLEMS
        ending = [f"... and {omitted} more line(s)"] if omitted > 0 else []
        raise ManifestError("\n".join([*problems[:MAX_PROBLEMS], *ending]))
    return rows


def _row(path: Path, line: Line) -> ImageRow:
    values = line.values
    image_path = values["image_path"]
    if not image_path:
        raise ManifestError("image_path is empty; write the path of an image file")
    if "://" in image_path:
        raise ManifestError(
            f"image_path is the URL {image_path[:100]!r}; a manifest lists files on this machine, "
            "so download the image first"
        )
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
        mpp=parse_mpp(values["mpp"]),
        label=label,
        label_source=path.name if label else "",
        class_labels=join_labels(class_labels),
    )
