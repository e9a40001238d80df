"""The updates of a small LSTM, compiled: of the time that torch takes for one, most goes into its two hundred calls.

What is trained is `BatteryLifespanPredictor` with one layer; a test holds each update against torch's own gradients and
optimiser. Weights are one float32 vector, in the order of the network's parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.accuracy.cell import Floats, Ints
from model.network import BatteryLifespanPredictor

MOST_NORM = 1.0  # of a gradient
SECOND_MOMENT, EPSILON = 0.999, 1e-8  # of AdamW
# tanh as a ratio of polynomials, odd over even, for |x| up to _FAR, beyond which it is one in float32 (as in Eigen).
_FAR = 7.90531110763549805
_ODD = (
    4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08,
    -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16,
)  # fmt: skip
_EVEN = (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows to draw from: steps float32 [k, F], the newest of each window int64 [N] among them, how far ``back`` from
    it each step of a window lies, int64 [L], and what is wanted, float32 [N, H], NaN unknown.
    """

    steps: NDArray[np.float32]
    newest: Ints
    back: Ints
    wanted: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Course:
    """What each update does: the windows drawn int64 [U, B], noise on whole windows float32 [U, B, F] (or [U, B, 0]),
    what the head sees of the hidden state float32 [U, B, hidden] (zero where dropped), rate and first moment [U, 2].
    """

    drawn: Ints
    noise: NDArray[np.float32]
    kept: NDArray[np.float32]
    rates: Floats


def one_cycle(updates: int, rate: float) -> Floats:
    """Rate and first moment of each update, float64 [U, 2], as torch's one-cycle schedule sets them."""
    optimiser = torch.optim.AdamW([torch.zeros(1)], lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=updates)
    found = []
    for update in range(updates):
        found.append((optimiser.param_groups[0]["lr"], optimiser.param_groups[0]["betas"][0]))
        if update + 1 < updates:
            optimiser.step()
            schedule.step()
    return np.array(found)


@torch.no_grad()
def train(
    network: BatteryLifespanPredictor, windows: Windows, course: Course, squared: Sequence[int], decay: float
) -> None:
    """Trains in place for the mean absolute error, or the mean square of the heads ``squared``."""
    weights = nn.utils.parameters_to_vector(network.parameters()).numpy()
    shapes = [tuple(each.shape) for each in network.parameters()]
    of_input, of_hidden, bias, second_bias, of_read, of_heads = _views(weights, shapes)
    gradient, first, second = np.zeros((3, len(weights)), np.float32)
    d_input, d_hidden, d_bias, d_second_bias, d_read, d_heads = _views(gradient, shapes)
    batch, length, (gates, inputs), hidden = course.drawn.shape[1], len(windows.back), shapes[0], shapes[1][1]
    x, read = np.empty((length, batch, inputs), np.float32), np.empty((batch, shapes[4][1]), np.float32)
    gate, carried, d_gate = np.zeros((3, length, batch, gates), np.float32)
    h, c = np.zeros((2, length + 1, batch, hidden), np.float32)  # zero before the first step
    bent = np.empty((length, batch, hidden), np.float32)
    squares = np.isin(np.arange(windows.wanted.shape[1]), squared)
    for update, (drawn, kept, (rate, moment)) in enumerate(zip(course.drawn, course.kept, course.rates, strict=True)):
        _gathered(windows.steps, windows.newest[drawn], windows.back, course.noise[update], x)
        np.matmul(x.reshape(-1, inputs), of_input.T, out=gate.reshape(-1, gates))
        gate += bias + second_bias
        for step in range(length):
            if step:
                np.matmul(h[step], of_hidden.T, out=carried[step])
            _opened(gate[step], carried[step], c[step], c[step + 1], bent[step], h[step + 1])
        np.multiply(h[-1], kept, out=read[:, :hidden])
        read[:, hidden:] = x[-1, :, : read.shape[1] - hidden]
        error = read @ of_read.T + of_heads - windows.wanted[drawn]
        d_said = np.nan_to_num(np.where(squares, 2 * error, np.sign(error)) / np.float32(error.size))
        np.matmul(d_said.T, read, out=d_read)
        d_said.sum(0, out=d_heads)
        d_h, d_c = (d_said @ of_read[:, :hidden]) * kept, np.zeros_like(c[0])
        for step in range(length - 1, -1, -1):
            _closed(gate[step], c[step], bent[step], d_h, d_c, d_gate[step])
            np.matmul(d_gate[step], of_hidden, out=d_h)
        np.matmul(d_gate.reshape(-1, gates).T, x.reshape(-1, inputs), out=d_input)
        np.matmul(d_gate[1:].reshape(-1, gates).T, h[1:-1].reshape(-1, hidden), out=d_hidden)
        d_gate.sum((0, 1), out=d_bias)
        d_second_bias[:] = d_bias
        _stepped(weights, gradient, first, second, update + 1, rate, moment, decay)
    nn.utils.vector_to_parameters(torch.from_numpy(weights), network.parameters())


