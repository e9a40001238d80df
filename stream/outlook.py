"""How the packs of a partition look by their newest predictions, and what of that needs a person.

It follows the predictions in the order of the input, and nothing else: the same log gives the same alerts, and in the
end the same roll-ups, however it was cut into batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.alarms import CELL, KINDS, Rule, judge, new_cells, with_cells
from stream.answers import ANSWER, Answers
from stream.records import Alert, AlertKind, Origin, PackRollup
from stream.rollup import alerts_of, known, numbered, rollup, survey
from stream.seams import Partition

FORM = hashlib.sha256(f"{CELL.descr}{ANSWER.descr}".encode()).hexdigest()[:12]


@dataclass(slots=True)
class PackOutlook:
    """What is known of a pack: `CELL` of those heard of, the newest answer, and the model that it is of."""

    model_id: str
    cells: NDArray[Any] = field(default_factory=lambda: new_cells(np.zeros(0, np.int32)))
    newest: NDArray[Any] = field(default_factory=lambda: np.zeros((), ANSWER))


class Kept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A `PackOutlook` as bytes, in a ``form`` that changes with what is kept."""

    form: str
    model_id: str
    cells: bytes
    newest: bytes


class Seen(NamedTuple):
    """What came of some predictions: alerts in their order, and a roll-up of each pack that they speak of."""

    alerts: list[Alert]
    rollups: list[PackRollup]


class Outlook:
    """Of one partition. It knows no more packs than have state there: `forget` is told of those that are gone."""

    def __init__(self, partition: Partition, rule: Rule) -> None:
        self.partition = partition
        self.rule = rule
        self.packs: dict[str, PackOutlook] = {}
        self.standing = np.zeros(len(KINDS), np.int64)  # alerts, by kind
        self._changed: dict[str, None] = {}

    def settle(self, told: Iterable[Answers], factor: float | None = None) -> Seen:
        """Takes predictions. ``factor``: by how much intervals of SOH are published wider than the model's own."""
        alerts: list[Alert] = []
        spoken_of: dict[str, None] = {}
        for answers in Answers.joined(told):
            found: list[tuple[int, Alert]] = []
            for pack_id, own in _by_pack(answers.packs):
                found += self._judged(pack_id, answers, own)
                spoken_of[pack_id] = None
            alerts += (alert for _, alert in sorted(found, key=itemgetter(0)))
        return Seen(alerts, [self._rollup(pack_id, factor) for pack_id in spoken_of])

    def forget(self, pack_id: str) -> list[Alert] | None:
        """Gives a pack up, and with it the alerts that stand; none where nothing was known of it."""
        pack = self.packs.pop(pack_id, None)
        if pack is None:
            return None
        self.standing -= survey(pack.cells).standing
        self._changed[pack_id] = None
        return [
            self._alert(pack_id, pack.model_id, int(cell["number"]), pack.newest, kind, "its pack is forgotten")
            for cell in pack.cells
            for kind in alerts_of(int(cell["standing"]))
        ]

    def take_changes(self) -> list[tuple[str, Kept | None]]:
        """What is known of each pack of which that changed since this was last called; nothing of those given up."""
        changed, self._changed = self._changed, {}
        return [(pack_id, self._kept(self.packs.get(pack_id))) for pack_id in changed]

    def restore(self, kept: dict[str, Kept]) -> None:
        """Goes on from what was kept; what has another form is begun anew."""
        for pack_id, each in kept.items():
            if each.form == FORM:
                cells = np.frombuffer(each.cells, CELL).copy()
                self.packs[pack_id] = PackOutlook(each.model_id, cells, np.frombuffer(each.newest, ANSWER)[0])
                self.standing += survey(cells).standing

    def _judged(self, pack_id: str, answers: Answers, own: NDArray[np.int64]) -> list[tuple[int, Alert]]:
        """The alerts that the pack's ``own`` answers (places, int64 [n]) begin and end, each with the place of its."""
        model_id = answers.model_id
        rows = answers.rows if len(own) == len(answers.rows) else answers.rows[own]
        pack = self.packs.get(pack_id)
        if pack is None:
            pack = self.packs[pack_id] = PackOutlook(model_id)
        if pack.model_id != model_id:  # what is usual of one model is not so of another
            pack.model_id = model_id
            pack.cells["usual_soh"] = np.nan
        pack.cells = with_cells(pack.cells, rows["cell"])
        pack.newest = rows[-1].copy()
        self._changed[pack_id] = None
        events = judge(pack.cells, rows, self.rule)
        if not len(events):
            return []
        np.add.at(self.standing, events["kind"], np.where(events["raised"], 1, -1))
        return [(int(own[event["answer"]]), self._turned(pack_id, model_id, rows, event)) for event in events]

    def _turned(self, pack_id: str, model_id: str, rows: NDArray[Any], event: Any) -> Alert:
        """The alert of an event (`EVENT`)."""
        answer, kind = rows[event["answer"]], KINDS[event["kind"]]
        value, limit = known(event["value"]), known(event["limit"])
        if kind is AlertKind.END_OF_LIFE:
            value, limit = known(answer["soh"][1]), self.rule.eol_soh
        reason = _reason(kind, value, limit) if event["raised"] else f"over for {self.rule.patience} predictions"
        alert = self._alert(pack_id, model_id, int(answer["cell"]), answer, kind, reason)
        return msgspec.structs.replace(alert, raised=bool(event["raised"]), value=value, limit=limit)

    def _alert(self, pack_id: str, model_id: str, cell: int, answer: Any, kind: AlertKind, reason: str) -> Alert:
        """One that is over at an answer."""
        t_ms, step = int(answer["t_ms"]), int(answer["step"])
        return Alert(
            1, pack_id, cell, kind, False, t_ms, step, reason, model_id, self._origin(answer), numbered(answer)
        )

    def _rollup(self, pack_id: str, factor: float | None) -> PackRollup:
        pack = self.packs[pack_id]
        source = self._origin(pack.newest)
        return rollup(pack_id, pack.cells, pack.newest, pack.model_id, source, self.rule.eol_soh, factor)

    def _origin(self, answer: Any) -> Origin:
        return Origin(self.partition.topic, self.partition.number, int(answer["offset"]))

    def _kept(self, pack: PackOutlook | None) -> Kept | None:
        if pack is None:
            return None
        return Kept(FORM, pack.model_id, pack.cells.tobytes(), pack.newest.tobytes())


