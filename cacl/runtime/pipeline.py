"""How the images of a shard share the device.

On a GPU, images overlap: while the network scores a block of one image, the next image is read and
unpacked and the masks of the one before are cut, packed and written, each in a thread of
`run_images`, and one at a time has the device. On a CPU two images are worked on from reading to
writing, each with half of the cores: so none waits while an image is read. More would need more
memory than a job has; a single image, such as a slide, has all cores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from dask.utils import SerializableLock

IMAGES_ON_GPU, IMAGES_ON_CPU = 3, 2

Given = ParamSpec("Given")
Result = TypeVar("Result")


class DeviceLock:
    """Lets one thread at a time use the device."""

    def __init__(self) -> None:
        self._lock = SerializableLock()

    def take(
        self, function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """Call a function when it is this thread's turn."""
        with self._lock:
            return function(*args, **kwargs)


@dataclass(frozen=True)
class Pipeline:
    """How a shard's images are worked on.

    Parameters
    ----------
    images
        At a time.
    threads
        CPU threads of each one's network.
    turns
        Whether one image at a time has the device.
    """

    images: int
    threads: int
    turns: bool


def plan(threads: int, images: int, *, on_gpu: bool) -> Pipeline:
    """Return how so many images share the device and so many CPU threads."""
    if on_gpu:
        return Pipeline(IMAGES_ON_GPU, threads, turns=True)
    together = max(1, min(threads, images, IMAGES_ON_CPU))
    return Pipeline(together, max(1, threads // together), turns=False)
