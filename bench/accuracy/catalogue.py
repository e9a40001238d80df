"""All protocols, in the order of the table."""

from __future__ import annotations

from bench.accuracy import (
    capacity_ahead,
    curves_ahead,
    early_life,
    health_now,
    life_left,
    nasa,
    one_charge,
    sample_window,
)
from bench.accuracy.protocol import Protocol

PROTOCOLS: dict[str, Protocol] = {
    "xjtu-soh": health_now.XJTU,
    "hust-b": life_left.HUST_B,
    "hust-b-anchored": life_left.HUST_B_ANCHORED,
    "nasa-soh": nasa.HEALTH,
    "nasa-rul": nasa.LEFT,
    "hust-a": life_left.HUST_A,
    "mit-300": capacity_ahead.MIT_300,
    "mit-100": capacity_ahead.MIT_100,
    "mit-300-curves": curves_ahead.CURVES_300,
    "mit-100-curves": curves_ahead.CURVES_100,
    "hust-300": capacity_ahead.HUST_300,
    "severson": early_life.SEVERSON,
    "a123": one_charge.A123,
    "window": sample_window.WINDOW,
}
