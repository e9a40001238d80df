"""How the packs of a partition look by their newest predictions, and what of that needs a person.

It follows the predictions in the order of the input, and nothing else: the same log gives the same alerts, and in the
end the same roll-ups, however it was cut into batches.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from model.adaptive import Bounds, widened
from stream.alarms import CELL, KINDS, Rule, judge, new_cells
from stream.answers import ANSWER, Answers
from stream.records import Alert, AlertKind, Interval, Origin, PackRollup, RemainingLife, WeakCell
from stream.seams import Partition

WEAKEST = 5  # cells that a roll-up names
FORM = hashlib.sha256(f"{CELL.descr}{ANSWER.descr}".encode()).hexdigest()[:12]


@dataclass(slots=True)
class PackOutlook:
    """What is known of a pack: `CELL` of those heard of, the newest answer, and the model that it is of."""

    model_id: str
    cells: NDArray[Any] = field(default_factory=lambda: new_cells(np.zeros(0, np.int32)))
    newest: NDArray[Any] = field(default_factory=lambda: np.zeros((), ANSWER))


class Kept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A `PackOutlook` as bytes (the cells' compressed), in a ``form`` that changes with what is kept."""

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
        return Seen(alerts, [self._rollup(pack_id, self.packs[pack_id], factor) for pack_id in spoken_of])

    def forget(self, pack_id: str) -> bool:
        """Gives a pack up; whether anything was known of it."""
        pack = self.packs.pop(pack_id, None)
        if pack is None:
            return False
        self.standing -= _standing(pack.cells)
        self._changed[pack_id] = None
        return True

    def take_changes(self) -> list[tuple[str, Kept | None]]:
        """What is known of each pack of which that changed since this was last called; nothing of those given up."""
        changed, self._changed = self._changed, {}
        return [(pack_id, self._kept(self.packs.get(pack_id))) for pack_id in changed]

    def restore(self, kept: dict[str, Kept]) -> None:
        """Goes on from what was kept; what has another form is begun anew."""
        for pack_id, each in kept.items():
            if each.form == FORM:
                cells = np.frombuffer(zlib.decompress(each.cells), CELL).copy()
                self.packs[pack_id] = PackOutlook(each.model_id, cells, np.frombuffer(each.newest, ANSWER)[0])
                self.standing += _standing(cells)

    def _judged(self, pack_id: str, answers: Answers, own: NDArray[np.int64]) -> list[tuple[int, Alert]]:
        """The alerts that the pack's ``own`` answers (places, int64 [n]) begin and end, each with the place of its."""
        model_id, rows = answers.model_id, answers.rows[own]
        pack = self.packs.setdefault(pack_id, PackOutlook(model_id))
        if pack.model_id != model_id:  # what is usual of one model is not so of another
            pack.model_id = model_id
            pack.cells["usual_soh"] = np.nan
        known = pack.cells["number"]
        if len(numbers := np.union1d(known, rows["cell"])) > len(known):
            cells = new_cells(numbers)
            cells[np.searchsorted(numbers, known)] = pack.cells
            pack.cells = cells
        pack.newest = rows[-1].copy()
        self._changed[pack_id] = None
        events = judge(pack.cells, rows, self.rule)
        np.add.at(self.standing, events["kind"], np.where(events["raised"], 1, -1))
        return [(int(own[event["answer"]]), self._alert(pack_id, model_id, rows, event)) for event in events]

    def _alert(self, pack_id: str, model_id: str, rows: NDArray[Any], event: Any) -> Alert:
        answer, kind, raised = rows[event["answer"]], KINDS[event["kind"]], bool(event["raised"])
        value, limit = _known(event["value"]), _known(event["limit"])
        if kind is AlertKind.END_OF_LIFE:
            value, limit = _known(answer["soh"][1]), self.rule.eol_soh
        return Alert(
            1,
            pack_id,
            int(answer["cell"]),
            kind,
            raised,
            int(answer["t_ms"]),
            int(answer["step"]),
            _reason(kind, value, limit) if raised else f"over for {self.rule.patience} predictions",
            model_id,
            self._origin(answer),
            _numbered(answer),
            value,
            limit,
        )

    def _rollup(self, pack_id: str, pack: PackOutlook, factor: float | None) -> PackRollup:
        cells = pack.cells
        soh, rul, p_warranty = (_answered(cells[name]) for name in ("soh", "rul_cycles", "p_warranty"))
        medians = soh[:, 1] if len(soh) else None
        return PackRollup(
            1,
            pack_id,
            int(pack.newest["t_ms"]),
            len(cells),
            int(np.count_nonzero(np.isfinite(cells["soh"][:, 1]) | np.isfinite(cells["rul_cycles"][:, 1]))),
            {kind: count for kind, count in zip(KINDS, _standing(cells).tolist(), strict=True) if count},
            self._weakest(cells, factor),
            pack.model_id,
            self._origin(pack.newest),
            _numbered(pack.newest),
            None if medians is None else _interval(soh.min(0), factor),
            None if medians is None else _known(np.median(medians)),
            None if medians is None else _known(np.ptp(medians)),
            RemainingLife(*_rounded(rul.min(0)), self.rule.eol_soh) if len(rul) else None,
            _known(p_warranty.max()) if len(p_warranty) else None,
        )

    def _weakest(self, cells: NDArray[Any], factor: float | None) -> list[WeakCell]:
        medians = cells["soh"][:, 1].astype(float).round(6)  # as published: of equals the first
        order = np.argsort(medians, kind="stable")[: min(WEAKEST, np.count_nonzero(np.isfinite(medians)))]
        return [
            WeakCell(
                int(cell["number"]),
                _interval(cell["soh"], factor),
                _interval(cell["rul_cycles"]) if np.isfinite(cell["rul_cycles"][1]) else None,
                [kind for bit, kind in enumerate(KINDS) if cell["standing"] >> bit & 1],
            )
            for cell in cells[order]
        ]

    def _origin(self, answer: Any) -> Origin:
        return Origin(self.partition.topic, self.partition.number, int(answer["offset"]))

    def _kept(self, pack: PackOutlook | None) -> Kept | None:
        if pack is None:
            return None
        return Kept(FORM, pack.model_id, zlib.compress(pack.cells.tobytes(), 1), pack.newest.tobytes())


