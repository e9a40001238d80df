from __future__ import annotations

import pytest

from stream.health import Health
from tests.hands import Hands


@pytest.fixture
def clock() -> Hands:
    return Hands()


def test_alive_until_a_heartbeat_exceeds_its_own_budget(clock: Hands) -> None:
    health = Health(clock)
    health.expect("event loop", 1.0)
    health.expect("model thread", 10.0)
    clock.now_s += 1.0
    assert health.alive().ok
    clock.now_s += 0.5
    report = health.alive()
    assert not report.ok
    assert report.parts["event loop"] == {"ok": False, "age_s": 1.5, "budget_s": 1.0}
    assert report.parts["model thread"]["ok"] is True
    health.beat("event loop")
    assert health.alive().ok


def test_a_part_that_ended_is_not_missed(clock: Hands) -> None:
    health = Health(clock)
    health.expect("model thread", 1.0)
    health.forget("model thread")
    clock.now_s += 60
    assert health.alive().ok


def test_a_beat_nobody_expects_is_a_mistake(clock: Hands) -> None:
    with pytest.raises(KeyError):
        Health(clock).beat("event lop")


def test_ready_only_when_every_condition_is_met(clock: Hands) -> None:
    health = Health(clock)
    assert not health.ready().ok
    health.require("partitions", "restoring 2 of 3")
    health.require("model", "warming up")
    health.meet("model", "warm")
    clock.now_s += 4
    report = health.ready()
    assert not report.ok
    assert report.parts["partitions"] == {"ok": False, "detail": "restoring 2 of 3", "age_s": 4.0}
    health.meet("partitions", "3 restored")
    assert health.ready().ok
    health.require("partitions", "rebalancing")
    assert not health.ready().ok


def test_never_ready_while_not_alive(clock: Hands) -> None:
    health = Health(clock)
    health.expect("event loop", 1.0)
    health.meet("delivery", "at-least-once")
    assert health.ready().ok
    clock.now_s += 2
    assert not health.ready().ok
    assert health.detail("delivery") == "at-least-once"
    assert health.detail("nothing") is None
