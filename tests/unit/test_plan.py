from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.artifact import load
from model.plan import plan
from model.train import TrainingError, train
from tests.fading import fading_cell
from tests.unit.test_train import FLEET, TINY


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_a_plan_is_what_training_then_does(tmp_path: Path) -> None:
    planned = plan(FLEET, TINY, device="cpu")
    trained = train(FLEET, TINY, tmp_path, device="cpu")
    assert {cell.cell_id: cell.role for cell in trained.data} == {
        cell: role for role, cells in planned.cells.items() for cell in cells
    }
    assert planned.manifest.channel_scaling == trained.channel_scaling
    assert planned.epoch_windows == planned.windows["train"]
    assert planned.steps == -(-planned.epoch_windows // TINY.batch)
    assert planned.labels["test"]["soh"] == planned.windows["test"] > 0
    assert planned.parameters == sum(tensor.numel() for tensor in load(tmp_path).forecaster.parameters())
    assert 0 < planned.epoch_windows * planned.window_s < planned.seconds


def test_a_plan_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan(FLEET, TINY, device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_refuses_what_training_refuses() -> None:
    with pytest.raises(TrainingError, match="no train cell has a window with a label"):
        plan([fading_cell(f"C{index}", cycles=2) for index in range(5)], TINY, device="cpu")
