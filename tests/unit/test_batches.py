from __future__ import annotations

import numpy as np
import pytest
import torch

from model import batches
from model.augment import masked_channels, shown_steps
from model.batches import Lots, Piece, epoch_pieces
from model.dataset import windows_of
from model.losses import pinball_loss, pinball_sums
from model.network import BatteryLifespanPredictor
from model.schema import SampleSteps
from model.training_config import Augmentation
from tests.fading import fading_cell
from tests.unit.test_train import TINY

FLEET = [fading_cell(f"C{index}", cycles=20) for index in range(4)]
CONFIG = TINY.model_copy(update={"batch": 8, "epoch_windows": 50})
WINDOWS = windows_of(FLEET, CONFIG.steps, CONFIG.targets, CONFIG.eol_soh)
ROWS = np.arange(len(WINDOWS))
QUANTILES = torch.tensor([0.05, 0.5, 0.95])


def _steps(pieces: list[Piece]) -> list[list[int]]:
    """The rows of each step of the optimiser."""
    steps: list[list[int]] = [[]]
    for piece in pieces:
        steps[-1] += piece.rows.tolist()
        if piece.last:
            steps.append([])
    assert steps.pop() == []
    return steps


def test_an_epoch_shows_each_row_once_in_an_order_of_its_own() -> None:
    config = CONFIG.model_copy(update={"epoch_windows": 0})
    first, again, second = (epoch_pieces(WINDOWS, ROWS, config, epoch) for epoch in (0, 0, 1))
    assert sorted(row for step in _steps(first) for row in step) == ROWS.tolist()
    assert _steps(first) == _steps(again) != _steps(second)
    assert [len(step) for step in _steps(first)] == [min(8, len(ROWS) - start) for start in range(0, len(ROWS), 8)]
    assert sum(len(step) for step in _steps(epoch_pieces(WINDOWS, ROWS, CONFIG, 0))) == 50


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_processes_share_the_very_steps_of_one(world: int, accumulate: int) -> None:
    config = CONFIG.model_copy(update={"accumulate": accumulate})
    alone = _steps(epoch_pieces(WINDOWS, ROWS, config, 3))
    shares = [_steps(epoch_pieces(WINDOWS, ROWS, config, 3, rank, world)) for rank in range(world)]
    together = [sorted(row for part in parts for row in part) for parts in zip(*shares, strict=True)]
    assert together == [sorted(step) for step in alone if len(step) >= world]
    for rank in range(world):
        assert all(
            len(p.rows) <= -(-config.batch // world) for p in epoch_pieces(WINDOWS, ROWS, config, 3, rank, world)
        )


@pytest.fixture
def cut_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little a piece saves."""
    monkeypatch.setattr(batches, "_WORTH", 0)


def test_a_step_is_cut_by_length_only_where_that_saves_more_than_it_costs() -> None:
    config = CONFIG.model_copy(update={"batch": 4000, "epoch_windows": 0})
    few = epoch_pieces(WINDOWS, ROWS, config, 0)
    assert [piece.length for piece in few] == [8]
    many = np.tile(ROWS, 40)
    pieces = epoch_pieces(WINDOWS, many, config, 0)
    assert len(pieces) > 1
    for piece in pieces[:-1]:
        assert piece.last or len(piece.rows) * (8 - piece.length) >= batches._WORTH
    assert sum(len(piece.rows) for piece in pieces) == len(many)


@pytest.mark.usefixtures("cut_always")
def test_windows_are_padded_no_further_than_their_length_asks() -> None:
    pieces = epoch_pieces(WINDOWS, ROWS, CONFIG, 0)
    assert {piece.length for piece in pieces} == {2, 4, 6, 8}
    assert all((piece.shown <= piece.length).all() and (piece.shown > piece.length - 2).all() for piece in pieces)


def test_sample_windows_are_all_of_one_length() -> None:
    steps = SampleSteps(period_s=60, window=30, stride=15)
    windows = windows_of(FLEET, steps, CONFIG.targets, CONFIG.eol_soh)
    pieces = epoch_pieces(windows, np.arange(len(windows)), CONFIG.model_copy(update={"steps": steps}), 0)
    assert {piece.length for piece in pieces} == {30}
    assert all(piece.last for piece in pieces)


def test_a_gathered_piece_hides_old_steps_and_whole_channels_and_nothing_else() -> None:
    config = CONFIG.model_copy(update={"augment": Augmentation(truncate=1, mask=0.2)})
    for piece in epoch_pieces(WINDOWS, ROWS, config, 0):
        lot = Lots(WINDOWS)[piece]
        whole = torch.from_numpy(WINDOWS.windows(piece.rows))[:, -piece.length :]
        age = torch.arange(piece.length, 0, -1)
        hidden = (age > torch.from_numpy(piece.shown)[:, None])[:, :, None] | torch.from_numpy(piece.masked)[:, None, :]
        torch.testing.assert_close(lot.windows, whole.masked_fill(hidden, torch.nan), rtol=0, atol=0, equal_nan=True)


@pytest.mark.usefixtures("cut_always")
def test_pieces_add_up_to_the_loss_and_gradient_of_the_whole_padded_step() -> None:
    """Cutting a step by length, and computing the padding once, is exact: not an approximation to be measured."""
    torch.manual_seed(0)
    network = BatteryLifespanPredictor(len(CONFIG.steps.channels), 8, 2, 2, quantiles=3, skip=True)
    config = CONFIG.model_copy(update={"batch": 64, "augment": Augmentation(truncate=0.5, mask=0)})
    pieces = epoch_pieces(WINDOWS, ROWS, config, 0)
    assert len({piece.length for piece in pieces}) > 1
    window = CONFIG.steps.window

    loss = torch.zeros(())
    wholes, labels = [], []
    for piece in pieces:
        lot = Lots(WINDOWS)[piece]
        shown = lot.windows.nan_to_num()
        loss = loss + (pinball_sums(network(shown, window - piece.length), lot.labels, QUANTILES) * lot.weight).sum()
        wholes.append(torch.nn.functional.pad(shown, (0, 0, window - piece.length, 0)))
        labels.append(lot.labels)
    found = torch.autograd.grad(loss, list(network.parameters()))

    expected = pinball_loss(network(torch.cat(wholes)), torch.cat(labels), QUANTILES)
    assert torch.isnan(torch.cat(labels)).any()
    torch.testing.assert_close(loss, expected)
    for one, other in zip(found, torch.autograd.grad(expected, list(network.parameters())), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_truncation_keeps_the_newest_steps_and_masking_hides_as_often_as_told() -> None:
    rng = np.random.default_rng(0)
    length = rng.integers(3, 11, 4000)
    shown = shown_steps(rng, length, 10, Augmentation(truncate=0.5, mask=0), min_steps=3)
    assert (shown <= length).all()
    assert (shown >= 3).all()
    assert 0.2 < (shown < length).mean() < 0.5
    assert (shown_steps(rng, length, 10, Augmentation(truncate=0, mask=0), 3) == length).all()
    assert (shown_steps(rng, length, 10, Augmentation(truncate=1, mask=0), 10) == length).all()
    assert masked_channels(rng, 4000, 4, Augmentation(truncate=0, mask=0.1)).mean() == pytest.approx(0.1, abs=0.01)
    assert not masked_channels(rng, 4000, 4, Augmentation(truncate=0, mask=0)).any()
