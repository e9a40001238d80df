"""Backtest: the stream's own pipeline over recordings, its predictions held against what was measured."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from model.artifact import read_manifest, resolve
from model.recording import Recording
from replay.alert_scoring import alert_metrics
from replay.backtest_run import Assigned, Tally, run_pipeline
from replay.pack_scoring import pack_metrics, warranty_metrics
from replay.report import report_html
from replay.scoring import metrics
from replay.workers import run_in_processes, spread
from stream.records import Alert
from stream.settings import Settings


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What a backtest found; the same is in ``metrics.json``, ``predictions.parquet`` and ``alerts.jsonl``."""

    metrics: dict[str, Any]
    predictions: pa.Table
    alerts: Sequence[Alert]
    tally: Tally


def backtest(
    recordings: Sequence[Recording],
    settings: Settings,
    out: Path,
    *,
    workers: int = 1,
    progress: Callable[[int], None] = lambda _: None,
    command: Sequence[str] = (),
) -> BacktestResult:
    """Runs the model of ``settings.model`` over the recordings; writes its findings into the folder ``out``.

    ``progress`` hears of records as they go in. ``command`` is what the report says how it was made. With several
    ``workers`` the packs are spread over processes, and the results are the same.
    """
    manifest = read_manifest(resolve(settings.model.path))
    assigned = [Assigned(partition, recording) for partition, recording in enumerate(recordings)]
    groups = spread(assigned, workers)
    if len(groups) > 1:
        outcomes = run_in_processes(groups, settings, progress)
    else:
        outcomes = [run_pipeline(assigned, settings, progress)]
    predictions = pa.concat_tables([outcome.predictions for outcome in outcomes])
    predictions = predictions.sort_by([("partition", "ascending"), ("cell", "ascending"), ("step", "ascending")])
    tally = sum((outcome.tally for outcome in outcomes), Tally())
    alerts = sorted(
        (alert for outcome in outcomes for alert in outcome.alerts), key=attrgetter("t_ms", "pack_id", "cell")
    )
    found = metrics(predictions, manifest) | {"alerts": alert_metrics(alerts, recordings, manifest)}
    if (packs := pack_metrics(predictions, recordings, manifest)) is not None:
        found["packs"] = {"soh": packs}
    if (cycles := settings.warranty.cycles) is not None:
        found["warranty"] = warranty_metrics(predictions, recordings, cycles)

    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(predictions, out / "predictions.parquet", compression="zstd")
    (out / "alerts.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(alerts))
    (out / "metrics.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    report = report_html(predictions, found, tally, manifest, shlex.join(command))
    (out / "report.html").write_text(report, encoding="utf-8")
    return BacktestResult(found, predictions, alerts, tally)
