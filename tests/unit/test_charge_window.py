"""Statistics of a charge's end: against plain numpy over the same samples, and where they must be absent."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from model.schema import ChargeWindow, CycleSteps
from model.state import Part
from model.steps import StepState, new_state
from tests.plain_charge_window import plain_statistics
from tests.telemetry import T0_MS, block, fed

WINDOW = ChargeWindow(low_v=4.0, high_v=4.19, high_rate=0.25, low_rate=0.05)
STEPS = CycleSteps(charge_window=WINDOW, window=4)
NAMES = [channel.name for channel in STEPS.channels[32:]]
NOMINAL_AH = 2.0
PERIOD_MS = 10_000


def charge(*, begin_v: float = 3.6, hold_v: float = 4.2, amps: float = 2.0, end_a: float = 0.06) -> np.ndarray:
    """A constant current until ``hold_v``, and then a current that decays; float64 [n, 2], A and V, every 10 s."""
    rising = np.linspace(begin_v, hold_v, 130) if begin_v < hold_v else np.array([hold_v])
    falling = amps * np.exp(-np.arange(0, 2000) / 120)
    falling = falling[falling >= end_a]
    return np.vstack(
        [
            np.column_stack([np.full(len(rising), amps), rising]),
            np.column_stack([falling, np.full(len(falling), hold_v)]),
        ]
    )


def rest(samples: int, volts: float) -> np.ndarray:
    return np.column_stack([np.zeros(samples), np.full(samples, volts)])


def drawn(to_v: float) -> np.ndarray:
    return np.column_stack([np.full(120, -2.0), np.linspace(4.15, to_v, 120)])


def statistics(*phases: np.ndarray, t_ms: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Of one cycle made of the phases: float [16] as streamed, and as plain numpy has it."""
    samples = np.vstack(phases).astype(np.float32)
    if t_ms is None:
        t_ms = T0_MS + PERIOD_MS * np.arange(len(samples))
    cycle = [1] * len(samples)
    closing = block([*t_ms, t_ms[-1] + 1000], [*samples[:, 0], 0.0], [*samples[:, 1], 3.0], cycle=[*cycle, 2])
    (found,) = fed(new_state(STEPS, 1), closing).windows[:, -1, 32:]
    return found, plain_statistics(WINDOW, t_ms, samples[:, 0], samples[:, 1], NOMINAL_AH)


def test_statistics_are_those_of_plain_numpy_whatever_the_intervals():
    rng = np.random.default_rng(1)
    whole = np.vstack([rest(3, 3.5), charge(), rest(5, 4.15), drawn(3.2)])
    whole[:, 1] += rng.normal(0, 0.001, len(whole)) * (whole[:, 0] == 2.0)
    t_ms = T0_MS + np.cumsum(rng.choice([1_000, 7_500, 10_000, 60_000], len(whole)))
    found, expected = statistics(whole, t_ms=t_ms)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_even_samples_weigh_alike():
    found, _ = statistics(rest(1, 3.5), charge())
    volts = np.linspace(3.6, 4.2, 130).astype(np.float32).astype(float)
    inside = volts[(volts >= 4.0) & (volts < 4.19)][1:]  # the first begins it
    deviation = inside - inside.mean()
    kurtosis = (deviation**4).mean() / (deviation**2).mean() ** 2 - 3
    told = dict(zip(NAMES, found.tolist(), strict=True))
    assert told["window_voltage_mean"] == pytest.approx(inside.mean(), rel=1e-6)
    assert told["window_voltage_std"] == pytest.approx(inside.std(), rel=1e-5)
    assert told["window_voltage_kurtosis"] == pytest.approx(kurtosis, rel=1e-4)
    assert told["window_voltage_skewness"] == pytest.approx(0.0, abs=1e-4)
    assert told["window_voltage_charge"] == pytest.approx(2.0 * 10 * len(inside) / 3600 / NOMINAL_AH, rel=1e-6)
    assert told["window_voltage_time"] == pytest.approx(10 * len(inside) / 3600, rel=1e-6)
    assert told["window_voltage_slope"] == pytest.approx(0.6 / 129 * 360, rel=1e-4)
    # A rise that is even has the entropy of a ramp: ln(2 T) - 1/2 - ln 2 = ln T + 1/2 - ln 2, T in seconds.
    assert told["window_voltage_entropy"] == pytest.approx(np.log(10 * len(inside)) + 0.5 - np.log(2), abs=0.03)
    assert told["window_rate_slope"] < 0
    assert told["window_rate_skewness"] > 0


