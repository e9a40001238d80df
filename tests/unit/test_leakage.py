"""Nothing that training must not see changes what it makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.artifact import WEIGHTS, Manifest, TargetScaling
from model.recording import Recording
from model.schema import Target
from model.train import train
from model.training_config import Role
from tests.unit.test_train import FLEET, TINY

CONFIG = TINY.model_copy(update={"epochs": 2})


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, bytes]:
    """What training makes of the fleet as it is: C4 is the test cell."""
    out = tmp_path_factory.mktemp("whole")
    return train(FLEET, CONFIG, out), (out / WEIGHTS).read_bytes()


def _shuffled(recordings: list[Recording], seed: int) -> list[Recording]:
    """The same recordings, their measured capacities dealt out anew among all their cycles."""
    rng = np.random.default_rng(seed)
    truths = [cell.truth for cell in recordings if cell.truth is not None]
    dealt = rng.permutation(np.concatenate([truth.capacity_ah for truth in truths]))
    parts = np.split(dealt, np.cumsum([len(truth.capacity_ah) for truth in truths])[:-1])
    return [
        replace(cell, truth=replace(truth, capacity_ah=part))
        for cell, truth, part in zip(recordings, truths, parts, strict=True)
    ]


def _strange(cell: Recording) -> Recording:
    """Other readings and another life, recorded until its end where its own is: that much the split looks at."""
    assert cell.truth is not None
    assert cell.nominal_capacity_ah is not None
    ended = (cell.truth.capacity_ah[-5:] < CONFIG.eol_soh * cell.nominal_capacity_ah).all()
    truth = replace(cell.truth, capacity_ah=cell.truth.capacity_ah * np.float32(0.95 if ended else 1.05))
    return replace(cell, voltage_v=cell.voltage_v * np.float32(0.9), temp_degc=cell.temp_degc + 20, truth=truth)


def _names(manifest: Manifest, role: Role) -> set[str]:
    return {cell.cell_id for cell in manifest.data if cell.role == role}


def _fitted(scaling: tuple[TargetScaling, ...]) -> list[tuple[float, float, float]]:
    return [(scale.mean, scale.std, scale.label_mean) for scale in scaling]


def test_permuting_the_labels_of_test_cells_changes_nothing_before_scoring(
    whole: tuple[Manifest, bytes], tmp_path: Path
) -> None:
    manifest, weights = whole
    fleet = [*FLEET[:4], *_shuffled(FLEET[4:5], 0), *FLEET[5:]]
    found = train(fleet, CONFIG, tmp_path)
    assert (tmp_path / WEIGHTS).read_bytes() == weights
    assert found.channel_scaling == manifest.channel_scaling
    assert found.target_scaling == manifest.target_scaling
    before: Any = manifest.metrics
    after: Any = found.metrics
    assert after["validation_loss"] == before["validation_loss"]
    assert after["test"]["targets"]["soh"]["mae"] != before["test"]["targets"]["soh"]["mae"]


def test_scalers_see_the_training_cells_alone(whole: tuple[Manifest, bytes], tmp_path: Path) -> None:
    """All others get other readings and another life."""
    manifest, _ = whole
    fleet = [cell if cell.pack_id in _names(manifest, "train") else _strange(cell) for cell in FLEET]
    assert sum(one is not other for one, other in zip(fleet, FLEET, strict=True)) == 5
    found = train(fleet, CONFIG, tmp_path)
    assert {role: _names(found, role) for role in ("train", "test")} == {
        role: _names(manifest, role) for role in ("train", "test")
    }
    assert found.channel_scaling == manifest.channel_scaling
    assert _fitted(found.target_scaling) == _fitted(manifest.target_scaling)
    assert found.metrics["validation_loss"] != manifest.metrics["validation_loss"]


def test_a_run_on_shuffled_labels_knows_no_more_than_the_mean(tmp_path: Path) -> None:
    """What it knew beyond that it would know from where no model may look. The tolerance is for luck and for the
    network's own leanings, which a dozen draws showed to be worth a tenth; true labels are worth six tenths.
    """
    config = TINY.model_copy(update={"targets": (Target(kind="soh"),), "epochs": 8, "dropout": 0.0})
    ratios = []
    for seed in range(3):
        fleet = [*_shuffled([*FLEET[:4], *FLEET[5:]], seed), FLEET[4]]
        test: Any = train(fleet, config, tmp_path / str(seed)).metrics["test"]
        ours, baselines = test["targets"]["soh"]["mae"], test["baselines"]["soh"]
        ratios.append(ours / baselines["mean"]["mae"])
        assert ours > max(baselines["last"]["mae"], baselines["linear"]["mae"])
    assert np.mean(ratios) > 0.85
    told: Any = train(FLEET, config, tmp_path / "told").metrics["test"]
    assert told["targets"]["soh"]["mae"] < 0.4 * told["baselines"]["soh"]["mean"]["mae"]