def _views(flat: NDArray[np.float32], shapes: Sequence[tuple[int, ...]]) -> list[NDArray[np.float32]]:
    """What of a vector stands for each array of ``shapes``."""
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]


@numba.njit(cache=True)
def _gathered(steps, newest, back, noise, x):  # type: ignore[no-untyped-def]
    """Windows to ``x`` [L, B, F], with noise [B, F] or [B, 0] on all steps alike."""
    for step in range(len(back)):
        for window in range(len(newest)):
            row, out = steps[newest[window] - back[step]], x[step, window]
            if noise.shape[1]:
                own = noise[window]
                for channel in range(len(row)):
                    out[channel] = row[channel] + own[channel]
            else:
                out[:] = row


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"}, inline="always")
def _tanh(x):  # type: ignore[no-untyped-def]
    x = min(max(x, np.float32(-_FAR)), np.float32(_FAR))
    square = x * x
    odd = np.float32(_ODD[6])
    for power in range(5, -1, -1):
        odd = odd * square + np.float32(_ODD[power])
    even = np.float32(_EVEN[3])
    for power in range(2, -1, -1):
        even = even * square + np.float32(_EVEN[power])
    return x * odd / even


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def _opened(gate, carried, before, c, bent, h):  # type: ignore[no-untyped-def]
    """A step forward, [B, ...]: ``gate`` becomes what it lets through; the cell state, its tanh, the hidden state."""
    half, hidden = np.float32(0.5), h.shape[1]
    for window in range(len(h)):
        g, more, own, old, new, out = gate[window], carried[window], c[window], before[window], bent[window], h[window]
        for unit in range(hidden):
            g[unit] = half + half * _tanh(half * (g[unit] + more[unit]))
        for unit in range(hidden, 2 * hidden):
            g[unit] = half + half * _tanh(half * (g[unit] + more[unit]))
        for unit in range(2 * hidden, 3 * hidden):
            g[unit] = _tanh(g[unit] + more[unit])
        for unit in range(3 * hidden, 4 * hidden):
            g[unit] = half + half * _tanh(half * (g[unit] + more[unit]))
        for unit in range(hidden):
            own[unit] = g[unit] * g[2 * hidden + unit] + g[hidden + unit] * old[unit]
            new[unit] = _tanh(own[unit])
            out[unit] = g[3 * hidden + unit] * new[unit]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def _closed(gate, before, bent, d_h, d_c, d_gate):  # type: ignore[no-untyped-def]
    """A step back: from what is owed to hidden and cell state to that of the gates and of the cell state before."""
    one, hidden = np.float32(1.0), d_h.shape[1]
    for window in range(len(d_h)):
        g, d_g, old, new = gate[window], d_gate[window], before[window], bent[window]
        owed, d_state = d_h[window], d_c[window]
        for unit in range(hidden):
            through, forget = g[unit], g[hidden + unit]
            fresh, opened = g[2 * hidden + unit], g[3 * hidden + unit]
            d = d_state[unit] + owed[unit] * opened * (one - new[unit] * new[unit])
            d_g[unit] = d * fresh * through * (one - through)
            d_g[hidden + unit] = d * old[unit] * forget * (one - forget)
            d_g[2 * hidden + unit] = d * through * (one - fresh * fresh)
            d_g[3 * hidden + unit] = owed[unit] * new[unit] * opened * (one - opened)
            d_state[unit] = d * forget


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def _stepped(weights, gradient, first, second, count, rate, moment, decay):  # type: ignore[no-untyped-def]
    """AdamW (Loshchilov and Hutter 2019) on a gradient of norm ``MOST_NORM`` at most."""
    square = np.float32(0.0)
    for index in range(len(gradient)):
        square += gradient[index] * gradient[index]
    cut = np.float32(min(1.0, MOST_NORM / (np.sqrt(square) + 1e-6)))
    shrink, fresh = np.float32(1.0 - rate * decay), np.float32(1.0 - moment)
    size = np.float32(rate / (1.0 - moment**count))
    scale = np.float32(1.0 / np.sqrt(1.0 - SECOND_MOMENT**count))
    kept, small = np.float32(SECOND_MOMENT), np.float32(EPSILON)
    rest = np.float32(1.0 - SECOND_MOMENT)
    for index in range(len(weights)):
        own = gradient[index] * cut
        first[index] += fresh * (own - first[index])
        second[index] = kept * second[index] + rest * own * own
        weights[index] = weights[index] * shrink - size * first[index] / (np.sqrt(second[index]) * scale + small)
