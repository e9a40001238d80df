"""In which unit people read a target."""

from __future__ import annotations

from dataclasses import dataclass

from model.schema import Target


@dataclass(frozen=True, slots=True)
class Shown:
    """A target's name for people, and how its numbers are shown: times ``scale``, in ``unit`` (in full: ``axis``)."""

    title: str
    unit: str
    axis: str
    scale: float
    digits: int

    def number(self, value: float) -> str:
        """The number alone."""
        return f"{value * self.scale:.{self.digits}f}"

    def text(self, value: float) -> str:
        """The number with its unit."""
        return f"{self.number(value)} {self.unit}"


def shown_in(target: Target) -> Shown:
    """How a target is shown: SOH in percent of the nominal capacity, capacities in Ah, RUL in cycles."""
    if target.kind == "soh":
        return Shown("SOH", "%", "% of nominal", 100.0, 2)
    if target.kind == "rul":
        return Shown("RUL", "cycles", "cycles", 1.0, 1)
    return Shown(f"capacity in {target.horizon_cycles} cycles", "Ah", "Ah", 1.0, 4)


def percent(fraction: float, digits: int = 0) -> str:
    """A fraction for people."""
    return f"{100 * fraction:.{digits}f} %"
