"""Every metric on numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cacl.benchmark import thresholds
from cacl.benchmark.metric_sums import MEASURES, SUMS, measures, with_intervals
from cacl.benchmark.metrics import agreement, boundary_f1, concordance_of
from cacl.benchmark.table import summarise

EMPTY = np.zeros((1, 2, 5), dtype=bool)


def bits(*rows: str) -> np.ndarray:
    return np.array([[[letter == "x" for letter in row] for row in rows]])


def test_agreement_by_hand() -> None:
    found = agreement(bits("xxx..", "....."), bits("xx...", "xx..."))
    assert found.dice == pytest.approx([2 * 2 / (3 + 4)])
    assert found.recall == pytest.approx([2 / 4])
    assert found.precision == pytest.approx([2 / 3])
    assert found.bce == pytest.approx([100 * 3 / 10])


def test_a_tile_without_truth_is_all_or_nothing() -> None:
    masks = np.concatenate([EMPTY, bits("x....", ".....")])
    found = agreement(masks, np.concatenate([EMPTY, EMPTY]))
    assert found.dice.tolist() == found.recall.tolist() == found.precision.tolist() == [1.0, 0.0]
    assert found.bce == pytest.approx([0.0, 10.0])


def test_an_empty_mask_of_a_positive_tile_scores_nothing() -> None:
    found = agreement(EMPTY, bits("xx...", "....."))
    assert found.dice == found.recall == found.precision == 0.0


def test_bce_is_that_of_torch() -> None:
    import torch

    rng = np.random.default_rng(0)
    masks, truth = rng.random((2, 3, 8, 8)) > 0.6
    for tile, true, bce in zip(masks, truth, agreement(masks, truth).bce, strict=True):
        pair = torch.from_numpy(tile).float(), torch.from_numpy(true).float()
        assert bce == pytest.approx(float(torch.nn.functional.binary_cross_entropy(*pair)))


def test_boundary_by_hand() -> None:
    """A square and the same 2 px, then 3 px further right; its 4 x 4 px have a ring of 12."""
    tile = np.zeros((3, 20, 20), dtype=bool)
    tile[0, 5:9, 5:9] = tile[1, 5:9, 7:11] = tile[2, 5:9, 8:12] = True
    truth = np.repeat(tile[:1], 3, axis=0)
    same, near, far = boundary_f1(tile, truth)
    assert same == near == 1.0
    assert boundary_f1(tile, truth, tolerance_px=0)[0] == 1.0
    # Of the ring moved by 3 px, its left side (4 px) lies on the other's right side, and the two
    # middle columns (2 px each) lie 1 and 2 px off it; its right side is 3 px off.
    assert far == pytest.approx((4 + 2 + 2) / 12)


def test_boundary_within_the_tolerance_is_a_distance_of_pixels() -> None:
    rng = np.random.default_rng(3)
    masks, truth = rng.random((2, 1, 30, 30)) > 0.97
    expected = []
    for these, those in ((masks, truth), (truth, masks)):
        one, other = np.argwhere(these[0]), np.argwhere(those[0])
        nearest = np.sqrt(((one[:, None] - other) ** 2).sum(axis=2)).min(axis=1)
        expected.append(float((nearest <= 2).mean()))
    precision, recall = expected
    assert 0 < precision < 1
    assert boundary_f1(masks, truth) == pytest.approx(2 * precision * recall / (precision + recall))


def test_the_edge_of_a_tile_is_no_boundary_and_emptiness_is_judged() -> None:
    half = np.zeros((1, 6, 12), dtype=bool)
    half[:, :, :6] = True
    line = np.zeros_like(half)
    line[:, :, 5] = True
    assert boundary_f1(half, line) == 1.0
    nothing = np.zeros_like(half)
    assert boundary_f1(nothing, nothing) == 1.0
    assert boundary_f1(nothing, half) == boundary_f1(half, nothing) == 0.0


def ccc(found: list[float], wanted: list[float]) -> float:
    x, y = np.array(found), np.array(wanted)
    sums = (x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum())
    return float(concordance_of(len(x), *sums))


def test_concordance_by_hand() -> None:
    assert ccc([1, 2, 3], [2, 3, 4]) == pytest.approx(2 * (2 / 3) / (2 / 3 + 2 / 3 + 1))
    assert ccc([2, 3, 4], [2, 3, 4]) == pytest.approx(1.0)
    assert ccc([-1, -2, -3], [1, 2, 3]) < 0
    assert ccc([0, 0, 0], [1, 2, 3]) == 0.0
    assert ccc([0.5], [0.5]) == 1.0
    assert np.isnan(concordance_of(0, 0.0, 0.0, 0.0, 0.0, 0.0))


def antibodies(seed: int = 0, number: int = 12) -> pd.DataFrame:
    """Return antibodies of one method, each of ten tiles, half of them positive, and two cores."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.random((number, len(SUMS))) * 5, columns=list(SUMS))
    frame["tiles"], frame["positive_tiles"], frame["cores"] = 10.0, 5.0, 2.0
    frame["negative_cell_px"] = 1000.0
    ratio = rng.random(number)
    frame["found"] = frame["wanted"] = 2 * ratio
    for name in ("found_squared", "wanted_squared", "found_wanted"):
        frame[name] = 2 * ratio**2
    return frame.assign(
        atlas="a",
        seed=seed,
        method="m",
        threshold=0.5,
        antibody_id=[f"A{n}" for n in range(number)],
    )


