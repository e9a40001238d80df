from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.artifact import Manifest, load
from model.batches import epoch_pieces
from model.checkpoint import CHECKPOINT, CheckpointError, Epoch
from model.curves import scalars
from model.dataset import windows_of
from model.prepare import rows_of
from model.ranks import Ranks
from model.schema import CycleSteps, SampleSteps, Target
from model.tensorboard import FOLDER
from model.train import Pace, TrainingError, TrainingRun, train
from model.training_config import Augmentation, Split, Training, split_by_cell
from tests.fading import fading_cell
from tests.unit.test_tensorboard import events_in

FADES = (0.004, 0.005, 0.006, 0.007, 0.008, 0.009, 0.010, 0.011, 0.012, 0.013)
FLEET = [fading_cell(f"C{index}", fade=1.3 * fade, cycles=36) for index, fade in enumerate(FADES)]
TINY = Training(
    name="tiny",
    steps=CycleSteps(window=8),
    targets=(Target(kind="soh"), Target(kind="rul")),
    hidden=8,
    layers=1,
    dropout=0.2,
    epochs=4,
    batch=16,
    lr=1e-2,
    split=Split(validation=0.2, calibration=0.2, test_cells=("C4",)),
)


class KilledError(Exception):
    """Stands for a kill between two epochs."""


def _run(config: Training, out: Path) -> TrainingRun:
    windows = windows_of(FLEET, config.steps, config.targets, config.eol_soh)
    roles = split_by_cell(windows.cell_ids, config.split, config.seed)
    return TrainingRun(config, windows, roles, Ranks(0, 1, torch.device("cpu")), out)


def _metrics(manifest: Manifest) -> dict[str, Any]:
    return manifest.metrics  # typed as JSON there


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_a_small_training_beats_saying_the_mean(tmp_path: Path) -> None:
    config = TINY.model_copy(update={"epochs": 25, "skip": True, "dropout": 0.0, "hidden": 16})
    manifest = train(FLEET, config, tmp_path / "out")
    test = _metrics(manifest)["test"]
    for target in ("soh", "rul"):
        assert test["targets"][target]["mae"] < 0.5 * test["baselines"][target]["mean"]["mae"]
    assert list(test["targets"]["soh"]["by_cell"]) == ["C4"]
    assert load(tmp_path / "out").manifest == manifest
    card = (tmp_path / "out" / "card.md").read_text()
    assert "- test (1): C4" in card
    assert "too few to claim 90 %" in card
    for part in ("Intended use", "Data", "Protocol", "Intervals", "Errors on the test cells", "Limits"):
        assert f"## {part}\n" in card
    assert "how far a cell has aged and how many cycles are left" in card
    assert "epoch {best_epoch} of {epochs}, counted from 0".format_map(_metrics(manifest)) in card


def test_roles_in_the_manifest_are_those_of_the_split(tmp_path: Path) -> None:
    manifest = train(FLEET, TINY, tmp_path)
    roles = {cell.cell_id: cell.role for cell in manifest.data}
    assert sorted(roles) == [f"C{index}" for index in range(10)]
    assert roles["C4"] == "test"
    assert [list(roles.values()).count(role) for role in ("train", "validation", "calibration")] == [5, 2, 2]
    assert all(len(cell.sha256) == 64 and cell.source == "made/for_tests" for cell in manifest.data)


def test_the_loss_curve_is_written_and_told(tmp_path: Path) -> None:
    told: list[Epoch] = []
    manifest = train(FLEET, TINY, tmp_path, told.append)
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["validation_loss"]) for row in rows] == [epoch.validation_loss for epoch in told]
    assert len(rows) == TINY.epochs == _metrics(manifest)["epochs"]
    assert _metrics(manifest)["validation_loss"] == min(epoch.validation_loss for epoch in told)
    page = (tmp_path / "curve.html").read_text()
    assert "trained, 4 epochs" in page
    for panel in ("pinball loss", "soh: mean absolute error", "rul: mean absolute error", "learning rate"):
        assert panel in page
    assert "http-equiv" not in page
    assert "//" not in page  # nothing from elsewhere
    assert not (tmp_path / CHECKPOINT).exists()


