from __future__ import annotations

import pytest

from cyclecast import training
from cyclecast.training import TrainingProgress, spoken
from model.checkpoint import Epoch
from model.train import Pace


def _epoch(number: int, loss: float) -> Epoch:
    return Epoch(
        epoch=number, train_loss=0.5, validation_loss=loss, lr=1e-3, validation_mae={"soh": 0.0123, "rul": 45.6}
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])
    return now


def test_an_epoch_is_a_line_with_losses_errors_rate_and_what_is_left(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with TrainingProgress(epochs=10) as shown:
        for number, loss in enumerate((0.3, 0.2, 0.25)):
            shown.paced(Pace(number, 32, 64, 0.5, 1e-3))
            clock[0] += 60
            shown.paced(Pace(number, 64, 64, 0.5, 1e-3))
            shown.finished(_epoch(number, loss))
    assert capsys.readouterr().out.splitlines()[-1] == (
        "epoch    2   train 0.50000   validation 0.25000   error soh 0.0123, rul 45.6"
        "   lr 1.00e-03   best 1   at most 7 min left"
    )


def test_a_resumed_run_knows_what_is_left_from_its_own_epochs(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with TrainingProgress(epochs=100) as shown:
        shown.paced(Pace(90, 1, 64, 0.5, 1e-3))
        clock[0] += 8
        shown.finished(_epoch(90, 0.2))
    assert "at most 72 s left" in capsys.readouterr().out


def test_durations_are_said_in_the_unit_that_fits() -> None:
    assert [spoken(seconds) for seconds in (0.4, 89, 90, 5399, 5400, 90_000)] == [
        "0 s",
        "89 s",
        "2 min",
        "90 min",
        "1.5 h",
        "25.0 h",
    ]
