"""napari shows image and labels in the colours of the store, in a window on a virtual screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cacl.image import palette
from tests.fixtures.small_atlas import pixels_of
from tests.interop.conftest import Census, Shown, cores

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

TOLERANCE = 3


def view(image: Path, folder: Path) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Open an image in a process of its own; return its layers, and the canvas (y, x, 3)."""
    home = {"HOME": str(folder), "NAPARI_CONFIG": str(folder / "napari.yaml")}
    command = [sys.executable, "-m", "tests.interop.napari_view", str(image), str(folder)]
    done = subprocess.run(
        ["xvfb-run", "--auto-servernum", "--server-args=-screen 0 1280x900x24", *command],
        capture_output=True, text=True, check=False,
        env=os.environ | home | {"QT_QPA_PLATFORM": "xcb"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    layers: list[dict[str, Any]] = json.loads((folder / "layers.json").read_text())
    with Image.open(folder / "canvas.png") as picture:
        return layers, np.asarray(picture.convert("RGB")).astype(int)


def test_napari_shows_image_and_labels_in_their_colours(
    census: Census, tmp_path: Path, shown: Shown
) -> None:
    core = cores()[0]
    rgb, cell, stained = pixels_of(core)
    layers, canvas = view(census.atlas.store.path(core.image_id), tmp_path)
    images = [layer for layer in layers if layer["kind"] == "Image"]
    assert [layer["sum"] for layer in images] == rgb.sum(axis=(1, 2)).tolist()
    assert [layer["name"].split(": ")[1] for layer in images] == ["red", "green", "blue"]
    labels = {layer["name"].split("/")[-1]: layer for layer in layers if layer not in images}
    expected = {"cell": (palette.CELL, cell), "stain": (palette.STAINS[0], stained)}
    assert labels.keys() == expected.keys()
    for name, (colour, mask) in expected.items():
        layer = labels[name]
        assert layer["kind"] == "Labels"
        assert layer["shape"] == [128, 128]
        assert layer["sum"] == mask.sum()
        assert not layer["visible"]
        assert layer["colours"]["1"] == pytest.approx([*(c / 255 for c in colour), 1.0])
        assert layer["colours"]["0"][3] == 0
    drawn = {
        name: (np.abs(canvas - np.array(colour)).max(axis=2) <= TOLERANCE)
        for name, (colour, _) in expected.items()
    }
    visible = {"cell": cell & ~stained, "stain": stained}
    fraction = {
        name: pixels.sum() / (drawn["cell"] | drawn["stain"]).sum()
        for name, pixels in drawn.items()
    }
    total = (cell | stained).sum()
    for name, mask in visible.items():
        assert fraction[name] == pytest.approx(mask.sum() / total, abs=0.02)
    rows = {name: np.flatnonzero(pixels.any(axis=1)) for name, pixels in drawn.items()}
    assert rows["stain"].max() < rows["cell"].min()
    shown(
        "napari, napari-ome-zarr, Xvfb",
        f"{version('napari')}, {version('napari-ome-zarr')}",
        "an image of `atlas.zarr`",
        "3 channels; labels `cell` and `stain` with the store's colours, hidden until clicked; "
        "their colours and places on the screenshot",
    )
