"""Metrics on examples with known results."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cacl.benchmark.metric_sums import MEASURES, SUMS, measures, measures_with_intervals
from cacl.benchmark.metrics import boundary_f1, concordance_from_sums, tile_metrics
from cacl.benchmark.table import summarise
from cacl.benchmark.thresholds import oracle_threshold

EMPTY = np.zeros((1, 2, 5), dtype=bool)


def bits(*rows: str) -> np.ndarray:
    return np.array([[[letter == "x" for letter in row] for row in rows]])


def test_tile_metrics_of_a_known_example() -> None:
    metrics = tile_metrics(bits("xxx..", "....."), bits("xx...", "xx..."))
    assert metrics.dice == pytest.approx([2 * 2 / (3 + 4)])
    assert metrics.recall == pytest.approx([2 / 4])
    assert metrics.precision == pytest.approx([2 / 3])
    assert metrics.bce == pytest.approx([100 * 3 / 10])


def test_negative_tile_scores_one_only_for_an_empty_mask() -> None:
    masks = np.concatenate([EMPTY, bits("x....", ".....")])
    metrics = tile_metrics(masks, np.concatenate([EMPTY, EMPTY]))
    assert metrics.dice.tolist() == [1.0, 0.0]
    assert metrics.recall.tolist() == metrics.precision.tolist() == [1.0, 0.0]
    assert metrics.bce == pytest.approx([0.0, 10.0])


def test_empty_mask_of_positive_tile_scores_zero() -> None:
    metrics = tile_metrics(EMPTY, bits("xx...", "....."))
    assert metrics.dice == metrics.recall == metrics.precision == 0.0


def test_bce_equals_that_of_torch() -> None:
    import torch

    rng = np.random.default_rng(0)
    masks, truth = rng.random((2, 3, 8, 8)) > 0.6
    for tile, true, bce in zip(masks, truth, tile_metrics(masks, truth).bce, strict=True):
        pair = torch.from_numpy(tile).float(), torch.from_numpy(true).float()
        assert bce == pytest.approx(float(torch.nn.functional.binary_cross_entropy(*pair)))


def test_boundary_f1_of_a_shifted_square() -> None:
    """A square of 4 x 4 px, with a boundary of 12 px, shifted by 0, 2 and 3 px to the right."""
    tile = np.zeros((3, 20, 20), dtype=bool)
    tile[0, 5:9, 5:9] = tile[1, 5:9, 7:11] = tile[2, 5:9, 8:12] = True
    truth = np.repeat(tile[:1], 3, axis=0)
    same, near, far = boundary_f1(tile, truth)
    assert same == near == 1.0
    assert boundary_f1(tile, truth, tolerance_px=0)[0] == 1.0
    # The left side (4 px) of the square shifted by 3 px coincides with the right side of the other
    # square. Its middle columns (2 px each) are 1 and 2 px away, its right side is 3 px away.
    assert far == pytest.approx((4 + 2 + 2) / 12)


def test_boundary_tolerance_is_a_euclidean_distance() -> None:
    rng = np.random.default_rng(3)
    masks, truth = rng.random((2, 1, 30, 30)) > 0.97
    expected = []
    for pixels, targets in ((masks, truth), (truth, masks)):
        source, target = np.argwhere(pixels[0]), np.argwhere(targets[0])
        nearest = np.sqrt(((source[:, None] - target) ** 2).sum(axis=2)).min(axis=1)
        expected.append(float((nearest <= 2).mean()))
    precision, recall = expected
    assert 0 < precision < 1
    assert boundary_f1(masks, truth) == pytest.approx(2 * precision * recall / (precision + recall))


def test_boundary_f1_at_tile_edges_and_of_empty_masks() -> None:
    half = np.zeros((1, 6, 12), dtype=bool)
    half[:, :, :6] = True
    line = np.zeros_like(half)
    line[:, :, 5] = True
    assert boundary_f1(half, line) == 1.0
    empty = np.zeros_like(half)
    assert boundary_f1(empty, empty) == 1.0
    assert boundary_f1(empty, half) == boundary_f1(half, empty) == 0.0


def ccc(predicted: list[float], true: list[float]) -> float:
    x, y = np.array(predicted), np.array(true)
    sums = (x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum())
    return float(concordance_from_sums(len(x), *sums))


def test_concordance_of_known_examples() -> None:
    assert ccc([1, 2, 3], [2, 3, 4]) == pytest.approx(2 * (2 / 3) / (2 / 3 + 2 / 3 + 1))
    assert ccc([2, 3, 4], [2, 3, 4]) == pytest.approx(1.0)
    assert ccc([-1, -2, -3], [1, 2, 3]) < 0
    assert ccc([0, 0, 0], [1, 2, 3]) == 0.0
    assert ccc([0.5], [0.5]) == 1.0
    assert np.isnan(concordance_from_sums(0, 0.0, 0.0, 0.0, 0.0, 0.0))


def antibodies(seed: int = 0, number: int = 12) -> pd.DataFrame:
    """Return sums of one method: per antibody ten tiles, half of them positive, and two cores."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.random((number, len(SUMS))) * 5, columns=list(SUMS))
    frame["tiles"], frame["positive_tiles"], frame["cores"] = 10.0, 5.0, 2.0
    frame["negative_cell_px"] = 1000.0
    ratio = rng.random(number)
    frame["predicted_sum"] = frame["true_sum"] = 2 * ratio
    for name in ("predicted_squares", "true_squares", "products"):
        frame[name] = 2 * ratio**2
    return frame.assign(
        evaluation_set="a",
        seed=seed,
        method="m",
        threshold=0.5,
        antibody_id=[f"A{n}" for n in range(number)],
    )


