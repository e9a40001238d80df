"""The vocabulary of a model: channels with units, step kinds, targets. A manifest is made of these."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

QUANTILES = (0.05, 0.5, 0.95)


class Frozen(BaseModel):
    """An immutable model that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Channel(Frozen):
    """One component of a step vector: its name and its unit (``1`` where dimensionless)."""

    name: str
    unit: str


class Target(Frozen):
    """What is predicted at a step.

    ``soh``: capacity now over nominal capacity (a fraction). ``capacity``: the same fraction, ``horizon_cycles`` later.
    ``rul``: cycles left until the SOH stays below the end-of-life line.
    """

    kind: Literal["soh", "capacity", "rul"]
    horizon_cycles: int = Field(default=0, ge=0)

    @property
    def name(self) -> str:
        """The target's key in metrics: ``soh``, ``capacity+200``, ``rul``."""
        return f"capacity+{self.horizon_cycles}" if self.kind == "capacity" else self.kind


def _channels(*pairs: tuple[str, str]) -> tuple[Channel, ...]:
    return tuple(Channel(name=name, unit=unit) for name, unit in pairs)


class SampleSteps(Frozen):
    """Steps on the time grid of event time: the mean voltage, current and temperature of each period.

    A hole shorter than ``max_gap_s`` repeats the last step; a longer one starts a new window.
    A prediction is due at every ``stride``-th step.
    """

    kind: Literal["sample"] = "sample"
    period_s: PositiveFloat = 10.0
    max_gap_s: PositiveFloat = 120.0
    window: PositiveInt = 200
    stride: PositiveInt = 50
    nominal_capacity_ah: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _bridged_gap_fits_a_stride(self) -> Self:
        # The kernel counts on a sample making at most two windows due.
        if self.max_gap_s > self.stride * self.period_s:
            longest_s = self.stride * self.period_s
            raise ValueError(f"max_gap_s = {self.max_gap_s} is longer than stride * period_s = {longest_s}")
        return self

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The step vector, in order. Current is relative to the nominal capacity, so that cells of any size compare."""
        return _channels(("voltage", "V"), ("current_rate", "1/h"), ("temp", "degC"))

    @property
    def min_steps(self) -> int:
        """Steps that a window needs before its prediction carries values."""
        return self.window

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change with anything that changes the meaning of a step."""
        return _fingerprint(self)


class ChargeWindow(Frozen):
    """The part of a charge whose statistics are kept: voltage on its way up, and then current on its way down.

    ``low_v`` to ``high_v``, where the latter lies a little below the voltage that the charger holds; ``high_rate`` to
    ``low_rate``, current over nominal capacity (1/h), where the latter lies above the current that ends a charge.
    """

    low_v: float
    high_v: float
    high_rate: float
    low_rate: float = Field(gt=0.02)  # below, a cell rests

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.high_v <= self.low_v or self.high_rate <= self.low_rate:
            raise ValueError("low_v must be below high_v, and low_rate below high_rate")
        return self


class CycleSteps(Frozen):
    """One step a cycle: what constant-memory accumulators saw of it.

    ``close_on``: ``cycle``, the tester's number in the record (a cell whose records carry none closes by equivalent
    full cycles); ``charge``, a charge that begins after at least ``min_depth`` of the nominal capacity was drawn;
    ``equivalent_full_cycle``, as much charge in and out as one full cycle moves. With a ``charge_window`` a step also
    has the sixteen statistics of the end of a charge.
    """

    kind: Literal["cycle"] = "cycle"
    close_on: Literal["cycle", "charge", "equivalent_full_cycle"] = "cycle"
    max_gap_s: PositiveFloat = 900.0
    min_depth: float = Field(default=0.05, gt=0, le=1)
    bin_low_v: float = 2.0
    bin_width_v: PositiveFloat = 0.04
    bins: PositiveInt = 60
    reference_cycles: PositiveInt = 5
    window: PositiveInt = 64
    min_cycles: PositiveInt = 2
    # Unsaid where there is none, so that such steps are written, and told apart, as before there was one.
    charge_window: ChargeWindow | None = Field(default=None, exclude_if=lambda window: window is None)
    nominal_capacity_ah: PositiveFloat = 1.0

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The step vector, in order; see ``docs/features.md`` for the formula of each."""
        return _CYCLE_CHANNELS if self.charge_window is None else _CYCLE_CHANNELS + _CHARGE_WINDOW_CHANNELS

    @property
    def min_steps(self) -> int:
        """Steps that a window needs before its prediction carries values."""
        return self.min_cycles

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change with anything that changes the meaning of a step."""
        return _fingerprint(self)


StepKind = Annotated[SampleSteps | CycleSteps, Field(discriminator="kind")]

# Charges are relative to the nominal capacity (unit 1), currents and resistances too (1/h and V h),
# so that a 1 Ah cell and a 66 Ah cell give comparable steps.
_CYCLE_CHANNELS = _channels(
    ("charge", "1"),
    ("discharge", "1"),
    ("charge_voltage_mean", "V"),
    ("discharge_voltage_mean", "V"),
    ("charge_time", "h"),
    ("discharge_time", "h"),
    ("rest_time", "h"),
    ("charge_rate_mean", "1/h"),
    ("discharge_rate_mean", "1/h"),
    ("cv_charge", "1"),
    ("cv_time", "h"),
    ("voltage_max", "V"),
    ("voltage_min", "V"),
    ("temp_mean", "degC"),
    ("temp_max", "degC"),
    ("resistance", "V h"),
    ("relaxation", "V"),
    ("charge_peak", "1/V"),
    ("charge_peak_voltage", "V"),
    ("discharge_peak", "1/V"),
    ("discharge_peak_voltage", "V"),
    ("charge_overlap_ratio", "1"),
    ("discharge_overlap_ratio", "1"),
    ("charge_delta_log_variance", "1"),
    ("discharge_delta_log_variance", "1"),
    ("discharge_vs_reference", "1"),
    ("charge_voltage_vs_reference", "V"),
    ("discharge_voltage_vs_reference", "V"),
    ("resistance_vs_reference", "V h"),
    ("cv_time_vs_reference", "h"),
    ("equivalent_full_cycles", "1"),
    ("age", "d"),
)


_CHARGE_WINDOW_CHANNELS = _channels(
    ("window_voltage_mean", "V"),
    ("window_voltage_std", "V"),
    ("window_voltage_kurtosis", "1"),
    ("window_voltage_skewness", "1"),
    ("window_voltage_charge", "1"),
    ("window_voltage_time", "h"),
    ("window_voltage_slope", "V/h"),
    ("window_voltage_entropy", "1"),
    ("window_rate_mean", "1/h"),
    ("window_rate_std", "1/h"),
    ("window_rate_kurtosis", "1"),
    ("window_rate_skewness", "1"),
    ("window_rate_charge", "1"),
    ("window_rate_time", "h"),
    ("window_rate_slope", "1/h2"),
    ("window_rate_entropy", "1"),
)


def _fingerprint(steps: SampleSteps | CycleSteps) -> str:
    names = ",".join(f"{channel.name}[{channel.unit}]" for channel in steps.channels)
    text = f"{steps.model_dump_json(exclude={'nominal_capacity_ah'})}|{names}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
