"""Which steps of which shards are tried again: an image has changed, or a failure can pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cacl.errors import Reason
from cacl.hpa.attempts import AttemptRecord, attempt_path, read_attempt
from cacl.hpa.image_state import Change, ReadingLimit, change_of

MAX_BYTES_READ = 10**9
"""Bytes that one plan reads to find out whether images whose times have changed are the same.

Beyond it, `acquire` runs for the shards of the other ones; it reads them in parallel.
"""

CATALOG, ACQUIRE = "catalog", "acquire"
ALL_SHARDS = "all"
"""Name of the record of the catalog, which has no shards."""

LATER_STEPS: dict[str, tuple[str, ...]] = {
    CATALOG: (),
    ACQUIRE: ("tile",),
    "tile": ("segment", "measure"),
    "segment": ("measure",),
    "measure": (),
}
"""The steps that fail because of what a step has made; its images or its part of the store."""

SHARD_STEPS = tuple(step for step in LATER_STEPS if step != CATALOG)

INPUT_REASONS = frozenset((Reason.CHANGED, Reason.NOT_FOUND, Reason.DAMAGED))
"""Reasons that a later step gives if its input is not what an earlier step has made."""

FOR_GOOD_IN_TILE = frozenset((Reason.NOT_AN_IMAGE,))
"""`acquire` has read the whole file: it is no download that was cut short."""


@dataclass
class Retries:
    """Decides what is tried again; every question is answered once, so that a plan is consistent.

    Parameters
    ----------
    attempts
        Folder of the records of attempts.
    folder
        Folder to which the paths of images are relative: the run's working directory.
    ignored
        Reasons of failures of the catalog that do not lead to another attempt.
    limit
        Bytes that may be read to compare images.
    """

    attempts: Path
    folder: Path = Path()
    ignored: frozenset[Reason] = frozenset()
    limit: ReadingLimit = field(default_factory=lambda: ReadingLimit(MAX_BYTES_READ))
    _numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    _records: dict[tuple[str, str], AttemptRecord | None] = field(default_factory=dict)
    _stale: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def attempt_number(self, step: str, shard: str = ALL_SHARDS) -> int:
        """Return the number of the attempt that a step and shard should have.

        It is the recorded number (0 without a record), and 1 more if something is to be tried
        again. Snakemake compares it with the number of the job that it ran last.
        """
        if (step, shard) not in self._numbers:
            self._numbers[step, shard] = self._next_number(step, shard)
        return self._numbers[step, shard]

    def stale_images(self, shard: str) -> tuple[str, ...]:
        """Return the images of a shard whose files are missing or differ from those acquired.

        An image whose files are as large as before and newer counts as well if the limit of bytes
        does not suffice to compare it.
        """
        if shard not in self._stale:
            record = self.record(ACQUIRE, shard)
            images = record.images if record else ()
            self._stale[shard] = tuple(
                state.image_id
                for state in images
                if change_of(state, self.limit, self.folder) in (Change.CONTENT, Change.UNKNOWN)
            )
        return self._stale[shard]

    def record(self, step: str, shard: str) -> AttemptRecord | None:
        """Return the record of the last attempt; None if there is none, or it is damaged."""
        if (step, shard) not in self._records:
            try:
                record = read_attempt(attempt_path(self.attempts, step, shard))
            except ValueError:
                record = None
            self._records[step, shard] = record
        return self._records[step, shard]

    def _next_number(self, step: str, shard: str) -> int:
        path = attempt_path(self.attempts, step, shard)
        try:
            record = read_attempt(path)
        except ValueError:
            # Any number that differs from the last one: the step runs and writes its record again.
            return int(hashlib.sha256(path.read_bytes()).hexdigest()[:8], 16) + 1
        number = record.number if record else 0
        return number + self._is_tried_again(step, shard)

    def _is_tried_again(self, step: str, shard: str) -> bool:
        if any(can_pass(step, reason) for reason in self._reasons(step, shard) - self.ignored):
            return True
        later_reasons = {
            reason for later in LATER_STEPS[step] for reason in self._reasons(later, shard)
        }
        if later_reasons & INPUT_REASONS:
            return True
        return step == ACQUIRE and bool(self.stale_images(shard))

    def _reasons(self, step: str, shard: str) -> set[Reason]:
        record = self.record(step, shard)
        return reasons_of(record.failures) if record else set()


def reasons_of(failures: Mapping[str, str]) -> set[Reason]:
    """Return the distinct reasons of failures by image; one of another version is `UNEXPECTED`."""
    return {_reason(code) for code in set(failures.values())}


def can_pass(step: str, reason: Reason | str) -> bool:
    """Return whether a failure of a step can pass, so that the next run tries the image again."""
    known = reason if isinstance(reason, Reason) else _reason(reason)
    return known.is_temporary and not (step == "tile" and known in FOR_GOOD_IN_TILE)


def _reason(code: str) -> Reason:
    return next((reason for reason in Reason if reason == code), Reason.UNEXPECTED)


@dataclass(frozen=True)
class RetryCounts:
    """Numbers of images that changed, failed and were tried again; `str()` gives them in words.

    Parameters
    ----------
    stale
        Images whose files are missing or differ from those that were read.
    can_pass, for_good
        Failed images that the next run tries again, and those that it does not.
    retried, succeeded
        Images that the last attempt tried again, and those of them that then succeeded.
    """

    stale: int
    can_pass: int
    for_good: int
    retried: int
    succeeded: int

    def __str__(self) -> str:
        return (
            f"changed since they were read: {self.stale}; failed: {self.can_pass} for a reason "
            f"that can pass (tried again by the next run), {self.for_good} for good; tried again "
            f"by the last run: {self.retried}, of which {self.succeeded} succeeded"
        )


def count_retries(retries: Retries, shards: Iterable[str]) -> RetryCounts:
    """Return the numbers of images by their records, over the catalog and the steps of shards."""
    names = list(shards)
    keys = [(CATALOG, ALL_SHARDS), *((step, name) for name in names for step in SHARD_STEPS)]
    passing = lasting = retried = succeeded = 0
    for step, shard in keys:
        record = retries.record(step, shard)
        if record is None:
            continue
        passed = [can_pass(step, reason) for reason in record.failures.values()]
        passing += sum(passed)
        lasting += len(passed) - sum(passed)
        retried += len(record.retried)
        succeeded += sum(image not in record.failures for image in record.retried)
    stale = sum(len(retries.stale_images(name)) for name in names)
    return RetryCounts(stale, passing, lasting, retried, succeeded)
