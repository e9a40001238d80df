"""Predictions from the topic to lines for people, or as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import typer

from cyclecast.commands.output import reader_left
from stream.kafka.subscribe import subscribe
from stream.records import Interval, Prediction
from stream.settings import Settings

HEADER = (
    f"{'event time (UTC)':19}  {'pack':16} {'cell':>4} {'cycle':>6}  {'SOH':20}  {'RUL cycles':18}  capacity, flags"
)


async def print_predictions(
    settings: Settings,
    since: Literal["earliest", "latest"],
    *,
    pack: str | None,
    as_json: bool,
    until_idle_s: float | None,
) -> None:
    """Prints until cancelled, or until nothing arrived for ``until_idle_s``."""
    loop = asyncio.get_running_loop()
    decode = msgspec.json.Decoder(Prediction).decode
    last_s = loop.time()
    headed = as_json
    async with aclosing(subscribe(settings, [settings.topics.predictions], since)) as polls:
        async for records in polls:
            now_s = loop.time()
            if not headed:
                typer.echo(HEADER)
                headed = True
            if records:
                last_s = now_s
                lines = _lines(records, pack, decode if pack is not None or not as_json else None, as_json=as_json)
                if text := "\n".join(lines):
                    typer.echo(text)
            elif reader_left() or (until_idle_s is not None and now_s - last_s >= until_idle_s):
                return


def _lines(records: Iterable[Any], pack: str | None, decode: Any, *, as_json: bool) -> Iterable[str]:
    for record in records:
        if record.value is None:
            continue
        prediction = decode(record.value) if decode is not None else None
        if prediction is not None and pack is not None and prediction.pack_id != pack:
            continue
        yield record.value.decode() if as_json or prediction is None else line(prediction)


def line(prediction: Prediction) -> str:
    """One prediction as a line for people, in the columns of `HEADER`."""
    when = datetime.fromtimestamp(prediction.t_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    cycle = prediction.step if prediction.cycle is None else prediction.cycle
    rest = [f"+{each.cycles}: {_interval(each.capacity_ah, 3)} Ah" for each in prediction.horizons or ()]
    if prediction.flags:
        rest.append(",".join(prediction.flags))
    rul = prediction.rul_cycles
    life = "-" if rul is None else f"{rul.p50:.0f} [{rul.p05:.0f}..{rul.p95:.0f}]"
    soh = "-" if prediction.soh is None else _interval(prediction.soh, 3)
    head = f"{when:19}  {prediction.pack_id:16} {prediction.cell:4} {cycle:6}"
    return f"{head}  {soh:20}  {life:18}  {'  '.join(rest)}".rstrip()


def _interval(value: Interval, digits: int) -> str:
    return f"{value.p50:.{digits}f} [{value.p05:.{digits}f}..{value.p95:.{digits}f}]"
