"""The fleet as the board sees it: the newest prediction and a thinned past of every cell, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from math import nan

import numpy as np
from numpy.typing import NDArray

from stream.board.history import History
from stream.board.rate import Rate
from stream.board.standing import Standing
from stream.board.views import (
    Alerts,
    CellRow,
    CellView,
    Curve,
    Histogram,
    PackColumns,
    PackView,
    Snapshot,
    Summary,
    TruthError,
)
from stream.clock import Clock
from stream.records import Prediction

Truth = Callable[[Prediction], float | None]
Change = tuple[int, float, float, int]

HARMLESS_FLAGS = ("insufficient_data", "censored")
_DEFAULT_EOL_SOH = 0.8
_HISTOGRAM_LOW, _HISTOGRAM_WIDTH, _HISTOGRAM_BINS = 0.5, 0.01, 60
_MAX_FLAGS = 16
_FIRST_CAPACITY = 256


class Fleet:
    """Takes predictions in, and `Standing` alerts, answers questions about the fleet. One thread; no input or output.

    Cells live in slots of arrays that grow by doubling up to ``max_cells``; predictions of further cells are counted
    in ``not_shown``. ``truth`` tells the true SOH at a prediction, where it is known.
    """

    def __init__(
        self, clock: Clock, *, history: int = 96, max_cells: int = 131_072, truth: Truth | None = None
    ) -> None:
        self._clock = clock
        self._history_points = history
        self._max_cells = max_cells
        self._truth = truth
        self.standing = Standing()
        self._packs: dict[str, dict[int, int]] = {}
        self._latest: list[Prediction] = []
        self._history: list[History] = []
        self._soh = np.full(_FIRST_CAPACITY, nan, np.float32)
        self._rul_cycles = np.full(_FIRST_CAPACITY, nan, np.float32)
        self._trend = np.full(_FIRST_CAPACITY, nan, np.float32)
        self._flags = np.zeros(_FIRST_CAPACITY, np.uint16)
        self._flag_bits: dict[str, int] = {}
        self._changed: dict[int, None] = {}
        self.seq = 0
        self._rate = Rate()
        self._newest: Prediction | None = None
        self._newest_s = 0.0
        self._eol_soh = _DEFAULT_EOL_SOH
        self._predictions = self._repeated = self._not_shown = 0
        self._compared = self._covered = 0
        self._absolute_error = 0.0

    def feed(self, prediction: Prediction) -> None:
        """Takes one prediction. A repeated or older one changes nothing; a cell that begins anew forgets its past."""
        slot = self._packs.get(prediction.pack_id, {}).get(prediction.cell)
        if slot is None:
            if len(self._latest) == self._max_cells:
                self._not_shown += 1
                return
            slot = self._add(prediction)
        elif prediction.step <= self._latest[slot].step:
            if prediction.t_ms <= self._latest[slot].t_ms:
                self._repeated += 1
                return
            self._history[slot] = History(self._history_points)
        self._latest[slot] = self._newest = prediction
        self._newest_s = self._clock.monotonic_s()
        self._rate.count(self._newest_s)
        self._predictions += 1
        self._remember(slot, prediction)
        self._changed[slot] = None

    def take_changes(self, limit: int) -> tuple[int, dict[str, list[Change]]]:
        """A new sequence number and, by pack, ``(cell, soh, rul_cycles, flag bits)`` of at most ``limit`` cells.

        A cell that changed often since the last call appears once; cells beyond the limit come with the next call.
        """
        self.seq += 1
        slots = list(self._changed)[:limit]
        by_pack: dict[str, list[Change]] = {}
        for slot in slots:
            del self._changed[slot]
            latest = self._latest[slot]
            change = (latest.cell, _tidy(self._soh[slot]), _tidy(self._rul_cycles[slot], 1), int(self._flags[slot]))
            by_pack.setdefault(latest.pack_id, []).append(change)
        return self.seq, by_pack

    @property
    def flag_names(self) -> list[str]:
        """The flags seen so far; bit ``i`` of a cell stands for name ``i``."""
        return list(self._flag_bits)

    def forget_changes(self) -> None:
        """Starts the changes afresh: nobody followed until now."""
        self.seq += 1
        self._changed.clear()

    def summary(self) -> Summary:
        """The fleet in a few numbers, now."""
        now_s = self._clock.monotonic_s()
        soh = self._soh[: len(self._latest)]
        known = soh[~np.isnan(soh)]
        newest = self._newest
        return Summary(
            predictions=self._predictions,
            predictions_per_s=self._rate.per_s(now_s),
            packs=len(self._packs),
            cells=len(self._latest),
            cells_with_soh=len(known),
            cells_below_eol=int(np.count_nonzero(known < self._eol_soh)),
            cells_flagged=int(np.count_nonzero(self._suspect())),
            soh_median=_tidy(np.median(known)) if len(known) else nan,
            eol_soh=self._eol_soh,
            x="step" if newest is not None and newest.cycle is None else "cycle",
            model=newest.model if newest else None,
            last_prediction_age_s=round(now_s - self._newest_s, 2) if newest else None,
            repeated=self._repeated,
            not_shown=self._not_shown,
            truth=self._truth_error(),
        )

    def histogram(self) -> Histogram:
        """Cells by SOH."""
        soh = self._soh[: len(self._latest)]
        # The small addend puts 0.90 into the bin that begins at 0.90 although float32 holds it as 0.8999.
        place = np.floor((soh[~np.isnan(soh)] - _HISTOGRAM_LOW) / _HISTOGRAM_WIDTH + 1e-4)
        bins = np.clip(place, 0, _HISTOGRAM_BINS - 1).astype(np.int64)
        counts = np.bincount(bins, minlength=_HISTOGRAM_BINS)
        return Histogram(_HISTOGRAM_LOW, _HISTOGRAM_WIDTH, counts.tolist())

    def weakest(self, count: int) -> list[CellRow]:
        """The ``count`` worst cells by SOH, by RUL, by trend and among the flagged, each cell once, worst SOH first."""
        n = len(self._latest)
        flagged_soh = np.where(self._suspect(), np.nan_to_num(self._soh[:n], nan=9.0), np.float32(nan))
        chosen: set[int] = set()
        for key in (self._soh[:n], self._rul_cycles[:n], self._trend[:n], flagged_soh):
            worst = np.argpartition(key, count)[:count] if n > count else np.arange(n)
            chosen.update(worst[~np.isnan(key[worst])].tolist())
        return self._rows(list(chosen))

    def alerts(self, newest: int) -> Alerts:
        """The alerts that stand: of each kind how many, and the ``newest``."""
        return Alerts(self.standing.by_kind(), self.standing.newest(newest))

    def snapshot(self, weakest: int, alerts: int) -> Snapshot:
        """The whole fleet as of the sequence number it carries, with so many of the weakest cells and newest alerts."""
        packs = {pack_id: self._columns(cells) for pack_id, cells in self._packs.items()}
        tables = (self.histogram(), self.weakest(weakest), self.alerts(alerts))
        return Snapshot(self.seq, self.flag_names, packs, self.summary(), *tables)

    def pack(self, pack_id: str) -> PackView | None:
        """One pack, or nothing where it is not known."""
        cells = self._packs.get(pack_id)
        if cells is None:
            return None
        soh = self._soh[list(cells.values())]
        known = soh[~np.isnan(soh)]
        low, median, high = (np.min(known), np.median(known), np.max(known)) if len(known) else (nan, nan, nan)
        return PackView(
            pack_id,
            len(cells),
            len(known),
            _tidy(low),
            _tidy(median),
            _tidy(high),
            _tidy(high - low),
            self._rows(list(cells.values())),
        )

    def cell(self, pack_id: str, cell: int) -> CellView | None:
        """One cell, or nothing where it is not known."""
        cells = self._packs.get(pack_id)
        if cells is None or cell not in cells:
            return None
        slot = cells[cell]
        x, p05, p50, p95, truth = self._history[slot].columns()
        soh = self._soh[list(cells.values())]
        known = soh[~np.isnan(soh)]
        latest = self._latest[slot]
        return CellView(
            pack_id,
            cell,
            "step" if latest.cycle is None else "cycle",
            latest,
            Curve(x, _tidy_all(p05), _tidy_all(p50), _tidy_all(p95), _tidy_all(truth) if self._truth else None),
            _tidy(self._trend[slot], 5),
            _tidy(np.median(known)) if len(known) else nan,
            self.standing.of(pack_id, cell),
        )

    def _add(self, prediction: Prediction) -> int:
        slot = len(self._latest)
        if slot == len(self._soh):
            self._soh, self._rul_cycles, self._trend = map(_doubled, (self._soh, self._rul_cycles, self._trend))
            self._flags = np.concatenate([self._flags, np.zeros_like(self._flags)])
        self._packs.setdefault(prediction.pack_id, {})[prediction.cell] = slot
        self._latest.append(prediction)
        self._history.append(History(self._history_points))
        return slot

    def _remember(self, slot: int, prediction: Prediction) -> None:
        soh, rul = prediction.soh, prediction.rul_cycles
        self._soh[slot] = soh.p50 if soh else nan
        self._rul_cycles[slot] = rul.p50 if rul else nan
        self._flags[slot] = sum(self._bit(flag) for flag in set(prediction.flags))
        if rul:
            self._eol_soh = rul.eol_soh
        if soh is None:
            self._trend[slot] = nan
            return
        truth = self._truth(prediction) if self._truth else None
        if truth is not None:
            self._compared += 1
            self._absolute_error += abs(soh.p50 - truth)
            self._covered += soh.p05 <= truth <= soh.p95
        x = prediction.step if prediction.cycle is None else prediction.cycle
        history = self._history[slot]
        history.add((x, soh.p05, soh.p50, soh.p95, nan if truth is None else truth))
        self._trend[slot] = history.trend_per_100()

    def _suspect(self) -> NDArray[np.bool_]:
        """Which cells carry a flag that asks for a look; missing history and a distant end of life do not."""
        harmless = sum(self._flag_bits.get(flag, 0) for flag in HARMLESS_FLAGS)
        return (self._flags[: len(self._latest)] & ~np.uint16(harmless)) > 0

    def _bit(self, flag: str) -> int:
        if flag not in self._flag_bits:
            if len(self._flag_bits) == _MAX_FLAGS:
                return 0
            self._flag_bits[flag] = 1 << len(self._flag_bits)
        return self._flag_bits[flag]

    def _columns(self, cells: dict[int, int]) -> PackColumns:
        at = list(cells)
        slots = list(cells.values())
        soh, rul_cycles = np.full((2, max(at) + 1), nan)
        flags = np.zeros(len(soh), np.int64)
        soh[at], rul_cycles[at], flags[at] = self._soh[slots], self._rul_cycles[slots], self._flags[slots]
        return PackColumns(soh.round(4).tolist(), rul_cycles.round(1).tolist(), flags.tolist())

    def _rows(self, slots: list[int]) -> list[CellRow]:
        """Rows by SOH, the lowest first and the unknown last."""
        order = np.lexsort((np.array(slots, np.int64), self._soh[slots]))
        return [self._row(slots[place]) for place in order]

    def _row(self, slot: int) -> CellRow:
        latest = self._latest[slot]
        soh, rul = latest.soh, latest.rul_cycles
        return CellRow(
            latest.pack_id,
            latest.cell,
            [_tidy(soh.p05), _tidy(soh.p50), _tidy(soh.p95)] if soh else None,
            [_tidy(rul.p05, 1), _tidy(rul.p50, 1), _tidy(rul.p95, 1)] if rul else None,
            _tidy(self._trend[slot], 5),
            latest.flags,
        )

    def _truth_error(self) -> TruthError | None:
        if not self._compared:
            return None
        n = self._compared
        return TruthError(n, round(self._absolute_error / n, 5), round(self._covered / n, 4))


def _doubled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([values, np.full_like(values, nan)])


def _tidy(value: float | np.floating, digits: int = 4) -> float:
    return round(float(value), digits)


def _tidy_all(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]
