"""What the demo shows while it runs: a live line on a terminal, milestones elsewhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.text import Text

from cyclecast.commands.output import console
from stream.clock import Clock
from stream.records import Alert, AlertKind, Prediction
from stream.telemetry import Telemetry

_MILESTONE_S = 5.0


@dataclass(slots=True)
class Progress:
    """How far the demo is, counted where it happens."""

    began_s: float = 0.0
    records_due: int = 0
    records_sent: int = 0
    records_taken: int = 0
    dead_letters: int = 0
    published: int = 0
    predictions: int = 0
    raised: Counter[AlertKind] = field(default_factory=Counter)
    first_s: float | None = None
    replay_done: bool = False
    latest: dict[tuple[str, int], Prediction] = field(default_factory=dict)

    @property
    def worked_off(self) -> bool:
        """Whether everything that was sent is taken in, and every published prediction has come back."""
        taken = self.records_taken >= self.records_sent > 0
        return self.replay_done and taken and self.predictions >= self.published > 0

    def saw(self, prediction: Prediction, now_s: float) -> None:
        """Counts a prediction that a subscriber read."""
        self.predictions += 1
        self.latest[prediction.pack_id, prediction.cell] = prediction
        if self.first_s is None:
            self.first_s = now_s - self.began_s

    def saw_alert(self, alert: Alert) -> None:
        """Counts an alert that a subscriber read, where it begins."""
        if alert.raised:
            self.raised[alert.kind] += 1

    def took_in(self, telemetry: Telemetry) -> None:
        """Reads the service's own counters."""
        total: dict[str, float] = {}
        for metric in telemetry.registry.collect():
            for sample in metric.samples:
                total[sample.name] = total.get(sample.name, 0.0) + sample.value
        self.records_taken = int(total.get("cyclecast_records_total", 0))
        self.dead_letters = int(total.get("cyclecast_dead_letters_total", 0))
        self.published = int(total.get("cyclecast_predictions_total", 0))


class DemoStatus:
    """Prints the progress until left."""

    def __init__(self, progress: Progress, clock: Clock) -> None:
        self.progress = progress
        self.clock = clock
        self._console = console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._told_first = False
        self._told_s = 0.0

    def __enter__(self) -> Self:
        """Begins the live line."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Takes the live line away."""
        self.pause()

    def pause(self) -> None:
        """Ends the live line; what was said stays."""
        self._live.stop()

    def say(self, text: str) -> None:
        """A milestone: a line that stays."""
        self._console.print(f"{self._elapsed_s():5.1f} s  {text}", markup=False)

    def refresh(self) -> None:
        """Shows the progress as it is now."""
        progress = self.progress
        if progress.first_s is not None and not self._told_first:
            self._told_first = True
            self.say(f"first prediction read, {progress.first_s:.1f} s after the broker was ready")
        if self._console.is_terminal:
            line = Text(f"{self._elapsed_s():5.1f} s  {self._line()}", no_wrap=True, overflow="ellipsis")
            self._live.update(line, refresh=True)
        elif self._elapsed_s() - self._told_s >= _MILESTONE_S:
            self._told_s = self._elapsed_s()
            self.say(self._line())

    def _elapsed_s(self) -> float:
        return self.clock.monotonic_s() - self.progress.began_s

    def _line(self) -> str:
        progress = self.progress
        known = [each for each in progress.latest.values() if each.soh is not None]
        weakest = min(known, key=lambda each: each.soh.p50 if each.soh else 2.0, default=None)
        weak = (
            f", weakest {weakest.pack_id} cell {weakest.cell}: SOH {weakest.soh.p50:.3f}"
            if weakest is not None and weakest.soh is not None
            else ""
        )
        return (
            f"sent {progress.records_sent:,} of {progress.records_due:,} records, taken in {progress.records_taken:,}, "
            f"predictions {progress.predictions:,} of {len(progress.latest)} cells{weak}"
        )
