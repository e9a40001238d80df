from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.ood import FAULTS, cost, rows
from model.artifact import load
from model.schema import Target
from model.train import train
from tests.fading import fading_cell
from tests.unit.test_train import FLEET, TINY


def test_faults_count_from_where_they_begin_and_foreign_cells_whole(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    train(FLEET, TINY.model_copy(update={"epochs": 1, "targets": (Target(kind="soh"),)}), tmp_path)
    artifact = load(tmp_path)
    own = [cell for cell in FLEET if cell.pack_id == "C4"]
    low = fading_cell("X", cells=2, cycles=20)
    low = replace(low, voltage_v=0.75 * low.voltage_v)
    found = {row.what: row for row in rows(artifact, own, [("low", [low])])}
    assert set(FAULTS) < set(found)
    whole, half = found["its test cells, as they are"], found["the same, later half"]
    assert whole.cells == half.cells == 1
    assert 0 < half.windows < whole.windows == 34  # the last of 36 cycles never closes, the first is too few
    assert whole.flagged < 0.1
    for fault in ("voltage stuck", "temperature +25 degC"):
        assert found[fault].windows == half.windows
        assert found[fault].flagged > 0.9
    assert found["voltage taps of neighbours swapped"].cells == 0  # a single cell has none
    assert (found["low"].cells, found["low"].flagged) == (2, 1.0)
    assert str(whole).startswith("| its test cells, as they are | 1 |")
    assert 0 < cost(artifact) < 10


def test_a_stuck_reading_keeps_its_first_value_and_what_was_before() -> None:
    cell = FLEET[0]
    broken = FAULTS["voltage stuck"](cell, 100)
    assert (broken.voltage_v[:100] == cell.voltage_v[:100]).all()
    assert (broken.voltage_v[100:] == cell.voltage_v[100]).all()
    assert broken.voltage_v.dtype == cell.voltage_v.dtype
    assert FAULTS["current of the wrong sign"](cell, 100).current_a[100] == pytest.approx(-cell.current_a[100])
