"""Adapted intervals in a backtest: they come to 90 %, from whatever a model said, and from past truths alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.adaptive import law
from model.artifact import CARD, load, save, tensors_of
from model.recording import Recording
from replay.backtest import backtest
from stream.settings import Settings
from tests.fading import fading_cell

CYCLES = 600  # enough for the law to tell 90 % from all
Rows = list[dict[str, Any]]


def published(folder: Path, recording: Recording, *, offset: float, adapts: bool) -> Rows:
    """What the built-in model says of a cell, its SOH's conformal offset changed, where it says something."""
    found = load("cycle")
    soh = found.manifest.target_index("soh")
    scaling = [
        each.model_copy(update={"offset": each.offset + offset}) if at == soh else each
        for at, each in enumerate(found.manifest.target_scaling)
    ]
    changed = found.manifest.model_copy(update={"target_scaling": tuple(scaling)})
    save(folder / "model", changed, tensors_of(found.forecaster, found.novelty), f"# {CARD}")
    settings = Settings.load(None, {}, {"model.path": str(folder / "model"), "model.adapt_intervals": adapts})
    rows: Rows = backtest([recording], settings, folder / "out").predictions.to_pylist()
    return [row for row in rows if row["soh_p50"] is not None]


def coverage(rows: Rows) -> float:
    return float(np.mean([row["soh_p05"] <= row["soh_truth"] <= row["soh_p95"] for row in rows]))


@pytest.mark.parametrize(("offset", "least", "most"), [(-0.05, 0.0, 0.3), (4.0, 0.99, 1.0)], ids=["narrow", "wide"])
def test_coverage_comes_to_ninety_percent_from_intervals_made_too_narrow_or_too_wide(tmp_path, offset, least, most):
    recording = fading_cell("C1", cycles=CYCLES, fade=0.0005)
    plain = published(tmp_path / "off", recording, offset=offset, adapts=False)
    adapted = published(tmp_path / "on", recording, offset=offset, adapts=True)
    assert least <= coverage(plain) <= most
    assert abs(coverage(adapted) - 0.9) < law(len(adapted)) < 0.1
    assert [row["soh_p50"] for row in adapted] == pytest.approx([row["soh_p50"] for row in plain], abs=1e-5)


def test_no_interval_knows_a_truth_that_was_measured_in_its_cycle_or_later(tmp_path):
    recording = fading_cell("C1", cycles=60, fade=0.004)
    assert recording.truth is not None
    changed = recording.truth.capacity_ah.copy()
    changed[30:] *= np.float32(0.7)
    other = replace(recording, truth=replace(recording.truth, capacity_ah=changed))
    rows = published(tmp_path / "a", recording, offset=0.0, adapts=True)
    others = published(tmp_path / "b", other, offset=0.0, adapts=True)
    assert [row["cycle"] for row in rows] == [row["cycle"] for row in others]
    differ = [
        mine["cycle"]
        for mine, theirs in zip(rows, others, strict=True)
        if abs(mine["soh_p05"] - theirs["soh_p05"]) > 1e-5
    ]
    assert 30 < min(differ) < 35
