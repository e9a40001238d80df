"""Without transactions: predictions may come again, the same; none is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.kafka.broker import EmbeddedBroker
from stream.settings import Settings
from tests.chaos.conftest import hasty
from tests.chaos.stage import Stage


@pytest.fixture
def where(embedded_broker: EmbeddedBroker, topic: str, model: Path) -> Settings:
    """On the embedded broker, with commits so rare that much of what was published is not committed."""
    seldom = {"interval_ms": 1000}
    return hasty(embedded_broker.bootstrap, topic, model, session_timeout_ms=2000, commit=seldom)


async def test_output_holds_a_clean_run_at_least_once_after_kills_on_the_embedded_broker(stage: Stage) -> None:
    pods = stage.pods(None, None)
    await stage.feed(over_s=10)
    await stage.pause(0, 2)
    stage.kill(stage.chance.choice(pods))
    await stage.progress()
    await stage.agrees()
