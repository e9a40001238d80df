"""Facts about artifacts, recordings and topics, gathered and shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.pretty import Pretty

from cyclecast.commands.output import console, print_json, print_json_line, table
from model import artifact as artifacts
from model.recording import Recording
from replay.readers import iter_recordings
from stream.kafka.probe import TopicFacts, topic_facts
from stream.settings import Settings

_HEAD_BYTES = 2000


def is_artifact(what: str) -> bool:
    """Whether this is an artifact: a built-in name, or a folder with a manifest."""
    return what in artifacts.BUILT_IN or (Path(what) / artifacts.MANIFEST).is_file()


def artifact(what: str) -> artifacts.Manifest:
    """The manifest of an artifact that loads whole: hash, schema and shapes fit."""
    return artifacts.load(what).manifest


def show_artifact(manifest: artifacts.Manifest, *, as_json: bool) -> None:
    """Prints a manifest."""
    if as_json:
        print_json(manifest.model_dump(mode="json"))
        return
    steps = manifest.steps
    roles: dict[str, int] = {}
    for cell in manifest.data:
        roles[cell.role] = roles.get(cell.role, 0) + 1
    rows = [
        ("model", manifest.model_id),
        ("steps", f"{steps.kind}, {steps.fingerprint}"),
        ("window", f"{manifest.window} steps of {len(manifest.channels)} channels, {steps.min_steps} at least"),
        ("channels", _lines([f"{channel.name} [{channel.unit}]" for channel in manifest.channels])),
        ("targets", ", ".join(target.name for target in manifest.targets)),
        ("quantiles", ", ".join(str(quantile) for quantile in manifest.quantiles)),
        ("end of life", f"SOH {manifest.eol_soh}"),
        ("network", f"LSTM {manifest.network.num_layers} x {manifest.network.hidden_dim}"),
        ("cells", ", ".join(f"{count} {role}" for role, count in roles.items()) or "not recorded"),
        ("seed", str(manifest.seed)),
    ]
    out = console()
    out.print(table(None, ("artifact", ""), rows))
    if manifest.metrics:
        out.print("\nmeasured errors", style="bold")
        out.print(Pretty(manifest.metrics, expand_all=False))


def _lines(words: list[str]) -> str:
    """Three words a line."""
    return "\n".join(", ".join(words[start : start + 3]) for start in range(0, len(words), 3))


def recordings(path: Path) -> Iterator[dict[str, Any]]:
    """The facts of each recording of a file or a folder."""
    for recording in iter_recordings([path]):
        yield recording_facts(recording)


def recording_facts(recording: Recording) -> dict[str, Any]:
    """What one recording holds. Times are UTC; an entry that is not known is ``None``."""
    t_ms = recording.t_ms
    # Rests and holes are not sampling: the median of the positive differences is.
    period_ms = np.diff(t_ms)
    period_ms = period_ms[period_ms > 0]
    numbered = recording.cycle[recording.cycle >= 0]
    facts: dict[str, Any] = {
        "pack_id": recording.pack_id,
        "kind": recording.kind,
        "cells": recording.cells,
        "frames": recording.frames,
        "start": _utc(int(t_ms.min())),
        "end": _utc(int(t_ms.max())),
        "period_s": round(float(np.median(period_ms)) / 1000, 3) if period_ms.size else None,
        "out_of_order": int((np.diff(t_ms) < 0).sum()),
        "cycles": int(np.unique(numbered).size) if numbered.size else None,
        "probes": int(recording.temp_degc.shape[1]),
        "nan_voltage": int(np.isnan(recording.voltage_v).sum()),
        "nan_current": int(np.isnan(recording.current_a).sum()),
        "nan_temperature": int(np.isnan(recording.temp_degc).sum()),
        "nominal_capacity_ah": recording.nominal_capacity_ah,
        "chemistry": recording.chemistry,
        "truth": None,
        "source": recording.source,
    }
    if recording.truth is not None and recording.truth.capacity_ah.size:
        capacity_ah = recording.truth.capacity_ah
        facts["truth"] = {
            "measured": int(capacity_ah.size),
            "capacity_max_ah": round(float(capacity_ah.max()), 4),
            "capacity_min_ah": round(float(capacity_ah.min()), 4),
        }
    return facts


def show_recordings(path: Path, *, as_json: bool) -> None:
    """Prints the facts of a recording, or of each in a folder (JSON: one line each)."""
    rows: list[tuple[object, ...]] = []
    for facts in recordings(path):
        if as_json:
            print_json_line(facts)
            continue
        truth = facts["truth"]
        rows.append(
            (
                f"{facts['pack_id']} ({facts['kind']})",
                facts["cells"],
                f"{facts['frames']:,}",
                _or_dash(facts["cycles"]),
                f"{facts['start'][:16]} .. {facts['end'][:16]}",
                _or_dash(facts["period_s"]),
                f"{facts['nan_voltage']}/{facts['nan_current']}/{facts['nan_temperature']}",
                facts["probes"],
                _or_dash(facts["nominal_capacity_ah"]),
                f"{truth['measured']} ({truth['capacity_max_ah']:.3g}..{truth['capacity_min_ah']:.3g} Ah)"
                if truth
                else "-",
            )
        )
    if not as_json:
        known = ("recording", ">cells", ">frames", ">cycles", "event time (UTC)", ">period s")
        columns = (*known, ">NaN V/I/T", ">probes", ">nominal Ah", "truth")
        console().print(table(None, columns, rows))


async def topic(settings: Settings, name: str) -> TopicFacts:
    """Partitions, offsets and the newest record of a topic."""
    return await topic_facts(settings, name)


def show_topic(facts: TopicFacts, *, as_json: bool) -> None:
    """Prints what a topic holds."""
    last = facts.last
    if as_json:
        print_json(
            {
                "topic": facts.name,
                "partitions": [
                    {"partition": number, "begin": begin, "end": end}
                    for number, (begin, end) in sorted(facts.offsets.items())
                ],
                "records": facts.records,
                "last": last
                and {
                    "partition": last.partition,
                    "offset": last.offset,
                    "timestamp_ms": last.timestamp,
                    "key": _text(last.key),
                    "value": _text(last.value),
                    "headers": {name: _text(value) for name, value in last.headers},
                },
            }
        )
        return
    out = console()
    rows = [(number, begin, end, end - begin) for number, (begin, end) in sorted(facts.offsets.items())]
    out.print(table(f"{facts.name}: {facts.records:,} records", (">partition", ">begin", ">end", ">records"), rows))
    if last is not None:
        out.print(f"\nnewest record: {last.partition}:{last.offset} at {_utc(last.timestamp)}, key {_text(last.key)}")
        for name, value in last.headers:
            out.print(f"  {name}: {_text(value)}", markup=False)
        out.print((_text(last.value) or "(no value)")[:_HEAD_BYTES], markup=False)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _utc(t_ms: int) -> str:
    return datetime.fromtimestamp(t_ms / 1000, UTC).isoformat(timespec="seconds")


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
