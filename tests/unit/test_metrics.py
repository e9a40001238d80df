from __future__ import annotations

import numpy as np
import pytest

from model.metrics import last_baseline, linear_baseline, mean_baseline, score
from model.schema import Target

SOH, LATER, RUL = Target(kind="soh"), Target(kind="capacity", horizon_cycles=10), Target(kind="rul")


def _f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _i32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def test_errors_are_averaged_within_a_cell_then_over_cells() -> None:
    metrics = score(SOH, ["a"] * 4 + ["b"], _f32(1, 1, 1, 1, 0.5), _f32(1, 1, 1.2, 0.8, 0.8))
    assert metrics is not None
    assert metrics.n == 5
    assert metrics.by_cell["a"].mae == pytest.approx(0.1)
    assert metrics.by_cell["a"].rmse == pytest.approx(np.sqrt(0.02))
    assert metrics.by_cell["b"].mae == pytest.approx(0.3)
    assert metrics.mae == pytest.approx(0.2)
    assert metrics.mape_pct == pytest.approx((10 + 60) / 2)
    assert metrics.worst_cell == "b"
    assert metrics.coverage_90 is None
    assert metrics.re_mean is None


def test_coverage_and_width_are_of_the_outer_quantiles() -> None:
    quantiles = np.array([[0.8, 0.9, 1.0], [0.8, 0.9, 1.0], [0.4, 0.5, 0.6], [0.4, 0.5, 0.8]], np.float32)
    metrics = score(SOH, ["a", "a", "b", "b"], _f32(0.95, 1.1, 0.4, 0.7), quantiles)
    assert metrics is not None
    assert metrics.coverage_90 == pytest.approx(0.75)
    assert metrics.width_90 == pytest.approx((0.2 + 0.3) / 2)


def test_unknown_truth_and_absent_predictions_do_not_count() -> None:
    metrics = score(SOH, ["a"] * 4, _f32(1, np.nan, 1, 1), _f32(0.9, 0.5, np.nan, 0.9))
    assert metrics is not None
    assert metrics.n == 2
    assert metrics.mae == pytest.approx(0.1)
    assert score(SOH, ["a"], _f32(np.nan), _f32(1)) is None
    assert score(SOH, [], _f32(), _f32()) is None


def test_rul_is_scored_while_life_is_left() -> None:
    metrics = score(RUL, ["a"] * 4, _f32(10, 5, 0, 0), _f32(8, 6, 0, 100))
    assert metrics is not None
    assert metrics.n == 2
    assert metrics.re_mean == pytest.approx(0.2)


def test_last_copies_what_was_measured_strictly_before() -> None:
    cycle, soh = _i32(2, 3, 7), _f32(0.9, 0.8, 0.7)
    expected = _f32(np.nan, np.nan, 0.9, 0.8, 0.8, 0.7)
    for target in (SOH, LATER):
        np.testing.assert_array_equal(last_baseline(target, _i32(0, 2, 3, 4, 7, 8), cycle, soh), expected)
    assert np.isnan(last_baseline(RUL, _i32(8), cycle, soh)).all()


def test_linear_continues_a_line_exactly() -> None:
    cycle = _i32(0, 1, 4, 5, 9)
    soh = (1 - 0.01 * cycle).astype(np.float32)
    at = _i32(0, 1, 2, 10, 15)
    np.testing.assert_allclose(linear_baseline(SOH, at, cycle, soh, 0.8), [np.nan, np.nan, 0.98, 0.9, 0.85], atol=1e-6)
    np.testing.assert_allclose(linear_baseline(LATER, at, cycle, soh, 0.8)[2:], [0.88, 0.8, 0.75], atol=1e-6)
    np.testing.assert_allclose(linear_baseline(RUL, at, cycle, soh, 0.8)[2:], [18, 10, 5], atol=1e-3)
    assert linear_baseline(RUL, _i32(30), cycle, soh, 0.8)[0] == 0
    rising = linear_baseline(RUL, at, cycle, (0.9 + 0.001 * cycle).astype(np.float32), 0.8)
    assert np.isnan(rising).all()


def test_baselines_do_not_see_the_future() -> None:
    cycle = np.arange(20, dtype=np.int32)
    soh = np.random.default_rng(0).uniform(0.7, 1, 20).astype(np.float32)
    at = np.arange(12, dtype=np.int32)
    for target in (SOH, LATER, RUL):
        whole, cut = last_baseline(target, at, cycle, soh), last_baseline(target, at, cycle[:12], soh[:12])
        np.testing.assert_array_equal(whole, cut)
        whole, cut = (
            linear_baseline(target, at, cycle, soh, 0.8),
            linear_baseline(target, at, cycle[:12], soh[:12], 0.8),
        )
        np.testing.assert_array_equal(whole, cut)


def test_mean_says_the_same_every_time() -> None:
    assert mean_baseline(0.75, 3).tolist() == [0.75] * 3
