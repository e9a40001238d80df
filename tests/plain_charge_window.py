"""The statistics of a charge's end, as they are said: all samples at hand, plain numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.schema import ChargeWindow

REST_RATE = 0.02


def plain_statistics(
    window: ChargeWindow,
    t_ms: NDArray[np.int64],
    current_a: NDArray[np.float32],
    voltage_v: NDArray[np.float32],
    nominal_ah: float,
    max_gap_s: float = 900.0,
) -> NDArray[np.float64]:
    """float64 [16] of one cycle; t_ms, current_a, voltage_v [n], where the first sample is the one before the cycle."""
    volts, amps = voltage_v.astype(float), current_a.astype(float)
    added_s = np.diff(t_ms, prepend=t_ms[0]) / 1000
    mean_a = (amps + np.roll(amps, 1)) / 2
    rest_a = REST_RATE * nominal_ah
    charging = (added_s > 0) & (added_s <= max_gap_s) & (mean_a > rest_a) & (amps > rest_a)
    rate = amps / nominal_ah
    up = (volts - window.low_v) / (window.high_v - window.low_v)
    down = (window.high_rate - rate) / (window.high_rate - window.low_rate)
    everywhere = np.ones(len(volts), bool)
    moved_ah = mean_a * added_s / 3600
    statistics = []
    for value, place, share, seen in ((volts, up, up, everywhere), (rate, down, 1 - down, volts >= window.low_v)):
        inside = _first_crossing(place, charging, seen)
        statistics += _of(value[inside], share[inside], added_s[inside], moved_ah[inside].sum() / nominal_ah)
    return np.array(statistics)


def _first_crossing(place: NDArray[np.float64], charging: NDArray[np.bool_], seen: NDArray[np.bool_]) -> list[int]:
    """The samples of the first crossing from 0 to 1 that nothing breaks off, but for the one that begins it."""
    inside: list[int] | None = None
    for at in range(1, len(place)):
        if not charging[at]:
            inside = None
        elif not seen[at]:
            continue
        elif inside is None:
            if place[at - 1] < 0 <= place[at] < 1:
                inside = []
        elif place[at] >= 1:
            if inside:
                return inside
            inside = None
        elif place[at] >= 0:
            inside.append(at)
    return []


def _of(
    value: NDArray[np.float64], share: NDArray[np.float64], weight_s: NDArray[np.float64], charge: float
) -> list[float]:
    if not len(value):
        return [np.nan] * 8
    whole_s = weight_s.sum()
    mean = np.average(value, weights=weight_s)
    deviation = value - mean
    second, third, fourth = (np.average(deviation**power, weights=weight_s) for power in (2, 3, 4))
    time_s = np.cumsum(weight_s)
    late_s = time_s - np.average(time_s, weights=weight_s)
    spread = np.average(late_s**2, weights=weight_s)
    density = share / (share * weight_s).sum()
    return [
        mean,
        np.sqrt(second),
        fourth / second**2 - 3 if second > 0 else np.nan,
        third / second**1.5 if second > 0 else np.nan,
        charge,
        whole_s / 3600,
        np.average(late_s * deviation, weights=weight_s) / spread * 3600 if spread > 0 else np.nan,
        -(weight_s * density * np.log(np.where(density > 0, density, 1))).sum(),
    ]