def test_spread_far_below_the_value_is_not_lost_to_cancellation():
    wobble = 4.1 + 2e-6 * np.sin(np.arange(400))
    phases = np.column_stack([np.full(402, 2.0), np.concatenate([[3.9], wobble, [4.2]])])
    found, expected = statistics(rest(1, 3.5), phases)
    np.testing.assert_allclose(found[1:4], expected[1:4], rtol=1e-3)


def present(found: np.ndarray) -> tuple[bool, bool]:
    """Whether the statistics of voltage and of current are there: always all of a crossing or none."""
    shown = np.isfinite(found.reshape(2, 8))
    assert (shown.all(1) == shown.any(1)).all()
    return bool(shown[0].all()), bool(shown[1].all())


@pytest.mark.parametrize(
    ("phases", "shown"),
    [
        ([rest(2, 3.5), charge()], (True, True)),
        ([rest(2, 4.05), charge(begin_v=4.05)], (False, True)),  # begins within the window
        ([rest(2, 3.5), charge()[:90]], (False, False)),  # ends below it
        ([rest(2, 3.5), charge()[:110], rest(3, 4.05), charge(begin_v=4.08)], (False, True)),  # broken off within it
        ([rest(2, 3.5), charge(end_a=0.2)], (True, False)),  # ends within the window of current
        ([rest(2, 3.5), charge()[:330], rest(3, 4.15)], (True, False)),  # likewise
        ([rest(2, 3.5), drawn(3.2)], (False, False)),
        ([rest(2, 3.5), charge(begin_v=3.7, hold_v=3.7)], (False, False)),  # current falls where no voltage is held
    ],
)
def test_statistics_are_there_where_the_charge_shows_its_window_and_absent_where_not(phases, shown):
    found, expected = statistics(*phases)
    assert present(found) == shown
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_gap_in_the_window_leaves_it_out():
    whole = np.vstack([rest(2, 3.5), charge()])
    t_ms = T0_MS + PERIOD_MS * np.arange(len(whole))
    t_ms[110:] += 3_600_000
    found, expected = statistics(whole, t_ms=t_ms)
    assert present(found) == (False, True)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_first_complete_charge_of_a_cycle_stays():
    slow = charge(amps=1.0)
    alone, _ = statistics(rest(1, 3.5), charge())
    for later in (slow, slow[:110]):
        found, _ = statistics(rest(1, 3.5), charge(), drawn(3.2), later)
        np.testing.assert_array_equal(found, alone)


def test_no_statistic_lasts_into_the_next_cycle():
    whole = np.vstack([rest(1, 3.5), charge(), drawn(3.2), drawn(3.0)]).astype(np.float32)
    cycle = np.arange(len(whole)) // (len(whole) - 120)
    windows = fed(
        new_state(STEPS, 1),
        block(T0_MS + PERIOD_MS * np.arange(len(whole) + 1), [*whole[:, 0], 0], [*whole[:, 1], 3], cycle=[*cycle, 9]),
    )
    assert [present(row) for row in windows.windows[:, -1, 32:]] == [(True, True), (False, False)]


def test_state_kept_within_the_window_goes_on_as_if_nothing_had_happened():
    whole = np.vstack([rest(1, 3.5), charge(), drawn(3.2)]).astype(np.float32)
    frames = block(
        T0_MS + PERIOD_MS * np.arange(len(whole) + 1),
        [*whole[:, 0], 0],
        [*whole[:, 1], 3],
        cycle=[1] * len(whole) + [2],
    )
    expected = fed(new_state(STEPS, 1), frames).windows
    assert np.isfinite(expected[0, -1, 32:]).all()
    for cut in (110, 300):
        before, after = new_state(STEPS, 1), new_state(STEPS, 1)
        fed(before, frames.select(slice(0, cut)))
        _copy(before, after)
        np.testing.assert_array_equal(fed(after, frames.select(slice(cut, frames.frames))).windows, expected)


def _copy(before: StepState, after: StepState) -> None:
    slots = np.array([0])
    for part in (Part.OPEN, Part.SETTLED):
        after.load(part, slots, before.dump(part, slots))


def test_steps_without_a_window_are_what_they_were_before_there_was_one():
    assert len(CycleSteps().channels) == 32
    assert CycleSteps().fingerprint == "c5b7d65ad1b6"
    assert new_state(CycleSteps(), 1).layout == "fa43b0c0bbec"
    assert STEPS.channels[:32] == CycleSteps().channels
    assert len(STEPS.channels) == 48
    assert STEPS.fingerprint != CycleSteps(window=4).fingerprint


def test_empty_window_is_refused():
    for wrong in ({"high_v": 4.0}, {"high_rate": 0.05}, {"low_rate": 0.01}):
        with pytest.raises(ValidationError):
            ChargeWindow.model_validate(WINDOW.model_dump() | wrong)
