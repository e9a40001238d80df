"""What the demo claims at its end."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from cyclecast.demo_status import Progress
from cyclecast.demo_summary import true_soh, unseen_cells
from model.artifact import CellData
from model.recording import Recording, Truth
from model.schema import CycleSteps
from stream.records import AlertKind, Interval, Origin, Prediction
from tests.alerts import alert
from tests.small_model import manifest_of


def _prediction(cell: int = 0, cycle: int | None = 5) -> Prediction:
    return Prediction(
        v=1,
        pack_id="P1",
        cell=cell,
        t_ms=0,
        step=5,
        cycle=cycle,
        flags=[],
        model="m@0",
        source=Origin("t", 0, 0),
        soh=Interval(0.8, 0.9, 1.0),
    )


@pytest.mark.parametrize(
    ("roles", "kept", "said"),
    [
        ({"P1/0": "train", "P1/1": "calibration", "P1/2": "test"}, {"P1/2", "P1/3"}, "the 2 cells"),
        ({}, {"P1/0", "P1/1", "P1/2", "P1/3"}, "the 4 cells"),
        (dict.fromkeys(("P1/0", "P1/1", "P1/2", "P1/3"), "train"), {"P1/0", "P1/1", "P1/2", "P1/3"}, "beware"),
    ],
)
def test_a_model_is_judged_by_cells_that_took_no_part_in_it(roles: dict[str, str], kept: set[str], said: str) -> None:
    data = tuple(CellData(cell_id=cell, role=role, source="s", sha256="0") for cell, role in roles.items())  # type: ignore[arg-type]
    manifest = manifest_of(CycleSteps(window=12), data=data)
    predictions = pa.table({"cell_id": ["P1/0", "P1/1", "P1/2", "P1/3", "P1/3"]})
    judged, about = unseen_cells(predictions, manifest)
    assert set(judged["cell_id"].to_pylist()) == kept
    assert said in about


def test_the_truth_of_a_prediction_is_that_of_its_cell_and_cycle() -> None:
    truth = Truth(np.array([0, 0, 1], np.int32), np.array([4, 5, 5], np.int32), np.array([1.9, 1.8, 1.5], np.float32))
    empty = np.zeros((0, 2), np.float32)
    recording = Recording(
        "P1",
        "pack",
        np.zeros(0, np.int64),
        np.zeros(0, np.float32),
        empty,
        empty,
        np.zeros(0, np.int32),
        nominal_capacity_ah=2.0,
        truth=truth,
    )
    soh = true_soh([recording])
    assert soh(_prediction(cell=0)) == pytest.approx(0.9)
    assert soh(_prediction(cell=1)) == pytest.approx(0.75)
    assert soh(_prediction(cell=2)) is None
    assert soh(_prediction(cycle=None)) is None


def test_alerts_are_counted_where_they_begin() -> None:
    progress = Progress()
    for told in (alert(), alert(cell=1), alert(step=5, raised=False), alert(kind=AlertKind.WARRANTY)):
        progress.saw_alert(told)
    assert progress.raised == {AlertKind.OUTLIER: 2, AlertKind.WARRANTY: 1}


def test_a_replay_is_worked_off_when_all_is_taken_in_and_all_predictions_came_back() -> None:
    done = Progress(records_due=9, records_sent=9, records_taken=9, published=4, predictions=4, replay_done=True)
    assert done.worked_off
    for name, value in (("records_taken", 8), ("predictions", 3), ("replay_done", False), ("published", 0)):
        before = getattr(done, name)
        setattr(done, name, value)
        assert not done.worked_off, name
        setattr(done, name, before)
