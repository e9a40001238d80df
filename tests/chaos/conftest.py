"""What the chaos tests share: seeds, brokers that may be killed, and a stage on each."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from model.schema import CycleSteps
from stream.seams import Record
from stream.settings import Settings
from tests.chaos.report import noted
from tests.chaos.stage import BAD, Stage
from tests.kafka.cluster import KafkaCluster, KafkaNode, kafka_jars, missing_tools
from tests.oracle import Oracle, clean_run
from tests.service import settings
from tests.telemetry import artifact, records

T = TypeVar("T")
SEEDS = int(os.environ.get("SEEDS", "0"))
PACKS = [f"P{number}" for number in range(8)]
FRAMES, CELLS = 600, 4
# Alerts that begin and end again: an untrained model says lives of two cycles.
WATCHFUL = {"alerts": {"patience": 2}, "warranty": {"cycles": 9}}
BAD_EVERY = 97


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each schedule may run with any seed below SEEDS; with the first if nothing is said."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(SEEDS or 1))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deals SEEDS seeds out over the schedules that were asked for, in turn: each seed is one run."""
    if SEEDS:
        left_out = others_turns([(item, item.nodeid.partition("[")[0], _seed(item)) for item in items])
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def others_turns(runs: Sequence[tuple[T, str, int | None]]) -> list[T]:
    """Of all runs (each with its schedule and seed, none where it is not seeded) those that are another schedule's."""
    schedules = sorted({schedule for _, schedule, seed in runs if seed is not None})
    return [run for run, schedule, seed in runs if seed is not None and schedules[seed % len(schedules)] != schedule]


def _seed(item: pytest.Item) -> int | None:
    seed = item.callspec.params.get("seed") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    assert seed is None or isinstance(seed, int)
    return seed


def hasty(bootstrap: str, name: str, model: Path, **more: Any) -> Settings:
    """Settings of pods that do everything in small pieces and soon, so that there is always something to interrupt."""
    often = {"batch": {"max_windows": 8}, "state": {"page_interval_s": 0.5}}
    return settings(bootstrap, name, model, **{"session_timeout_ms": 3000, **often, **WATCHFUL, **more})


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact whose answers are arbitrary and always the same."""
    folder = tmp_path_factory.mktemp("model") / "artifact"
    artifact(folder, CycleSteps(window=8))
    return folder


@pytest.fixture(scope="package")
def telemetry() -> list[Record]:
    """Frames of eight packs; some records are broken."""
    return [
        record if at % BAD_EVERY else record._replace(value=BAD + f" {at}".encode())
        for at, record in enumerate(records(PACKS, FRAMES, CELLS), 1)
    ]


@pytest.fixture(scope="package")
def oracle(model: Path, telemetry: list[Record]) -> Oracle:
    """What the telemetry should give."""
    return clean_run(model, telemetry, WATCHFUL)


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    """A broker alone; whoever kills it starts it again."""
    if reason := missing_tools():
        pytest.skip(f"Apache Kafka cannot run here: {reason}")
    alone = KafkaNode(tmp_path_factory.mktemp("node"), kafka_jars())
    asyncio.run(alone.start())
    yield alone
    alone.kill()


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three brokers; whoever kills one starts it again."""
    if reason := missing_tools():
        pytest.skip(f"Apache Kafka cannot run here: {reason}")
    three = KafkaCluster(tmp_path_factory.mktemp("cluster"), kafka_jars())
    asyncio.run(three.__aenter__())
    yield three
    asyncio.run(three.__aexit__())


@pytest.fixture
def where(node: KafkaNode, topic: str, model: Path) -> Settings:
    """What the pods are told: on the broker alone, unless a module says otherwise."""
    return hasty(node.bootstrap, topic, model)


@pytest.fixture
async def stage(
    request: pytest.FixtureRequest, where: Settings, telemetry: list[Record], oracle: Oracle, seed: int
) -> AsyncIterator[Stage]:
    """An empty stage. The schedule is called what its test's name says after ``_after_``."""
    name = request.function.__name__
    schedule = name.partition("_after_")[2].replace("_", " ")
    once = "at_least_once" not in name
    known = asyncio.get_running_loop().create_future()
    known.set_result(oracle)
    due = sorted(prediction["source"]["offset"] for prediction in oracle.values())
    named = once and random.Random(f"{schedule} {seed}: by name?").random() < 0.5  # the embedded broker cannot
    play = Stage(schedule, seed, where, telemetry, due, known, once=once, named=named)
    try:
        await play.open()
        yield play
    finally:
        request.node.user_properties.append(noted(play.result()))
        await play.close()
