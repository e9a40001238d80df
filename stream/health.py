"""Whether the service lives and whether it is ready, and which part of it says so."""

from __future__ import annotations

from dataclasses import dataclass

from stream.clock import Clock


@dataclass(frozen=True)
class Report:
    """One answer to a probe: ``ok`` decides the status code, ``parts`` tell a person why."""

    ok: bool
    parts: dict[str, dict[str, object]]


class Health:
    """Heartbeats say that the process lives, conditions that it may be sent work.

    A heartbeat is beaten from the thread it stands for; a probe only reads, so no lock is needed. A service that is
    waiting for a broker is alive and not ready: restarting it would help nobody.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._budget_s: dict[str, float] = {}
        self._beat_s: dict[str, float] = {}
        self._conditions: dict[str, tuple[bool, str, float]] = {}

    def expect(self, heartbeat: str, budget_s: float) -> None:
        """From now on ``heartbeat`` must beat at least every ``budget_s``; the first budget starts now."""
        self._beat_s[heartbeat] = self._clock.monotonic_s()
        self._budget_s[heartbeat] = budget_s

    def beat(self, heartbeat: str) -> None:
        """The named part did something. It must have been expected, else ``KeyError``."""
        if heartbeat not in self._budget_s:
            raise KeyError(heartbeat)
        self._beat_s[heartbeat] = self._clock.monotonic_s()

    def forget(self, heartbeat: str) -> None:
        """The named part ended as it should and beats no more."""
        self._budget_s.pop(heartbeat, None)
        self._beat_s.pop(heartbeat, None)

    def require(self, condition: str, detail: str) -> None:
        """Not ready until ``condition`` is met; ``detail`` says what is being waited for."""
        self._conditions[condition] = (False, detail, self._clock.monotonic_s())

    def meet(self, condition: str, detail: str) -> None:
        """The condition holds from now on; ``detail`` says what was reached."""
        self._conditions[condition] = (True, detail, self._clock.monotonic_s())

    def detail(self, condition: str) -> str | None:
        """What the condition says of itself, if it is known."""
        known = self._conditions.get(condition)
        return known[1] if known else None

    def alive(self) -> Report:
        """Alive while every expected part beat within its budget."""
        now_s = self._clock.monotonic_s()
        parts: dict[str, dict[str, object]] = {}
        for name, budget_s in list(self._budget_s.items()):
            age_s = now_s - self._beat_s.get(name, now_s)
            parts[name] = {"ok": age_s <= budget_s, "age_s": round(age_s, 3), "budget_s": budget_s}
        return Report(all(part["ok"] for part in parts.values()), parts)

    def ready(self) -> Report:
        """Ready while the service is alive and every condition is met; with no condition set, not ready."""
        now_s = self._clock.monotonic_s()
        parts: dict[str, dict[str, object]] = {
            name: {"ok": ok, "detail": detail, "age_s": round(now_s - since_s, 3)}
            for name, (ok, detail, since_s) in list(self._conditions.items())
        }
        met = bool(parts) and all(part["ok"] for part in parts.values())
        return Report(met and self.alive().ok, parts)
