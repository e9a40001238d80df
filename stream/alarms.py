"""Which alerts a pack's predictions begin and end, in compiled code.

All are debounced alike: an alert begins when its condition held in ``patience`` predictions of the cell in a row, and
is over when in as many that was clearly not so. One without a value says nothing of the conditions that need one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from model.block import MASKED_INPUT
from model.block import OUT_OF_DISTRIBUTION as STRANGE
from stream.records import AlertKind

KINDS = tuple(AlertKind)
_COUNT = len(KINDS)
END_OF_LIFE, WARRANTY, SUDDEN_FADE, OUTLIER, SENSOR_FAULT, OUT_OF_DISTRIBUTION = range(_COUNT)
_NEED_A_VALUE = SENSOR_FAULT  # kinds before this one

# A cell by its number, its newest answer, and what its alerts remember. usual_soh: an exponential mean of its medians.
# streak: of each kind the predictions in a row that speak against how it is. standing: bits of `KINDS`.
CELL = np.dtype(
    [
        ("number", np.int32),
        ("soh", np.float32, (3,)),
        ("rul_cycles", np.float32, (3,)),
        ("p_warranty", np.float32),
        ("usual_soh", np.float32),
        ("streak", np.uint8, (_COUNT,)),
        ("standing", np.uint8),
    ]
)
# An alert that begins or ends with an answer. value: what was compared with which limit, NaN where nothing was.
EVENT = np.dtype(
    [("answer", np.int64), ("kind", np.int64), ("raised", np.bool_), ("value", np.float64), ("limit", np.float64)]
)
USUAL_OF = 16  # predictions that the usual SOH is a mean of
LEAST_CELLS = 4  # of which one can be told from the others
_SIGMAS, _SIGMA_OF_MAD = 4.0, 1.4826  # how far out an outlier is; of a normal distribution


class Rule(NamedTuple):
    """From where on something needs a person: SOH as a fraction, ``p_warranty`` a probability."""

    eol_soh: float
    p_warranty: float
    fade_soh: float
    outlier_soh: float
    patience: int


def new_cells(numbers: NDArray[np.int32]) -> NDArray[Any]:
    """`CELL` [n] of these numbers, ascending, that nothing was said of."""
    cells = np.zeros(len(numbers), CELL)
    cells["number"] = numbers
    for name in ("soh", "rul_cycles", "p_warranty", "usual_soh"):
        cells[name] = np.nan
    return cells


def with_cells(cells: NDArray[Any], numbers: NDArray[np.int32]) -> NDArray[Any]:
    """The cells of a pack (`CELL` [c], by number), and new ones of those numbers (int32 [n]) that it has not."""
    own = cells["number"]
    if len(own):
        place = np.searchsorted(own, numbers)
        if (own.take(place, mode="clip") == numbers).all():
            return cells
    more = new_cells(np.union1d(own, numbers))
    more[np.searchsorted(more["number"], own)] = cells
    return more


def judge(cells: NDArray[Any], answers: NDArray[Any], rule: Rule) -> NDArray[Any]:
    """Takes a pack's answers (`ANSWER` [n], in order) into its cells (`CELL` [c]); returns the `EVENT` [m] of them.

    Answers of one record are of one moment: each cell among them is held against all others as they are after it.
    """
    events = np.empty(len(answers) * _COUNT, EVENT)
    return events[: _judge(cells, np.searchsorted(cells["number"], answers["cell"]), answers, rule, events)]


@njit(cache=True, nogil=True, error_model="numpy")
def _judge(cells, place, answers, rule, events):  # type: ignore[no-untyped-def]
    found = begin = 0
    value, limit, clear = np.empty(_COUNT), np.empty(_COUNT), np.empty(_COUNT)
    drop = np.empty(answers.shape[0])
    while begin < answers.shape[0]:
        end = begin
        while end < answers.shape[0] and answers[end].offset == answers[begin].offset:
            answer, cell = answers[end], cells[place[end]]
            drop[end] = cell.usual_soh - answer.soh[1]
            if not np.isnan(answer.soh[1]):
                cell.soh[:] = answer.soh
                cell.usual_soh = answer.soh[1] if np.isnan(drop[end]) else cell.usual_soh - drop[end] / USUAL_OF
            if not np.isnan(answer.rul_cycles[1]):
                cell.rul_cycles[:] = answer.rul_cycles
                cell.p_warranty = answer.p_warranty
            end += 1
        median, spread = _middle(cells)
        for at in range(begin, end):
            answer, cell = answers[at], cells[place[at]]
            value[:], limit[:], clear[:] = np.nan, np.nan, np.nan
            answered = not (np.isnan(answer.soh[1]) and np.isnan(answer.rul_cycles[1]))
            if answered:
                _compare(cell, answer, drop[at], median, spread, rule, value, limit, clear)
            for kind in range(0 if answered else _NEED_A_VALUE, _COUNT):
                stands = cell.standing & (1 << kind) != 0
                if kind == SENSOR_FAULT:
                    against = (answer.flags & MASKED_INPUT != 0) != stands
                elif kind == OUT_OF_DISTRIBUTION:
                    against = (answer.flags & STRANGE != 0) != stands
                elif stands:
                    against = not value[kind] > clear[kind]
                else:
                    against = value[kind] > limit[kind]
                cell.streak[kind] = cell.streak[kind] + 1 if against else 0
                if cell.streak[kind] >= rule.patience:
                    cell.streak[kind] = 0
                    cell.standing ^= 1 << kind
                    event = events[found]
                    event.answer, event.kind, event.raised = at, kind, not stands
                    event.value, event.limit = value[kind], clear[kind] if stands else limit[kind]
                    found += 1
        begin = end
    return found


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _compare(cell, answer, drop, median, spread, rule, value, limit, clear):  # type: ignore[no-untyped-def]
    """What each condition compares: it holds where the value is above the limit, and clearly does not where it is not
    above ``clear``.
    """
    low, soh, high = answer.soh
    value[END_OF_LIFE], limit[END_OF_LIFE] = rule.eol_soh - soh, 0.0
    value[WARRANTY], limit[WARRANTY] = answer.p_warranty, rule.p_warranty
    # A drop that the model is unsure of by as much is no news.
    value[SUDDEN_FADE], limit[SUDDEN_FADE] = drop, max(rule.fade_soh, (high - low) / 2)
    value[OUTLIER], limit[OUTLIER] = median - cell.usual_soh, max(rule.outlier_soh, _SIGMAS * spread)
    clear[:] = limit / 2
    clear[END_OF_LIFE] = low - soh  # even the 5 % quantile is at the end of life or above it


@njit(cache=True, nogil=True, error_model="numpy")
def _middle(cells):  # type: ignore[no-untyped-def]
    """Median and deviation (from the median distance to it) of the cells' usual SOH; NaN where there are too few."""
    soh = np.empty(cells.shape[0])
    count = 0
    for cell in cells:
        if not np.isnan(cell.usual_soh):
            soh[count], count = cell.usual_soh, count + 1
    if count < LEAST_CELLS:
        return np.nan, np.nan
    median = np.median(soh[:count])
    return median, _SIGMA_OF_MAD * np.median(np.abs(soh[:count] - median))
