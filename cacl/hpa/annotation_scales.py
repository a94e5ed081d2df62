"""Ordinal scales of the HPA's annotation words.

Words for trends (ascending, descending) and for unusable tissue (not representative) have no rank.
"""

from __future__ import annotations

from cacl.hpa.annotation import SEPARATOR

STAINING = {"not detected": 0.0, "low": 1.0, "medium": 2.0, "high": 3.0}
INTENSITY = {"negative": 0.0, "weak": 1.0, "moderate": 2.0, "strong": 3.0}
# The releases spell the same class differently.
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
    """Return the mean rank of words on a scale; None if no word has a rank.

    Parameters
    ----------
    words
        Annotation words separated by "; ", in any case; several if the antibody has several
        annotations.
    scale
        `STAINING`, `INTENSITY` or `QUANTITY`.
    """
    ranks = [
        scale[word]
        for word in (word.strip().lower() for word in words.split(SEPARATOR.strip()))
        if word in scale
    ]
    return sum(ranks) / len(ranks) if ranks else None
