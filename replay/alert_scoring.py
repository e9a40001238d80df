"""What a backtest's alerts come to, and how those of the end of life stand to the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from model.artifact import Manifest
from model.recording import Recording
from model.truth import end_of_life
from stream.records import Alert, AlertKind


def alert_metrics(alerts: Sequence[Alert], recordings: Sequence[Recording], manifest: Manifest) -> dict[str, Any]:
    """How many of each kind began, of how many cells, and ended.

    Where capacities were measured, ``end_of_life`` says, too: how many cells were ``past`` it by the end of their
    recording, of how many of these that was ``told``, and of how many others (``early``); and by how many cycles the
    first alert came later than the end of life, at the median cell and at the extremes.
    """
    found: dict[str, Any] = {}
    for kind in AlertKind:
        own = [alert for alert in alerts if alert.kind is kind]
        if raised := [(alert.pack_id, alert.cell) for alert in own if alert.raised]:
            found[kind.value] = {"raised": len(raised), "cells": len(set(raised)), "over": len(own) - len(raised)}
    ends = _ends(recordings, manifest)
    if ends:
        told = _first_told(alerts)
        past = {cell: at for cell, at in ends.items() if not math.isnan(at)}
        late = [told[cell] - at for cell, at in past.items() if cell in told]
        found.setdefault(AlertKind.END_OF_LIFE.value, {"raised": 0, "cells": 0, "over": 0}).update(
            past=len(past),
            told=len(late),
            early=len(told.keys() & ends.keys() - past.keys()),
            delay_cycles=[min(late), median(late), max(late)] if late else None,
        )
    return found


def _ends(recordings: Sequence[Recording], manifest: Manifest) -> dict[tuple[str, int], float]:
    """The cycle at which each measured cell reached its end of life, NaN where it did not."""
    found = {}
    for recording in recordings:
        if recording.truth is not None:
            nominal_ah = recording.nominal_capacity_ah or manifest.steps.nominal_capacity_ah
            for cell in range(recording.cells):
                cycle, capacity_ah = recording.truth.of_cell(cell)
                if len(cycle):
                    found[recording.pack_id, cell] = end_of_life(cycle, capacity_ah / nominal_ah, manifest.eol_soh)
    return found


def _first_told(alerts: Sequence[Alert]) -> dict[tuple[str, int], int]:
    """The cycle of each cell's first alert of its end of life."""
    told: dict[tuple[str, int], int] = {}
    for alert in alerts:
        if alert.kind is AlertKind.END_OF_LIFE and alert.raised and alert.cycle is not None:
            told.setdefault((alert.pack_id, alert.cell), alert.cycle)
    return told
