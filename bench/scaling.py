"""Whether a sample costs the same in a small fleet and in a large one, on one partition and on many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import pairwise

from bench.core import apart, core_s
from bench.flow import in_memory, records
from bench.load import Load, fill
from bench.service import ROUNDS, anew, broker, service_rate, service_settings
from bench.steps import block
from bench.table import Cost, Line, Skipped
from model.artifact import load
from model.predictor import Predictor
from model.schema import SampleSteps
from model.steps import new_cursor, new_state
from model.windows import WindowBatch
from stream.assembly import warm_kernels
from stream.kafka.topics import ensure, wanted
from stream.seams import Record
from tests.kafka.cluster import missing_tools

CELLS = 96
FLEETS = (11, 105, 1_042, 10_417)  # packs: 1 k, 10 k, 100 k, 1 M cells
SAMPLES = 3_000_000
PARTITIONS = (1, 64)
TOPICS = ("telemetry", "predictions", "packs", "alerts", "dead_letters")
FRAMES = 2400  # of each pack: what it takes once to open 64 partitions is not what a frame costs


def rows() -> Iterator[Line]:
    """Nanoseconds a cell sample through the pipeline in memory, and through the compiled update alone; then a frame of
    the service on 64 partitions for 1.
    """
    small, *larger = (apart(sample_ns, packs) for packs in FLEETS)
    for packs, cost_ns in zip(FLEETS[1:], larger, strict=True):
        path = f"a cell sample, JSON to state, {packs * CELLS / 1000:.0f} k cells"
        yield Cost(path, "ns", "the same, 1 k cells", small, cost_ns, 1.15)
    small, large = (apart(update_ns, packs) for packs in (FLEETS[0], FLEETS[-1]))
    path = f"of it, the compiled update, {FLEETS[-1] * CELLS / 1000:.0f} k cells"
    yield Cost(path, "ns", "the same, 1 k cells", small, large, 1.15)
    if reason := missing_tools():
        yield Skipped("a frame, service on 64 partitions", reason)
        return
    one, many = (1e6 / rate for rate in asyncio.run(frames_a_core_second()))
    yield Cost("a frame, service on 64 partitions", "us", "the same, 1 partition", one, many, 1.15)


async def frames_a_core_second() -> list[float]:
    """What the service does on each number of partitions: the best of rounds in turn, the first not counted."""
    async with broker() as bootstrap:
        fleets = []
        for partitions in PARTITIONS:
            load = Load(packs=128, cells=CELLS, frames=FRAMES, partitions=partitions)
            topics = {name: f"{name}-{partitions}" for name in TOPICS}
            settings = service_settings(bootstrap, load)
            settings = settings.model_copy(update={"topics": settings.topics.model_copy(update=topics)})
            await ensure(settings, wanted(settings))
            await fill(bootstrap, settings.topics.telemetry, load)
            fleets.append((settings, load))
        rates: list[list[float]] = [[] for _ in fleets]
        for turn in range(ROUNDS):
            for own, (settings, load) in zip(rates, fleets, strict=True):
                own.append((await service_rate(anew(settings, f"bench-{load.partitions}-{turn}"), load)).core)
        return [max(own[1:]) for own in rates]


def update_ns(packs: int) -> float:
    """The best of four turns of the compiled update of sample steps; none becomes complete."""
    state, out = new_state(SampleSteps(), packs * CELLS), WindowBatch.empty(2, 200, 3)
    spent_s = []
    for turn in range(5):
        frames = block(turn, packs, max(SAMPLES // (2 * packs * CELLS), 1), period_ms=1)
        spent_s.append(core_s(lambda frames=frames: state.update(frames, new_cursor(), out, 0)))  # type: ignore[misc]
    return 1e9 * min(spent_s[1:]) / frames.voltage_v.size


def sample_ns(packs: int) -> float:
    """The best of three passes over a fleet that is known already, by the model of sample steps; none becomes due."""
    artifact = load("sample")
    predictor = Predictor(artifact, "cpu", "fp32")
    warm_kernels(artifact.manifest)
    passes = 3
    frames = max(SAMPLES // (passes * packs * CELLS), 1)
    values = [sent.value for sent in Load(packs, CELLS, 1 + passes * frames, partitions=1, period_ms=1).sent()]
    began: list[float] = []

    def watched() -> Iterator[Record]:
        for record in records(values):
            if (record.offset - packs) % (frames * packs) == 0:
                began.append(time.process_time())
            yield record

    asyncio.run(in_memory(predictor, artifact, [watched()], 2 * packs * CELLS).run())
    began.append(time.process_time())
    spans = [later - earlier for earlier, later in pairwise(began)]
    return 1e9 * min(spans[:passes]) / (frames * packs * CELLS)
