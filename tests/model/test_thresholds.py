"""Thresholds from image-level labels: recall, probability of the class and image gate."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cacl.errors import TrainingError
from cacl.model.inference.masks import MASKED_LOGIT
from cacl.model.inference.thresholds import (
    NEVER_EXCEEDED,
    class_probability,
    gate_threshold,
    level_at,
    logit_thresholds,
    low_quantile,
    threshold_at_recall,
)
from cacl.model.presets import ROBUST


def test_threshold_at_recall_is_a_quantile_of_the_excess_of_positive_tiles() -> None:
    """Both labels have 100 decoys from 0 to 1; positive tiles have 100 more pixels from 2 to 3."""
    decoys = np.linspace(0.0, 1.0, 100, dtype=np.float32)
    target_class = np.linspace(2.0, 3.0, 100, dtype=np.float32)
    masked = np.full(100, MASKED_LOGIT)
    positive = np.concatenate([decoys, target_class])[None, None]
    negative = np.concatenate([decoys, masked])[None, None]
    low, high = threshold_at_recall(positive, negative, (0.95, 0.5))
    assert low == pytest.approx(2.05, abs=0.03)
    assert high == pytest.approx(2.5, abs=0.03)


def test_threshold_at_recall_rejects_positive_tiles_without_an_excess() -> None:
    logits = np.linspace(0.0, 1.0, 64, dtype=np.float32).reshape(1, 8, 8)
    for positive in (logits, np.full_like(logits, MASKED_LOGIT)):
        with pytest.raises(TrainingError, match=r"no more of the class .* train\.preset: robust"):
            threshold_at_recall(positive, logits, [0.5])


def test_thresholds_are_where_the_class_has_the_probabilities_of_the_preset() -> None:
    """Both labels have 100 decoys from 0 to 1; positive tiles have 100 more pixels from 2 to 3."""
    decoys = np.linspace(0.0, 1.0, 100, dtype=np.float32)
    target_class = np.linspace(2.0, 3.0, 100, dtype=np.float32)
    positive = np.concatenate([decoys, target_class])[None, None]
    negative = np.concatenate([decoys, np.full(100, MASKED_LOGIT)])[None, None]
    low, high, edge_high = logit_thresholds([positive, negative], [positive, negative], ROBUST.post)
    assert 0.9 < low <= high == edge_high < 2.1
    alone = dataclasses.replace(ROBUST.post, low_probability=None)
    masked = np.full_like(positive, MASKED_LOGIT)
    expected = (high, high, NEVER_EXCEEDED)
    assert logit_thresholds([positive, negative], [masked, masked], alone) == expected


def test_probabilities_are_relative_to_the_highest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Above 1, two of three pixels show the class."""
    decoys = np.linspace(0.0, 2.0, 200, dtype=np.float32)
    target_class = np.linspace(1.0, 2.0, 200, dtype=np.float32)
    positive = np.concatenate([decoys, target_class])[None, None]
    negative = np.concatenate([decoys, np.full(200, MASKED_LOGIT)])[None, None]
    low, high, edge_high = logit_thresholds([positive, negative], [positive] * 2, ROBUST.post)
    assert low == pytest.approx(1.0, abs=0.05)
    assert low <= high < 1.2
    assert edge_high == NEVER_EXCEEDED
    assert "the highest is 0.6" in caplog.text or "the highest is 0.7" in caplog.text


def test_probability_of_the_class_is_its_share_of_the_pixels_at_a_logit() -> None:
    """Between 0 and 1 both labels have 1,000 px; positive tiles have 1,000 to 9,000 more above."""
    decoys = np.linspace(0.0, 1.0, 1_000, dtype=np.float32)
    few, many = decoys + np.float32(1.0), np.linspace(2.0, 3.0, 9_000, dtype=np.float32)
    positive = np.concatenate([decoys, few, few, many, many[::9]])[None, None]
    negative = np.concatenate([decoys, few, many[::9], np.full(11_000, MASKED_LOGIT)])[None, None]
    levels, probability = class_probability(positive, negative)
    assert (np.diff(levels) > 0).all()
    assert (np.diff(probability) >= 0.0).all()
    for logit, expected in ((0.5, 0.0), (1.5, 0.5), (2.5, 0.9)):
        interval = np.searchsorted(levels, logit) - 1
        assert probability[interval] == pytest.approx(expected, abs=0.03)
    assert level_at(levels, probability, 0.3) == pytest.approx(1.0, abs=0.05)
    assert level_at(levels, probability, 0.7) == pytest.approx(2.0, abs=0.05)
    assert level_at(levels, probability, 0.99) == NEVER_EXCEEDED


def test_probability_of_the_class_is_0_without_an_excess_of_positive_tiles() -> None:
    logits = np.linspace(0.0, 1.0, 64, dtype=np.float32).reshape(1, 8, 8)
    masked = np.full_like(logits, MASKED_LOGIT)
    for positive, negative in (
        (logits, logits),
        (masked, logits),
        (masked, masked),
        (np.ones_like(logits), masked),
        (logits, logits + np.float32(2.0)),
    ):
        levels, probability = class_probability(positive, negative)
        assert level_at(levels, probability, 0.01) == NEVER_EXCEEDED


def test_decoys_above_every_pixel_of_positive_tiles_count() -> None:
    """Of 64 decoys 16 lie above the positive tile's highest logit."""
    logits = np.linspace(0.0, 1.0, 64, dtype=np.float32).reshape(1, 8, 8)
    levels, probability = class_probability(logits, logits + np.float32(0.25))
    assert level_at(levels, probability, 0.01) == NEVER_EXCEEDED
    levels, probability = class_probability(logits, logits - np.float32(0.25))
    assert level_at(levels, probability, 0.9) == pytest.approx(0.75, abs=0.02)


def test_low_quantile_is_exceeded_by_nearly_all_images() -> None:
    fractions = np.linspace(0.01, 0.05, 41)
    assert low_quantile(fractions, 0.05) == pytest.approx(0.012)
    assert low_quantile(fractions[:4], 0.05) == pytest.approx(
        0.2 * np.quantile(fractions[:4], 0.05)
    )
    assert low_quantile(fractions, 0.0) == 0.0
    assert low_quantile(np.zeros(0), 0.05) == 0.0


def test_gate_lies_between_negative_and_positive_images() -> None:
    positive = np.full(40, 0.04)
    assert gate_threshold(positive, np.full(40, 0.02), 0.05) == pytest.approx(np.sqrt(0.04 * 0.02))
    assert gate_threshold(positive, np.full(40, 0.0001), 0.05) == pytest.approx(0.02)
    assert gate_threshold(positive, np.full(40, 0.09), 0.05) == pytest.approx(0.04)
    assert gate_threshold(positive, np.zeros(0), 0.05) == pytest.approx(0.02)
    assert gate_threshold(positive, np.full(40, 0.02), 0.0) == 0.0
    assert gate_threshold(np.zeros(0), np.full(40, 0.02), 0.05) == 0.0
