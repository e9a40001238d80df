"""What came of the runs: one line a schedule, over all its seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from rich.table import Table

RECOVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """One schedule with one seed. What is counted of dead letters is in the last four counts, too."""

    schedule: str
    seed: int
    passed: bool
    faults: int
    restarts: int
    records: int
    predictions: int
    dead_letters: int
    duplicates: int
    missing: int
    wrong: int
    stall_s: float
    recovery_s: float


def noted(run: Run) -> tuple[str, object]:
    """A run as a test's user property: that is carried from the process that ran the test to the one that reports."""
    return Run.__name__, asdict(run)


def runs_in(reports: Iterable[pytest.TestReport]) -> list[Run]:
    """The runs that tests noted; their tearing down is when."""
    return [
        Run(**value)
        for report in reports
        if report.when == "teardown"
        for name, value in report.user_properties
        if name == Run.__name__ and isinstance(value, dict)
    ]


def table(runs: Sequence[Run]) -> Table:
    """Sums over the seeds of each schedule, and the longest times."""
    shown = Table(title="chaos: what was readable after all, against an undisturbed run", title_justify="left")
    shown.add_column("schedule")
    for title in ("seeds", "faults", "restarts", "records in", "predictions out", "dead letters"):
        shown.add_column(title, justify="right")
    for title in ("duplicates", "missing", "wrong", "longest stall", "longest recovery"):
        shown.add_column(title, justify="right")
    for schedule in sorted({run.schedule for run in runs}):
        of = [run for run in runs if run.schedule == schedule]
        good = sum(run.passed for run in of)
        counts = [
            sum(getattr(run, name) for run in of)
            for name in (
                "faults",
                "restarts",
                "records",
                "predictions",
                "dead_letters",
                "duplicates",
                "missing",
                "wrong",
            )
        ]
        shown.add_row(
            schedule,
            f"{len(of)}" if good == len(of) else f"{good} of {len(of)} passed",
            *(f"{count:,}" for count in counts),
            f"{max(run.stall_s for run in of):.1f} s",
            f"{max(run.recovery_s for run in of):.1f} s",
        )
    return shown


def save(runs: Sequence[Run], path: Path) -> None:
    """Writes every run as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n")