def test_measures_are_means_and_shares_of_sums() -> None:
    frame = antibodies()
    found = dict(zip(MEASURES, measures(frame[list(SUMS)].to_numpy().sum(axis=0)), strict=True))
    assert found["dice"] == pytest.approx(frame["dice"].sum() / 120)
    assert found["dice_positive"] == pytest.approx(frame["dice_positive"].sum() / 60)
    stained = frame["negative_stained_px"].sum()
    assert found["negative_percent"] == pytest.approx(100 * stained / 12_000)
    assert found["ccc"] == pytest.approx(1.0)


def test_intervals_hold_the_value_and_follow_the_antibodies() -> None:
    row = with_intervals(antibodies(), seed=0)
    for name in MEASURES:
        assert row[f"{name}_low"] <= row[name] + 1e-9
        assert row[name] <= row[f"{name}_high"] + 1e-9
    spread = antibodies()["dice"].std(ddof=0) / 10 / np.sqrt(12)
    assert row["dice_high"] - row["dice_low"] == pytest.approx(2 * 1.96 * spread, rel=0.15)
    mixed = antibodies()
    mixed.loc[:5, ["dice", "wanted"]] = 2.0, 0.0
    mixed.loc[6:, "dice"] = 4.0
    drawn_apart = with_intervals(mixed, seed=0)
    assert drawn_apart["dice_low"] == pytest.approx(0.3) == drawn_apart["dice_high"]
    alike = antibodies().assign(dice=4.0)
    assert with_intervals(alike, seed=0)["dice_low"] == pytest.approx(0.4)


def test_what_cannot_be_measured_is_empty() -> None:
    none = dict.fromkeys(("positive_tiles", "dice_positive", "boundary_f1"), 0.0)
    row = with_intervals(antibodies().assign(**none), seed=0)
    assert row["dice_positive"] is row["dice_positive_low"] is row["dice_positive_high"] is None
    assert row["dice"] is not None


def test_seeds_are_pooled_and_their_spread_is_told() -> None:
    frames = [antibodies(seed) for seed in (0, 1, 2)]
    rows = summarise(pd.concat(frames, ignore_index=True))
    assert [row.seed for row in rows] == ["0", "1", "2", "all"]
    pooled = rows[-1]
    assert (pooled.antibodies, pooled.tiles, pooled.cores) == (36, 360, 72)
    assert pooled.dice == pytest.approx(np.mean([row.dice for row in rows[:3]]))
    assert pooled.dice_sd == pytest.approx(np.std([row.dice for row in rows[:3]], ddof=1))
    assert pooled.threshold is rows[0].dice_sd is None
    assert rows[0].threshold == 0.5


def test_the_best_threshold_is_the_one_that_a_search_finds() -> None:
    rng = np.random.default_rng(5)
    truth = np.zeros((6, 16, 16), dtype=bool)
    truth[:3, 4:10, 4:10] = True
    scores = (rng.normal(0, 1, truth.shape) + 3 * truth).astype(np.float32)
    chosen = thresholds.best(scores, truth)
    for name, members in (("dice", slice(0, 6)), ("dice_positive", slice(0, 3))):

        def value(threshold: float, members: slice = members) -> float:
            return float(agreement(scores[members] > threshold, truth[members]).dice.mean())

        searched = max(value(float(at)) for at in np.linspace(-4, 6, 400))
        assert value(chosen[name]) == pytest.approx(searched, abs=0.02)
        assert value(chosen[name]) >= searched - 0.02


def test_a_score_that_is_higher_without_the_pattern_is_best_left_empty() -> None:
    truth = np.zeros((4, 8, 8), dtype=bool)
    truth[:2, 2:7, 2:7] = True
    scores = np.random.default_rng(0).random(truth.shape).astype(np.float32)
    scores[2:] += 1
    empty = thresholds.best(scores, truth)["dice"]
    assert agreement(scores > empty, truth).dice.mean() == 0.5
    assert not (scores > empty).any()