def _by_pack(packs: Sequence[str]) -> list[tuple[str, NDArray[np.int64]]]:
    """The places of each pack's, int64, in order; packs in order of their first."""
    places: dict[str, list[int]] = {}
    for at, pack_id in enumerate(packs):
        places.setdefault(pack_id, []).append(at)
    return [(pack_id, np.array(at)) for pack_id, at in places.items()]


def _answered(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of values [cells] or quantiles [cells, 3], those that were said."""
    known: NDArray[np.float32] = values[np.isfinite(values if values.ndim == 1 else values[:, 1])]
    return known


def _standing(cells: NDArray[Any]) -> NDArray[np.int64]:
    """Of how many cells each kind of alert stands, int64 [KINDS]."""
    bits = cells["standing"][:, None] >> np.arange(len(KINDS)) & 1
    counts: NDArray[np.int64] = bits.sum(0, dtype=np.int64)
    return counts


def _numbered(answer: Any) -> int | None:
    return int(answer["cycle"]) if answer["cycle"] >= 0 else None


def _interval(quantiles: NDArray[np.float32], factor: float | None = None) -> Interval:
    if factor is None:
        return Interval(*_rounded(quantiles))
    return Interval(*_rounded(np.array(widened(_rounded(quantiles), factor))))


def _rounded(quantiles: NDArray[np.floating]) -> Bounds:
    """As all that is published."""
    return Bounds(*(round(value, 6) for value in quantiles.tolist()))


def _known(value: Any) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _reason(kind: AlertKind, value: float | None, limit: float | None) -> str:
    """What is the case, in words."""
    match kind:
        case AlertKind.END_OF_LIFE:
            return f"SOH {value:.3f} is below the end of life, {limit:.3f}"
        case AlertKind.WARRANTY:
            return f"its life ends within the warranty with a probability of {value:.2f}, more than {limit:.2f}"
        case AlertKind.SUDDEN_FADE:
            return f"SOH is {value:.3f} lower than the mean of its last predictions, more than {limit:.3f}"
        case AlertKind.OUTLIER:
            return f"SOH is {value:.3f} lower than the median of its pack, more than {limit:.3f}"
        case AlertKind.SENSOR_FAULT:
            return "readings of this cell are missing or impossible"
        case AlertKind.OUT_OF_DISTRIBUTION:
            return "its telemetry is unlike what the model was trained on"
