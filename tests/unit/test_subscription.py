"""Records as lines for people."""

from __future__ import annotations

from cyclecast import alerts
from cyclecast.predictions import HEADER, line
from stream.records import AlertKind, Horizon, Interval, Origin, Prediction, RemainingLife
from tests.alerts import alert

SOURCE = Origin("bms.telemetry", 3, 9182)


def test_a_prediction_is_shown_with_its_intervals() -> None:
    shown = line(
        Prediction(
            v=1,
            pack_id="P1",
            cell=7,
            t_ms=1_731_000_000_000,
            step=320,
            cycle=321,
            flags=["late_input", "masked_input"],
            model="m@0",
            source=SOURCE,
            soh=Interval(0.9, 0.9123, 0.92),
            horizons=[Horizon(200, Interval(1.5, 1.6, 1.7))],
            rul_cycles=RemainingLife(99.6, 200.0, 300.0, 0.8),
        )
    )
    assert "\n" not in shown
    before, _, after = shown.partition("0.912")
    assert before.split() == ["2024-11-07", "17:20:00", "P1", "7", "321"]
    assert " ".join(after.split()) == (
        "[0.900..0.920] 200 [100..300] +200: 1.600 [1.500..1.700] Ah late_input,masked_input"
    )


def test_what_is_not_known_is_a_dash_in_its_column() -> None:
    shown = line(
        Prediction(v=1, pack_id="P1", cell=0, t_ms=0, step=4, flags=["insufficient_data"], model="m@0", source=SOURCE)
    )
    assert shown[HEADER.index("SOH")] == "-"
    assert shown[HEADER.index("RUL")] == "-"
    assert shown.endswith("insufficient_data")
    assert shown[: HEADER.index("SOH")].split()[-1] == "4"


def test_an_alert_of_any_kind_stands_below_the_names_of_its_columns() -> None:
    for kind in AlertKind:
        for raised in (True, False):
            told = alert("P1", 7, kind, raised=raised)
            shown = alerts.line(told)
            assert "\n" not in shown
            assert shown[alerts.HEADER.index("kind") :].startswith(f"{kind} ")
            assert shown[alerts.HEADER.index("reason") :] == told.reason
            assert shown.split(told.reason)[0].split()[-1] == ("raised" if raised else "over")
