"""A burst in one partition neither starves the others nor grows in memory. Time is counted in windows predicted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterable, Iterator, Sequence

import numpy as np
import pytest

from model.schema import SampleSteps
from stream.assembly import BATCHES, assemble
from stream.delivery import AtLeastOnce
from stream.lanes import RUN_BYTES, Lanes
from stream.memory import MemorySink, MemorySource
from stream.seams import Message, Partition, Polled, Record
from stream.settings import Settings
from stream.telemetry import Telemetry
from tests.small_model import FakeModel
from tests.telemetry import manifest, records

STEPS = SampleSteps(period_s=60, max_gap_s=60, window=1, stride=1)  # each frame but the first makes its cells due
BURST, OTHER = Partition("t", 0), Partition("t", 1)
PACKS, CELLS = 1000, 4
WINDOWS_A_BATCH = 32


class Metered(FakeModel):
    """A model and a clock in one: each window takes a second."""

    model_id = "metered@000000000000"

    def __init__(self) -> None:
        self.windows = 0

    def predict(self, windows: np.ndarray, n: int) -> np.ndarray:
        self.windows += n
        return np.full((n, 3, 3), 0.9, np.float32)

    def monotonic_s(self) -> float:
        return float(self.windows)

    def time_ms(self) -> int:
        return 1_800_000_000_000


class Timed(MemorySink):
    """Notes how many windows were predicted when each message came."""

    def __init__(self, model: Metered) -> None:
        super().__init__()
        self.model = model
        self.at: list[tuple[str, int]] = []
        self.largest = 0

    async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
        self.largest = max(self.largest, len(messages))
        told = [message for message in messages if message.topic == "bms.predictions"]
        self.at += [(json.loads(message.value or b"")["pack_id"], self.model.windows) for message in told]
        return await super().send(messages)


async def burst(inputs: dict[Partition, Iterable[Record]], poll_records: int = 2000) -> Timed:
    model = Metered()
    source, sink, telemetry = MemorySource(inputs, poll_records), Timed(model), Telemetry()
    settings = Settings(batch={"max_windows": WINDOWS_A_BATCH})
    outlet = AtLeastOnce(sink, source.commit, interval_s=0.01, telemetry=telemetry, clock=model)
    await assemble(source, outlet, model, manifest(STEPS), settings, telemetry=telemetry, clock=model).run()
    return sink


def thousand_packs() -> list[Record]:
    return records([f"B{pack}" for pack in range(PACKS)], 3, CELLS)


async def test_windows_of_others_wait_for_no_more_than_their_share_of_a_burst():
    few = records(["other"], 20, CELLS)
    sink = await burst({BURST: thousand_packs(), OTHER: few})
    mine = (20 - 1) * CELLS
    done_at = max(at for pack, at in sink.at if pack == "other")
    assert sum(pack == "other" for pack, _ in sink.at) == mine
    assert sink.model.windows == mine + PACKS * CELLS * 2, "and the burst is all predicted, too"
    # Half of each batch is theirs; what was on its way when they came goes first, and while they are published the
    # model may have gone on with what was on its way then.
    assert done_at <= 2 * mine + (2 * BATCHES + 1) * (WINDOWS_A_BATCH + 1)


async def test_a_partition_alone_fills_whole_batches():
    sink = await burst({BURST: thousand_packs()})
    batches = -(-PACKS * CELLS * 2 // WINDOWS_A_BATCH)
    arrivals = len({at for _, at in sink.at})
    assert arrivals <= batches + 2


async def test_records_of_a_partition_stay_in_order_and_each_window_comes_once_however_turns_fall():
    given = {Partition("t", number): records([f"P{number}", f"Q{number}"], 60, CELLS) for number in range(5)}
    sink = await burst(given, poll_records=7)
    found = [json.loads(message.value or b"") for message in sink.messages["bms.predictions"]]
    steps: dict[tuple[str, int], list[int]] = {}
    offsets: dict[int, list[int]] = {}
    for prediction in found:
        steps.setdefault((prediction["pack_id"], prediction["cell"]), []).append(prediction["step"])
        offsets.setdefault(prediction["source"]["partition"], []).append(prediction["source"]["offset"])
    assert len(steps) == 5 * 2 * CELLS
    assert all(of_cell == list(range(1, 60)) for of_cell in steps.values())
    assert all(of_partition == sorted(of_partition) for of_partition in offsets.values())


async def test_a_burst_holds_no_more_in_memory_than_one_polled_run_and_its_results_leave_in_pieces():
    read = 0

    def counted(given: Sequence[Record]) -> Iterator[Record]:
        nonlocal read
        for record in given:
            read += 1
            yield record

    given = thousand_packs()
    seen: list[int] = []

    class Watching(Timed):
        async def send(self, messages: Sequence[Message]) -> Awaitable[None]:
            newest = max((json.loads(message.value or b"")["source"]["offset"] for message in messages), default=0)
            seen.append(read - newest)
            return await super().send(messages)

    model = Metered()
    source, sink, telemetry = MemorySource({BURST: counted(given)}, 500), Watching(model), Telemetry()
    outlet = AtLeastOnce(sink, source.commit, interval_s=0.01, telemetry=telemetry, clock=model)
    settings = Settings(batch={"max_windows": WINDOWS_A_BATCH})
    await assemble(source, outlet, model, manifest(STEPS), settings, telemetry=telemetry, clock=model).run()
    assert read == len(given)
    assert max(seen) <= 2 * 500, "no more is read than is being fed and was fed before"
    smallest = min(len(record.value or b"") for record in given)
    assert sink.largest <= 2 * (RUN_BYTES // smallest + 1) * CELLS


@pytest.mark.parametrize("lengths", [[100] * 5000, [RUN_BYTES * 2] * 3, [0] * 10, [5]])
async def test_polled_records_are_fed_in_pieces_of_bounded_size_none_lost_none_twice(lengths):
    fed: list[Polled] = []

    async def feed(polled: Polled) -> None:
        fed.append(polled)
        await asyncio.sleep(0)

    given = [Record(offset, 0, None, b"x" * length) for offset, length in enumerate(lengths)]
    async with asyncio.TaskGroup() as tasks:
        await Lanes(feed).hand(Polled(BURST, given), tasks)
    assert [record.offset for polled in fed for record in polled.records] == list(range(len(given)))
    for polled in fed:
        assert len(polled.records) == 1 or sum(len(record.value) for record in polled.records) <= RUN_BYTES


async def test_partition_that_was_dropped_is_fed_no_further_and_free_at_once():
    fed: list[int] = []
    go = asyncio.Event()

    async def feed(polled: Polled) -> None:
        fed.append(polled.records[0].offset)
        await go.wait()

    lanes = Lanes(feed)
    given = [Record(offset, 0, None, b"x" * RUN_BYTES) for offset in range(3)]
    async with asyncio.TaskGroup() as tasks:
        await lanes.hand(Polled(BURST, given), tasks)
        assert await lanes.free([BURST, OTHER]) == [OTHER]
        assert lanes.busy == 1
        assert await lanes.free([BURST], 0.01) == [], "and no longer than it was asked to wait"
        lanes.drop([BURST])
        assert await lanes.free([BURST]) == [BURST]
        go.set()
    assert fed == [0]


async def test_what_fails_in_a_lane_ends_the_group():
    async def feed(polled: Polled) -> None:
        await asyncio.sleep(0.01)
        raise RuntimeError("out of order")

    async def handing() -> None:
        async with asyncio.TaskGroup() as tasks:
            await Lanes(feed).hand(Polled(BURST, [Record(0, 0, None, b"x")]), tasks)
            await asyncio.sleep(10)

    with pytest.raises(ExceptionGroup) as raised:
        await handing()
    assert raised.group_contains(RuntimeError, match="out of order")
