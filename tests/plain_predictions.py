"""Predictions made one by one, as their definition reads: what the compiled rows are held against."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from model.block import LATE_INPUT, MASKED_INPUT, OUT_OF_DISTRIBUTION
from model.schema import Target
from stream.batch import Batch
from stream.records import Horizon, Interval, Origin, Prediction, RemainingLife

FLAG_NAMES = {LATE_INPUT: "late_input", MASKED_INPUT: "masked_input", OUT_OF_DISTRIBUTION: "out_of_distribution"}


def plain_predictions(
    batch: Batch,
    quantiles: np.ndarray,
    model_id: str,
    targets: tuple[Target, ...],
    eol_soh: float,
    min_steps: int,
    warranty_cycles: int | None = None,
) -> list[Prediction]:
    told = []
    for segment in batch.segments:
        for row, (pack_id, cell) in zip(range(segment.start, segment.stop), segment.owners, strict=True):
            window = [column[row] for column in batch.windows]
            _, length, _, step, cycle, t_ms, nominal_ah, flags, frame = window
            short = bool(length < min_steps)
            failed = not short and not np.isfinite(quantiles[row]).all()
            names = ["insufficient_data"] * short
            names += [name for bit, name in FLAG_NAMES.items() if flags & bit] + ["degraded"] * failed
            answers = {} if short or failed else _answers(quantiles[row], float(nominal_ah), targets, eol_soh)
            if "rul_cycles" in answers and warranty_cycles is not None and 0 <= cycle <= warranty_cycles:
                life = [target.kind for target in targets].index("rul")
                answers["p_warranty"] = round(_crossing(quantiles[row, life].tolist(), warranty_cycles - int(cycle)), 6)
            told.append(
                Prediction(
                    1,
                    pack_id,
                    cell,
                    int(t_ms),
                    int(step),
                    names,
                    model_id,
                    Origin(*segment.partition, int(segment.offset[frame])),
                    int(cycle) if cycle >= 0 else None,
                    **answers,
                )
            )
    return told


def _crossing(lives: list[float], warranty: int) -> float:
    """The share of lives that end by then, if each side of the median is half of a normal distribution."""
    low, median, high = lives
    width = max(median - low if warranty < median else high - median, 1e-3)
    return NormalDist(median, width / NormalDist().inv_cdf(0.95)).cdf(warranty)


def _answers(quantiles: np.ndarray, nominal_ah: float, targets: tuple[Target, ...], eol_soh: float) -> dict:
    found: dict = {}
    for target, values in zip(targets, quantiles.astype(np.float64), strict=True):
        natural = np.round(values, 6)
        in_ah = Interval(*np.round(natural * nominal_ah, 6).tolist())
        if target.kind == "rul":
            found["rul_cycles"] = RemainingLife(*natural.tolist(), eol_soh)
        elif target.kind == "soh":
            found |= {"soh": Interval(*natural.tolist()), "capacity_ah": in_ah}
        else:
            found.setdefault("horizons", []).append(Horizon(target.horizon_cycles, in_ah))
    return found
