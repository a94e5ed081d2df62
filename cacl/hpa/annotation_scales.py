"""The atlas's words as ordered levels.

Words the atlas writes for trends (ascending, descending) or for unusable tissue (not
representative) have no level.
"""

from __future__ import annotations

from cacl.hpa.annotation import SEPARATOR

STAINING = {"not detected": 0.0, "low": 1.0, "medium": 2.0, "high": 3.0}
INTENSITY = {"negative": 0.0, "weak": 1.0, "moderate": 2.0, "strong": 3.0}
# Releases differ in how they write the same class.
QUANTITY = {
    "none": 0.0,
    "negative": 0.0,
    "rare": 1.0,
    "<25%": 2.0,
    "75%-25%": 3.0,
    "25%-75%": 3.0,
    ">75%": 4.0,
}


def level(words: str, scale: dict[str, float]) -> float | None:
    """Return the mean level of words joined by "; "; None if none of them has one.

    Parameters
    ----------
    words
        What the atlas says, in any case; several where the antibody has several annotations.
    scale
        `STAINING`, `INTENSITY` or `QUANTITY`.
    """
    levels = [
        scale[word]
        for word in (part.strip().lower() for part in words.split(SEPARATOR.strip()))
        if word in scale
    ]
    return sum(levels) / len(levels) if levels else None
