"""What the service counts and times, in Prometheus terms. Each instance owns its registry: nothing here is global."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Metric, generate_latest

from stream.records import AlertKind
from stream.refusal import Reason
from stream.score import Fate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

NEWEST = 1000  # truths that the rolling error and coverage are of
_WINDOWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_SHORT_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_SHARE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_LONG_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Telemetry:
    """The instruments of one service, as attributes.

    A label is a small closed set (a result, a reason, a partition); never a cell or a pack: there are millions.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, namespace="cyclecast", registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, namespace="cyclecast", registry=registry, buckets=buckets)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, namespace="cyclecast", registry=registry)

        self.records = counter("records_total", "Input records by what became of them.", "result")
        self.predictions = counter("predictions_total", "Predictions acknowledged by the broker.")
        self.dead_letters = counter("dead_letters_total", "Records sent to the dead letter topic.", "reason")
        self.late_records = counter("late_records_total", "Records older than what their cell already took in.")
        self.duplicate_records = counter("duplicate_records_total", "Records that were seen before.")
        self.lost_records = counter("lost_records_total", "Records the broker deleted before they were read.")
        self.masked_samples = counter("masked_samples_total", "Invalid cell readings inside records that were taken.")
        self.batch_windows = histogram("batch_windows", "Windows in one batch for the model.", _WINDOWS)
        self.batch_dispatch = counter("batch_dispatch_total", "Batches given to the model, by why.", "reason")
        self.batch_fill = histogram("batch_fill", "Share of a batch's computed windows that is no padding.", _SHARE)
        self.padding_windows = counter("padding_windows_total", "Windows computed only to fill up a shape.")
        self.queue_wait_seconds = histogram(
            "queue_wait_seconds", "From first window of a batch to the model's start on it.", _SHORT_S
        )
        self.predict_seconds = histogram("predict_seconds", "The model's time for one batch.", _SHORT_S)
        self.end_to_end_seconds = histogram(
            "end_to_end_seconds", "From the broker's timestamp of the record to its acknowledged prediction.", _LONG_S
        )
        self.lag_records = gauge("lag_records", "Records behind the end of the partition.", "partition")
        self.cells = gauge("cells", "Cells whose state is held.")
        self.transactions = counter("transactions_total", "Transactions by how they ended.", "result")
        self.commit_interval_seconds = gauge(
            "commit_interval_seconds", "Least time between two transactions of a partition, as the load allows."
        )
        self.state_bytes = counter("state_bytes_total", "Bytes of cell state written to pages.")
        self.rebalances = counter("rebalances_total", "Times the owned partitions changed.")
        self.restore_seconds = histogram("restore_seconds", "Time to restore the state of one partition.", _LONG_S)
        self.model_reloads = counter("model_reloads_total", "Newer models found, by what came of them.", "result")
        self.shadow_windows = counter(
            "shadow_windows_total", "Windows of the shadow model by what became of them.", "result"
        )
        self.shadow_soh_difference = counter(
            "shadow_soh_difference_total",
            "Sum of |SOH median of the model - that of its shadow| over compared windows.",
        )
        self.truths = counter("truths_total", "Measured capacities by what became of them.", "result")
        self.truths_waiting = gauge("truths_waiting", "Measured capacities whose prediction is still to come.")
        self.interval_factor = gauge(
            "interval_factor", "By how much intervals are wider than the model's own.", "partition"
        )
        self.alerts = counter("alerts_total", "Alerts that began (raised) and ended (over), by kind.", "kind", "result")
        self.alerts_standing = gauge("alerts_standing", "Alerts that stand, by kind.", "kind")
        self._scores: deque[tuple[float, bool]] = deque(maxlen=NEWEST)
        mean_error = gauge("soh_error", "Mean absolute error of SOH over the newest truths that were scored.")
        mean_error.set_function(lambda: self._mean(0))
        coverage = gauge("soh_coverage", "Share of these truths that lay in the published interval.")
        coverage.set_function(lambda: self._mean(1))
        # Known series begin at zero: what first appears at one looks to Prometheus as if it never rose.
        for result in ("ok", "refused"):
            self.records.labels(result)
        for result in ("ok", "unchanged", "refused", "failed"):
            self.model_reloads.labels(result)
        for result in ("compared", "dropped", "failed"):
            self.shadow_windows.labels(result)
        for reason in Reason:
            self.dead_letters.labels(reason.value)
        for kind in AlertKind:
            self.alerts_standing.labels(kind.value)
            for result in ("raised", "over"):
                self.alerts.labels(kind.value, result)
        for fate in Fate:
            self.truths.labels(fate.value)
        self._model = Info("model", "The model that answers.", namespace="cyclecast", registry=registry)

    def model_is(self, model_hash: str) -> None:
        """Names the model that answers from now on: ``cyclecast_model_info{hash}``."""
        self._model.info({"hash": model_hash})

    def batch_done(self, windows: int, padded: int, waited_s: float, seconds: float) -> None:
        """The model took ``seconds`` for ``padded`` windows, ``windows`` of them real; nothing where there was none."""
        if not windows:
            return
        self.batch_windows.observe(windows)
        self.batch_fill.observe(windows / padded)
        self.padding_windows.inc(padded - windows)
        self.queue_wait_seconds.observe(waited_s)
        self.predict_seconds.observe(seconds)

    def scored(self, soh_error: float, inside: bool) -> None:
        """A measured capacity met its prediction: the absolute error of SOH, and whether it was in the interval."""
        self._scores.append((soh_error, inside))

    def _mean(self, column: int) -> float:
        """Over the newest scores; NaN before there is any."""
        scores = list(self._scores)
        return sum(score[column] for score in scores) / len(scores) if scores else math.nan

    def render(self) -> bytes:
        """The Prometheus text format (``CONTENT_TYPE``)."""
        return generate_latest(_WithoutCreationTimes(self.registry))


class _WithoutCreationTimes:
    """A view of a registry that leaves out the ``_created`` series, which double every counter for nothing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
