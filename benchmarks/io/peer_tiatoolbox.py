"""Read 64 patches of a core with TIAToolbox; `tile.py` runs this file in another environment.

The first output line is the version. For each input line, a path, the output has a line with wall
time and CPU time in seconds, and the shape of a patch.
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


class StubFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports stubs for packages of TIAToolbox's networks, which are not used here."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a stub package."""
        if name.split(".")[0] not in UNUSED:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Return a module whose attributes are all classes."""
        module = types.ModuleType(spec.name)
        vars(module)["__getattr__"] = _stub_class
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing."""


class _StubMeta(type):
    def __getattr__(cls, name: str) -> type:
        return _stub_class(name)


class _Stub(metaclass=_StubMeta):
    pass


def _stub_class(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Stub


def main() -> None:
    """Serve requests until the input ends."""
    sys.meta_path.append(StubFinder())
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
        duration = time.perf_counter() - wall, time.process_time() - cpu
        print(*duration, *patch.shape, flush=True)


if __name__ == "__main__":
    main()
