"""The commands on a broker, as a person would type them: replay, stream, what subscribes, dead letters, doctor."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiokafka import AIOKafkaProducer

from cyclecast.workers import Workers
from model.artifact import save
from model.schema import CycleSteps
from stream.kafka.broker import EmbeddedBroker
from stream.kafka.probe import partitions_by_topic, stored
from stream.kafka.topics import ensure, wanted
from stream.records import Alert, AlertKind, PackRollup
from stream.settings import Settings, environment_name
from tests.alerts import alert, rollup
from tests.command_line import CommandLine
from tests.kafka.cluster import KafkaNode
from tests.service import PATIENCE_S, ROOT, as_environment, settings
from tests.small_model import small_artifact

CYCLES, ROWS = 6, 40
NOT_JSON = b"\xff{not json"
TOO_HIGH = b'{"v":1,"kind":"cell","pack_id":"X","cell":0,"t_ms":1700000000000,"current_a":1,"voltage_v":65.0}'
AGAIN = b'{"v":1,"kind":"cell"}'


@pytest.fixture
def model(tmp_path: Path) -> Path:
    small = small_artifact(CycleSteps(window=12))
    save(tmp_path / "model", small.manifest, small.forecaster.network.state_dict(), "card")
    return tmp_path / "model"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A pack of three cells, cycled ``CYCLES`` times; the last cycle stays open."""
    rows = CYCLES * ROWS
    at = np.arange(rows)
    charging = at % ROWS < ROWS // 2
    voltage_v = np.where(charging, 3.2 + 0.02 * (at % ROWS), 3.6 - 0.02 * (at % ROWS - ROWS // 2))
    columns = {
        "pack_id": ["P1"] * rows,
        "t_ms": 1_704_700_000_000 + 60_000 * at,
        "current_a": np.where(charging, 2.0, -2.0).astype(np.float32),
        "voltage_v": [[float(value), float(value) + 0.01, float(value) - 0.01] for value in voltage_v],
        "temp_degc": [[25.0]] * rows,
        "cycle": (at // ROWS + 1).astype(np.int32),
    }
    path = tmp_path / "P1.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture(params=["kafka", "embedded_broker"])
def broker(request: pytest.FixtureRequest) -> KafkaNode | EmbeddedBroker:
    """The real one, and the one that newcomers use."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def chosen(broker: KafkaNode | EmbeddedBroker, topic: str, model: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with topics of their own, in the environment of this test."""
    made = settings(broker.bootstrap, topic, model)
    for name in [name for name in os.environ if name.startswith("CYCLECAST_")]:
        monkeypatch.delenv(name)
    for name, value in as_environment(made).items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def cyclecast(
    chosen: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> CommandLine:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return CommandLine(capsys)


async def _create_topics(chosen: Settings) -> None:
    """Creates them, and waits until the broker lists them too."""
    topics = wanted(chosen)
    await ensure(chosen, topics)
    while not {topic.name for topic in topics} <= (await partitions_by_topic(chosen)).keys():  # noqa: ASYNC110 - a broker gives no event
        await asyncio.sleep(0.05)


async def _send(chosen: Settings, *values: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> None:
    async with AIOKafkaProducer(bootstrap_servers=chosen.kafka.bootstrap) as producer:
        for value in values:
            await producer.send_and_wait(chosen.topics.telemetry, value, key=b"X", headers=list(headers))


async def _publish(chosen: Settings, *records: Alert | PackRollup | str) -> None:
    """Publishes them as the service does; a pack's id alone is that of one that was forgotten."""
    async with AIOKafkaProducer(bootstrap_servers=chosen.kafka.bootstrap) as producer:
        for record in records:
            topic = chosen.topics.alerts if isinstance(record, Alert) else chosen.topics.packs
            value = None if isinstance(record, str) else msgspec.json.encode(record)
            key = record if isinstance(record, str) else record.pack_id
            await producer.send_and_wait(topic, value, key=key.encode())


async def _held(chosen: Settings, topic: str) -> list[tuple[bytes, dict[str, bytes]]]:
    return [(each.value, dict(each.headers)) async for records in stored(chosen, topic) for each in records]


async def _until_held(chosen: Settings, records: int) -> None:
    """Waits until the telemetry topic holds so many records."""
    while len(await _held(chosen, chosen.topics.telemetry)) < records:  # noqa: ASYNC110 - a broker gives no event
        await asyncio.sleep(0.1)


def _read_one_and_leave() -> None:
    """What ``| head -1`` does; the command ends quietly."""
    command = [sys.executable, "-m", "cyclecast", "predictions", "--from", "earliest", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["pack_id"] == "P1"
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr.read() == ""


def test_what_is_replayed_is_predicted_and_read(cyclecast: CommandLine, chosen: Settings, recording: Path) -> None:
    replayed = cyclecast.invoke("replay", str(recording), "--json")
    assert replayed.code == 0
    counts = json.loads(replayed.out)
    assert (counts["records"], counts["cell_samples"], counts["packs"]) == (CYCLES * ROWS, 3 * CYCLES * ROWS, 1)

    assert cyclecast.invoke("stream", "--until-idle", "1").code == 0
    read = cyclecast.invoke("predictions", "--from", "earliest", "--until-idle", "0.5", "--json")
    assert read.code == 0
    predictions = [json.loads(line) for line in read.out.splitlines()]
    identities = {(each["pack_id"], each["cell"], each["step"]) for each in predictions}
    assert identities == {("P1", cell, step) for cell in range(3) for step in range(1, CYCLES)}
    assert len(predictions) == len(identities)

    shown = cyclecast.invoke("predictions", "--from", "earliest", "--until-idle", "0.5", "--pack", "P1")
    assert len(shown.out.splitlines()) == 1 + len(predictions)
    assert "insufficient_data" in shown.out
    others = cyclecast.invoke("predictions", "--from", "earliest", "--until-idle", "0.5", "--pack", "P2", "--json")
    assert (others.code, others.out) == (0, "")

    _read_one_and_leave()

    packs = [json.loads(line) for line in cyclecast.invoke("packs", "--json").out.splitlines()]
    assert [(each["pack_id"], each["cells"]) for each in packs] == [("P1", 3)]

    held = json.loads(cyclecast.invoke("inspect", f"topic:{chosen.topics.telemetry}", "--json").out)
    assert held["records"] == CYCLES * ROWS
    assert len(held["partitions"]) == chosen.topics.partitions
    assert held["last"]["key"] == "P1"
    assert json.loads(held["last"]["value"])["cycle"] == CYCLES

    again = cyclecast.invoke("replay", str(recording), "--resume", "--json")
    assert (again.code, json.loads(again.out)["records"]) == (0, 0)


def test_a_dead_letter_goes_back_once_and_stays_when_it_fails_again(cyclecast: CommandLine, chosen: Settings) -> None:
    topics = chosen.topics
    asyncio.run(_create_topics(chosen))
    asyncio.run(_send(chosen, NOT_JSON, TOO_HIGH))
    asyncio.run(_send(chosen, AGAIN, headers=(("redriven", b"1"),)))  # as an earlier redrive sends it
    assert cyclecast.invoke("stream", "--until-idle", "1").code == 0

    listed = [json.loads(line) for line in cyclecast.invoke("dlq", "list", "--json").out.splitlines()]
    place = {each["headers"]["reason"]: each["place"] for each in listed}
    assert set(place) == {"not_json", "out_of_range", "missing_field"}
    only = cyclecast.invoke("dlq", "list", "--reason", "not_json", "--json")
    assert [json.loads(line)["place"] for line in only.out.splitlines()] == [place["not_json"]]
    table = cyclecast.invoke("dlq", "list").out
    assert "3 dead letters" in table
    assert "65.0 V is outside" in table
    assert "missing_field (redriven)" in table

    shown = json.loads(cyclecast.invoke("dlq", "show", place["out_of_range"], "--json").out)
    assert shown["value"].encode() == TOO_HIGH
    assert shown["headers"]["topic"] == topics.telemetry
    missing = cyclecast.invoke("dlq", "show", "0:99")
    assert missing.code == 1
    assert missing.err.count("\n") == 1

    def redriven(*arguments: str) -> tuple[int, int, int]:
        ended = cyclecast.invoke("dlq", "redrive", "--json", *arguments)
        assert ended.code == 0
        return tuple(json.loads(ended.out).values())

    def sent_back() -> list[bytes]:
        return [value for value, headers in asyncio.run(_held(chosen, topics.telemetry)) if "redriven" in headers]

    assert redriven("--reason", "out_of_range") == (1, 0, 0)
    assert redriven() == (2, 1, 0)
    assert redriven() == (0, 0, 0)
    assert sorted(sent_back()) == sorted([AGAIN, TOO_HIGH, TOO_HIGH, NOT_JSON])
    assert redriven(place["missing_field"]) == (1, 0, 0)
    assert sent_back().count(AGAIN) == 2


def test_packs_are_listed_as_they_are_now_the_lowest_soh_first(cyclecast: CommandLine, chosen: Settings) -> None:
    asyncio.run(_create_topics(chosen))
    nothing = cyclecast.invoke("packs")
    assert (nothing.code, nothing.out.count("\n")) == (0, 1)
    assert "holds no pack" in nothing.out
    packs = (rollup("P1", 0.95), rollup("P2", 0.9), rollup("P3", 0.5), rollup("P4", None))
    newer = rollup("P1", 0.812, weakest=7, outlier=2, end_of_life=1)
    asyncio.run(_publish(chosen, *packs, newer, "P3"))

    listed = cyclecast.invoke("packs", "--json")
    assert listed.code == 0
    assert [msgspec.json.decode(line, type=PackRollup) for line in listed.out.splitlines()] == [newer, *packs[1::2]]
    title, names, first, *rest = cyclecast.invoke("packs").out.splitlines()
    assert title.strip().endswith(": 3 packs")
    assert names.split() == ["pack", "SOH", "spread", "cycles", "left", "p(warranty)", "weakest", "cell", "alerts"]
    told = "P1 0.812 [0.802..0.822] 0.050 100 [90..110] 0.25 7 2 outlier, 1 end_of_life"
    assert " ".join(first.split()) == told
    assert [line.split()[0] for line in rest] == ["P2", "P4"]
    assert " ".join(rest[1].split()) == "P4 - - - - - -"
    one = cyclecast.invoke("packs", "--pack", "P2", "--json")
    assert [json.loads(line)["pack_id"] for line in one.out.splitlines()] == ["P2"]
    assert "no pack P3 among its 3" in cyclecast.invoke("packs", "--pack", "P3").out


def test_alerts_are_read_as_they_come_and_those_that_stand_are_listed(cyclecast: CommandLine, chosen: Settings) -> None:
    asyncio.run(_create_topics(chosen))
    assert "is empty" in cyclecast.invoke("alerts", "--standing").out
    first, second = alert("P1", 7, step=4), alert("P1", 7, AlertKind.END_OF_LIFE, 5)
    over = alert("P1", 7, step=9, raised=False)
    third = alert("P2", 0, AlertKind.WARRANTY, 8)
    asyncio.run(_publish(chosen, first, second, third, over, first))  # the last is one repeated

    def told(*arguments: str) -> list[Alert]:
        ended = cyclecast.invoke("alerts", "--json", *arguments)
        assert ended.code == 0, ended
        return [msgspec.json.decode(line, type=Alert) for line in ended.out.splitlines()]

    assert told("--standing") == [third, second]
    assert told("--standing", "--pack", "P1") == [second]
    table = cyclecast.invoke("alerts", "--standing").out
    assert "2 stand" in table
    assert "warranty at step 8" in table
    assert "no alert stands for pack P3" in cyclecast.invoke("alerts", "--standing", "--pack", "P3").out
    always = ("--from", "earliest", "--until-idle", "0.5")
    assert told(*always, "--pack", "P1") == [first, second, over, first]
    head, *lines = cyclecast.invoke("alerts", *always, "--pack", "P1").out.splitlines()
    assert head.split() == ["event", "time", "(UTC)", "pack", "cell", "kind", "reason"]
    assert " ".join(lines[0].split()) == "2024-11-07 17:20:04 P1 7 outlier raised outlier at step 4"
    assert " ".join(lines[2].split()) == "2024-11-07 17:20:09 P1 7 outlier over over for 3 predictions"


@pytest.mark.parametrize("broker", ["kafka"], indirect=True)
def test_what_was_not_committed_is_not_listed_and_holds_nobody_up(cyclecast: CommandLine, chosen: Settings) -> None:
    asyncio.run(_create_topics(chosen))
    asyncio.run(_publish(chosen, rollup("P1")))

    async def open_and_aborted() -> None:
        topic, names = chosen.topics.packs, ("aborted", "open")
        async with contextlib.AsyncExitStack() as stack:
            for name in names:
                producer = AIOKafkaProducer(
                    bootstrap_servers=chosen.kafka.bootstrap, transactional_id=f"{topic}-{name}"
                )
                await stack.enter_async_context(producer)
                await producer.begin_transaction()
                value = msgspec.json.encode(rollup(name))
                await producer.send_and_wait(topic, value, key=name.encode(), partition=0)
                if name == "aborted":
                    await producer.abort_transaction()
            async with asyncio.timeout(30):
                keys = [each.key async for records in stored(chosen, topic) for each in records]
            assert keys == [b"P1"]

    asyncio.run(open_and_aborted())


def test_doctor_on_a_broker_writes_nothing(cyclecast: CommandLine, chosen: Settings) -> None:
    before = {check["name"]: check for check in json.loads(cyclecast.invoke("doctor", "--json").out)}
    assert before["broker"]["status"] == "ok"
    assert before[chosen.topics.telemetry]["status"] == "warn"
    assert "cyclecast stream" in before[chosen.topics.telemetry]["do"]

    asyncio.run(_create_topics(chosen))
    asyncio.run(_send(chosen, b"x"))
    ended = cyclecast.invoke("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(ended.out)}
    assert ended.code == 0
    for name in (chosen.topics.telemetry, chosen.topics.predictions, chosen.topics.dead_letters):
        assert checks[name]["status"] == "ok", checks[name]
    assert checks[f"group {chosen.kafka.group}"]["status"] == "ok"
    assert [value for value, _ in asyncio.run(_held(chosen, chosen.topics.telemetry))] == [b"x"]
    assert asyncio.run(_held(chosen, chosen.topics.predictions)) == []


def test_a_topic_that_is_not_there_is_told(cyclecast: CommandLine) -> None:
    for command in (
        ("inspect", "topic:nowhere"),
        ("predictions", "--until-idle", "0"),
        ("packs",),
        ("alerts",),
        ("alerts", "--standing"),
        ("dlq", "list"),
        ("dlq", "redrive"),
    ):
        ended = cyclecast.invoke(*command)
        assert ended.code == 1, command
        assert "does not exist" in ended.err
        assert ("`cyclecast stream` creates it" in ended.err) == (command[0] != "inspect")
        assert "Traceback" not in ended.err


@pytest.mark.parametrize("broker", ["kafka"], indirect=True)
def test_workers_share_the_partitions_and_end_together(
    chosen: Settings, cyclecast: CommandLine, recording: Path
) -> None:
    cyclecast.invoke("replay", str(recording))
    command = [sys.executable, "-m", "cyclecast", "stream", "--workers", "2", "--until-idle", "4"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert sum(event["event"] == "stopped" for event in events) == 2
    assert min(len(event["partitions"]) for event in events if event["event"] == "partitions assigned") < 4
    read = cyclecast.invoke("predictions", "--from", "earliest", "--until-idle", "0.5", "--json")
    identities = {(each["cell"], each["step"]) for each in map(json.loads, read.out.splitlines())}
    assert identities == {(cell, step) for cell in range(3) for step in range(1, CYCLES)}


def test_each_worker_of_a_named_process_has_a_name_of_its_own(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = chosen.model_copy(update={"kafka": chosen.kafka.model_copy(update={"instance_id": "pod-0"})})
    started: list[str] = []

    def start(*_: object, env: dict[str, str], **__: object) -> subprocess.Popen[bytes]:
        started.append(env[environment_name("kafka.instance_id")])
        return ended(["true"])

    ended = subprocess.Popen
    monkeypatch.setattr("cyclecast.workers.subprocess.Popen", start)
    assert Workers(named, 3, []).run() == 0
    assert started == ["pod-0-1", "pod-0-2", "pod-0-3"]


def test_a_worker_that_fails_ends_the_rest(chosen: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    assert Workers(chosen, 2, ["--nonsense"]).run() == 1
    assert "--nonsense" in capfd.readouterr().err


def test_an_interrupted_replay_resumes_behind_the_last_acknowledged_record(
    cyclecast: CommandLine, chosen: Settings, recording: Path
) -> None:
    asyncio.run(_create_topics(chosen))
    # 240 minutes of event time at 50 times real time take 288 s: it is interrupted soon, on a slow machine, too.
    command = [sys.executable, "-m", "cyclecast", "replay", str(recording), "--speed", "50", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        asyncio.run(_until_held(chosen, 5))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "--resume" in err
    first = json.loads(out)["records"]
    assert 5 <= first < CYCLES * ROWS

    rest = json.loads(cyclecast.invoke("replay", str(recording), "--resume", "--json").out)
    assert rest["skipped"] == first
    assert first + rest["records"] == CYCLES * ROWS
    sent = [json.loads(value)["t_ms"] for value, _ in asyncio.run(_held(chosen, chosen.topics.telemetry))]
    assert len(set(sent)) == CYCLES * ROWS  # a record whose acknowledgement was cut off may come twice, none is missing
