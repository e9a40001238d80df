"""What the end of a charge looks like: moments of the voltage and then of the current while they cross a fixed window.

The kernel of `model/cycle_steps.py` takes these functions in when it is compiled. Its cache does not notice a change
here: remove ``model/__pycache__/*.nb?`` after one.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# One crossing. A sample weighs as the interval before it; central moments are kept as such, since power sums cancel.
CROSSING = np.dtype(
    [
        ("weight_s", np.float64),
        ("mean", np.float64),
        ("second", np.float64),
        ("third", np.float64),
        ("fourth", np.float64),
        ("time_mean_s", np.float64),
        ("time_second", np.float64),
        ("time_product", np.float64),
        ("share", np.float64),
        ("share_log", np.float64),
        ("charge_ah", np.float64),
        ("phase", np.uint8),
    ],
    align=True,
)
WAITING, INSIDE, COMPLETE = range(3)
STATISTICS = 8  # of a crossing


@njit(cache=True, nogil=True)
def follow(voltage, current, before_v, now_v, before_rate, now_rate, charging, interval_s, moved_ah, rule):  # type: ignore[no-untyped-def]
    """Takes the newest sample of a cell into its two crossings, which whatever is no charging breaks off.

    Voltage rises through the window, and then current (1/h) falls through its own, at no less than the lower voltage.
    """
    if not charging:
        for crossing in (voltage, current):
            if crossing.phase == INSIDE:
                crossing.phase = WAITING
        return
    width_v = rule.window_high_v - rule.window_low_v
    before, now = (before_v - rule.window_low_v) / width_v, (now_v - rule.window_low_v) / width_v
    _advance(voltage, before, now, now_v, now, interval_s, moved_ah)
    if now_v >= rule.window_low_v:
        width_rate = rule.window_high_rate - rule.window_low_rate
        before, now = (
            (rule.window_high_rate - before_rate) / width_rate,
            (rule.window_high_rate - now_rate) / width_rate,
        )
        _advance(current, before, now, now_rate, 1.0 - now, interval_s, moved_ah)


@njit(cache=True, nogil=True)
def _advance(crossing, before, now, value, share, interval_s, moved_ah):  # type: ignore[no-untyped-def]
    """``before`` and ``now`` are places between the window's beginning, 0, and its end, 1. It must be seen to begin."""
    if crossing.phase == WAITING:
        if before < 0.0 <= now < 1.0:
            _begin(crossing)
    elif crossing.phase == INSIDE:
        if now >= 1.0:
            crossing.phase = COMPLETE if crossing.weight_s > 0.0 else WAITING
        elif now >= 0.0:
            _add(crossing, value, share, interval_s, moved_ah)


@njit(cache=True, nogil=True)
def _begin(crossing):  # type: ignore[no-untyped-def]
    crossing.weight_s = crossing.mean = crossing.second = crossing.third = crossing.fourth = 0.0
    crossing.time_mean_s = crossing.time_second = crossing.time_product = 0.0
    crossing.share = crossing.share_log = crossing.charge_ah = 0.0
    crossing.phase = INSIDE


@njit(cache=True, nogil=True)
def _add(crossing, value, share, added_s, moved_ah):  # type: ignore[no-untyped-def]
    """Merges one value into weighted central moments, and into those of time (after Pébay 2008)."""
    held_s = crossing.weight_s
    whole_s = held_s + added_s
    part, other = added_s / whole_s, held_s / whole_s
    delta, late_s = value - crossing.mean, whole_s - crossing.time_mean_s
    joint = held_s * part
    crossing.fourth += (
        delta**4 * joint * (other * other - other * part + part * part)
        + 6.0 * (delta * part) ** 2 * crossing.second
        - 4.0 * delta * part * crossing.third
    )
    crossing.third += delta**3 * joint * (other - part) - 3.0 * delta * part * crossing.second
    crossing.second += delta * delta * joint
    crossing.time_second += late_s * late_s * joint
    crossing.time_product += late_s * delta * joint
    crossing.mean += delta * part
    crossing.time_mean_s += late_s * part
    crossing.weight_s = whole_s
    crossing.charge_ah += moved_ah
    if share > 0.0:
        crossing.share += share * added_s
        crossing.share_log += share * added_s * math.log(share)


@njit(cache=True, nogil=True)
def describe(crossing, nominal_ah, out):  # type: ignore[no-untyped-def]
    """Writes the statistics of a complete crossing, or NaN, and waits for the next.

    float32 [8]: mean, standard deviation, excess kurtosis, skewness, charge / nominal, time (h), slope (1/h), entropy.
    """
    out[:] = np.nan
    if crossing.phase == COMPLETE:
        weight_s = crossing.weight_s
        variance = crossing.second / weight_s
        out[0] = crossing.mean
        out[1] = math.sqrt(variance)
        if variance > 0.0:
            out[2] = crossing.fourth / weight_s / variance**2 - 3.0
            out[3] = crossing.third / weight_s / variance**1.5
        out[4] = crossing.charge_ah / nominal_ah
        out[5] = weight_s / 3600.0
        if crossing.time_second > 0.0:
            out[6] = crossing.time_product / crossing.time_second * 3600.0
        if crossing.share > 0.0:
            out[7] = math.log(crossing.share) - crossing.share_log / crossing.share
    crossing.phase = WAITING
