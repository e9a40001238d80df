"""What reads the result topics of a service that is newer, or of another hand: nothing is lost, nothing ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from stream.kafka.broker import EmbeddedBroker
from stream.kafka.topics import ensure, wanted
from stream.settings import Settings
from tests.alerts import alert, rollup
from tests.command_line import CommandLine
from tests.predictions import predict
from tests.service import PATIENCE_S, ROOT, as_environment, settings

ALL_THERE_IS = ("--from", "earliest", "--until-idle", "0.5")
NOT_JSON = b"\xff{not json"


@pytest.fixture
def chosen(embedded_broker: EmbeddedBroker, topic: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with topics of their own, which are there, in the environment of this test."""
    made = settings(embedded_broker.bootstrap, topic, model="cycle")
    for name in [name for name in os.environ if name.startswith("CYCLECAST_")]:
        monkeypatch.delenv(name)
    for name, value in as_environment(made).items():
        monkeypatch.setenv(name, value)
    asyncio.run(ensure(made, wanted(made)))
    return made


@pytest.fixture
def cyclecast(chosen: Settings, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


async def _publish(chosen: Settings, topic: str, *values: bytes, key: bytes = b"P1") -> None:
    async with AIOKafkaProducer(bootstrap_servers=chosen.kafka.bootstrap) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=key, partition=0)


def _newer(record: msgspec.Struct) -> bytes:
    """The record as a newer service may publish it."""
    known = msgspec.to_builtins(record)
    return msgspec.json.encode({"urgency": {"level": 3}, **known, "source": {**known["source"], "lag_ms": 7}})


def test_json_gives_the_record_as_it_came_with_fields_of_a_newer_service(
    cyclecast: CommandLine, chosen: Settings
) -> None:
    topics = chosen.topics
    raised, pack, prediction = _newer(alert("P1")), _newer(rollup("P1")), _newer(predict("P1"))
    asyncio.run(_publish(chosen, topics.alerts, raised))
    asyncio.run(_publish(chosen, topics.packs, pack))
    asyncio.run(_publish(chosen, topics.predictions, prediction))
    for value, *command in (
        (raised, "alerts", "--standing"),
        (raised, "alerts", *ALL_THERE_IS),
        (pack, "packs"),
        (prediction, "predictions", *ALL_THERE_IS),
    ):
        for selection in ((), ("--pack", "P1")):
            ended = cyclecast.invoke(*command, "--json", *selection)
            assert (ended.code, ended.out, ended.err) == (0, value.decode() + "\n", ""), command


def test_what_this_version_cannot_read_is_left_out_and_said_in_a_line(cyclecast: CommandLine, chosen: Settings) -> None:
    topics = chosen.topics
    raised, pack, prediction = (msgspec.json.encode(each) for each in (alert("P1"), rollup("P1"), predict("P1")))
    another_kind = raised.replace(b'"outlier"', b'"thermal"')
    asyncio.run(_publish(chosen, topics.alerts, another_kind, NOT_JSON, raised))
    asyncio.run(_publish(chosen, topics.packs, NOT_JSON, key=b"P0"))
    asyncio.run(_publish(chosen, topics.packs, pack))
    asyncio.run(_publish(chosen, topics.predictions, NOT_JSON, prediction))
    for unread, *command in (
        (1, "packs"),
        (2, "alerts", "--standing"),
        (2, "alerts", *ALL_THERE_IS),
        (1, "predictions", *ALL_THERE_IS),
    ):
        ended = cyclecast.invoke(*command)
        assert (ended.code, ended.err.count("\n")) == (0, unread), ended
        assert ended.err.startswith(f"{getattr(topics, command[0])} 0:0 is left out: ")
        assert "P1" in ended.out
    kept = cyclecast.invoke("alerts", *ALL_THERE_IS, "--json", "--pack", "P1")
    assert kept.out.encode() == another_kind + b"\n" + raised + b"\n"


@pytest.mark.parametrize("command", ["predictions", "alerts"])
def test_who_follows_a_topic_ends_on_ctrl_c_with_130_and_without_a_word(chosen: Settings, command: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "cyclecast", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("event time")
        process.send_signal(signal.SIGINT)
        assert (*process.communicate(timeout=PATIENCE_S), process.returncode) == ("", "", 130)
