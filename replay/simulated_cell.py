"""A simulated lithium-ion cell: PyBaMM's single particle model that ages, advanced one constant current at a time."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ZERO_DEGC_K = 273.15
FARADAY_AH_MOL = 96_485.33212 / 3600.0
INITIAL_SEI_M = 8e-8  # a formed cell: growth decelerates, but not as abruptly as on bare graphite

_CURRENT = "Current function [A]"
_SEI = "SEI lithium interstitial diffusivity [m2.s-1]"
_CONTACT = "Contact resistance [Ohm]"
_AMBIENT = "Ambient temperature [K]"
_INITIAL_TEMP = "Initial temperature [K]"
_NEGATIVE = "Negative electrode active material volume fraction"
_POSITIVE = "Positive electrode active material volume fraction"
_NEGATIVE_C = "Initial concentration in negative electrode [mol.m-3]"
_POSITIVE_C = "Initial concentration in positive electrode [mol.m-3]"
_NEGATIVE_MAX_C = "Maximum concentration in negative electrode [mol.m-3]"
_POSITIVE_MAX_C = "Maximum concentration in positive electrode [mol.m-3]"
_NEGATIVE_LOSS = "negative loss [1/(A.h)]"
_POSITIVE_LOSS = "positive loss [1/(A.h)]"

# Prada2013 holds no thermal and no ageing parameters. Geometry and mass are a 26650 can's; the side reaction's are
# those that Mohtat2020, Chen2020 and OKane2022 share.
_LFP_ADDITIONS: Mapping[str, float] = {
    "Negative current collector thickness [m]": 1.0e-5,
    "Positive current collector thickness [m]": 1.6e-5,
    "Cell volume [m3]": 3.4e-5,
    "Cell cooling surface area [m2]": 6.4e-3,
    "Negative electrode density [kg.m-3]": 1657.0,
    "Negative electrode specific heat capacity [J.kg-1.K-1]": 700.0,
    "Positive electrode density [kg.m-3]": 2400.0,
    "Positive electrode specific heat capacity [J.kg-1.K-1]": 900.0,
    "Separator density [kg.m-3]": 397.0,
    "Separator specific heat capacity [J.kg-1.K-1]": 700.0,
    "Negative current collector density [kg.m-3]": 8960.0,
    "Negative current collector specific heat capacity [J.kg-1.K-1]": 385.0,
    "Positive current collector density [kg.m-3]": 2700.0,
    "Positive current collector specific heat capacity [J.kg-1.K-1]": 897.0,
    "Negative current collector conductivity [S.m-1]": 5.96e7,
    "Positive current collector conductivity [S.m-1]": 3.55e7,
    "Ratio of lithium moles to SEI moles": 2.0,
    "SEI partial molar volume [m3.mol-1]": 9.585e-5,
    "SEI reaction exchange current density [A.m-2]": 1.5e-7,
    "SEI resistivity [Ohm.m]": 8.0e4,
    "SEI open-circuit potential [V]": 0.4,
    "Lithium interstitial reference concentration [mol.m-3]": 15.0,
    "Initial plated lithium concentration [mol.m-3]": 0.0,
    "Typical plated lithium concentration [mol.m-3]": 1000.0,
}
# A cell in a module sheds its heat through its edges and a cooling plate, not through the whole face of its foil.
# The set's entropic heat, several times what calorimetry shows for such cells, is left out.
_NMC_CHANGES: Mapping[str, float] = {
    "Cell cooling surface area [m2]": 0.02,
    "Negative electrode OCP entropic change [V.K-1]": 0.0,
    "Positive electrode OCP entropic change [V.K-1]": 0.0,
}

_OPTIONS = {
    "SEI": "interstitial-diffusion limited",
    "SEI film resistance": "average",
    "loss of active material": "current-driven",
    "thermal": "lumped",
    "contact resistance": "true",
}


class SimulatorMissingError(ImportError):
    """PyBaMM is not installed; the message says what to install."""


@dataclass(frozen=True, slots=True)
class CellTraits:
    """What sets one cell apart from another of its chemistry. Scales and factors are relative to the parameter set.

    sei_factor: speed of the side reaction. negative_loss_ah, positive_loss_ah: fraction of the electrode's fresh
    active material lost per Ah that passes either way. lithium_scale: cyclable lithium.
    """

    sei_factor: float
    negative_loss_ah: float
    positive_loss_ah: float
    contact_resistance_ohm: float
    negative_scale: float
    positive_scale: float
    lithium_scale: float


@dataclass(frozen=True, slots=True)
class Advance:
    """A cell under one current, seen on the time grid of the call, up to the grid point before a voltage limit.

    time_s: float64 [n], from 0. voltage_v, temp_degc: float64 [n]. state: float64 [states, n].
    limited: a voltage limit came before the end of the call.
    """

    time_s: Array
    voltage_v: Array
    temp_degc: Array
    state: Array
    limited: bool


class SimulatedChemistry:
    """The discretised model of one chemistry, built once; cells differ by their traits and their state vector."""

    def __init__(
        self, name: Literal["lfp", "nmc"], lower_v: float, upper_v: float, sei_diffusivity_m2_s: float
    ) -> None:
        try:
            self._pybamm: Any = importlib.import_module("pybamm")
        except ModuleNotFoundError as error:
            raise SimulatorMissingError(
                "simulating the samples needs PyBaMM: pip install 'cyclecast[simulate]'"
            ) from error
        self.name = name
        self.lower_v = lower_v
        self.upper_v = upper_v
        self._sei_diffusivity_m2_s = sei_diffusivity_m2_s
        self._values = self._parameter_values()
        self._negative_c = float(self._values[_NEGATIVE_C])
        self._positive_c = float(self._values[_POSITIVE_C])
        self._negative_fraction = float(self._values[_NEGATIVE])
        self._positive_fraction = float(self._values[_POSITIVE])
        self._negative_ocp = self._open_circuit("Negative electrode OCP [V]")
        self._positive_ocp = self._open_circuit("Positive electrode OCP [V]")
        self._solver = self._pybamm.IDAKLUSolver(rtol=1e-5, atol=1e-6)
        self._model = self._build()

    def inputs(self, traits: CellTraits) -> dict[str, float]:
        """The model's inputs for a cell that is yet half charged at 25 degC, without current."""
        negative = self._negative_fraction * traits.negative_scale
        positive = self._positive_fraction * traits.positive_scale
        # Fresh concentrations in the set are those of a full (LFP) or an empty (NMC) cell: their sum is what counts.
        negative_ah, positive_ah = self._electrodes_ah(negative, positive)
        negative_max, positive_max = float(self._values[_NEGATIVE_MAX_C]), float(self._values[_POSITIVE_MAX_C])
        base_negative_ah, base_positive_ah = self._electrodes_ah(self._negative_fraction, self._positive_fraction)
        lithium_ah = traits.lithium_scale * (
            base_negative_ah * self._negative_c / negative_max + base_positive_ah * self._positive_c / positive_max
        )
        full, empty = self._limits(np.array([negative_ah]), np.array([positive_ah]), np.array([lithium_ah]))
        x = 0.5 * float(full[0] + empty[0])
        y = (lithium_ah - negative_ah * x) / positive_ah
        return _ordered(
            {
                _CURRENT: 0.0,
                _SEI: self._sei_diffusivity_m2_s * traits.sei_factor,
                _CONTACT: traits.contact_resistance_ohm,
                _AMBIENT: ZERO_DEGC_K + 25.0,
                _INITIAL_TEMP: ZERO_DEGC_K + 25.0,
                _NEGATIVE: negative,
                _POSITIVE: positive,
                _NEGATIVE_C: x * negative_max,
                _POSITIVE_C: y * positive_max,
                _NEGATIVE_LOSS: traits.negative_loss_ah,
                _POSITIVE_LOSS: traits.positive_loss_ah,
            }
        )

    def fresh(self, inputs: Mapping[str, float]) -> Array:
        """The state (float64 [states]) of a new cell, ten seconds after it was made."""
        return self._state(self._solver.step(None, self._model, 10.0, inputs=dict(inputs), save=False))[:, -1]

    def advance(
        self,
        state: Array,
        inputs: Mapping[str, float],
        current_a: float,
        ambient_degc: float,
        duration_s: float,
        grid_s: float,
    ) -> Advance:
        """Holds ``current_a`` (positive when charging) for ``duration_s``, or until a voltage limit.

        A limit that the current would break at once gives a single point, the state as it was.
        """
        now = _ordered({**inputs, _CURRENT: -current_a, _AMBIENT: ZERO_DEGC_K + ambient_degc})
        before = self._pybamm.Solution(np.array([0.0]), state[:, None], self._model, now)
        grid = np.arange(0.0, duration_s + grid_s / 2, grid_s)
        voltage_v = self._read(before, "Voltage [V]")
        if not self.lower_v < voltage_v[0] < self.upper_v:
            return Advance(grid[:1], voltage_v, self._temp_degc(before), state[:, None], limited=True)
        solution = self._solver.step(before, self._model, float(grid[-1]), inputs=now, t_interp=grid, save=False)
        limited = solution.termination != "final time"
        points = int(np.searchsorted(grid, solution.t[-1] + 1e-6)) if limited else len(grid)
        return Advance(
            grid[:points],
            self._read(solution, "Voltage [V]")[:points],
            self._temp_degc(solution)[:points],
            self._state(solution)[:, :points],
            limited,
        )

    def capacity_ah(self, states: Array, inputs: list[dict[str, float]]) -> Array:
        """What each cell (states: float64 [cells, states]) would give between its voltage limits, infinitely slowly."""
        names = (
            "Negative electrode capacity [A.h]",
            "Positive electrode capacity [A.h]",
            "Total lithium in particles [mol]",
        )
        read = np.empty((len(states), 3))
        for cell, state in enumerate(states):
            solution = self._pybamm.Solution(np.array([0.0]), state[:, None], self._model, inputs[cell])
            read[cell] = [self._read(solution, name)[0] for name in names]
        negative_ah, positive_ah, lithium_ah = read[:, 0], read[:, 1], read[:, 2] * FARADAY_AH_MOL
        full, empty = self._limits(negative_ah, positive_ah, lithium_ah)
        return negative_ah * (full - empty)

    def reading(self, state: Array, inputs: Mapping[str, float], name: str) -> float:
        """One scalar variable of the model, by PyBaMM's name, at a state (float64 [states])."""
        solution = self._pybamm.Solution(np.array([0.0]), state[:, None], self._model, _ordered(dict(inputs)))
        return float(self._read(solution, name)[0])

    def _limits(self, negative_ah: Array, positive_ah: Array, lithium_ah: Array) -> tuple[Array, Array]:
        """The negative electrode's stoichiometry at the upper and the lower voltage limit, by bisection.

        The open-circuit voltage rises with it; outside the positive electrode's range it counts as beyond the limit.
        """
        margin = 1e-6
        found = []
        for limit_v in (self.upper_v, self.lower_v):
            low = np.maximum(margin, (lithium_ah - positive_ah * (1 - margin)) / negative_ah)
            high = np.minimum(1 - margin, (lithium_ah - positive_ah * margin) / negative_ah)
            for _ in range(60):
                x = 0.5 * (low + high)
                voltage_v = self._positive_ocp((lithium_ah - negative_ah * x) / positive_ah) - self._negative_ocp(x)
                above = voltage_v > limit_v
                low, high = np.where(above, low, x), np.where(above, x, high)
            found.append(0.5 * (low + high))
        return found[0], found[1]

    def _electrodes_ah(self, negative_fraction: float, positive_fraction: float) -> tuple[float, float]:
        area_m2 = float(self._values["Electrode height [m]"]) * float(self._values["Electrode width [m]"])
        negative_m3 = negative_fraction * float(self._values["Negative electrode thickness [m]"]) * area_m2
        positive_m3 = positive_fraction * float(self._values["Positive electrode thickness [m]"]) * area_m2
        return (
            negative_m3 * float(self._values[_NEGATIVE_MAX_C]) * FARADAY_AH_MOL,
            positive_m3 * float(self._values[_POSITIVE_MAX_C]) * FARADAY_AH_MOL,
        )

    def _parameter_values(self) -> Any:
        if self.name == "lfp":
            values = self._pybamm.ParameterValues("Prada2013")
            values.update(_LFP_ADDITIONS, check_already_exists=False)
        else:
            values = self._pybamm.ParameterValues("Mohtat2020")
            values.update(_NMC_CHANGES)
        shared = {
            "Initial SEI thickness [m]": INITIAL_SEI_M,
            "SEI growth activation energy [J.mol-1]": 38_000.0,  # OKane2022
            "Total heat transfer coefficient [W.m-2.K-1]": 10.0,
            "Lower voltage cut-off [V]": self.lower_v,
            "Upper voltage cut-off [V]": self.upper_v,
            "Open-circuit voltage at 0% SOC [V]": self.lower_v,
            "Open-circuit voltage at 100% SOC [V]": self.upper_v,
        }
        values.update(shared, check_already_exists=False)
        return values

    def _build(self) -> Any:
        area_m2 = float(self._values["Electrode height [m]"]) * float(self._values["Electrode width [m]"])
        values = self._values.copy()
        inputs = (
            _CURRENT, _SEI, _CONTACT, _AMBIENT, _INITIAL_TEMP, _NEGATIVE, _POSITIVE, _NEGATIVE_C, _POSITIVE_C
        )  # fmt: skip
        values.update(dict.fromkeys(inputs, "[input]"), check_already_exists=False)
        losses = {
            "Negative electrode current-driven LAM rate": self._loss(_NEGATIVE_LOSS, self._negative_fraction, area_m2),
            "Positive electrode current-driven LAM rate": self._loss(_POSITIVE_LOSS, self._positive_fraction, area_m2),
        }
        values.update(losses, check_already_exists=False)
        points = {"x_n": 5, "x_s": 5, "x_p": 5, "r_n": 12, "r_p": 12}
        simulation = self._pybamm.Simulation(
            self._pybamm.lithium_ion.SPM(_OPTIONS), parameter_values=values, solver=self._solver, var_pts=points
        )
        simulation.build()
        return simulation.built_model

    def _loss(self, name: str, fraction: float, area_m2: float) -> Callable[[Any, Any], Any]:
        def rate_s(current_density_a_m2: Any, _temp_k: Any) -> Any:
            """Active material (volume fraction) lost per second."""
            per_ah = self._pybamm.InputParameter(name)
            return -per_ah * fraction * abs(current_density_a_m2) * area_m2 / 3600.0

        return rate_s

    def _open_circuit(self, name: str) -> Callable[[Array], Array]:
        function = self._values[name]

        def potential_v(stoichiometry: Array) -> Array:
            symbol = function(self._pybamm.Vector(stoichiometry))
            return np.asarray(symbol.evaluate(), np.float64).reshape(-1)

        return potential_v

    def _temp_degc(self, solution: Any) -> Array:
        return self._read(solution, "Volume-averaged cell temperature [C]")

    @staticmethod
    def _read(solution: Any, name: str) -> Array:
        return np.asarray(solution[name].entries, np.float64).reshape(-1)

    @staticmethod
    def _state(solution: Any) -> Array:
        return np.asarray(solution.all_ys[0], np.float64)


def _ordered(inputs: dict[str, float]) -> dict[str, float]:
    """PyBaMM stacks inputs by the order of their names when it solves, by that of the mapping when it reads."""
    return dict(sorted(inputs.items()))
