"""The service as a process on a real broker: nothing is lost, whatever ends it."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from model.schema import CycleSteps
from stream.kafka.broker import EmbeddedBroker
from stream.seams import Record
from tests.kafka.ports import own_ports
from tests.oracle import Oracle, agree, clean_run
from tests.service import StreamProcess, consumed, predictions, produce, settings, until_predicted
from tests.telemetry import artifact, records

STEPS = CycleSteps(window=8)
PACKS = [f"P{number}" for number in range(6)]
FRAMES, CELLS = 800, 4
EXPECTED = len(PACKS) * CELLS * (FRAMES // 40 - 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "artifact"
    artifact(folder, STEPS)
    return folder


@pytest.fixture(scope="module")
def telemetry() -> list[Record]:
    return records(PACKS, FRAMES, CELLS)


@pytest.fixture(scope="module")
def oracle(model: Path, telemetry: list[Record]) -> Oracle:
    found = clean_run(model, telemetry)
    assert len(found) == EXPECTED
    return found


@pytest.fixture(params=["apache-kafka", "embedded"])
def bootstrap(request: pytest.FixtureRequest) -> str:
    broker = request.getfixturevalue("kafka" if request.param == "apache-kafka" else "embedded_broker")
    return str(broker.bootstrap)


async def test_every_expected_prediction_is_published_once_by_a_clean_run(bootstrap, topic, model, telemetry, oracle):
    given = settings(bootstrap, topic, model)
    await produce(given, telemetry)
    async with StreamProcess(given, "--until-idle", "2") as service:
        assert await service.ended() == 0, service.log
    agree(await predictions(given), oracle, once=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_no_prediction_is_missing_or_twice_after_the_service_was_ended_and_started_again(
    kafka, topic, model, telemetry, oracle, number
):
    given = settings(kafka.bootstrap, topic, model, batch={"max_windows": 8})
    await produce(given, telemetry)
    async with StreamProcess(given) as service:
        await until_predicted(given, EXPECTED // 4)
        service.send(number)
        code = await service.ended()
        assert code == (0 if number is signal.SIGTERM else -9), service.log
    between = len(await predictions(given))
    async with StreamProcess(given, "--until-idle", "2") as service:
        assert await service.ended() == 0, service.log
    found = await predictions(given)
    agree(found, oracle, once=True)
    assert between >= EXPECTED // 4


async def test_members_come_and_go_and_no_prediction_is_missing_or_twice(kafka, topic, model, telemetry, oracle):
    given = settings(kafka.bootstrap, topic, model, batch={"max_windows": 8})
    half = len(telemetry) // 2
    async with StreamProcess(given) as first:
        await produce(given, telemetry[:half])
        await until_predicted(given, EXPECTED // 8)
        async with StreamProcess(given) as second:
            await second.said("streaming")
            await produce(given, telemetry[half:])
            await until_predicted(given, EXPECTED // 2 + EXPECTED // 8)
            first.send(signal.SIGTERM)
            assert await first.ended() == 0, first.log
            await until_predicted(given, EXPECTED)
            second.send(signal.SIGTERM)
            assert await second.ended() == 0, second.log
    agree(await predictions(given), oracle, once=True)


async def test_probes_and_metrics_tell_what_the_service_does(kafka, topic, model, telemetry):
    given = settings(kafka.bootstrap, topic, model)
    async with StreamProcess(given) as service:
        await service.said("streaming")
        await produce(given, telemetry)
        await until_predicted(given, EXPECTED)
        expected = {
            "cyclecast_predictions_total": EXPECTED,
            'cyclecast_records_total{result="ok"}': len(telemetry),
            "cyclecast_cells": len(PACKS) * CELLS,
            **{f'cyclecast_lag_records{{partition="{number}"}}': 0 for number in range(4)},
        }
        metrics = await service.until_metrics(lambda found: expected.items() <= found.items())
        assert metrics['cyclecast_transactions_total{result="committed"}'] > 0
        ready = json.loads(await service.get("/readyz"))
        assert ready["ok"] is True
        assert ready["parts"]["delivery"]["detail"] == "exactly-once"
        assert json.loads(await service.get("/healthz"))["ok"] is True
        service.send(signal.SIGTERM)
        assert await service.ended() == 0, service.log


async def test_service_waits_for_a_broker_that_comes_up_later(topic, model, telemetry, oracle):
    (port,) = own_ports(1)
    given = settings(f"127.0.0.1:{port}", topic, model)
    async with StreamProcess(given) as service:
        await service.said("waiting for the broker")
        async with EmbeddedBroker(port=port):
            await produce(given, telemetry)
            await until_predicted(given, EXPECTED)
            agree(await predictions(given), oracle, once=True)
            service.send(signal.SIGTERM)
            assert await service.ended() == 0, service.log


async def test_service_that_still_waits_for_its_broker_ends_on_a_signal(topic, model):
    given = settings("127.0.0.1:1", topic, model)
    async with StreamProcess(given) as service:
        await service.said("waiting for the broker")
        service.send(signal.SIGTERM)
        assert await service.ended() == 0, service.log


async def test_empty_topic_is_created_and_read_without_harm(kafka, topic, model):
    given = settings(kafka.bootstrap, topic, model)
    async with StreamProcess(given, "--until-idle", "1") as service:
        assert await service.ended() == 0, service.log
    assert await predictions(given) == []
    assert await consumed(given, given.topics.telemetry) == []


async def test_record_of_ten_megabytes_is_a_dead_letter_unchanged_and_the_stream_goes_on(
    kafka, topic, model, telemetry, oracle, make_topic
):
    given = settings(kafka.bootstrap, topic, model)
    large = b"{" + b"x" * 10_000_000
    wide = await make_topic(kafka.bootstrap, 1, **{"max.message.bytes": "20000000"})
    given = given.model_copy(update={"topics": given.topics.model_copy(update={"telemetry": wide})})
    await produce(given, [*telemetry[:100], Record(0, 0, b"big", large), *telemetry[100:]])
    async with StreamProcess(given, "--until-idle", "2") as service:
        assert await service.ended() == 0, service.log
    letters = await consumed(given, given.topics.dead_letters)
    assert [(letter.key, letter.value) for letter in letters] == [(b"big", large)]
    assert dict(letters[0].headers)["reason"] == b"too_large"
    agree(await predictions(given), oracle, once=True)


async def test_dead_letter_too_large_for_its_topic_keeps_its_headers_and_the_stream_goes_on(
    bootstrap, topic, model, telemetry, oracle, make_topic
):
    given = settings(bootstrap, topic, model)
    wide = await make_topic(bootstrap, 1, **{"max.message.bytes": "9000000"})
    narrow = await make_topic(bootstrap, 1, **{"max.message.bytes": "1000000"})
    given = given.model_copy(
        update={"topics": given.topics.model_copy(update={"telemetry": wide, "dead_letters": narrow})}
    )
    await produce(given, [*telemetry[:100], Record(0, 0, b"big", b"x" * 4_000_000), *telemetry[100:]])
    async with StreamProcess(given, "--until-idle", "2") as service:
        assert await service.ended() == 0, service.log
    (letter,) = await consumed(given, narrow)
    headers = dict(letter.headers)
    assert (letter.key, headers["reason"], headers["topic"]) == (b"big", b"too_large", wide.encode())
    if letter.value is None:
        assert headers["omitted_bytes"] == b"4000000"
        assert "record too large for its topic" in service.log
    else:  # a broker that keeps no limit keeps the record whole
        assert len(letter.value) == 4_000_000
    agree(await predictions(given), oracle, once=True)


async def test_records_deleted_before_they_were_read_are_counted_and_said(kafka, topic, model, telemetry):
    given = settings(kafka.bootstrap, topic, model)
    given = given.model_copy(update={"topics": given.topics.model_copy(update={"partitions": 1})})
    await produce(given, telemetry[:1200])
    async with StreamProcess(given, "--until-idle", "1") as service:
        assert await service.ended() == 0, service.log
    await produce(given, telemetry[1200:])
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(given.topics.telemetry, 0): RecordsToDelete(before_offset=1300)})
    await admin.close()
    async with StreamProcess(given, "--until-idle", "1") as service:
        assert await service.ended() == 0, service.log
    lost = [json.loads(line) for line in service.log.splitlines() if "deleted before they were read" in line]
    assert [entry["records"] for entry in lost] == [100]


async def test_records_deleted_before_a_running_service_are_counted_and_it_goes_on(kafka, topic, model, telemetry):
    given = settings(kafka.bootstrap, topic, model)
    given = given.model_copy(update={"topics": given.topics.model_copy(update={"partitions": 1})})
    await produce(given, telemetry[:1200])
    async with StreamProcess(given) as service:
        await until_predicted(given, 24)
        await asyncio.sleep(1)
        service.send(signal.SIGSTOP)
        await produce(given, telemetry[1200:1260])  # may still answer the fetch that was on its way
        await produce(given, telemetry[1260:2400])
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        await admin.delete_records({TopicPartition(given.topics.telemetry, 0): RecordsToDelete(before_offset=2300)})
        await admin.close()
        service.send(signal.SIGCONT)
        await service.said("deleted before they were read")
        await produce(given, telemetry[2400:])
        await until_predicted(given, from_offset=3600)
        service.send(signal.SIGTERM)
        assert await service.ended() == 0, service.log


async def test_group_that_stands_beyond_the_log_is_an_error_and_no_silent_jump(kafka, topic, model, telemetry):
    given = settings(kafka.bootstrap, topic, model)
    await produce(given, telemetry[:60])
    # Left to itself it would commit where it stands, when it stops.
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=given.kafka.group, enable_auto_commit=False)
    await consumer.start()
    partition = TopicPartition(given.topics.telemetry, 0)
    consumer.assign([partition])
    await consumer.commit({partition: 10_000})
    await consumer.stop()
    async with StreamProcess(given, "--until-idle", "5") as service:
        assert await service.ended() == 1, service.log
    assert "stands at offset 10000" in service.log
    assert "reset the offsets" in service.log
    assert "Traceback" not in service.log


async def test_corrupt_artifact_ends_the_service_at_once_with_one_clear_line(topic, model, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in model.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = bytearray((broken / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (broken / "model.safetensors").write_bytes(bytes(weights))
    async with StreamProcess(settings("127.0.0.1:1", topic, broken)) as service:
        assert await service.ended() in (1, 2)
    assert "sha256" in service.log
    assert "Traceback" not in service.log