def _by_pack(packs: Sequence[str]) -> list[tuple[str, NDArray[np.int64]]]:
    """The places of each pack's, int64, in order; packs in order of their first."""
    places: dict[str, list[NDArray[np.int64]]] = {}
    begin = 0
    for pack_id, run in groupby(packs):
        end = begin + len(list(run))
        places.setdefault(pack_id, []).append(np.arange(begin, end))
        begin = end
    return [(pack_id, runs[0] if len(runs) == 1 else np.concatenate(runs)) for pack_id, runs in places.items()]


def _reason(kind: AlertKind, value: float | None, limit: float | None) -> str:
    """What is the case, in words."""
    match kind:
        case AlertKind.END_OF_LIFE:
            return f"SOH {value:.4f} is below the end of life, {limit:g}"
        case AlertKind.WARRANTY:
            return f"its life ends within the warranty with a probability of {value:.3f}, more than {limit:g}"
        case AlertKind.SUDDEN_FADE:
            return f"SOH is {value:.4f} lower than the mean of its last predictions, more than {limit:.4f}"
        case AlertKind.OUTLIER:
            return f"SOH is {value:.4f} lower than the median of its pack, more than {limit:.4f}"
        case AlertKind.SENSOR_FAULT:
            return "readings of this cell are missing or impossible"
        case AlertKind.OUT_OF_DISTRIBUTION:
            return "its telemetry is unlike what the model was trained on"
