"""Read, compute and write at the same time: images overlap, but one at a time has the device.

While the network scores a block of one image, the next image is read and unpacked and the masks
of the one before are cut, packed and written, each in a thread of `run_images`. Three images at a
time, and of each no more than its blocks, is all that memory has to hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from dask.utils import SerializableLock

IMAGES_AT_A_TIME = 3
"""One that is read, one that is computed, one that is written."""

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Turns:
    """Lets one thread at a time use the device."""

    def __init__(self) -> None:
        self._lock = SerializableLock()

    def take(
        self, function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """Call a function when it is this thread's turn."""
        with self._lock:
            return function(*args, **kwargs)
