"""The error tree says what to do: try again, set the record aside, or stop.

A record that cannot be used is no exception on the fast path (`stream.refusal.Refusal`); `DeadLetter` is for one that
turns out unusable elsewhere.
"""

from __future__ import annotations

from typing import ClassVar


class CyclecastError(Exception):
    """The base of everything that cyclecast raises on purpose. Its text is one line for a person."""

    exit_code: ClassVar[int] = 1


class Retry(CyclecastError):  # noqa: N818 - the name says what to do
    """Something outside is away for now (a broker, a file system): the same call may succeed later."""


class DeadLetter(CyclecastError):  # noqa: N818 - the name says what to do
    """A record that can never be used: keep its bytes, say why, go on with the next."""


class Fatal(CyclecastError):  # noqa: N818 - the name says what to do
    """Going on would lose or corrupt something: stop, and let a person or a supervisor act."""


class ConfigurationError(Fatal):
    """A setting or an argument is wrong: names it, its value, where it came from, and what would be right."""

    exit_code: ClassVar[int] = 2
