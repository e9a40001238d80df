"""The one abstraction: samples become steps, steps become windows, by the same compiled code online and offline."""

from __future__ import annotations

from model.cycle_steps import new_cycle_state
from model.sample_steps import new_sample_state
from model.schema import CycleSteps, SampleSteps
from model.state import APPLIED, DUPLICATE, LATE, MASKED, StepState, new_cursor

__all__ = ["APPLIED", "DUPLICATE", "LATE", "MASKED", "StepState", "new_cursor", "new_state"]


def new_state(steps: SampleSteps | CycleSteps, slots: int = 0) -> StepState:
    """An empty state with room for ``slots`` cells; it grows by ``reserve``."""
    state = new_sample_state(steps) if isinstance(steps, SampleSteps) else new_cycle_state(steps)
    state.reserve(slots)
    return state
