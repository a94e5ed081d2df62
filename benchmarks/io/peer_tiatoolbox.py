"""Cut cores into 64 patches with TIAToolbox, on request; run by `tile.py` in its own environment.

Reads a path a line and answers with the seconds that it took, of a clock and of the CPU; its first
line says the version.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import time
import types
from collections.abc import Sequence

import cv2

GRID, SOURCE_PX, TILE_PX = 8, 375, 128
UNUSED = ("timm", "torchvision")


class Unused(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for packages of TIAToolbox's networks, which cutting patches does not call."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Offer an empty package."""
        if name.split(".")[0] not in UNUSED:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Return a module in which every name is a class."""
        module = types.ModuleType(spec.name)
        module.__getattr__ = _some_class
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing."""


class _SomeMeta(type):
    def __getattr__(cls, name: str) -> type:
        return _some_class(name)


class _Some(metaclass=_SomeMeta):
    pass


def _some_class(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Some


def main() -> None:
    """Response until the input ends."""
    sys.meta_path.append(Unused())
    import tiatoolbox
    from tiatoolbox.wsicore.wsireader import WSIReader

    cv2.setNumThreads(1)
    print(tiatoolbox.__version__, flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        reader = WSIReader.open(line.strip())
        for row in range(GRID):
            for col in range(GRID):
                corner = col * SOURCE_PX, row * SOURCE_PX
                bounds = (*corner, corner[0] + SOURCE_PX, corner[1] + SOURCE_PX)
                patch = reader.read_bounds(bounds, resolution=TILE_PX / SOURCE_PX, units="baseline")
        took = time.perf_counter() - wall, time.process_time() - cpu
        print(*took, *patch.shape, flush=True)


if __name__ == "__main__":
    main()
