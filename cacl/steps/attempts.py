"""Record the attempt of a step at a shard, from which the next run is planned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cacl import tables
from cacl.diagnostics.retries import can_pass
from cacl.hpa.attempts import AttemptRecord, read_attempt, write_attempt
from cacl.hpa.image_state import ImageState
from cacl.steps.parameters import AttemptOptions
from cacl.tables.schemas import FailureRow


def record_attempt(
    step: str,
    attempt: AttemptOptions,
    failures: Path,
    images: Mapping[str, ImageState] | None = None,
) -> None:
    """Write the record of an attempt once the step has written its tables.

    Parameters
    ----------
    step
        Name of the step.
    attempt
        Number of the attempt, and the file of the record; without a file nothing is written.
    failures
        CSV of the failures that the step wrote.
    images
        For `acquire`: the acquired images by id, as they were read.
    """
    if attempt.attempt_record is None:
        return
    frame = tables.read_csv(failures, FailureRow)
    failed = dict(zip(map(str, frame["image_id"]), map(str, frame["reason"]), strict=True))
    states = images or {}
    try:
        before = read_attempt(attempt.attempt_record)
    except ValueError:  # damaged; what it said is lost, and all images were read again
        before = None
    retried: set[str] = set()
    if before is not None:
        digests = {state.image_id: state.sha256 for state in before.images}
        retried = {image for image, reason in before.failures.items() if can_pass(step, reason)}
        retried &= {*failed, *states} if images is not None else retried
        retried |= {
            image
            for image, digest in digests.items()
            if image in failed or (image in states and states[image].sha256 != digest)
        }
    acquired = tuple(states[image_id] for image_id in sorted(states))
    record = AttemptRecord(attempt.attempt, failed, tuple(sorted(retried)), acquired)
    write_attempt(attempt.attempt_record, record)
