"""The store fulfils the JSON schemas of OME-Zarr 0.5, those that the ome-ngff validator uses."""

from __future__ import annotations

import copy
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import Census, Shown, cores

pytestmark = pytest.mark.interop

NGFF = "0.5"


def attributes_of(group: Path) -> dict[str, Any]:
    attributes: dict[str, Any] = json.loads((group / "zarr.json").read_text())["attributes"]
    return attributes


def test_every_group_fulfils_the_schemas(census: Census, shown: Shown) -> None:
    from ngff_zarr.validate import validate

    labels = 0
    for core in cores():
        image = census.atlas.store.path(core.image_id)
        validate(attributes_of(image), version=NGFF, model="image")
        for name in attributes_of(image / "labels")["ome"]["labels"]:
            label = attributes_of(image / "labels" / name)
            validate(label, version=NGFF, model="image")
            validate(label, version=NGFF, model="label", strict=True)
            labels += 1
    assert labels == 2 * len(cores())
    shown(
        "JSON schemas of OME-Zarr 0.5 (ome/ngff)",
        f"0.5, from ngff-zarr {version('ngff-zarr')}",
        f"{len(cores())} images and {labels} labels of `atlas.zarr`",
        "`image`, `label` and `strict_label` fulfilled; `strict_image` is not: it requires how "
        "levels were downscaled (`type`, `metadata`), and an image has one level",
    )


def test_schemas_refuse_what_is_wrong(census: Census) -> None:
    from jsonschema import ValidationError
    from ngff_zarr.validate import validate

    image = census.atlas.store.path(cores()[0].image_id)
    good = attributes_of(image)
    for path in (("ome", "version"), ("ome", "multiscales")):
        bad = copy.deepcopy(good)
        del bad[path[0]][path[1]]
        with pytest.raises(ValidationError):
            validate(bad, version=NGFF, model="image")
    label = attributes_of(image / "labels" / "stain")
    label["ome"]["image-label"]["colors"][0]["rgba"] = [0, 114, 300, 255]
    with pytest.raises(ValidationError):
        validate(label, version=NGFF, model="label")
