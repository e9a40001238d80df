"""Something asynchronous runs to its end wherever it is called, and an interrupt ends it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from replay.event_loop import run_to_end


def _plainly(call: Callable[[], Any]) -> Any:
    return call()


def _on_a_loop(call: Callable[[], Any]) -> Any:
    """As a notebook runs a cell: an interrupt is Python's own, where ``asyncio.run`` would hold it back."""

    async def cell() -> Any:
        return call()

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(cell())
    finally:
        loop.close()


everywhere = pytest.mark.parametrize("called", [_plainly, _on_a_loop])


@everywhere
def test_what_it_returns_is_returned(called: Callable[..., Any]) -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert called(lambda: run_to_end(answer())) == 42


@everywhere
def test_what_it_raises_is_raised(called: Callable[..., Any]) -> None:
    async def fails() -> None:
        raise ValueError("as told")

    with pytest.raises(ValueError, match="as told"):
        called(lambda: run_to_end(fails()))


@everywhere
def test_an_interrupt_cancels_what_would_never_end(called: Callable[..., Any]) -> None:
    ended = False

    async def never_ends() -> None:
        nonlocal ended
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    with pytest.raises(KeyboardInterrupt):
        called(lambda: run_to_end(never_ends()))
    assert ended
