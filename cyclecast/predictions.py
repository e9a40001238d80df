"""Predictions as lines for people."""

from __future__ import annotations

import msgspec

from cyclecast.commands.output import interval, utc
from cyclecast.subscription import Lines
from stream.records import Prediction

HEADER = (
    f"{'event time (UTC)':19}  {'pack':16} {'cell':>4} {'cycle':>6}  {'SOH':20}  {'RUL cycles':18}  capacity, flags"
)


def line(prediction: Prediction) -> str:
    """One prediction, in the columns of `HEADER`."""
    cycle = prediction.step if prediction.cycle is None else prediction.cycle
    rest = [f"+{each.cycles}: {interval(each.capacity_ah, 3)} Ah" for each in prediction.horizons or ()]
    if prediction.flags:
        rest.append(",".join(prediction.flags))
    head = f"{utc(prediction.t_ms):19}  {prediction.pack_id:16} {prediction.cell:4} {cycle:6}"
    soh, life = interval(prediction.soh, 3), interval(prediction.rul_cycles, 0)
    return f"{head}  {soh:20}  {life:18}  {'  '.join(rest)}".rstrip()


LINES = Lines(HEADER, msgspec.json.Decoder(Prediction).decode, line)
