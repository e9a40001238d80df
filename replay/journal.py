"""How far a replay came, in a small file, so that ``--resume`` continues it."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Position(msgspec.Struct, frozen=True):
    """The first ``acknowledged`` records of the feed ``fingerprint``, moved by ``shift_ms``, are safely sent."""

    fingerprint: str
    shift_ms: int
    acknowledged: int
    version: int = 1


class Journal:
    """The file. The order of a feed never changes, so one number says which rows of which recordings are sent."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, fingerprint: str) -> Position | None:
        """Where the replay of this feed stopped; nothing if another feed was replayed, or none."""
        try:
            position = msgspec.json.decode(self.path.read_bytes(), type=Position)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return position if (position.fingerprint, position.version) == (fingerprint, 1) else None

    def save(self, position: Position) -> None:
        """Replaces the file in one move: a crash leaves the old or the new position, never half of one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_bytes(msgspec.json.encode(position))
        fresh.replace(self.path)
