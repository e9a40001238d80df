"""What a batch is expected to cost."""

from __future__ import annotations

import numpy as np
import pytest

from stream.cost import Cost


def seen(*pairs: tuple[int, float]) -> Cost:
    cost = Cost()
    for windows, seconds in pairs:
        cost.observe(windows, seconds)
    return cost


def test_nothing_seen_costs_nothing():
    assert Cost().seconds(100) == 0


def test_a_line_is_found_again():
    cost = seen(*((n, 0.002 + 0.0001 * n) for n in (1, 64, 8, 256, 32)))
    assert cost.line == pytest.approx((0.0001, 0.002))
    assert cost.seconds(1000) == pytest.approx(0.102)


def test_noise_is_averaged_out():
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 256, 400)
    noisy = seen(*((int(n), (0.002 + 0.0001 * n) * rng.uniform(0.9, 1.1)) for n in sizes))
    assert noisy.seconds(128) == pytest.approx(0.0148, rel=0.1)


def test_one_size_alone_is_put_to_the_windows():
    cost = seen(*[(64, 0.01)] * 5)
    assert cost.seconds(64) == pytest.approx(0.01)
    assert cost.seconds(128) == pytest.approx(0.02)


def test_neither_term_is_negative_whatever_is_seen():
    falling = seen((1, 0.02), (10, 0.01), (20, 0.005))
    assert falling.line[0] == 0
    assert 0.005 < falling.line[1] < 0.02
    steep = seen((10, 0.001), (20, 0.01))
    assert steep.line[1] == 0
    assert steep.line[0] > 0


def test_a_slower_machine_is_believed_before_long():
    cost = seen(*((n, 0.001 * n) for n in range(1, 200)))
    for n in range(1, 120):
        cost.observe(n, 0.01 * n)
    assert cost.seconds(50) == pytest.approx(0.5, rel=0.1)
