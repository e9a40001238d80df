from __future__ import annotations

import math

import numpy as np
import pytest

from model.schema import Target
from model.truth import end_of_life, labels


def _f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("soh", "expected"),
    [
        ([0.9, 0.7, 0.7, 0.7, 0.7, 0.7, 0.9], 11),
        ([0.9, 0.7, 0.7, 0.7, 0.7, 0.9, 0.7, 0.7, 0.7, 0.7, 0.7], 16),
        ([0.7, 0.9, 0.9, 0.7, 0.7, 0.7, 0.7], math.nan),  # four at the end are not yet an end of life
        ([0.9] * 8, math.nan),
        ([0.7] * 5, 10),
        ([0.7] * 4, math.nan),
        ([], math.nan),
    ],
)
def test_life_ends_with_five_measured_cycles_in_a_row_below_the_line(soh: list[float], expected: float) -> None:
    found = end_of_life(np.arange(10, 10 + len(soh), dtype=np.int32), _f32(*soh), 0.8)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_unmeasured_cycles_do_not_break_a_run() -> None:
    cycle = np.array([1, 2, 5, 6, 9, 20], np.int32)
    assert end_of_life(cycle, _f32(0.9, 0.7, 0.7, 0.7, 0.7, 0.7), 0.8) == 2


def test_labels_are_what_was_measured_at_exactly_that_cycle() -> None:
    cycle = np.array([0, 1, 2, 4, 5, 6, 7, 8, 9, 10], np.int32)
    soh = _f32(1.0, 0.95, 0.9, 0.85, 0.79, 0.78, 0.77, 0.76, 0.75, 0.74)
    targets = (Target(kind="soh"), Target(kind="capacity", horizon_cycles=3), Target(kind="rul"))
    found = labels(targets, np.array([-1, 0, 1, 3, 8, 40], np.int32), cycle, soh, 0.8)
    expected = [
        [math.nan, math.nan, math.nan],
        [1.0, math.nan, 5],
        [0.95, 0.85, 4],
        [math.nan, 0.78, 2],
        [0.76, math.nan, 0],
        [math.nan, math.nan, 0],
    ]
    np.testing.assert_allclose(found, np.array(expected, np.float32))


def test_a_cell_that_never_reaches_the_line_has_no_rul_label() -> None:
    found = labels(
        (Target(kind="rul"),), np.arange(3, dtype=np.int32), np.arange(9, dtype=np.int32), _f32(*[0.9] * 9), 0.8
    )
    assert np.isnan(found).all()


def test_a_cell_without_measurements_has_no_labels() -> None:
    targets = (Target(kind="soh"), Target(kind="rul"))
    found = labels(targets, np.arange(3, dtype=np.int32), np.zeros(0, np.int32), _f32(), 0.8)
    assert found.shape == (3, 2)
    assert np.isnan(found).all()
