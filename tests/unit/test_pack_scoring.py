"""What a backtest says of whole packs."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import Any

import pyarrow as pa
import pytest

from model.recording import Recording
from model.schema import CycleSteps
from replay.pack_scoring import pack_metrics, warranty_metrics
from tests.fading import fading_cell
from tests.small_model import manifest_of

MANIFEST = manifest_of(CycleSteps())


def table(*rows: dict[str, Any]) -> pa.Table:
    """Predictions; what a row does not say has no value."""
    usual = {"pack_id": "pack", "cell": 0, "t_ms": 0, "cycle": 1, "soh_p05": 0.8, "soh_p50": 0.85, "soh_p95": 0.9}
    unknown = {"soh_truth": nan, "rul_truth": nan, "p_warranty": nan}
    return pa.Table.from_pylist([usual | unknown | row for row in rows])


def pack(cells: int = 2, cycles: int = 60) -> Recording:
    return fading_cell("pack", fade=0.001, cycles=cycles, cells=cells)


def test_a_pack_is_scored_by_the_least_of_each_quantile_against_its_weakest_cell():
    rows = [
        {"cell": 0, "soh_p05": 0.84, "soh_p50": 0.90, "soh_p95": 0.92, "soh_truth": 0.95},
        {"cell": 1, "soh_p05": 0.86, "soh_p50": 0.88, "soh_p95": 0.95, "soh_truth": 0.91},
    ]
    found = pack_metrics(table(*rows), [pack()], MANIFEST)
    assert found is not None
    assert (found["n"], found["worst_cell"]) == (1, "pack")
    assert found["mae"] == pytest.approx(0.03, abs=1e-6)
    assert found["coverage_90"] == 1.0
    assert found["width_90"] == pytest.approx(0.08, abs=1e-6)


def test_frames_whose_cells_do_not_all_have_a_value_and_a_truth_are_not_scored():
    both = [{"cell": cell, "t_ms": 1, "soh_truth": 0.85} for cell in (0, 1)]
    lacking = [
        {"cell": 0, "t_ms": 2, "soh_truth": 0.2},
        {"cell": 1, "t_ms": 2},
        {"cell": 0, "t_ms": 3, "soh_truth": 0.2},
        {"cell": 1, "t_ms": 3, "soh_truth": 0.2, "soh_p05": nan},
        {"cell": 0, "t_ms": 4, "soh_truth": 0.2},
    ]
    found = pack_metrics(table(*both, *lacking), [pack()], MANIFEST)
    assert found is not None
    assert (found["n"], found["mae"]) == (1, pytest.approx(0.0, abs=1e-6))


def test_of_single_cells_and_unmeasured_packs_nothing_is_said():
    known = table({"soh_truth": 0.9})
    assert pack_metrics(known, [pack(cells=1)], MANIFEST) is None
    assert pack_metrics(table({"cell": 0}, {"cell": 1}), [pack()], MANIFEST) is None


def test_a_warranty_is_scored_where_the_end_of_life_or_a_longer_life_was_seen():
    rows = [
        {"cycle": 10, "rul_truth": 20.0, "p_warranty": 0.9},  # ends at 30
        {"cycle": 10, "rul_truth": 45.0, "p_warranty": 0.3},  # at 55
        {"cycle": 10, "p_warranty": 0.1},  # lived on beyond 50, as far as it was measured
        {"cycle": 10, "rul_truth": 20.0},  # nothing was said
    ]
    found = warranty_metrics(table(*rows), [pack(cycles=60)], 50)
    assert found is not None
    assert found["n"] == 3
    assert found["brier"] == pytest.approx((0.1**2 + 0.3**2 + 0.1**2) / 3)
    assert found["brier_of_share"] == pytest.approx(2 / 9)
    assert [(each["n"], each["came"]) for each in found["reliability"]] == [(1, 0.0), (1, 0.0), (1, 1.0)]


def test_a_cell_that_was_not_measured_to_the_end_of_its_warranty_says_nothing_of_it():
    rows = [{"cycle": 10, "p_warranty": 0.1}]
    assert warranty_metrics(table(*rows), [pack(cycles=40)], 50) is None
    assert warranty_metrics(table(*rows), [replace(pack(), truth=None)], 50) is None
