"""What the benchmarks say of their numbers. Running them is not a test: time decides none."""

from __future__ import annotations

import json

import pytest

from bench.load import Load
from bench.table import Cost, Row, Skipped, regressions, save

RATE = Row("path", "frames", "roof", roof_rate=100.0, rate=40.0, bar_ratio=0.25, bar_rate=30.0)
COST = Cost("memory", "B", "arrays", roof_cost=100.0, cost=110.0, bar_ratio=1.2, bar_cost=120.0)


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (RATE, "met"),
        (Row("p", "u", "r", 100.0, 24.0, bar_ratio=0.25), "missed"),
        (Row("p", "u", "r", 100.0, 29.0, bar_ratio=0.25, bar_rate=30.0), "missed"),
        (Row("p", "u", "r", 100.0, 29.0), ""),
        (COST, "met"),
        (Cost("p", "u", "r", 100.0, 121.0, bar_ratio=1.2), "missed"),
        (Cost("p", "u", "r", 100.0, 110.0, bar_ratio=1.2, bar_cost=109.0), "missed"),
        (Skipped("p", "no CUDA device"), "skipped: no CUDA device"),
    ],
)
def test_a_verdict_needs_every_bar_that_is_set(line, verdict):
    assert line.verdict == verdict


@pytest.mark.parametrize(("rate", "worse"), [(40.0, 0), (80.0, 0), (31.0, 0), (28.0, 1)])
def test_a_ratio_that_fell_beyond_the_tolerance_is_a_regression(tmp_path, rate, worse):
    save({"service": [RATE]}, tmp_path / "kept.json")
    now = {"service": [Row("path", "frames", "roof", 100.0, rate)]}
    assert len(regressions(now, tmp_path / "kept.json", 0.35)) == worse


def test_a_faster_machine_is_no_regression_and_a_slower_one_neither(tmp_path):
    save({"service": [RATE], "memory": [COST]}, tmp_path / "kept.json")
    for factor in (0.1, 10.0):
        now = {
            "service": [Row("path", "frames", "roof", 100.0 * factor, 40.0 * factor)],
            "memory": [Cost("memory", "B", "arrays", 100.0 * factor, 110.0 * factor)],
        }
        assert not regressions(now, tmp_path / "kept.json", 0.05)


def test_a_cost_that_rose_beyond_the_tolerance_is_a_regression(tmp_path):
    save({"memory": [COST]}, tmp_path / "kept.json")
    now = {"memory": [Cost("memory", "B", "arrays", 100.0, 150.0)]}
    (said,) = regressions(now, tmp_path / "kept.json", 0.35)
    assert said.startswith("memory: ")


def test_what_is_new_or_was_skipped_is_no_regression(tmp_path):
    save({"device": [Skipped("gpu", "no CUDA device")]}, tmp_path / "kept.json")
    now = {"device": [Row("gpu", "windows", "roof", 1.0, 0.001)], "other": [Skipped("path", "no java")]}
    assert not regressions(now, tmp_path / "kept.json", 0.0)


def test_every_kept_row_names_the_command_that_repeats_it(tmp_path):
    save({"service": [RATE], "device": [Skipped("gpu", "no CUDA device")]}, tmp_path / "kept.json")
    rows = json.loads((tmp_path / "kept.json").read_text())["rows"]
    assert [row["command"] for row in rows] == ['make bench ARGS="service"', 'make bench ARGS="device"']
    assert rows[0]["ratio"] == 0.4


@pytest.mark.parametrize("by_cell", [False, True])
def test_a_load_sends_what_it_says(by_cell):
    load = Load(packs=3, cells=2, frames=40, partitions=2, frames_a_cycle=12, by_cell=by_cell)
    records = [json.loads(sent.value) for sent in load.sent()]
    assert len(records) == load.records == 3 * 40 * (2 if by_cell else 1)
    cycles = {}
    ended = 0
    for record in records:
        cells = [record["cell"]] if by_cell else range(2)
        for cell in cells:
            before = cycles.get((record["pack_id"], cell), record["cycle"])
            ended += record["cycle"] - before
            cycles[record["pack_id"], cell] = record["cycle"]
    assert ended == load.cycles_ended > 0
