"""What a failed job says of itself: the sentence in its log."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cacl.diagnostics.slurm_errors import CRASH
from cacl.launch.job_progress import read_tail

SENTENCE = re.compile(r"^Error: (.*)", re.MULTILINE | re.DOTALL)
MAX_LINES = 12
NO_MESSAGE = (
    "its command ended without a message; the environment may be at fault: run `cacl doctor`"
)


def failure_sentence(logs: Sequence[Path]) -> str:
    """Return the sentence with which a command of this package ended, else the last line of a log.

    Parameters
    ----------
    logs
        Logs of the job; the first that says something counts.
    """
    for log in logs:
        text = read_tail(log).strip()
        if text:
            if CRASH.pattern.search(text):
                return f"it {CRASH.sentence}"
            starts = [match.start() for match in re.finditer(r"^Error: ", text, re.MULTILINE)]
            sentence = SENTENCE.search(text, starts[-1]) if starts else None
            lines = (sentence[1] if sentence else text.splitlines()[-1]).splitlines()
            return "\n".join(lines[:MAX_LINES])
    return NO_MESSAGE
