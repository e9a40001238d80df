"""A simulated series string: one current through all cells, which the first cell at a voltage limit ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay.simulated_cell import Advance, Array, CellTraits, SimulatedChemistry
from replay.simulated_duty import CHARGE_STAGES, Cycle

GRID_S = 10.0  # voltage limits are watched at this period
REST_POINTS_S = (10.0, 60.0, 180.0)  # then every five minutes
REST_PERIOD_S = 300.0


@dataclass(frozen=True, slots=True)
class CycleTrace:
    """What a cycle left behind, without a sensor's faults.

    time_s: float64 [n], since the pack began. current_a: float64 [n]. voltage_v, temp_degc: float64 [n, cells].
    capacity_ah: float64 [cells], at the end of the cycle.
    """

    time_s: Array
    current_a: Array
    voltage_v: Array
    temp_degc: Array
    capacity_ah: Array


class SimulatedPack:
    """The cells of one string, their states and the charge that is missing from full."""

    def __init__(
        self, chemistry: SimulatedChemistry, traits: list[CellTraits], offsets_degc: Array, nominal_capacity_ah: float
    ) -> None:
        self._chemistry = chemistry
        self._inputs = [chemistry.inputs(one) for one in traits]
        self._states = np.stack([chemistry.fresh(inputs) for inputs in self._inputs])
        self._offsets_degc = offsets_degc
        self._nominal_ah = nominal_capacity_ah
        self._time_s = 0.0
        self._first = 0  # the cell that ended the last phase most likely ends the next one
        self._rows: list[tuple[Array, Array, Array, Array]] = []

    def run(self, cycle: Cycle) -> CycleTrace:
        """Goes through one cycle and returns its samples and the cells' capacities."""
        self._rows = []
        self._charge(cycle)
        self._phase(0.0, cycle.top_rest_s, cycle.ambient_degc)
        for phase in cycle.discharge:
            # The first limit ends the discharge of a usage cycle; a reference goes on at a lower rate.
            limited = self._phase(phase.rate_1_h, phase.duration_s, cycle.ambient_degc)
            if limited and phase.rate_1_h < 0 and not cycle.reference:
                break
        self._phase(0.0, cycle.bottom_rest_s, cycle.ambient_degc)
        time_s, current_a, voltage_v, temp_degc = (np.concatenate(column) for column in zip(*self._rows, strict=True))
        capacity_ah = self._chemistry.capacity_ah(self._states, self._inputs)
        return CycleTrace(time_s, current_a, voltage_v, temp_degc, capacity_ah)

    def _charge(self, cycle: Cycle) -> None:
        depth = cycle.charge_depth
        for stage in CHARGE_STAGES:
            rate_1_h = cycle.charge_rate_1_h * stage
            began_s = self._time_s
            self._phase(rate_1_h, round(depth / rate_1_h * 360) * 10.0, cycle.ambient_degc)
            depth -= rate_1_h * (self._time_s - began_s) / 3600
            if depth * self._nominal_ah < 0.01:
                break

    def _phase(self, rate_1_h: float, duration_s: float, ambient_degc: float) -> bool:
        """Moves all cells on by the longest time that none of them objects to; whether one did."""
        current_a = round(rate_1_h * self._nominal_ah, 2)
        cells = len(self._inputs)
        order = [self._first, *(cell for cell in range(cells) if cell != self._first)]
        advances: dict[int, Advance] = {}
        points = round(duration_s / GRID_S) + 1
        limited = False
        for cell in order:
            if points < 2:
                break
            advance = self._chemistry.advance(
                self._states[cell],
                self._inputs[cell],
                current_a,
                ambient_degc + self._offsets_degc[cell],
                (points - 1) * GRID_S,
                GRID_S,
            )
            advances[cell] = advance
            if advance.limited:
                points, limited, self._first = len(advance.time_s), True, cell
        if points < 2:
            return True
        last = points - 1
        self._states = np.stack([advances[cell].state[:, last] for cell in range(cells)])
        seen = _samples(rate_1_h, last)
        time_s: Array = self._time_s + seen.astype(np.float64) * GRID_S
        self._rows.append(
            (
                time_s,
                np.full(len(seen), current_a, np.float64),
                np.stack([advances[cell].voltage_v[seen] for cell in range(cells)], axis=1),
                np.stack([advances[cell].temp_degc[seen] for cell in range(cells)], axis=1),
            )
        )
        self._time_s += last * GRID_S
        return limited


def _samples(rate_1_h: float, last: int) -> NDArray[np.int64]:
    """The grid points of a phase that are recorded: one after the current changed, then regularly, and the last."""
    if rate_1_h == 0.0:
        return np.array(sorted(set(_rest_points(last))), np.int64)
    period = 6 if abs(rate_1_h) < 0.6 else 4
    return np.array(sorted({1, *range(period, last, period), last}), np.int64)


def _rest_points(last: int) -> Iterator[int]:
    yield last
    yield from (point for point in (round(time_s / GRID_S) for time_s in REST_POINTS_S) if point < last)
    yield from range(round(REST_PERIOD_S / GRID_S), last, round(REST_PERIOD_S / GRID_S))
