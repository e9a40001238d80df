from __future__ import annotations

import numpy as np
import pytest

from model.artifact import TargetScaling
from model.calibrate import calibrated, enough_cells

SCALING = (TargetScaling(mean=0.9, std=0.1, label_mean=0.9),)


def _drawn(cells: int, each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells, labels around an offset of their own, and quantiles that are far too narrow."""
    rng = np.random.default_rng(seed)
    cell = np.repeat(np.arange(cells, dtype=np.int32), each)
    labels = (rng.normal(0, 0.5, cells)[cell] + rng.normal(0, 1, len(cell))).astype(np.float32)[:, None]
    quantiles = np.tile(np.array([-0.1, 0.0, 0.1], np.float32), (len(cell), 1, 1))
    return cell, labels, quantiles


def test_nine_cells_are_the_fewest_for_ninety_percent() -> None:
    assert enough_cells(0.9) == 9
    assert enough_cells(0.8) == 4


def test_widened_intervals_hold_the_truth_of_cells_to_come_as_often_as_claimed() -> None:
    held = []
    for seed in range(40):
        cell, labels, quantiles = _drawn(31, 20, seed)
        known = cell < 30
        (scale,) = calibrated(SCALING, cell[known], labels[known], quantiles[known], 0.9)
        held.append((np.abs(labels[~known]) <= 0.1 + scale.offset).mean())
        assert not scale.offset_is_guess
        assert scale.calibration_cells == 30
    assert np.mean(held) == pytest.approx(0.9, abs=0.04)


def test_intervals_that_are_too_wide_are_narrowed() -> None:
    cell, labels, quantiles = _drawn(20, 50)
    quantiles[..., 0], quantiles[..., 2] = -20, 20
    (scale,) = calibrated(SCALING, cell, labels, quantiles, 0.9)
    assert -19 < scale.offset < -15


def test_too_few_cells_take_the_largest_miss_and_say_so() -> None:
    cell, labels, quantiles = _drawn(8, 50)
    (scale,) = calibrated(SCALING, cell, labels, quantiles, 0.9)
    assert scale.offset_is_guess
    assert scale.calibration_cells == 8
    assert scale.offset == pytest.approx(float(np.abs(labels).max()) - 0.1)
    quantiles[..., 0], quantiles[..., 2] = -20, 20
    assert calibrated(SCALING, cell, labels, quantiles, 0.9)[0].offset == 0  # a guess never narrows


def test_a_cell_weighs_the_same_however_many_windows_it_has() -> None:
    cell, labels, quantiles = _drawn(12, 30)
    (scale,) = calibrated(SCALING, cell, labels, quantiles, 0.9)
    again = np.concatenate([np.arange(len(cell)), np.tile(np.flatnonzero(cell == 3), 5)])
    (repeated,) = calibrated(SCALING, cell[again], labels[again], quantiles[again], 0.9)
    assert repeated.offset == pytest.approx(scale.offset)


def test_cells_without_labels_do_not_count() -> None:
    cell, labels, quantiles = _drawn(12, 30)
    labels[cell >= 9] = np.nan
    (scale,) = calibrated(SCALING, cell, labels, quantiles, 0.9)
    assert scale.calibration_cells == 9
    (nothing,) = calibrated(SCALING, cell, np.full_like(labels, np.nan), quantiles, 0.9)
    assert (nothing.offset, nothing.calibration_cells, nothing.offset_is_guess) == (0.0, 0, True)
