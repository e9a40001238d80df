"""An event loop of one's own, wherever one is called: a notebook's cells run on a loop that turns already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def run_to_end(main: Coroutine[Any, Any, _Result]) -> _Result:
    """As ``asyncio.run``; where a loop turns already, in a thread beside it. An interrupt cancels it there, too."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main)
    began: Future[Callable[[], object]] = Future()

    async def cancellable() -> _Result:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(main)
        began.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        return await task

    with ThreadPoolExecutor(1, "event-loop") as beside:
        running = beside.submit(asyncio.run, cancellable())
        try:
            return running.result()
        except KeyboardInterrupt:
            began.result()()
            raise
