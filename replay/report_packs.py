"""The report on whole packs, and on what would have needed a person."""

from __future__ import annotations

from typing import Any

from replay.report_table import table
from replay.report_units import percent

_NEEDS = {
    "end_of_life": "SOH is below the end of life",
    "warranty": "the life probably ends within the warranty",
    "sudden_fade": "SOH is much lower than usual of the cell",
    "outlier": "SOH is much lower than that of its pack",
    "sensor_fault": "readings are missing or impossible",
    "out_of_distribution": "its telemetry is unlike anything the model was trained on",
}


def packs_section(metrics: dict[str, Any]) -> str:
    """How good roll-ups are, where capacities were measured; nothing where they were not."""
    parts = []
    if "packs" in metrics:
        found = metrics["packs"]["soh"]
        rows = [
            (name, f"{own['n']:,}", _points(own["mae"]), percent(own["coverage_90"]), _points(own["width_90"]), "")
            for name, own in found["by_cell"].items()
        ]
        head = ("", "frames", "mean error", "in 90 % interval", "its width", "")
        told = (
            f"<p>The SOH of a pack's weakest cell, as a roll-up says it: off by {_points(found['mae'])} on average, "
            f"and {percent(found['coverage_90'])} of the truth is within the 90 % interval.</p>"
        )
        parts.append(told + table(head, rows))
    if warranty := metrics.get("warranty"):
        bins = [(f"{own['said']:.2f}", f"{own['came']:.2f}", f"{own['n']:,}", "") for own in warranty["reliability"]]
        told = (
            f"<p>Lives that end within a warranty of {warranty['cycles']:,} cycles: the squared error of the "
            f"probability is {warranty['brier']:.3f}, of saying the share of all {warranty['brier_of_share']:.3f}.</p>"
        )
        parts.append(told + table(("said", "came", "predictions", ""), bins))
    return "<h2>Packs</h2>" + "".join(parts) if parts else ""


def alerts_section(alerts: dict[str, Any]) -> str:
    """The alerts by kind, and how those of the end of life stand to it."""
    rows = [
        (kind, f"{found['raised']:,}", f"{found['cells']:,}", f"{found['over']:,}", _NEEDS[kind])
        for kind, found in alerts.items()
    ]
    body = table(("", "begun", "cells", "over again", "because"), rows) if rows else "<p>None.</p>"
    ends = alerts.get("end_of_life", {})
    told = ""
    if "past" in ends:
        told = f"<p>Of {ends['past']} cells that reached their end of life {ends['told']} were told of, "
        told += f"and so were {ends['early']} that did not."
        if ends["delay_cycles"]:
            least, middle, most = ends["delay_cycles"]
            when = f"{abs(middle):g} cycles {'before' if middle < 0 else 'after'} it"
            told += f" The alert came {when} at the median cell ({least:+g} to {most:+g})."
        told += "</p>"
    return f"<h2>Alerts</h2>{told}{body}"


def _points(soh: float) -> str:
    return f"{100 * soh:.2f} %"
