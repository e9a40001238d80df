"""An event loop of one's own, wherever one is called: a notebook's cells run on a loop that turns already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from threading import Thread
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def run_to_end(main: Coroutine[Any, Any, _Result]) -> _Result:
    """As ``asyncio.run``; where a loop turns already, in a thread beside it. An interrupt cancels it there, too."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main)
    began: Future[Callable[[], object]] = Future()
    ended: Future[_Result] = Future()

    async def cancellable() -> _Result:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(main)
        began.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        return await task

    def run() -> None:
        try:
            ended.set_result(asyncio.run(cancellable()))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            ended.set_exception(error)

    try:
        Thread(target=run, name="event-loop").start()  # an interrupt may come while this waits for the thread
        return ended.result()
    except KeyboardInterrupt:
        began.result()()
        wait([ended])
        raise
