"""The peers' table, and its bars: how many records a core carries with each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

OURS, THEIRS = "#c8553d", "#8d99ae"


@dataclass(frozen=True, slots=True)
class Line:
    """One peer on one load. Rates are records per second: of its CPU time, and by the clock; zero if it cannot run."""

    load: str
    peer: str
    delivery: str
    state: str
    core_rate: float = 0.0
    clock_rate: float = 0.0
    of_getmany: float = 0.0
    predictions: str = ""
    note: str = ""


def show(lines: Sequence[Line]) -> None:
    """Prints the table, a section for each load."""
    table = Table(
        "load", "peer", "a core's second", "by the clock", "of getmany", "predictions", "delivery", "state", ""
    )
    for line, following in pairwise([*lines, None]):
        assert line is not None
        rates = (f"{line.core_rate:,.0f} records", f"{line.clock_rate:,.0f}/s", f"{line.of_getmany:.1%}")
        shown = rates if line.core_rate else ("", "", "")
        last = following is None or following.load != line.load
        table.add_row(
            line.load, line.peer, *shown, line.predictions, line.delivery, line.state, line.note, end_section=last
        )
    Console(width=190).print(table)


def plot(lines: Sequence[Line], path: Path) -> None:
    """One panel a load, the fastest on top; text stays text."""
    loads = list(dict.fromkeys(line.load for line in lines))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "peers"}):
        figure = Figure(figsize=(9, 1.2 + 1.7 * len(loads)), layout="constrained")
        for axes, load in zip(figure.subplots(len(loads), squeeze=False)[:, 0], loads, strict=True):
            bars = sorted((line.core_rate, line.peer) for line in lines if line.load == load)
            rates, names = [rate for rate, _ in bars], [name for _, name in bars]
            drawn = axes.barh(names, rates, color=[OURS if name == "cyclecast" else THEIRS for name in names])
            axes.bar_label(drawn, [f"{rate:,.0f}" if rate else "cannot run" for rate in rates], padding=3)
            axes.set_title(f"{load}: records in a second of one core", loc="left", fontsize=10)
            axes.spines[["top", "right"]].set_visible(False)
            axes.margins(x=0.12)
        figure.savefig(path, metadata={"Date": None})
