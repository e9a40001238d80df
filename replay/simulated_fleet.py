"""The sample fleet's plan, and packs beside it: which there are, how they are used and how fast they age."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, slots=True)
class ChemistryPlan:
    """Voltage limits and rating of a cell, and the side reaction's diffusivity that ages it within some 250 cycles."""

    name: Literal["lfp", "nmc"]
    lower_v: float
    upper_v: float
    nominal_capacity_ah: float
    sei_diffusivity_m2_s: float
    contact_resistance_ohm: float


@dataclass(frozen=True, slots=True)
class PackPlan:
    """One pack of the fleet: where and how it works, how fast it ages, and which cell is the odd one out.

    wear: speed of the side reaction. negative_loss, positive_loss: active material lost per equivalent full cycle.
    weak_cell ages ``weak_factor`` times as fast; -1: none.
    """

    pack_id: str
    chemistry: ChemistryPlan
    cycles: int
    ambient_degc: float
    charge_rate_1_h: float
    discharge_rate_1_h: float
    start_day: float
    wear: float
    negative_loss: float
    positive_loss: float
    spread: float
    weak_cell: int = -1
    weak_factor: float = 1.0


LFP = ChemistryPlan(
    name="lfp",
    lower_v=2.5,
    upper_v=3.6,
    nominal_capacity_ah=2.25,
    sei_diffusivity_m2_s=1.1e-15,
    contact_resistance_ohm=0.006,
)
NMC = ChemistryPlan(
    name="nmc",
    lower_v=3.0,
    upper_v=4.2,
    nominal_capacity_ah=4.95,
    sei_diffusivity_m2_s=5.0e-16,
    contact_resistance_ohm=0.004,
)
FLEET = (
    PackPlan(
        pack_id="LFP-1",
        chemistry=LFP,
        cycles=240,
        ambient_degc=25.0,
        charge_rate_1_h=0.7,
        discharge_rate_1_h=1.0,
        start_day=0.0,
        wear=1.0,
        negative_loss=9e-4,
        positive_loss=1e-4,
        spread=0.20,
    ),
    PackPlan(
        pack_id="LFP-2",
        chemistry=LFP,
        cycles=280,
        ambient_degc=24.0,
        charge_rate_1_h=0.5,
        discharge_rate_1_h=0.7,
        start_day=3.0,
        wear=0.45,
        negative_loss=2e-4,
        positive_loss=5e-5,
        spread=0.08,
        weak_cell=5,
        weak_factor=3.0,
    ),
    PackPlan(
        pack_id="LFP-3",
        chemistry=LFP,
        cycles=220,
        ambient_degc=34.0,
        charge_rate_1_h=0.9,
        discharge_rate_1_h=1.2,
        start_day=8.0,
        wear=1.0,
        negative_loss=3e-4,
        positive_loss=2e-4,
        spread=0.20,
    ),
    PackPlan(
        pack_id="LFP-4",
        chemistry=LFP,
        cycles=260,
        ambient_degc=12.0,
        charge_rate_1_h=0.6,
        discharge_rate_1_h=0.8,
        start_day=2.0,
        wear=1.2,
        negative_loss=4e-4,
        positive_loss=2e-4,
        spread=0.40,
    ),
    PackPlan(
        pack_id="NMC-1",
        chemistry=NMC,
        cycles=260,
        ambient_degc=25.0,
        charge_rate_1_h=0.5,
        discharge_rate_1_h=0.8,
        start_day=1.0,
        wear=1.1,
        negative_loss=4e-4,
        positive_loss=3e-4,
        spread=0.25,
    ),
    PackPlan(
        pack_id="NMC-2",
        chemistry=NMC,
        cycles=260,
        ambient_degc=22.0,
        charge_rate_1_h=0.5,
        discharge_rate_1_h=0.6,
        start_day=5.0,
        wear=0.45,
        negative_loss=2e-4,
        positive_loss=1e-4,
        spread=0.08,
        weak_cell=2,
        weak_factor=3.0,
    ),
    PackPlan(
        pack_id="NMC-3",
        chemistry=NMC,
        cycles=200,
        ambient_degc=35.0,
        charge_rate_1_h=0.8,
        discharge_rate_1_h=1.1,
        start_day=12.0,
        wear=1.3,
        negative_loss=6e-4,
        positive_loss=4e-4,
        spread=0.20,
    ),
    PackPlan(
        pack_id="NMC-4",
        chemistry=NMC,
        cycles=240,
        ambient_degc=28.0,
        charge_rate_1_h=0.7,
        discharge_rate_1_h=1.0,
        start_day=6.0,
        wear=0.3,
        negative_loss=2.0e-3,
        positive_loss=3e-4,
        spread=0.30,
    ),
)


DRAW = 20261127


def drawn_fleet(packs: int) -> tuple[PackPlan, ...]:
    """Plans of ``packs`` packs, LFP and NMC in turn, whose duties, climates and ageing span those of ``FLEET``.

    Nobody looks at them one by one: they are there to train on. A pack is drawn from its name alone, so that the first
    ones are the same in every fleet.
    """
    return tuple(_drawn(*divmod(number, 2)) for number in range(packs))


def _drawn(pair: int, which: int) -> PackPlan:
    chemistry = (LFP, NMC)[which]
    pack_id = f"{chemistry.name.upper()}-{pair + 101}"
    rng = np.random.default_rng([DRAW, *pack_id.encode()])

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def spanning(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    weak = rng.random() < 0.25
    return PackPlan(
        pack_id=pack_id,
        chemistry=chemistry,
        cycles=int(rng.integers(200, 301)),
        ambient_degc=between(10.0, 37.0),
        charge_rate_1_h=between(0.45, 0.95),
        discharge_rate_1_h=between(0.55, 1.25),
        start_day=between(0.0, 12.0),
        wear=spanning(0.3, 1.4),
        negative_loss=spanning(1.5e-4, 2.2e-3),
        positive_loss=spanning(4e-5, 5e-4),
        spread=between(0.08, 0.2) if weak else between(0.1, 0.4),
        weak_cell=int(rng.integers(0, 8)) if weak else -1,
        weak_factor=between(2.0, 3.5) if weak else 1.0,
    )
