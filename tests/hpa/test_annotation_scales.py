from __future__ import annotations

import pytest

from cacl.hpa import annotation_scales


@pytest.mark.parametrize(
    ("words", "scale", "level"),
    [
        ("high", annotation_scales.STAINING, 3.0),
        ("Not detected", annotation_scales.STAINING, 0.0),
        ("low; medium", annotation_scales.STAINING, 1.5),
        ("ascending", annotation_scales.STAINING, None),
        ("ascending; high", annotation_scales.STAINING, 3.0),
        ("", annotation_scales.STAINING, None),
        ("75%-25%", annotation_scales.QUANTITY, 3.0),
        ("strong", annotation_scales.INTENSITY, 3.0),
    ],
)
def test_words_have_levels(words: str, scale: dict[str, float], level: float | None) -> None:
    assert annotation_scales.level(words, scale) == level
