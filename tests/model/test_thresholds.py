"""Thresholds from image-level labels: recall, false discovery rate and image gate."""

from __future__ import annotations

import numpy as np
import pytest

from cacl.errors import TrainingError
from cacl.model.inference.masks import MASKED_LOGIT
from cacl.model.inference.thresholds import (
    NEVER_EXCEEDED,
    gate_threshold,
    low_quantile,
    threshold_at_fdr,
    threshold_at_recall,
)


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
        with pytest.raises(TrainingError, match="finds no more of the class on positive tiles"):
            threshold_at_recall(positive, logits, [0.5])


def test_threshold_at_fdr_limits_the_fraction_of_decoys() -> None:
    """One tile per label: 101 decoys from 0 to 1; the positive one has 1,001 more up to 1."""
    decoys = np.linspace(0.0, 1.0, 101, dtype=np.float32)
    positive = np.concatenate([decoys, np.linspace(0.5, 1.0, 1001, dtype=np.float32)])[None, None]
    negative = np.concatenate([decoys, np.full(1001, MASKED_LOGIT)])[None, None]
    masked = np.full_like(positive, MASKED_LOGIT)
    assert threshold_at_fdr(positive, negative, 0.08) == pytest.approx(
        1 - 0.08 * 1000 / 92, abs=0.02
    )
    assert threshold_at_fdr(positive, negative, 1.0) == 0.0
    assert threshold_at_fdr(positive, negative + np.float32(2.0), 0.05) == NEVER_EXCEEDED
    assert threshold_at_fdr(masked, negative, 0.05) == NEVER_EXCEEDED


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
