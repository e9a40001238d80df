"""A fleet out of a few recordings: each is played by several packs with identities of their own, shifted a little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.recording import Recording, Truth
from stream.errors import ConfigurationError

# Copies start up to a minute apart, so that a fleet does not report in lockstep. A prime step spreads them.
_SHIFT_STEP_MS = 7_919
_SHIFT_RANGE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Member:
    """One pack of the fleet: a recording under its own identity, its event time moved by ``shift_ms``."""

    recording: Recording
    pack_id: str
    shift_ms: int = 0

    @property
    def truth(self) -> Truth | None:
        """The recording's truth: it holds for every copy, since it is told by cycle and not by time."""
        return self.recording.truth


def members(recordings: Sequence[Recording], packs: int | None = None) -> list[Member]:
    """``packs`` members that play the recordings in turn; one each by default.

    The first copy keeps the recording's identity, the next are ``<identity>~002`` and so on. Raises
    ``ConfigurationError`` where ``packs`` leaves a recording out.
    """
    count = len(recordings) if packs is None else packs
    if count < len(recordings):
        raise ConfigurationError(f"packs = {packs}: fewer than the {len(recordings)} recordings; name fewer recordings")
    return [_member(recordings[index % len(recordings)], index // len(recordings)) for index in range(count)]


def _member(recording: Recording, copy: int) -> Member:
    identity = recording.pack_id if copy == 0 else f"{recording.pack_id}~{copy + 1:03d}"
    return Member(recording, identity, copy * _SHIFT_STEP_MS % _SHIFT_RANGE_MS)