def test_measures_are_ratios_of_sums() -> None:
    frame = antibodies()
    values = dict(zip(MEASURES, measures(frame[list(SUMS)].to_numpy().sum(axis=0)), strict=True))
    assert values["dice"] == pytest.approx(frame["dice"].sum() / 120)
    assert values["dice_positive"] == pytest.approx(frame["dice_positive"].sum() / 60)
    stained = frame["negative_stained_px"].sum()
    assert values["negative_percent"] == pytest.approx(100 * stained / 12_000)
    assert values["ccc"] == pytest.approx(1.0)


def known(row: dict[str, float | None], name: str) -> float:
    """Return a value that is not missing."""
    value = row[name]
    assert value is not None
    return value


def test_intervals_contain_the_value_and_are_stratified() -> None:
    row = measures_with_intervals(antibodies(), seed=0)
    for name in MEASURES:
        assert known(row, f"{name}_low") <= known(row, name) + 1e-9
        assert known(row, name) <= known(row, f"{name}_high") + 1e-9
    standard_error = antibodies()["dice"].std(ddof=0) / 10 / np.sqrt(12)
    width = known(row, "dice_high") - known(row, "dice_low")
    assert width == pytest.approx(2 * 1.96 * standard_error, rel=0.15)
    mixed = antibodies()
    mixed.loc[:5, ["dice", "true_sum"]] = 2.0, 0.0
    mixed.loc[6:, "dice"] = 4.0
    stratified = measures_with_intervals(mixed, seed=0)
    assert stratified["dice_low"] == pytest.approx(0.3) == stratified["dice_high"]
    constant = antibodies().assign(dice=4.0)
    assert measures_with_intervals(constant, seed=0)["dice_low"] == pytest.approx(0.4)


def test_measure_without_tiles_is_none() -> None:
    none = dict.fromkeys(("positive_tiles", "dice_positive", "boundary_f1"), 0.0)
    row = measures_with_intervals(antibodies().assign(**none), seed=0)
    assert row["dice_positive"] is row["dice_positive_low"] is row["dice_positive_high"] is None
    assert row["dice"] is not None


def test_pooled_seeds_have_a_standard_deviation() -> None:
    frames = [antibodies(seed) for seed in (0, 1, 2)]
    rows = summarise(pd.concat(frames, ignore_index=True))
    assert [row.seed for row in rows] == ["0", "1", "2", "all"]
    pooled = rows[-1]
    assert (pooled.antibodies, pooled.tiles, pooled.cores) == (36, 360, 72)
    dice = [row.dice for row in rows[:3] if row.dice is not None]
    assert len(dice) == 3
    assert pooled.dice == pytest.approx(np.mean(dice))
    assert pooled.dice_sd == pytest.approx(np.std(dice, ddof=1))
    assert pooled.threshold is rows[0].dice_sd is None
    assert rows[0].threshold == 0.5


def test_oracle_threshold_equals_an_exhaustive_search() -> None:
    rng = np.random.default_rng(5)
    truth = np.zeros((6, 16, 16), dtype=bool)
    truth[:3, 4:10, 4:10] = True
    scores = (rng.normal(0, 1, truth.shape) + 3 * truth).astype(np.float32)
    thresholds = oracle_threshold(scores, truth)
    for name, members in (("dice", slice(0, 6)), ("dice_positive", slice(0, 3))):

        def value(threshold: float, members: slice = members) -> float:
            return float(tile_metrics(scores[members] > threshold, truth[members]).dice.mean())

        best = max(value(float(at)) for at in np.linspace(-4, 6, 400))
        assert value(thresholds[name]) == pytest.approx(best, abs=0.02)
        assert value(thresholds[name]) >= best - 0.02


def test_oracle_threshold_of_an_inverted_score_gives_empty_masks() -> None:
    truth = np.zeros((4, 8, 8), dtype=bool)
    truth[:2, 2:7, 2:7] = True
    scores = np.random.default_rng(0).random(truth.shape).astype(np.float32)
    scores[2:] += 1
    threshold = oracle_threshold(scores, truth)["dice"]
    assert tile_metrics(scores > threshold, truth).dice.mean() == 0.5
    assert not (scores > threshold).any()
