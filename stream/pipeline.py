"""The flow of the stream, from polled records to committed offsets."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from functools import partial

import numpy as np
import structlog
from numpy.typing import NDArray

from model.schema import CycleSteps, SampleSteps
from model.steps import DUPLICATE, LATE, MASKED, new_cursor
from stream import faults
from stream.alarms import KINDS, Rule
from stream.batch import Batch, Segment
from stream.batcher import Batcher
from stream.cells import Admitted, Cells
from stream.checkpoint import Checkpoint
from stream.clock import Clock
from stream.codec import Codec
from stream.delivery import Outlet
from stream.lanes import Lanes
from stream.offsets import Offsets, Ticket
from stream.outlook import Outlook
from stream.publisher import Publisher
from stream.refusal import Refusal
from stream.restoration import Restoration
from stream.runner import ModelRunner
from stream.score import Score
from stream.seams import Changelog, Message, Partition, Polled, Received, Source
from stream.settings import LimitSettings, StateSettings
from stream.shadow import Shadow
from stream.telemetry import Telemetry
from stream.truths import Measured

log = structlog.get_logger()


class Pipeline:
    """Reads telemetry, keeps cells, predicts what is due, publishes it, and commits what is published."""

    def __init__(
        self,
        source: Source,
        outlet: Outlet,
        *,
        codec: Codec,
        steps: SampleSteps | CycleSteps,
        batcher: Batcher,
        runner: ModelRunner,
        publisher: Publisher,
        telemetry: Telemetry,
        clock: Clock,
        limits: LimitSettings,
        adapt_intervals: bool,
        rule: Rule,
        state: StateSettings,
        changelog: Changelog | None = None,
    ) -> None:
        self.source = source
        self.outlet = outlet
        self.codec = codec
        self.steps = steps
        self.batcher = batcher
        self.runner = runner
        self.publisher = publisher
        self.telemetry = telemetry
        self.clock = clock
        self.limits = limits
        self.adapt_intervals = adapt_intervals
        self.rule = rule
        self.state = state
        self.changelog = changelog
        self.offsets = Offsets()
        self.cells: dict[Partition, Cells] = {}
        self.checkpoints: dict[Partition, Checkpoint] = {}
        self.scores: dict[Partition, Score] = {}
        self.outlooks: dict[Partition, Outlook] = {}
        telemetry.cells.set_function(lambda: sum(map(len, self.cells.values())))
        for at, kind in enumerate(KINDS):
            telemetry.alerts_standing.labels(kind.value).set_function(partial(self._standing, at))
        self.lanes = Lanes(self._feed)
        self.shadow: Shadow | None = None
        self._moved = asyncio.Event()
        self._in_order = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Runs until the source ends; then everything read is published, acknowledged and committed."""
        self.runner.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                background = [tasks.create_task(self._predicted()), tasks.create_task(self.outlet.run())]
                async for polled in self.source.poll(self):
                    if polled is not None and polled.replayed:
                        await self._feed(polled)
                    elif polled is not None:
                        await self.lanes.hand(polled, tasks)
                    self._fire()
                await self._settled()
                for task in background:
                    task.cancel()
        finally:
            await self.runner.stop()

    async def _feed(self, polled: Polled) -> None:
        """Records to telemetry to cell state to due windows, which go to the model batch by batch."""
        partition, records, replayed = polled
        cells = self.cells.get(partition)
        if cells is None:
            cells = self.cells[partition] = self._new_cells()
        cells.next_offset = None
        end = records[-1].offset + 1
        ticket = Ticket(end) if replayed else self.offsets.begin(partition, end, records[-1].timestamp)

        frames, refused = self.codec.decode(records)
        offset = np.array([record.offset for record in records], np.int64)[frames.position]
        received_ms = self._received_ms(records)[frames.position]
        counts = cells.state.counts.copy()
        admissions = cells.admit(
            frames, offset, received_ms, lambda position: self.codec.read(records[position]), replayed=replayed
        )
        for admitted, refused_later in admissions:
            refused += refused_later
            await self._fold(partition, cells, admitted, ticket, emit=not replayed)

        if self.cells.get(partition) is not cells:
            return  # discarded meanwhile: what stands there now is not these records' state
        cells.next_offset = end
        faults.reach("replayed" if replayed else "fed")
        if not replayed:
            letters = [(records[refusal.position], refusal) for refusal in sorted(refused)]
            ticket.done(self.publisher.dead_letters(partition, letters) + self._pages(partition, cells, ticket))
            self._count(len(records), refused, cells.state.counts - counts)
            await self._hand_over()

    async def _fold(
        self, partition: Partition, cells: Cells, admitted: Admitted, ticket: Ticket, *, emit: bool
    ) -> None:
        """Admitted frames to cell state, and the windows that they make due to the open batch."""
        cursor = new_cursor()
        measured = Measured(admitted.block, cells.packs) if emit else None
        while cursor[0] < admitted.block.frames:
            async with self.lanes.turn:
                batch = await self._room()
                start = batch.filled
                stop = cells.update(admitted, cursor, batch.share(self.lanes.busy), start, emit=emit)
                truths = measured.before(int(cursor[0]), batch.windows.frame[start:stop]) if measured else ()
                ticket.add(stop - start, truths)
                owners = cells.packs.owners(batch.windows.slot[start:stop])
                segment = Segment(partition, owners, ticket, admitted.offset, start, stop)
                self.batcher.add(segment, self.clock.monotonic_s())

    async def _predicted(self) -> None:
        """Takes batches back from the model, in order, and adds their predictions to the tickets that wait for them."""
        while True:
            predicted = await self.runner.results.get()
            batch, quantiles, error = predicted.batch, predicted.quantiles, predicted.error
            faults.reach("predicted")
            self.batcher.predicted(predicted.padded, predicted.seconds)
            self.telemetry.batch_done(predicted.asked, predicted.padded, predicted.waited_s, predicted.seconds)
            self._fire()
            if error is not None or quantiles is None:
                raise RuntimeError("the model failed on a batch of windows") from error
            if self.shadow is not None:
                self.shadow.offer(batch, quantiles, busy=self.batcher.room() is None)
            told = self.publisher.predictions(batch, quantiles, predicted.model_id)
            for segment in batch.segments:
                segment.ticket.answered(told.part(segment.start, segment.stop))
            self.batcher.give_back(batch)
            await self._hand_over()

    async def _hand_over(self) -> None:
        """Gives the outlet what is worked off: results together with the offset up to which nothing is left to do."""
        self._moved.set()
        async with self._in_order:
            moved = self.offsets.take()
            for partition, tickets in moved.items():  # at once: what is put off could meet a state restored meanwhile
                self._follow(partition, tickets)
            for partition, tickets in moved.items():
                await self.outlet.publish(partition, tickets)

    def _follow(self, partition: Partition, tickets: Sequence[Ticket]) -> None:
        """Holds what is worked off against measured capacities, which widen intervals, and sees what needs a person."""
        if partition not in self.scores:
            self.scores[partition], self.outlooks[partition] = self._new_score(), self._new_outlook(partition)
        score, outlook = self.scores[partition], self.outlooks[partition]
        checkpoint = self.checkpoints.get(partition)
        for ticket in tickets:
            ticket.messages += self._scored(score, ticket)
            ticket.messages += self._seen(outlook, ticket, score.width.factor if score.adapts else None)
            if checkpoint is not None:
                ticket.messages += self._written(checkpoint.learned(score) + checkpoint.seen(outlook))
        if score.followed:
            self.telemetry.truths_waiting.set(sum(each.waiting for each in self.scores.values()))
            if score.adapts:
                self.telemetry.interval_factor.labels(str(partition.number)).set(score.width.factor)

    def _scored(self, score: Score, ticket: Ticket) -> list[Message]:
        """The ticket's predictions; where no truth ever came, they are as they were told."""
        messages = [message for answers in ticket.told for message in answers.messages]
        if not (score.followed or ticket.truths):
            return messages
        return self.publisher.settled(messages, lambda told: score.settle(told, ticket.truths))

    def _seen(self, outlook: Outlook, ticket: Ticket, factor: float | None) -> list[Message]:
        """The alerts that the ticket's predictions begin and end, and its packs as they are after it."""
        seen = outlook.settle(ticket.told, factor)
        gone = {pack_id: alerts for pack_id in ticket.gone if (alerts := outlook.forget(pack_id)) is not None}
        seen.alerts.extend(alert for alerts in gone.values() for alert in alerts)
        for alert in seen.alerts:
            self.telemetry.alerts.labels(alert.kind.value, "raised" if alert.raised else "over").inc()
        return self.publisher.seen(outlook.partition, seen, gone)

    async def _room(self) -> Batch:
        """The open batch; waits while all batches are on their way, and with it the source waits."""
        while (batch := self.batcher.room()) is None:
            self._fire()
            if (batch := self.batcher.room()) is not None:
                break
            self._moved.clear()
            await self._moved.wait()
        return batch

    def _fire(self, *, draining: bool = False) -> None:
        """Sends the open batch to the model when it is due; otherwise looks again at its deadline."""
        now_s = self.clock.monotonic_s()
        if (why := self.batcher.due(now_s, draining=draining)) is not None:
            batch = self.batcher.take()
            self.telemetry.batch_dispatch.labels(why.value).inc()
            self.runner.submit(batch)
        elif self._timer is None and (closes_s := self.batcher.closes_s()) is not None:
            self._timer = asyncio.get_running_loop().call_later(closes_s - now_s, self._on_deadline)

    def _on_deadline(self) -> None:
        self._timer = None
        self._fire()

    async def _settled(self, partitions: Collection[Partition] | None = None) -> None:
        """Waits until all results (of the partitions, if named) are published and committed."""
        await self.lanes.settled(partitions)
        while self.offsets.busy(partitions):
            self._fire(draining=True)
            self._moved.clear()
            await self._moved.wait()
        await self._hand_over()
        await self.outlet.flush(partitions)

    def held(self, partition: Partition) -> int | None:
        """The next offset that the partition's state waits for; none where there is no state."""
        cells = self.cells.get(partition)
        return None if cells is None else cells.next_offset

    async def free(self, partitions: Collection[Partition], within_s: float | None = None) -> Collection[Partition]:
        """Waits until one of the partitions can be handed more records, or until the time is over; those that can."""
        return await self.lanes.free(partitions, within_s)

    async def acquire(self, partition: Partition) -> int | None:
        """From now on only this process publishes for the partition; returns before which offset all is published."""
        await self.outlet.open(partition)
        return None if self.changelog is None else await self.changelog.published(partition)

    async def restore(self, partition: Partition, committed: int) -> int | None:
        """Rebuilds the partition's state from its pages, where there are any that can be gone on from."""
        self.discard([partition])
        if self.changelog is None:
            return None
        restoration = Restoration(self._new_cells)
        async for written in self.changelog.read(partition):
            restoration.read(written)
            faults.reach("restoring")
        cells = restoration.finish(committed, reset=self.state.start == "reset")
        log.info(
            "state read from pages",
            partition=partition.number,
            cells=len(cells),
            offset=cells.next_offset,
            committed=committed,
            lineage=restoration.lineage,
        )
        checkpoint = Checkpoint(
            cells, self.changelog.topic, partition.number, self.state.page_interval_s, restoration.lineage
        )
        score, outlook = self._new_score(), self._new_outlook(partition)
        restoration.learned(score)
        restoration.seen(outlook)
        checkpoint.stale = restoration.stale
        self.cells[partition], self.checkpoints[partition] = cells, checkpoint
        self.scores[partition], self.outlooks[partition] = score, outlook
        return cells.next_offset

    async def release(self, partitions: Collection[Partition]) -> None:
        """Publishes and commits what is on its way; the state stays, in case the partition comes back."""
        try:
            await self._settled(partitions)
        except BaseException:
            self.discard(partitions)  # it stands where nothing is committed
            raise
        finally:
            self.offsets.forget(partitions)
            await self.outlet.close(partitions)

    def discard(self, partitions: Collection[Partition]) -> None:
        """Drops the partitions' state and the results that are still on their way."""
        self.lanes.drop(partitions)
        for partition in partitions:
            self.cells.pop(partition, None)
            self.checkpoints.pop(partition, None)
            self.outlooks.pop(partition, None)
            if self.scores.pop(partition, None) is not None:
                self.telemetry.interval_factor.remove(str(partition.number))
        self.telemetry.truths_waiting.set(sum(each.waiting for each in self.scores.values()))
        self.offsets.forget(partitions)

    def _received_ms(self, records: Sequence[Received]) -> NDArray[np.int64]:
        """When records arrived, int64 [len(records)]: what their event time may not run ahead of.

        The broker's or producer's timestamp, so that reading a record again judges it the same way.
        """
        now_ms = self.clock.time_ms()
        stamps = np.array([record.timestamp for record in records], np.int64)
        return np.where(stamps > 0, np.minimum(stamps, now_ms), now_ms)

    def _count(self, records: int, refused: Sequence[Refusal], samples: NDArray[np.int64]) -> None:
        self.telemetry.records.labels("ok").inc(records - len(refused))
        self.telemetry.records.labels("refused").inc(len(refused))
        for refusal in refused:
            self.telemetry.dead_letters.labels(refusal.reason.value).inc()
        self.telemetry.late_records.inc(int(samples[LATE]))
        self.telemetry.duplicate_records.inc(int(samples[DUPLICATE]))
        self.telemetry.masked_samples.inc(int(samples[MASKED]))

    def _new_cells(self) -> Cells:
        return Cells(self.steps, self.limits, self.state.idle_ttl_s)

    def _new_score(self) -> Score:
        return Score(
            adapts=self.adapt_intervals,
            max_cells=self.limits.partition_cells,
            tell=lambda fate: self.telemetry.truths.labels(fate.value).inc(),
            scored=self.telemetry.scored,
        )

    def _standing(self, kind: int) -> float:
        return float(sum(outlook.standing[kind] for outlook in self.outlooks.values()))

    def _new_outlook(self, partition: Partition) -> Outlook:
        return Outlook(partition, self.rule)

    def _pages(self, partition: Partition, cells: Cells, ticket: Ticket) -> list[Message]:
        """The pages of state that go with the ticket's records."""
        ended = (pack.pack_id for pack in cells.packs.changes.ended)
        ticket.gone = [pack_id for pack_id in ended if pack_id not in cells.packs.by_id]
        checkpoint = self.checkpoints.get(partition)
        if checkpoint is None:
            cells.packs.take_changes()
            return []
        return self._written(checkpoint.due(ticket.next_offset, self.clock.monotonic_s()))

    def _written(self, pages: list[Message]) -> list[Message]:
        if pages:
            faults.reach("paged")
            self.telemetry.state_bytes.inc(sum(len(page.value or b"") for page in pages))
        return pages
