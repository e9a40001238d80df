from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.artifact import load, save, tensors_of
from model.dataset import WindowSet, windows_of
from model.evaluate import scores
from model.novelty import Novelty, _evenly, fit_novelty, summary, summary_size
from model.predictor import Predictor
from model.recording import Recording
from model.schema import CycleSteps, SampleSteps, Target
from model.train import train
from tests.fading import fading_cell
from tests.small_model import random_windows, small_artifact
from tests.unit.test_train import FLEET, TINY

CYCLES, SAMPLES = CycleSteps(window=8), SampleSteps(period_s=60, window=30, stride=15)
SOH = (Target(kind="soh"),)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _windows(cells: list[Recording], steps: CycleSteps | SampleSteps) -> tuple[WindowSet, np.ndarray]:
    found = windows_of(cells, steps, SOH, 0.8)
    return found, np.arange(len(found))


def _fitted(steps: CycleSteps | SampleSteps) -> Novelty:
    """On seven cells, with limits from three others."""
    windows, _ = _windows(FLEET, steps)
    rows = [windows.of_cells(f"C{index}" for index in part) for part in ((0, 1, 3, 5, 6, 8, 9), (2, 4, 7))]
    return fit_novelty(windows, *rows, steps, seed=0)


def _rate(novelty: Novelty, cells: list[Recording], steps: CycleSteps | SampleSteps) -> float:
    return float((scores(novelty, *_windows(cells, steps)) > 1).mean())


OWN_KIND = [fading_cell(f"D{index}", fade=0.0065 + 0.003 * index, cycles=36, seed=5) for index in range(3)]
STRANGE = {
    "another chemistry": lambda cell: replace(cell, voltage_v=0.75 * cell.voltage_v),
    "stuck voltage": lambda cell: replace(cell, voltage_v=np.full_like(cell.voltage_v, 3.7)),
    "current twice what it is": lambda cell: replace(cell, current_a=2 * cell.current_a),
    "hot": lambda cell: replace(cell, temp_degc=cell.temp_degc + 30),
    "frozen": lambda cell: replace(cell, temp_degc=cell.temp_degc - 30),
}


@pytest.mark.parametrize("steps", [CYCLES, SAMPLES], ids=["cycle", "sample"])
def test_unseen_cells_of_the_kind_pass_and_strange_ones_do_not(steps: CycleSteps | SampleSteps) -> None:
    novelty = _fitted(steps)
    assert _rate(novelty, OWN_KIND, steps) < 0.05
    for what, changed in STRANGE.items():
        assert _rate(novelty, [changed(cell) for cell in OWN_KIND], steps) > 0.9, what


def test_a_pack_of_many_cells_counts_as_one_cell_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.novelty._WINDOWS", 40)  # fewer than there are, as of a fleet
    windows, rows = _windows(
        [*(fading_cell(f"P/{cell}") for cell in range(5)), fading_cell("S1"), fading_cell("S2")], CYCLES
    )
    chosen = _evenly(windows, rows, np.random.default_rng(0))
    packs = [windows.cell_ids[cell].split("/")[0] for cell in windows.cell[chosen]]
    assert {pack: packs.count(pack) for pack in packs} == {"P": 14, "S1": 14, "S2": 14}


@pytest.mark.parametrize("steps", [CYCLES, SAMPLES], ids=["cycle", "sample"])
def test_what_is_not_measured_is_not_strange(steps: CycleSteps | SampleSteps) -> None:
    blind = [replace(cell, temp_degc=np.full_like(cell.temp_degc, np.nan)) for cell in OWN_KIND]
    assert _rate(_fitted(steps), blind, steps) < 0.05


def test_a_score_does_not_depend_on_the_other_windows() -> None:
    novelty = _fitted(CYCLES)
    windows, rows = _windows(OWN_KIND, CYCLES)
    together = scores(novelty, windows, rows)
    alone = np.concatenate([scores(novelty, windows, rows[index : index + 1]) for index in range(0, len(rows), 7)])
    np.testing.assert_allclose(alone, together[::7], rtol=1e-4)


def test_a_sample_window_that_is_not_full_has_no_score() -> None:
    novelty = _fitted(SAMPLES)
    windows = torch.full((2, 30, 3), 99.0)
    windows[0, :10] = torch.nan
    found = novelty(windows)
    assert found[0] == 0
    assert found[1] > 1


def test_a_summary_tells_a_stuck_sensor_from_a_live_one() -> None:
    live = torch.randn(1, 30, 3, generator=torch.Generator().manual_seed(0))
    stuck = live.clone()
    stuck[:, 10:, 0] = stuck[:, 10:11, 0]
    one, other = summary(live, SAMPLES), summary(stuck, SAMPLES)
    assert one.shape == (1, summary_size(SAMPLES))
    assert (one != other).any()
    torch.testing.assert_close(one[:, 1], live[:, :, 1].mean(1)[:, None].squeeze(1))


def test_few_windows_make_one_cluster_and_a_cell_alone_is_enough() -> None:
    windows, rows = _windows([fading_cell("A", cycles=10), fading_cell("B", cycles=10)], CYCLES)
    novelty = fit_novelty(windows, rows[: len(rows) // 2], rows[len(rows) // 2 :], CYCLES, 0)
    assert len(novelty.origin) == 1
    assert np.isfinite(scores(novelty, windows, rows)).all()


def test_training_writes_it_and_the_predictor_tells_it(tmp_path: Path) -> None:
    manifest = train(FLEET, TINY.model_copy(update={"epochs": 1}), tmp_path)
    assert manifest.novelty is not None
    assert manifest.novelty.false_alarms is not None
    assert manifest.novelty.false_alarms < 0.1
    assert "## Out of distribution" in (tmp_path / "card.md").read_text()
    predictor = Predictor(load(tmp_path), "cpu", "fp32")
    windows, rows = _windows([OWN_KIND[0], STRANGE["hot"](replace(OWN_KIND[1], pack_id="hot"))], CYCLES)
    strange = predictor.strange(windows.windows(rows), len(rows))
    assert strange[windows.cell[rows] == 0].mean() < 0.05
    assert strange[windows.cell[rows] == 1].mean() > 0.9
    assert strange.tolist() == (scores(load(tmp_path).novelty, windows, rows) > 1).tolist()  # type: ignore[arg-type]
    assert predictor.strange(windows.windows(rows), 1).shape == (1,)


def test_an_artifact_without_it_calls_nothing_strange(tmp_path: Path) -> None:
    small = small_artifact()
    save(tmp_path / "old", small.manifest, tensors_of(small.forecaster), "card")
    assert load(tmp_path / "old").novelty is None
    windows = 1e6 * random_windows(small.manifest, 70)
    assert not Predictor(load(tmp_path / "old"), "cpu", "fp32").strange(windows, 70).any()
