"""What a simulated pack is asked to do: cycles of charge, rest and discharge that differ from one to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHARGE_STAGES = (1.0, 0.5, 0.22, 0.1)  # of the charge rate: each holds until the first cell is at its upper limit
REFERENCE_EVERY = 10
REFERENCES_AT_START = 3


@dataclass(frozen=True, slots=True)
class Phase:
    """One current for one time, in 1/h and s; a voltage limit of the first cell that reaches it ends it earlier."""

    rate_1_h: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Cycle:
    """A charge, then a discharge, each with its rest.

    reference: full charge, rest, full discharge at a low rate, so that the capacity of the weakest cell shows.
    charge_depth: part of the nominal capacity to charge at most; beyond 1, until the taper ends.
    """

    reference: bool
    charge_depth: float
    charge_rate_1_h: float
    top_rest_s: float
    discharge: tuple[Phase, ...]
    bottom_rest_s: float
    ambient_degc: float


class Duty:
    """Draws a pack's cycles, one after the other, from its own random numbers."""

    def __init__(
        self, rng: np.random.Generator, charge_rate_1_h: float, discharge_rate_1_h: float, ambient_degc: float
    ) -> None:
        self._rng = rng
        self._charge_rate_1_h = charge_rate_1_h
        self._discharge_rate_1_h = discharge_rate_1_h
        self._ambient_degc = ambient_degc

    def cycle(self, number: int) -> Cycle:
        """The cycle of this number, from 1; call in order."""
        rng = self._rng
        reference = number <= REFERENCES_AT_START or number % REFERENCE_EVERY == 0
        season = 2.0 * np.sin(2 * np.pi * number / 90.0)
        ambient_degc = self._ambient_degc + season + rng.normal(0.0, 0.8)
        full = rng.random() < 0.65
        charge_depth = float(rng.uniform(0.3, 0.7))
        charge_rate_1_h = self._charge_rate_1_h * rng.uniform(0.8, 1.15)
        usage = self._usage()
        return Cycle(
            reference=reference,
            charge_depth=2.0 if reference or full else charge_depth,
            charge_rate_1_h=float(charge_rate_1_h),
            top_rest_s=1800.0 if reference else _grid(rng.uniform(300, 1500)),
            discharge=(Phase(-0.4, 12_000.0), Phase(-0.1, 6_000.0)) if reference else usage,
            bottom_rest_s=1800.0 if reference else _grid(rng.uniform(600, 2700)),
            ambient_degc=float(ambient_degc),
        )

    def _usage(self) -> tuple[Phase, ...]:
        """A discharge in pieces of different rates, some with a short stop between, one sometimes with regeneration."""
        rng = self._rng
        left = 1.5 if rng.random() < 0.3 else float(rng.uniform(0.35, 0.9))
        phases: list[Phase] = []
        for _ in range(int(rng.integers(2, 5))):
            rate_1_h = self._discharge_rate_1_h * float(rng.uniform(0.55, 1.4))
            depth = left * float(rng.uniform(0.25, 0.6))
            phases.append(Phase(-rate_1_h, _grid(depth / rate_1_h * 3600)))
            left -= depth
            stop = rng.random()
            if stop < 0.25:
                phases.append(Phase(0.0, _grid(rng.uniform(60, 300))))
            elif stop < 0.35:
                phases.append(Phase(0.4 * self._charge_rate_1_h, 60.0))
        rate_1_h = self._discharge_rate_1_h * float(rng.uniform(0.55, 1.0))
        phases.append(Phase(-rate_1_h, _grid(left / rate_1_h * 3600)))
        return tuple(phases)


def _grid(duration_s: float) -> float:
    return float(max(round(duration_s / 10.0), 1) * 10)
