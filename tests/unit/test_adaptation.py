from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model.adaptation import adapted, learned_from
from model.artifact import Artifact, load
from model.checkpoint import Epoch
from model.recording import Recording
from model.schema import CycleSteps, SampleSteps, Target
from model.train import train
from model.training_config import Split, Training, TrainingConfigError
from tests.fading import fading_cell
from tests.unit.test_train import FLEET, TINY


def _lower(cell: Recording) -> Recording:
    """Of another chemistry: every voltage is a fifth lower."""
    return replace(cell, voltage_v=0.8 * cell.voltage_v)


OWN = [_lower(fading_cell(f"D{index}", fade=0.006 + 0.0015 * index, cycles=36)) for index in range(6)]
PLAIN = TINY.model_copy(update={"dropout": 0.0, "epochs": 12, "skip": True})


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("parent")
    train(FLEET, PLAIN, out)
    return load(out)


def _config(parent: Artifact, **said: object) -> Training:
    return adapted(Training.model_validate(said), parent.manifest)


def test_what_is_left_open_is_the_parents_at_a_tenth_of_the_rate(parent: Artifact) -> None:
    config = _config(parent, epochs=7)
    kept = {"steps", "targets", "eol_soh", "hidden", "layers", "skip", "integrate"}
    assert config.model_dump(include=kept) == PLAIN.model_dump(include=kept)
    assert (config.lr, config.epochs, config.name) == (1e-4, 7, "tiny-adapted")
    assert (_config(parent, lr=3e-3, name="mine").lr, _config(parent, name="mine").name) == (3e-3, "mine")
    same = _config(parent, steps=CycleSteps(window=8, nominal_capacity_ah=5.0), hidden=8)
    assert same.steps.nominal_capacity_ah == 5.0


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"steps": CycleSteps(window=9)}, "steps: window 9 here, 8 there"),
        ({"steps": SampleSteps()}, "steps: kind 'sample' here, 'cycle' there"),
        ({"targets": (Target(kind="soh"),)}, "targets: soh here, soh, rul there"),
        ({"hidden": 16}, "hidden: 16 here, 8 there"),
        ({"skip": False}, "skip: False here, True there"),
        ({"eol_soh": 0.7}, "eol_soh: 0.7 here, 0.8 there"),
    ],
)
def test_what_the_weights_cannot_follow_is_refused_by_its_key(
    parent: Artifact, said: dict[str, Any], told: str
) -> None:
    with pytest.raises(TrainingConfigError) as refusal:
        _config(parent, **said)
    assert str(refusal.value).startswith(told)
    assert parent.model_id in str(refusal.value)


def test_adaptation_keeps_scalers_names_its_parent_and_is_better_on_own_cells(parent: Artifact, tmp_path: Path) -> None:
    config = _config(parent, epochs=15, batch=16, lr=3e-3, split=Split(test_cells=("D2",)))
    manifest = train(OWN, config, tmp_path / "own", parent=parent)
    before = parent.manifest
    assert manifest.channel_scaling == before.channel_scaling
    assert [(s.mean, s.std) for s in manifest.target_scaling] == [(s.mean, s.std) for s in before.target_scaling]
    assert manifest.target_scaling[0].label_mean != before.target_scaling[0].label_mean
    assert manifest.parent is not None
    assert (manifest.parent.sha256, manifest.parent.name) == (before.sha256, "tiny")
    assert f"Fine-tuned from {before.model_id}" in (tmp_path / "own" / "card.md").read_text()
    assert load(tmp_path / "own").manifest == manifest

    still = train(OWN, config.model_copy(update={"lr": 1e-12, "epochs": 1}), tmp_path / "still", parent=parent)
    tuned: Any = manifest.metrics
    untouched: Any = still.metrics
    assert "those it started from, better than any of 1 epochs" in (tmp_path / "still" / "card.md").read_text()
    for target in ("soh", "rul"):
        assert tuned["test"]["targets"][target]["mae"] < untouched["test"]["targets"][target]["mae"]


def test_where_no_epoch_is_better_the_parents_weights_stay(parent: Artifact, tmp_path: Path) -> None:
    told: list[Epoch] = []
    config = _config(parent, epochs=3, batch=16, lr=1.0)
    manifest = train(OWN, config, tmp_path, told.append, parent=parent)
    assert manifest.metrics["best_epoch"] == -1
    assert min(epoch.validation_loss for epoch in told) > manifest.metrics["validation_loss"]  # type: ignore[operator]
    for name, tensor in parent.forecaster.network.state_dict().items():
        assert torch.equal(load(tmp_path).forecaster.network.state_dict()[name], tensor)


def test_what_any_ancestor_learned_from_may_only_train(parent: Artifact, tmp_path: Path) -> None:
    learned = [cell for cell in FLEET if cell.pack_id in ("C1", "C7")]
    config = _config(parent, epochs=1)
    first = train([*OWN, *learned], config, tmp_path / "1", parent=parent)
    assert {cell.cell_id: cell.role for cell in first.data if cell.cell_id in ("C1", "C7")} == {
        "C1": "train",
        "C7": "train",
    }
    assert learned_from(parent.manifest) <= learned_from(first)
    child = load(tmp_path / "1")
    with pytest.raises(TrainingConfigError, match="0 cells in 0 cells besides"):  # nothing is left to judge by
        train([*OWN, FLEET[2]], _config(child, epochs=1), tmp_path / "2", parent=child)


def test_an_artifact_cannot_be_tested_on_what_it_learned_from(parent: Artifact, tmp_path: Path) -> None:
    config = _config(parent, epochs=1, split=Split(test_cells=("C1",)))
    with pytest.raises(TrainingConfigError, match="learned from C1: it can test nothing"):
        train([*OWN, FLEET[1]], config, tmp_path, parent=parent)


def test_a_target_that_own_cells_never_show_keeps_the_parents_interval(parent: Artifact, tmp_path: Path) -> None:
    """None of these comes near its end of life: no label of RUL."""
    young = [fading_cell(f"Y{index}", fade=0.001, cycles=20) for index in range(5)]
    manifest = train(young, _config(parent, epochs=1), tmp_path, parent=parent)
    soh, rul = manifest.target_scaling
    assert (rul.offset, rul.calibration_cells, rul.offset_is_guess) == (
        parent.manifest.target_scaling[1].offset,
        0,
        True,
    )
    assert rul.label_mean == parent.manifest.target_scaling[1].label_mean
    assert soh.calibration_cells > 0
    assert "rul: no calibration cell has a label" in (tmp_path / "card.md").read_text()
