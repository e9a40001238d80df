from __future__ import annotations

import math
import re

from stream.refusal import Reason
from stream.score import Fate
from stream.telemetry import NEWEST, Telemetry

CONTRACT = {
    "cyclecast_records_total": {"result"},
    "cyclecast_predictions_total": set(),
    "cyclecast_dead_letters_total": {"reason"},
    "cyclecast_late_records_total": set(),
    "cyclecast_duplicate_records_total": set(),
    "cyclecast_lost_records_total": set(),
    "cyclecast_masked_samples_total": set(),
    "cyclecast_batch_windows": set(),
    "cyclecast_batch_fill": set(),
    "cyclecast_padding_windows_total": set(),
    "cyclecast_batch_dispatch_total": {"reason"},
    "cyclecast_queue_wait_seconds": set(),
    "cyclecast_predict_seconds": set(),
    "cyclecast_end_to_end_seconds": set(),
    "cyclecast_lag_records": {"partition"},
    "cyclecast_cells": set(),
    "cyclecast_transactions_total": {"result"},
    "cyclecast_commit_interval_seconds": set(),
    "cyclecast_state_bytes_total": set(),
    "cyclecast_rebalances_total": set(),
    "cyclecast_restore_seconds": set(),
    "cyclecast_model_info": {"hash"},
    "cyclecast_model_reloads_total": {"result"},
    "cyclecast_shadow_windows_total": {"result"},
    "cyclecast_shadow_soh_difference_total": set(),
    "cyclecast_truths_total": {"result"},
    "cyclecast_truths_waiting": set(),
    "cyclecast_alerts_total": {"kind", "result"},
    "cyclecast_alerts_standing": {"kind"},
    "cyclecast_soh_error": set(),
    "cyclecast_soh_coverage": set(),
    "cyclecast_interval_factor": {"partition"},
}


def used() -> Telemetry:
    telemetry = Telemetry()
    telemetry.records.labels("ok").inc(3)
    telemetry.dead_letters.labels("not_json").inc()
    telemetry.batch_dispatch.labels("full").inc()
    telemetry.lag_records.labels("3").set(7)
    telemetry.interval_factor.labels("3").set(1.5)
    telemetry.transactions.labels("committed").inc()
    telemetry.batch_windows.observe(64)
    telemetry.model_is("0123456789ab")
    return telemetry


def series(telemetry: Telemetry) -> dict[str, float]:
    lines = telemetry.render().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def test_exposed_names_and_labels_are_exactly_the_contract() -> None:
    seen: dict[str, set[str]] = {}
    for key in series(used()):
        name, _, labels = key.partition("{")
        name = re.sub(r"_(bucket|count|sum)$", "", name)
        seen.setdefault(name, set()).update(set(re.findall(r"(\w+)=", labels)) - {"le"})
    assert seen == CONTRACT


def test_values_are_what_was_counted() -> None:
    values = series(used())
    assert values['cyclecast_records_total{result="ok"}'] == 3
    assert values['cyclecast_lag_records{partition="3"}'] == 7
    assert values['cyclecast_batch_windows_bucket{le="64.0"}'] == 1
    assert values['cyclecast_batch_windows_bucket{le="32.0"}'] == 0
    assert values['cyclecast_model_info{hash="0123456789ab"}'] == 1


def test_a_new_model_replaces_the_old_one() -> None:
    telemetry = used()
    telemetry.model_is("ba9876543210")
    assert [key for key in series(telemetry) if "model_info" in key] == ['cyclecast_model_info{hash="ba9876543210"}']


def test_two_services_in_one_process_do_not_share_counts() -> None:
    first, second = Telemetry(), Telemetry()
    first.predictions.inc(5)
    assert series(first)["cyclecast_predictions_total"] == 5
    assert series(second)["cyclecast_predictions_total"] == 0


def test_results_and_reasons_that_may_come_begin_at_zero() -> None:
    values = series(Telemetry())
    assert values['cyclecast_records_total{result="refused"}'] == 0
    for reason in Reason:
        assert values[f'cyclecast_dead_letters_total{{reason="{reason.value}"}}'] == 0
    for fate in Fate:
        assert values[f'cyclecast_truths_total{{result="{fate.value}"}}'] == 0


def test_score_is_of_the_newest_truths_and_unknown_before_any() -> None:
    telemetry = Telemetry()
    assert math.isnan(series(telemetry)["cyclecast_soh_error"])
    for _ in range(NEWEST):
        telemetry.scored(0.5, inside=False)
    for at in range(NEWEST):
        telemetry.scored(0.01, inside=at % 10 != 0)
    values = series(telemetry)
    assert math.isclose(values["cyclecast_soh_error"], 0.01)
    assert math.isclose(values["cyclecast_soh_coverage"], 0.9)
