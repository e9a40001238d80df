"""The electric car: no cell's truth is known, so the shipped model is held against the car, the calendar and itself."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from replay.backtest_run import Assigned, run_pipeline
from replay.readers.reading import read
from stream.settings import Settings

DAY_MS = 86_400_000
MODEL = "cycle"
WEAKEST = 10
Floats = NDArray[np.float64]


def report(folder: Path, seeds: int) -> dict[str, object]:  # noqa: ARG001  nothing is drawn here
    """Consistency with the car's own SOH, stability from day to day, and whether the ranking of cells holds."""
    path = folder / "leaf_bms" / "leaf_A.parquet"
    recordings = read([path])
    settings = Settings.model_validate({"model": {"path": MODEL}})
    with tempfile.TemporaryDirectory():
        table = run_pipeline([Assigned(0, recordings[0])], settings, lambda _: None).predictions
    day, soh, low, high = _matrix(table)
    car = _car(path, day)
    middle = len(day) // 2
    sag = _sag(path)
    mean = soh.mean(1)
    return {
        "predictions": len(day),
        "cells": soh.shape[1],
        "car_soh": [float(car[0]), float(car[-1])],
        "predicted_soh": [float(mean[:5].mean()), float(mean[-5:].mean())],
        "mae_to_car": float(np.mean(np.abs(mean - car))),
        "car_within_interval": float(np.mean((low.mean(1) <= car) & (car <= high.mean(1)))),
        "interval_width": float(np.mean(high - low)),
        "step_to_step_change": float(np.mean(np.abs(np.diff(mean)))),
        "cell_spread": float(soh.std(1).mean()),
        "flagged": _flagged(table),
        "rank_between_halves": _rank_correlation(soh[:middle].mean(0), soh[middle:].mean(0)),
        "rank_against_sag": _rank_correlation(soh.mean(0), -sag),
        "weakest_shared_with_sag": len(set(np.argsort(soh.mean(0))[:WEAKEST]) & set(np.argsort(-sag)[:WEAKEST])),
    }


def _matrix(table: pa.Table) -> tuple[Floats, Floats, Floats, Floats]:
    """Days [k] of the steps that hold a value for every cell, and SOH, its 5 % and 95 % quantile [k, cells]."""
    valued = np.isfinite(table["soh_p50"].to_numpy())
    step, cell = table["step"].to_numpy()[valued], table["cell"].to_numpy()[valued]
    cells = int(cell.max()) + 1
    order = np.lexsort((cell, step))
    steps, counts = np.unique(step, return_counts=True)
    whole = np.isin(step[order], steps[counts == cells])

    def shaped(name: str) -> Floats:
        found: Floats = table[name].to_numpy()[valued][order][whole].reshape(-1, cells).astype(np.float64)
        return found

    return shaped("t_ms")[:, 0] / DAY_MS, shaped("soh_p50"), shaped("soh_p05"), shaped("soh_p95")


def _car(path: Path, day: Floats) -> Floats:
    """The car's own SOH at each of ``day``, a fraction."""
    table = pq.read_table(path, columns=["epoch_s", "soh_pct"])
    when, soh = table["epoch_s"].to_numpy() * 1000.0 / DAY_MS, table["soh_pct"].to_numpy() / 100.0
    known = np.isfinite(soh)
    found: Floats = np.interp(day, when[known], soh[known])
    return found


def _sag(path: Path) -> Floats:
    """How much lower each cell's voltage is than the pack's mean for each ampere drawn, in ohm [96]: a witness of
    weakness that no model has touched.
    """
    names = [f"cell_{number:02d}_mv" for number in range(1, 97)]
    table = pq.read_table(path, columns=["current_a", *names])
    volts = np.abs(np.stack([table[name].to_numpy().astype(np.float64) for name in names], 1)) / 1000.0
    current = table["current_a"].to_numpy().astype(np.float64)
    sound = np.isfinite(volts).all(1) & np.isfinite(current) & (volts > 2.5).all(1) & (volts < 4.5).all(1)
    apart = volts[sound] - volts[sound].mean(1, keepdims=True)
    drawn = current[sound] - current[sound].mean()
    slope: Floats = drawn @ apart / (drawn @ drawn)
    return slope


def _flagged(table: pa.Table) -> dict[str, float]:
    flags = table["flags"].to_pylist()
    names = sorted({name for each in flags for name in (each or ())})
    return {name: float(np.mean([name in (each or ()) for each in flags])) for name in names}


def _rank_correlation(left: Floats, right: Floats) -> float:
    """Spearman's."""
    return float(np.corrcoef(left.argsort().argsort(), right.argsort().argsort())[0, 1])
