"""Places where a process may be made to die, by name: for tests of what survives it. Inert unless told otherwise."""

from __future__ import annotations

import os
import signal

# NAME:COUNT - the process kills itself when it reaches the named place for the COUNT-th time.
VARIABLE = "CYCLECAST_FAULT"
PLACES = (
    "fed",
    "paged",
    "predicted",
    "begun",
    "sent",
    "offsets-sent",
    "committed",
    "assigned",
    "restoring",
    "replayed",
)

_name, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = int(_count or 1)


def reach(place: str) -> None:
    """Marks a place."""
    if place == _name:
        _die_at_last()


def _die_at_last() -> None:
    global _left  # noqa: PLW0603 - a process dies once
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
