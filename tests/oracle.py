"""What a clean run over the same input publishes, and the law that holds it against what a troubled one did."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from model.artifact import load
from model.predictor import Predictor
from stream.assembly import assemble
from stream.clock import SystemClock
from stream.delivery import AtLeastOnce
from stream.memory import MemorySink, MemorySource
from stream.seams import Partition, Record
from stream.settings import Settings
from stream.telemetry import Telemetry
from tests.service import identities

SHOWN = 3

Published = Sequence[dict[str, Any]]
Predictions = Mapping[tuple[str, int, int], dict[str, Any]]


class Oracle(dict[tuple[str, int, int], dict[str, Any]]):
    """Predictions by identity, and what follows from them: alerts, and the newest roll-up of each pack."""

    alerts: Published = ()
    rollups: Published = ()


def clean_run(model: Path, telemetry: Iterable[Record], more: Mapping[str, Any] | None = None) -> Oracle:
    """What an undisturbed run in memory publishes, with ``more`` settings. A partitioner chooses the source of it."""
    artifact = load(model)
    source, sink, counted, clock = (
        MemorySource({Partition("t", 0): telemetry}),
        MemorySink(),
        Telemetry(),
        SystemClock(),
    )
    outlet = AtLeastOnce(sink, source.commit, interval_s=1.0, telemetry=counted, clock=clock)
    answering = Predictor(artifact, "cpu", "fp32")
    settings = Settings.model_validate(more or {})
    asyncio.run(assemble(source, outlet, answering, artifact.manifest, settings, telemetry=counted, clock=clock).run())
    topics = settings.topics
    found, alerts, rollups = (
        [json.loads(message.value or b"") for message in sink.messages.get(topic, ())]
        for topic in (topics.predictions, topics.alerts, topics.packs)
    )
    oracle = Oracle(zip(identities(found), found, strict=True))
    oracle.alerts, oracle.rollups = alerts, last_of_each(rollups)
    return oracle


def last_of_each(rollups: Iterable[dict[str, Any]]) -> Published:
    """The newest of each pack."""
    return [*{each["pack_id"]: each for each in rollups}.values()]


class Agreement(NamedTuple):
    """How what was published stands to the oracle. All but ``published`` should be zero."""

    published: int
    duplicates: int
    missing: int
    wrong: int


def compare(found: Published, oracle: Predictions) -> Agreement:
    """Counts what is published again, what is not, and what should not be or is not what it should be.

    Wrong are unknown identities, other values than the oracle's, and cells whose steps first appear out of order.
    """
    newest: dict[tuple[str, int], int] = {}
    seen: set[tuple[str, int, int]] = set()
    wrong = 0
    for identity, prediction in zip(identities(found), found, strict=True):
        pack_id, cell, step = identity
        late = identity not in seen and step <= newest.get((pack_id, cell), 0)  # a repetition may come late
        seen.add(identity)
        newest[pack_id, cell] = max(step, newest.get((pack_id, cell), 0))
        if late or identity not in oracle or not _same(prediction, oracle[identity]):
            wrong += 1
            if wrong <= SHOWN:
                print(f"wrong{' (out of order)' * late}: {prediction}\ninstead of {oracle.get(identity)}")
    return Agreement(len(found), len(found) - len(seen), len(oracle.keys() - seen), wrong)


def compare_packs(alerts: Published, rollups: Published, oracle: Oracle) -> Agreement:
    """The same of alerts, which are named by their kind, too, and of all roll-ups, of which the newest count."""
    keys = ("pack_id", "cell", "kind", "step", "raised")
    expected = {tuple(each[key] for key in keys): each for each in oracle.alerts}
    expected |= {(each["pack_id"],): each for each in oracle.rollups}
    found = [(tuple(each[key] for key in keys), each) for each in alerts]
    found += [((each["pack_id"],), each) for each in last_of_each(rollups)]
    names = {name for name, _ in found}
    wrong = [each for name, each in found if name not in expected or not _same(each, expected[name])]
    print(*(f"wrong: {each}" for each in wrong[:SHOWN]), sep="\n")
    return Agreement(len(found), len(found) - len(names), len(expected.keys() - names), len(wrong))


def agree(found: Published, oracle: Predictions, *, once: bool) -> Agreement:
    """All of the oracle's predictions are there, and no other; each once, or at least once and the same each time."""
    counted = compare(found, oracle)
    assert (counted.missing, counted.wrong) == (0, 0), counted
    assert not (once and counted.duplicates), counted
    return counted


def _same(prediction: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Equal but for where it came from: that is a partitioner's choice."""
    source = prediction["source"]
    return bool(source["offset"] >= 0 and _close({**prediction, "source": None}, {**expected, "source": None}))


def _close(found: Any, expected: Any) -> bool:
    """Equal, and numbers within 1e-5: batches of other shapes round otherwise."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(_close(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(_close, found, expected))
    if isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-5)
    return bool(found == expected)
