from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.dataset import windows_of
from model.scaling import fit_channels, fit_targets, to_network_space
from model.schema import CycleSteps, Target
from model.training_config import TrainingConfigError
from tests.fading import fading_cell

TARGETS = (Target(kind="soh"), Target(kind="rul"))
CELLS = [fading_cell("A", fade=0.006), fading_cell("B", fade=0.008), fading_cell("C", fade=0.01)]


def test_scalers_see_only_training_cells() -> None:
    steps = CycleSteps()
    windows = windows_of(CELLS, steps, TARGETS, 0.8)
    alone = windows_of(CELLS[:2], steps, TARGETS, 0.8)
    others = replace(windows, steps=np.where((windows.step_cell == 2)[:, None], np.float32(1e6), windows.steps))
    train_cells, rows = ["A", "B"], windows.of_cells(["A", "B"])
    assert fit_channels(windows, train_cells) == fit_channels(alone, train_cells) == fit_channels(others, train_cells)
    assert fit_channels(windows, ["A", "B", "C"]) != fit_channels(windows, train_cells)
    assert fit_targets(windows, rows, TARGETS) == fit_targets(alone, np.arange(len(alone)), TARGETS)


def test_a_channel_without_values_or_spread_gets_a_scale_of_one() -> None:
    windows = windows_of(CELLS, CycleSteps(), TARGETS, 0.8)
    steps = windows.steps.copy()
    steps[:, 0], steps[:, 1] = np.nan, 3.5
    first, second = fit_channels(replace(windows, steps=steps), ["A"])[:2]
    assert (first.mean, first.std) == (0.0, 1.0)
    assert (second.mean, second.std) == (3.5, 1.0)


def test_one_glitch_does_not_set_the_scale() -> None:
    windows = windows_of([fading_cell("A", cycles=300, fade=0.001)], CycleSteps(), TARGETS[:1], 0.8)
    steps = windows.steps.copy()
    steps[100, 2] = 1e6
    fitted, clean = fit_channels(replace(windows, steps=steps), ["A"])[2], fit_channels(windows, ["A"])[2]
    assert fitted.std == pytest.approx(clean.std, rel=0.2)


def test_labels_in_the_network_space_have_mean_zero_and_spread_one() -> None:
    windows = windows_of(CELLS, CycleSteps(), TARGETS, 0.8)
    scaling = fit_targets(windows, np.arange(len(windows)), TARGETS)
    scaled = to_network_space(windows.labels, TARGETS, scaling)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(0), 1, atol=1e-4)
    back = np.expm1(scaled[:, 1] * scaling[1].std + scaling[1].mean)
    np.testing.assert_allclose(back, windows.labels[:, 1], atol=1e-3)
    assert scaling[1].label_mean == pytest.approx(float(windows.labels[:, 1].mean()), rel=1e-5)


def test_a_target_that_no_training_cell_knows_is_refused_by_name() -> None:
    windows = windows_of([fading_cell("A", fade=0.0001)], CycleSteps(), TARGETS, 0.8)
    with pytest.raises(TrainingConfigError, match="no training cell has a label for rul"):
        fit_targets(windows, np.arange(len(windows)), TARGETS)
