"""What the proof itself stands on: the comparison sees what it should see, and faults are faults."""

from __future__ import annotations

import asyncio
import copy
import json
import random
import socket
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from stream.kafka.broker import HOST
from tests.chaos.conftest import others_turns
from tests.chaos.report import Run, noted, runs_in
from tests.kafka import disk, ports
from tests.kafka.ports import own_ports
from tests.kafka.proxy import Proxy
from tests.oracle import Agreement, Oracle, agree, compare, compare_packs

PHASES: tuple[Literal["setup", "call", "teardown"], ...] = ("setup", "call", "teardown")


def test_the_comparison_counts_what_is_twice_missing_unknown_changed_and_out_of_order(oracle: Oracle) -> None:
    good = copy.deepcopy([*oracle.values()])
    size = len(good)
    assert compare(good, oracle) == Agreement(size, 0, 0, 0)
    assert compare([*good, good[0]], oracle) == Agreement(size + 1, 1, 0, 0)
    assert compare(good[1:], oracle) == Agreement(size - 1, 0, 1, 0)
    assert compare([*good, {**good[-1], "step": 999}], oracle) == Agreement(size + 1, 0, 0, 1)
    assert compare(good[::-1], oracle).wrong > 0
    changed = copy.deepcopy(good[-1])
    changed["horizons"][0]["capacity_ah"]["p50"] += 1e-3
    assert compare([*good[:-1], changed], oracle) == Agreement(size, 0, 0, 1)
    with pytest.raises(AssertionError):
        agree([*good, good[0]], oracle, once=True)
    assert agree([*good, good[0]], oracle, once=False).duplicates == 1


def test_the_comparison_counts_alerts_and_newest_roll_ups_likewise(oracle: Oracle) -> None:
    alerts, rollups = copy.deepcopy([*oracle.alerts]), copy.deepcopy([*oracle.rollups])
    assert {each["raised"] for each in alerts} == {True, False}
    size = len(alerts) + len(rollups)
    assert compare_packs(alerts, rollups, oracle) == Agreement(size, 0, 0, 0)
    assert compare_packs([*alerts, alerts[0]], [rollups[0], *rollups], oracle) == Agreement(size + 1, 1, 0, 0)
    assert compare_packs(alerts[1:], rollups[1:], oracle) == Agreement(size - 2, 0, 2, 0)
    earlier = {**rollups[0], "alerts": {"warranty": 99}}
    assert compare_packs(alerts, [*rollups, earlier], oracle) == Agreement(size, 0, 0, 1)


@pytest.mark.parametrize(("seeds", "schedules"), [(50, 12), (3, 5), (7, 1)])
def test_each_seed_is_one_run_and_every_schedule_gets_its_share(seeds: int, schedules: int) -> None:
    every = [((schedule, seed), str(schedule), seed) for schedule in range(schedules) for seed in range(seeds)]
    left_out = others_turns([*every, ((0, 0), "not seeded", None)])
    kept = [run for run, *_ in every if run not in left_out]
    assert sorted(seed for _, seed in kept) == list(range(seeds))
    shares = [sum(schedule == run[0] for run in kept) for schedule in range(schedules)]
    assert max(shares) - min(shares) <= 1


def test_a_run_is_told_once_by_the_report_of_its_test_whichever_process_ran_it() -> None:
    run = Run("kills", 3, True, 2, 1, 4800, 448, 49, 0, 0, 0, 0.5, 1.5)
    told = {"nodeid": "test", "location": ("", None, ""), "keywords": {}, "outcome": "passed", "longrepr": None}
    reports = [pytest.TestReport(**told, when=when, user_properties=[noted(run)]) for when in PHASES]
    sent = [pytest.TestReport._from_json(json.loads(json.dumps(each._to_json()))) for each in reports]
    assert runs_in(reports) == runs_in(sent) == [run]


def test_nobody_is_given_a_port_that_is_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "BELOW_THOSE_GIVEN_UNASKED", range(15_000, 15_100))
    mine, others = own_ports(20), own_ports(20)
    assert len({*mine, *others}) == 40
    for port in mine:
        with socket.create_server((HOST, port)):
            pass


async def test_a_stalled_network_keeps_what_it_was_given_and_a_cut_one_loses_it() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    async with server, Proxy(*own_ports(1), server.sockets[0].getsockname()[1]) as network:
        reader, writer = await asyncio.open_connection(HOST, network.port)
        for there, back in ((True, False), (False, True), (True, True)):
            network.stall(there=there, back=back)
            writer.write(b"held")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readexactly(4), 0.1)
            network.flow()
            assert await asyncio.wait_for(reader.readexactly(4), 60) == b"held"
        network.cut()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 60)
        writer.close()


def test_a_full_disk_takes_a_little_more_and_then_nothing(tmp_path: Path) -> None:
    log = tmp_path / "t-0" / "0.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * 1000)
    endless = "import sys\nwith open(sys.argv[1], 'ab', 0) as log:\n    input()\n    while log.write(b'y' * 100): pass"
    writing = subprocess.Popen(
        [sys.executable, "-c", endless, str(log)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    limit = disk.fill(writing.pid, tmp_path, random.Random(0))
    _, said = writing.communicate("go\n", timeout=30)
    assert "File too large" in said
    assert 1000 <= log.stat().st_size == limit <= 1000 + 4096


def test_a_lost_page_cache_shortens_all_logs_but_the_one_that_is_written_through(tmp_path: Path) -> None:
    for name in ("t-0", disk.RAFT_LOG):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.log").write_bytes(bytes(range(250)))
    lost = disk.lose_unwritten(tmp_path, random.Random(0))
    assert 0 < lost <= 125
    assert (tmp_path / "t-0" / "0.log").read_bytes() == bytes(range(250 - lost))
    assert len((tmp_path / disk.RAFT_LOG / "0.log").read_bytes()) == 250
