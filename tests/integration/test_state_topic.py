"""State that outlives its process, in a topic of a real broker."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from model.schema import CycleSteps
from stream.clock import SystemClock
from stream.kafka.changelog import AT_ONCE, KafkaChangelog
from stream.kafka.topics import ensure, ensure_state, state_topic, wanted
from stream.pages import PUBLISHED_KEY, Published, encode
from stream.seams import Partition, Record
from tests.oracle import agree, clean_run
from tests.service import StreamProcess, predictions, produce, settings
from tests.telemetry import artifact, records

FRAMES, CELLS = 400, 4
PACKS = [f"P{number}" for number in range(4)]


@pytest.fixture(scope="module")
def telemetry() -> list[Record]:
    return records(PACKS, FRAMES, CELLS)


def model(folder: Path, window: int) -> Path:
    artifact(folder, CycleSteps(window=window))
    return folder


def events(service: StreamProcess, event: str) -> list[dict[str, Any]]:
    logged = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    return [entry for entry in logged if entry["event"] == event]


async def test_restarted_service_goes_on_from_pages_and_reads_little_telemetry_again(kafka, topic, telemetry, tmp_path):
    given = settings(kafka.bootstrap, topic, model(tmp_path / "model", 8))
    half = len(telemetry) // 2
    await produce(given, telemetry[:half])
    async with StreamProcess(given, "--until-idle", "1") as first:
        assert await first.ended() == 0, first.log
    await produce(given, telemetry[half : half + half // 2])
    async with StreamProcess(given, "--until-idle", "1") as second:
        assert await second.ended() == 0, second.log
    await produce(given, telemetry[half + half // 2 :])
    async with StreamProcess(given, "--until-idle", "1") as third:
        assert await third.ended() == 0, third.log
    agree(await predictions(given), await asyncio.to_thread(clean_run, tmp_path / "model", telemetry), once=True)
    restored = events(third, "state read from pages")
    assert sum(each["cells"] for each in restored) == len(PACKS) * CELLS
    assert all(each["offset"] is not None for each in restored if each["cells"])


async def test_state_topic_is_compacted_and_has_a_partition_for_each_of_the_telemetry(
    kafka, topic, telemetry, tmp_path
):
    given = settings(kafka.bootstrap, topic, model(tmp_path / "model", 8))
    await produce(given, telemetry[:40])
    async with StreamProcess(given, "--until-idle", "1") as service:
        assert await service.ended() == 0, service.log
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([state_topic(given)])
        asked = ConfigResource(ConfigResourceType.TOPIC, state_topic(given), {"cleanup.policy": None})
        (config,) = await admin.describe_configs([asked])
    finally:
        await admin.close()
    assert len(described["partitions"]) == given.topics.partitions
    assert "compact" in str(config.resources)


async def test_a_groups_offset_that_is_behind_what_is_published_repeats_nothing(kafka, topic, telemetry, tmp_path):
    # As a coordinator may answer that was elected a moment ago.
    given = settings(kafka.bootstrap, topic, model(tmp_path / "model", 8))
    half = len(telemetry) // 2
    await produce(given, telemetry[:half])
    async with StreamProcess(given, "--until-idle", "1") as first:
        assert await first.ended() == 0, first.log
    partitions = [TopicPartition(given.topics.telemetry, number) for number in range(given.topics.partitions)]
    group = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=given.kafka.group, enable_auto_commit=False)
    await group.start()
    try:
        group.assign(partitions)
        await group.commit(dict.fromkeys(partitions, 0))
    finally:
        await group.stop()
    await produce(given, telemetry[half:])
    async with StreamProcess(given, "--until-idle", "1") as second:
        assert await second.ended() == 0, second.log
    assert events(second, "the group's offset is behind what is published")
    agree(await predictions(given), await asyncio.to_thread(clean_run, tmp_path / "model", telemetry), once=True)


async def test_state_of_other_steps_is_refused_and_given_up_only_when_told_so(kafka, topic, telemetry, tmp_path):
    given = settings(kafka.bootstrap, topic, model(tmp_path / "short", 8))
    half = len(telemetry) // 2
    await produce(given, telemetry[:half])
    async with StreamProcess(given, "--until-idle", "1") as first:
        assert await first.ended() == 0, first.log
    before = await predictions(given)

    other = given.model_copy(
        update={"model": given.model.model_copy(update={"path": str(model(tmp_path / "long", 12))})}
    )
    async with StreamProcess(other) as refused:
        assert await refused.ended() == 1
    assert "holds another kind of steps" in refused.log
    assert "--state reset" in refused.log

    await produce(given, telemetry[half:])
    for _ in range(2):  # the option may stay on: it gives up nothing that fits
        async with StreamProcess(other, "--state", "reset", "--until-idle", "1") as reset:
            assert await reset.ended() == 0, reset.log
    async with StreamProcess(other, "--until-idle", "1") as kept:
        assert await kept.ended() == 0, kept.log
    assert {each["lineage"] for each in events(kept, "state read from pages") if each["cells"]} == {2}

    # From the committed offset on, all is as the new model would have said from the beginning.
    oracle = await asyncio.to_thread(clean_run, tmp_path / "long", telemetry)
    former = {each["model"] for each in before}
    after = [each for each in await predictions(given) if each["model"] not in former]
    agree(after, {name: oracle[name] for name in oracle if name not in _names(before)}, once=True)


async def test_what_is_read_of_a_partition_is_its_own_however_many_are_read_side_by_side(kafka, topic, tmp_path):
    given = settings(kafka.bootstrap, topic, model(tmp_path / "model", 8))
    partitions = [Partition(given.topics.telemetry, number) for number in range(3 * AT_ONCE)]
    given = given.model_copy(update={"topics": given.topics.model_copy(update={"partitions": len(partitions)})})
    await ensure(given, wanted(given))
    await ensure_state(given)
    written = {
        each: [(b"%d" % at, b"%d of %d" % (at, each.number)) for at in range(each.number)] for each in partitions
    }
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        for partition, pages in written.items():
            noted = [(PUBLISHED_KEY, encode(Published(100 + partition.number)))] if pages else []
            written[partition] = [*pages, *noted]
            for key, value in written[partition]:
                await producer.send(state_topic(given), value, key=key, partition=partition.number)

    changelog = KafkaChangelog(given, SystemClock())

    async def read(partition: Partition) -> tuple[int | None, list[tuple[bytes, bytes | None]]]:
        published = await changelog.published(partition)
        return published, [page async for pages in changelog.read(partition) for page in pages]

    for _ in range(2):  # again by consumers that start anew
        found = await asyncio.gather(*(read(partition) for partition in partitions))
        assert dict(zip(partitions, [pages for _, pages in found], strict=True)) == written
        assert [offset for offset, _ in found] == [None, *(100 + each.number for each in partitions[1:])]


def _names(found: list[dict[str, Any]]) -> set[tuple[str, int, int]]:
    return {(each["pack_id"], each["cell"], each["step"]) for each in found}
