"""Open an image of the store in napari as a user does, and describe what is shown.

Usage: python -m tests.interop.napari_view IMAGE FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PLUGIN = "napari-ome-zarr"


def main() -> None:
    """Open the image, show its labels without transparency, and take two screenshots."""
    import napari

    image, folder = sys.argv[1], Path(sys.argv[2])
    viewer = napari.Viewer()
    opened = viewer.open(image, plugin=PLUGIN)
    layers = [describe(layer) for layer in opened]
    for layer in opened:
        layer.visible = True
        if isinstance(layer, napari.layers.Labels):
            layer.opacity = 1.0
    viewer.screenshot(str(folder / "napari.png"), canvas_only=False, flash=False)
    viewer.screenshot(str(folder / "canvas.png"), canvas_only=True, flash=False)
    (folder / "layers.json").write_text(json.dumps(layers), encoding="utf-8")
    viewer.close()


def describe(layer: Any) -> dict[str, Any]:
    """Return name, kind, size, visibility and colours of a layer as it was opened."""
    data = layer.data[0] if layer.multiscale else layer.data
    colours = getattr(layer.colormap, "color_dict", {})
    return {
        "name": layer.name,
        "kind": type(layer).__name__,
        "shape": list(data.shape),
        "visible": layer.visible,
        "sum": int(data.sum()),
        "colours": {str(key): [float(c) for c in value] for key, value in colours.items()},
    }


if __name__ == "__main__":
    main()
