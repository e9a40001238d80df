"""A client is ended for good, however it takes that."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError

from stream.errors import Retry
from stream.kafka import client
from stream.kafka.client import connection, started, stopped
from stream.settings import KafkaSettings


class Ends:
    """Ends in a way of its own."""

    def __init__(self, error: BaseException | None = None, for_s: float = 0.0) -> None:
        self.error = error
        self.for_s = for_s
        self.ended = False

    async def stop(self) -> None:
        await asyncio.sleep(self.for_s)
        if self.error is not None:
            raise self.error
        self.ended = True


async def test_files_of_the_settings_that_are_no_certificates_are_told_and_not_a_broker_that_is_away(
    tmp_path: Path,
) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    settings = KafkaSettings.model_validate({"security": {"protocol": "SSL", "ca_file": tmp_path / "ca.pem"}})
    with pytest.raises(Retry, match=r"^kafka\.security\..*certificate") as told:
        await started(lambda: AIOKafkaConsumer(**connection(settings)), settings.bootstrap, patience_s=0.0)
    assert "cyclecast broker" not in str(told.value)


async def test_client_that_hears_of_its_own_cancelling_cancels_nobody_else() -> None:
    async with asyncio.timeout(60):
        await stopped(Ends(asyncio.CancelledError()))


async def test_client_whose_broker_is_away_or_does_not_answer_ends_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "STOP_S", 0.05)
    hangs = Ends(for_s=3600)
    await stopped(Ends(KafkaConnectionError()))
    await stopped(hangs)
    assert not hangs.ended


async def test_mistake_while_a_client_ends_is_not_swallowed() -> None:
    with pytest.raises(ValueError, match="a mistake"):
        await stopped(Ends(ValueError("a mistake")))


async def test_who_ends_a_client_may_be_cancelled_and_so_is_the_ending() -> None:
    hangs = Ends(for_s=3600)
    ending = asyncio.create_task(stopped(hangs))
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait([ending])
    assert ending.cancelled()
    assert len(asyncio.all_tasks()) == 1
