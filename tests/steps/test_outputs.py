"""Tables of a step: failures are written before an error is raised."""

from __future__ import annotations

from pathlib import Path

import pytest

from cacl import tables
from cacl.errors import Reason, StrictError
from cacl.runtime.images import ImageFailure
from cacl.steps.outputs import write_failures
from cacl.tables.schemas import FailureRow

DAMAGED = ImageFailure("A/1", "tile", Reason.DAMAGED, "The file is truncated", "1.png")


def test_strict_raises_after_the_table_is_written(tmp_path: Path) -> None:
    path = tmp_path / "failures.csv"
    write_failures(path, [], strict=True)
    write_failures(path, [DAMAGED], strict=False)
    with pytest.raises(StrictError, match=r"1 image\(s\) failed and --strict is set"):
        write_failures(path, [DAMAGED], strict=True)
    assert tables.read_csv(path, FailureRow).to_dict("records") == [
        {
            "image_id": "A/1",
            "stage": "tile",
            "reason": "damaged",
            "message": "The file is truncated",
            "source": "1.png",
        }
    ]
