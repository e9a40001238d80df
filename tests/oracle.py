"""What a clean run over the same input publishes, and the law that holds it against what a troubled one did."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

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

Oracle = dict[tuple[str, int, int], dict[str, Any]]


def clean_run(model: Path, telemetry: Sequence[Record]) -> Oracle:
    """The predictions of an undisturbed run in memory, by identity. A partitioner chooses their source."""
    artifact = load(model)
    source, sink, counted, clock = (
        MemorySource({Partition("t", 0): telemetry}),
        MemorySink(),
        Telemetry(),
        SystemClock(),
    )
    outlet = AtLeastOnce(sink, source.commit, interval_s=1.0, telemetry=counted, clock=clock)
    answering = Predictor(artifact, "cpu", "fp32")
    asyncio.run(
        assemble(source, outlet, answering, artifact.manifest, Settings(), telemetry=counted, clock=clock).run()
    )
    found = [json.loads(message.value or b"") for message in sink.messages["bms.predictions"]]
    return dict(zip(identities(found), found, strict=True))


def agree(found: list[dict[str, Any]], oracle: Oracle, *, once: bool) -> None:
    """All of the oracle's predictions are there, and no other; each once, or at least once and the same each time."""
    counts = Counter(identities(found))
    assert set(counts) == set(oracle)
    if once:
        assert max(counts.values()) == 1
    newest: dict[tuple[str, int], int] = {}
    seen = set()
    for identity, prediction in zip(identities(found), found, strict=True):
        expected = oracle[identity]
        assert prediction["t_ms"] == expected["t_ms"]
        assert prediction["flags"] == expected["flags"]
        assert prediction["source"]["offset"] >= 0
        for name in ("soh", "capacity_ah", "rul_cycles"):
            assert (name in prediction) == (name in expected)
            if name in expected:
                assert prediction[name] == pytest.approx(expected[name], abs=1e-5, rel=1e-5)
        if identity not in seen:  # a repetition may come late, a first time never does
            seen.add(identity)
            pack_id, cell, step = identity
            assert step > newest.get((pack_id, cell), 0)
            newest[pack_id, cell] = step