def test_tensorboard_shows_the_numbers_of_the_curve_and_of_no_earlier_run(tmp_path: Path) -> None:
    told: list[Epoch] = []
    train(FLEET, TINY.model_copy(update={"epochs": 5}), tmp_path)
    train(FLEET, TINY.model_copy(update={"epochs": 2}), tmp_path, told.append)
    found = events_in(tmp_path / FOLDER)
    assert found == [(epoch.epoch, pytest.approx(scalars(epoch), rel=1e-6)) for epoch in told]
    assert set(found[0][1]) >= {"train_loss", "validation_loss", "lr", "validation_mae_soh", "validation_mae_rul"}


def test_the_pace_tells_how_far_an_epoch_is(tmp_path: Path) -> None:
    paces: list[Pace] = []
    epochs: list[Epoch] = []
    train(FLEET, TINY.model_copy(update={"epochs": 2}), tmp_path, epochs.append, paces.append)
    assert [pace.windows for pace in paces if pace.epoch == 0] == [
        min(TINY.batch * (step + 1), paces[0].of) for step in range(-(-paces[0].of // TINY.batch))
    ]
    lasts = [pace for pace in paces if pace.windows == pace.of]
    assert [(pace.epoch, pace.loss, pace.lr) for pace in lasts] == [
        (epoch.epoch, pytest.approx(epoch.train_loss), epoch.lr) for epoch in epochs
    ]


def test_copies_at_other_paces_teach_and_do_nothing_else(tmp_path: Path) -> None:
    paced = TINY.model_copy(update={"augment": Augmentation(paces=(0.5, 2.0)), "epochs": 1})
    plain, run = _run(TINY, tmp_path), _run(paced, tmp_path)
    assert len(run.taught) > 3 * len(plain.taught)
    for role in ("train", "validation", "calibration", "test"):
        np.testing.assert_array_equal(run._rows(role), plain._rows(role))
    assert run.manifest == plain.manifest
    of_copies = run.taught[run.taught >= len(run.windows)]
    assert {run.roles[run.windows.cell_ids[cell]] for cell in run.scaled.cell[of_copies]} == {"train"}
    assert train(FLEET, paced, tmp_path).data == train(FLEET, TINY, tmp_path).data


def test_the_same_seed_gives_the_same_artifact_and_another_another(tmp_path: Path) -> None:
    first, second = train(FLEET, TINY, tmp_path / "1"), train(iter(FLEET), TINY, tmp_path / "2")
    assert first.sha256 == second.sha256
    assert train(FLEET, TINY.model_copy(update={"seed": 1}), tmp_path / "3").sha256 != first.sha256


@pytest.mark.parametrize("killed_after", [0, 2, 3])
def test_resumed_training_equals_uninterrupted(tmp_path: Path, killed_after: int) -> None:
    whole = train(FLEET, TINY, tmp_path / "whole")

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == killed_after:
            raise KilledError

    with pytest.raises(KilledError):
        train(FLEET, TINY, tmp_path / "cut", kill)
    assert (tmp_path / "cut" / CHECKPOINT).exists()
    assert 'http-equiv="refresh"' in (tmp_path / "cut" / "curve.html").read_text()
    resumed: list[Epoch] = []
    manifest = train(FLEET, TINY, tmp_path / "cut", resumed.append, resume=True)
    assert [step for step, _ in events_in(tmp_path / "cut" / FOLDER)] == list(range(TINY.epochs))
    assert [epoch.epoch for epoch in resumed] == list(range(killed_after + 1, TINY.epochs))
    assert manifest.sha256 == whole.sha256
    assert (tmp_path / "cut" / "curve.csv").read_text() == (tmp_path / "whole" / "curve.csv").read_text()


def test_a_checkpoint_of_another_run_or_a_broken_one_is_refused(tmp_path: Path) -> None:
    def kill(epoch: Epoch) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        train(FLEET, TINY, tmp_path, kill)
    with pytest.raises(CheckpointError, match="another configuration or other data"):
        train(FLEET, TINY.model_copy(update={"lr": 1e-3}), tmp_path, resume=True)
    with pytest.raises(CheckpointError, match="another configuration or other data"):
        train([*FLEET[:-1], fading_cell("C9", seed=3)], TINY, tmp_path, resume=True)
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="cannot be read"):
        train(FLEET, TINY, tmp_path, resume=True)
    assert train(FLEET, TINY, tmp_path).sha256  # without resume it starts anew


def test_training_stops_when_validation_no_longer_improves(tmp_path: Path) -> None:
    config = TINY.model_copy(update={"epochs": 60, "patience": 3, "lr": 0.1})
    metrics = _metrics(train(FLEET, config, tmp_path))
    assert metrics["epochs"] == metrics["best_epoch"] + 1 + 3 < 60


def test_accumulated_gradients_are_those_of_one_large_batch(tmp_path: Path) -> None:
    """Also where labels are missing, and in an epoch that ends amid a step."""
    config = TINY.model_copy(update={"epochs": 1, "epoch_windows": 120, "dropout": 0.0})
    artifacts = []
    for batch, accumulate in ((64, 1), (16, 4)):
        out = tmp_path / str(batch)
        train(FLEET, config.model_copy(update={"batch": batch, "accumulate": accumulate}), out)
        artifacts.append(load(out).forecaster.network.state_dict())
    for name, tensor in artifacts[0].items():
        torch.testing.assert_close(tensor, artifacts[1][name], rtol=1e-4, atol=1e-5)


def test_workers_that_gather_batches_change_nothing(tmp_path: Path) -> None:
    config = TINY.model_copy(update={"epochs": 2})
    alone = train(FLEET, config, tmp_path / "0")
    assert train(FLEET, config.model_copy(update={"workers": 2}), tmp_path / "2").sha256 == alone.sha256


def test_bf16_learns_what_fp32_learns_with_weights_in_fp32(tmp_path: Path) -> None:
    config = TINY.model_copy(update={"epochs": 6, "dropout": 0.0})
    exact = _metrics(train(FLEET, config, tmp_path / "fp32"))
    half = _metrics(train(FLEET, config.model_copy(update={"precision": "bf16"}), tmp_path / "bf16"))
    assert half["validation_loss"] != exact["validation_loss"]
    assert half["validation_loss"] == pytest.approx(exact["validation_loss"], rel=0.05)
    assert {t.dtype for t in load(tmp_path / "bf16").forecaster.network.state_dict().values()} == {torch.float32}


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # what switching oneDNN off says of Intel's GPUs
def test_a_gradient_that_overflows_fp16_is_left_out_and_the_next_scaled_down(tmp_path: Path) -> None:
    """As on a GPU, but for oneDNN, which does not know an LSTM in fp16."""
    config = TINY.model_copy(update={"precision": "fp16", "epochs": 2, "dropout": 0.0})
    with pytest.raises(TrainingError, match="fp16 needs a CUDA device"):
        train(FLEET, config, tmp_path, device="cpu")
    run = _run(config, tmp_path)
    run.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = {name: tensor.clone() for name, tensor in run.forecaster.network.state_dict().items()}
    pieces = epoch_pieces(run.scaled, rows_of(run.windows, run.roles, "train"), config, 0)
    with torch.backends.mkldnn.flags(enabled=False):  # type: ignore[no-untyped-call]
        run._steps(run.forecaster.network, pieces[: [piece.last for piece in pieces].index(True) + 1], None, 0, 1e-2)
        assert all(torch.equal(before[name], now) for name, now in run.forecaster.network.state_dict().items())
        assert run.scaler.get_scale() == 2.0**39
        told: list[Epoch] = []
        run.fit(told.append, None, resume=False)
    assert run.state.standing.scaler["scale"] < 2.0**39
    exact: list[Epoch] = []
    train(FLEET, config.model_copy(update={"precision": "fp32"}), tmp_path / "fp32", exact.append)
    assert 0.5 < told[-1].validation_loss / exact[-1].validation_loss < 2


def test_sample_steps_train_too(tmp_path: Path) -> None:
    steps = SampleSteps(period_s=60, window=30, stride=15)
    config = TINY.model_copy(update={"steps": steps, "epochs": 1, "epoch_windows": 64})
    manifest = train(FLEET[:5], config, tmp_path)
    assert manifest.window == 30
    assert load(tmp_path).forecaster(torch.zeros(2, 30, 3)).shape == (2, 2, 3)


def test_without_any_label_training_is_refused(tmp_path: Path) -> None:
    short = [fading_cell(f"C{index}", cycles=2) for index in range(5)]
    with pytest.raises(TrainingError, match="no train cell has a window with a label"):
        train(short, TINY, tmp_path)


def test_a_diverging_loss_is_an_error_and_not_an_artifact(tmp_path: Path) -> None:
    config = TINY.model_copy(update={"lr": 1e30, "clip_norm": 1e30})
    with pytest.raises(TrainingError, match="lower lr"):
        train(FLEET, config, tmp_path)
    assert not (tmp_path / "manifest.json").exists()
