"""Puts a pipeline together from its settings and its two seams: the same parts for the service and for a backtest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from model.artifact import Manifest
from model.novelty import Novelty
from model.steps import new_cursor
from model.windows import WindowBatch
from stream.alarms import Rule, judge, new_cells
from stream.answers import ANSWER
from stream.batch import Batch
from stream.batcher import Batcher
from stream.cells import Cells
from stream.clock import Clock
from stream.codec import Codec
from stream.delivery import Outlet
from stream.frames import frames_of, merged
from stream.json_rows import DECIMALS, Forms, rows
from stream.pipeline import Pipeline
from stream.publisher import Publisher
from stream.records import PackFrame
from stream.refusal import EARLIEST_MS
from stream.rollup import survey
from stream.runner import Model, ModelRunner
from stream.scan import scan
from stream.seams import Changelog, Sink, Source
from stream.settings import AlertSettings, LimitSettings, Settings
from stream.shadow import Shadow
from stream.telemetry import Telemetry
from stream.warranty import crossing_probability

# One batch fills while one is with the model and one is being published.
BATCHES = 3
SPARE = 2  # for a shadow model: one on its way while one is being published


def assemble(
    source: Source,
    outlet: Outlet,
    model: Model,
    manifest: Manifest,
    settings: Settings,
    *,
    telemetry: Telemetry,
    clock: Clock,
    changelog: Changelog | None = None,
    on_model_turn: Callable[[], None] = lambda: None,
) -> Pipeline:
    """A pipeline that is ready to run; nothing is started. ``on_model_turn`` is called from the model's thread."""
    codec = Codec(settings.limits.max_record_bytes)
    channels = len(manifest.channels)
    # The kernels stop when fewer than two places are left: so a batch is full at its size, and not one short of it.
    capacity = settings.batch.max_windows + 1
    windows = [WindowBatch.empty(capacity, manifest.window, channels) for _ in range(BATCHES)]
    batches = [Batch(each._replace(windows=model.pinned(each.windows))) for each in windows]
    return Pipeline(
        source,
        outlet,
        codec=codec,
        steps=manifest.steps,
        batcher=Batcher(batches, settings.batch.deadline_ms / 1000),
        runner=ModelRunner(
            model, on_model_turn, clock, min_steps=manifest.steps.min_steps, targets=len(manifest.targets)
        ),
        publisher=Publisher(
            codec,
            settings.topics,
            targets=manifest.targets,
            eol_soh=manifest.eol_soh,
            min_steps=manifest.steps.min_steps,
            warranty_cycles=settings.warranty.cycles,
        ),
        telemetry=telemetry,
        clock=clock,
        limits=settings.limits,
        adapt_intervals=settings.model.adapt_intervals,
        rule=_rule(settings.alerts, manifest.eol_soh),
        state=settings.state,
        changelog=changelog,
    )


def shadow_of(
    pipeline: Pipeline, first: Manifest, manifest: Manifest, model: Model, sink: Sink, settings: Settings
) -> Shadow:
    """A shadow of the pipeline's ``first`` model: ``model``, whose ``manifest`` asks for the same windows."""
    capacity = settings.batch.max_windows + 1
    spare = [Batch(WindowBatch.empty(capacity, manifest.window, len(manifest.channels))) for _ in range(SPARE)]
    publisher = Publisher(
        pipeline.codec,
        settings.topics.model_copy(update={"predictions": settings.topics.shadow_predictions}),
        targets=manifest.targets,
        eol_soh=manifest.eol_soh,
        min_steps=manifest.steps.min_steps,
        warranty_cycles=settings.warranty.cycles,
    )
    return Shadow(
        first,
        manifest,
        runner=ModelRunner(
            model, lambda: None, pipeline.clock, min_steps=manifest.steps.min_steps, targets=len(manifest.targets)
        ),
        publisher=publisher,
        sink=sink,
        spare=spare,
        telemetry=pipeline.telemetry,
    )


def _rule(alerts: AlertSettings, eol_soh: float) -> Rule:
    return Rule(eol_soh, alerts.p_warranty, alerts.fade_soh, alerts.outlier_soh, alerts.patience)


def warm_kernels(manifest: Manifest) -> None:
    """Compiles the kernels, or loads them from the cache, before the first record needs them."""
    cells = Cells(manifest.steps, LimitSettings(), idle_ttl_s=1.0)
    frame = PackFrame("P", EARLIEST_MS, 0.0, [3.3])
    only, cursor = np.zeros(1, np.int64), new_cursor()
    frames = merged(scan(()), frames_of((frame,)))
    for admitted, _ in cells.admit(frames, only, only + EARLIEST_MS, lambda _: frame):
        out = WindowBatch.empty(2, manifest.window, len(manifest.channels))
        cells.update(admitted, cursor, out, 0, emit=True)
        crossing_probability(np.zeros((1, 3), np.float32), only)
        judge(new_cells(np.zeros(1, np.int32)), np.zeros(1, ANSWER), _rule(AlertSettings(), manifest.eol_soh))
        survey(new_cells(np.zeros(1, np.int32)))
        rows(Forms(), only[:0], (), np.zeros((0, DECIMALS), np.int64), np.zeros((0, 0)))
        if manifest.novelty is not None:
            Novelty(manifest.steps, 1)(torch.from_numpy(out.windows))
