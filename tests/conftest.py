"""What all tests share: markers by folder, brokers, topic names, recorded data, and the table of the chaos tests."""

from __future__ import annotations

import asyncio
import io
import os
import re
import uuid
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Protocol

import hypothesis
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code
from rich.console import Console

from stream.kafka.broker import BrokerError, EmbeddedBroker
from tests.chaos.report import runs_in, save, table
from tests.kafka.cluster import KafkaNode, kafka_jars, missing_tools

TESTS = Path(__file__).parent
ROOT = TESTS.parent
RESULTS = Path("build", "chaos.json")

hypothesis.settings.register_profile("laws", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("laws")  # how long an example takes decides nothing


class MakeTopic(Protocol):
    """Creates a topic with a name of its own; returns the name."""

    async def __call__(self, bootstrap: str, partitions: int = 1, **configs: str) -> str: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test's folder is its marker: ``pytest -m integration``."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if (TESTS / folder).is_dir():
            item.add_marker(folder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table of the chaos tests, and every run of them as JSON."""
    reports = chain.from_iterable(terminalreporter.stats.values())
    if runs := runs_in(report for report in reports if isinstance(report, pytest.TestReport)):
        shown = Console(file=io.StringIO(), width=200)
        shown.print(table(runs))
        assert isinstance(shown.file, io.StringIO)
        terminalreporter.write_line(shown.file.getvalue())
        save(runs, config.rootpath / RESULTS)
        terminalreporter.write_line(f"every run: {RESULTS}")


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """The broker of ``cyclecast demo``, running; ``.bootstrap`` is where. A group needs half its session timeout."""
    broker = EmbeddedBroker()
    try:
        asyncio.run(broker.start())
    except BrokerError as error:
        if "not installed" not in str(error):
            raise
        pytest.skip(str(error))
    yield broker
    asyncio.run(broker.stop())


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    """A real Apache Kafka, running; ``.bootstrap`` is where. Make your own `KafkaNode` to kill one."""
    if reason := missing_tools():
        pytest.skip(f"Apache Kafka cannot run here: {reason}")
    node = KafkaNode(tmp_path_factory.mktemp("kafka"), kafka_jars())
    asyncio.run(node.start())
    yield node
    asyncio.run(node.stop())


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic name that no other test uses."""
    return _unique(request)


@pytest.fixture
def make_topic(request: pytest.FixtureRequest) -> MakeTopic:
    """``await make_topic(bootstrap, partitions, **{"cleanup.policy": "compact"})``: a fresh topic's name."""

    async def make(bootstrap: str, partitions: int = 1, **configs: str) -> str:
        name = _unique(request)
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            answer = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
        finally:
            await admin.close()
        for made, code, *said in answer.topic_errors:
            if code:
                raise for_code(code)(f"{made}: {said}")
        return name

    return make


@pytest.fixture(scope="session")
def recorded_data() -> Path:
    """The folder of recorded batteries: ``CYCLECAST_DATA``, else ``../shared/data`` beside the project."""
    folder = Path(os.environ.get("CYCLECAST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recorded data in {folder}: set CYCLECAST_DATA")
    return folder


def _unique(request: pytest.FixtureRequest) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", request.node.name)[:80].strip("-")
    return f"{plain}-{uuid.uuid4().hex[:8]}"
