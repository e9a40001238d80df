from __future__ import annotations

import json
import re
from pathlib import Path

from tests.unit.test_telemetry import CONTRACT

ROOT = Path(__file__).parents[2]
HISTOGRAM_PARTS = r"_(bucket|count|sum)$"


def names_in(text: str) -> set[str]:
    return {re.sub(HISTOGRAM_PARTS, "", name) for name in re.findall(r"\bcyclecast_[a-z_]+", text)}


def test_every_metric_is_documented_with_its_labels_and_no_other_is() -> None:
    rows = re.findall(
        r"^\| `(cyclecast_\w+)(?:\{([\w,]+)\})?` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE
    )
    assert {name: set(labels.split(",")) if labels else set() for name, labels in rows} == CONTRACT


def test_documents_speak_only_of_metrics_that_exist() -> None:
    assert names_in((ROOT / "docs" / "metrics.md").read_text()) <= set(CONTRACT)


def test_dashboard_asks_only_for_metrics_and_labels_that_exist_and_shows_all() -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "cyclecast.json").read_text())
    asked: set[str] = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            names = names_in(target["expr"])
            assert names <= set(CONTRACT), panel["title"]
            labels = {label for name in names for label in CONTRACT[name]} | {"instance", "le"}
            grouped = ", ".join(re.findall(r"by \(([\w, ]+)\)", target["expr"]))
            assert set(filter(None, grouped.split(", "))) <= labels, panel["title"]
            asked |= names
    assert asked == set(CONTRACT)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
