"""An LSTM over whole windows on a GPU: each layer one launch, its weights in shared memory, its state in registers.

A program is some windows by all hidden units, and goes through all steps. A step's gates are multiplied by tensor cores
and become the new cell and hidden state at once: nothing is written in between but, for the next layer, the hidden
state. Sums, gates and cell state are float32; inputs, weights and hidden state are of a half type.

Arrays: steps [n, L, inputs]; weights [4, inputs + hidden, hidden]; biases float32 [4, hidden]; gates in torch's order
(input, forget, cell, output). Widths are filled with zeros to powers of two, and units that only fill stay zero.
Weights and biases are scaled as in `model.lstm_kernel`, so that a sum is the power of two that its gate asks for.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

MOST_HIDDEN = 64  # more units' weights do not fit into the shared memory of a multiprocessor
_LEAST_WIDTH = 16  # of a product of tensor cores
_TO_POWER = -math.log2(math.e)
_STATE_TO_POWER = tl.constexpr(2 * _TO_POWER)
_MOST = tl.constexpr(40.0)  # exponents end here: 2**-40 is nothing beside 1, and three times 2**40 is no overflow


class CudaLstm(nn.Module):
    """What an `nn.LSTM` says at its newest step, in ``dtype`` (float16 or bfloat16). For inference.

    Every input width and number of layers will do, up to ``MOST_HIDDEN`` units; one direction, no projections,
    ``batch_first``.
    """

    def __init__(self, lstm: nn.LSTM, dtype: torch.dtype) -> None:
        super().__init__()
        if lstm.hidden_size > MOST_HIDDEN:
            raise ValueError(f"at most {MOST_HIDDEN} hidden units fit, not {lstm.hidden_size}")
        self.inputs, self.hidden, self.layers = lstm.input_size, lstm.hidden_size, lstm.num_layers
        for layer in range(self.layers):
            weights, biases = self._packed(lstm, layer)
            self.register_buffer(f"weights_{layer}", weights.to(dtype), persistent=False)
            self.register_buffer(f"biases_{layer}", biases.float(), persistent=False)

    def forward(self, steps: Tensor, _state: None = None) -> tuple[Tensor, None]:
        """Steps [n, L, inputs] of the weights' type -> hidden state at the newest of them, [n, 1, hidden].

        They may lie in memory in any order, so long as a step's inputs lie side by side.
        """
        n, length, inputs = steps.shape
        dtype = self.get_buffer("weights_0").dtype
        if inputs != self.inputs or steps.dtype != dtype:  # the kernel would read beyond them
            raise ValueError(f"steps must be {dtype} [n, L, {self.inputs}], not {steps.dtype} {list(steps.shape)}")
        if steps.stride(2) != 1:
            steps = steps.contiguous()
        width = padded(self.hidden)
        for layer in range(self.layers):
            newest = layer == self.layers - 1
            hidden = steps.new_empty((1 if newest else length, n, width))
            if n:
                rows, warps = _shape(n, steps.device)
                _layer[(triton.cdiv(n, rows),)](
                    *(steps, self.get_buffer(f"weights_{layer}"), self.get_buffer(f"biases_{layer}"), hidden),
                    *(n, steps.stride(0), steps.stride(1)),
                    *(length, steps.shape[2], padded(steps.shape[2]), width),
                    *(rows, rows <= 32, newest, triton.knobs.runtime.interpret),
                    num_warps=warps,
                    num_stages=1,
                    enable_fp_fusion=True,
                )
            steps = hidden.transpose(0, 1)
        return steps[..., : self.hidden], None

    @torch.no_grad()
    def _packed(self, lstm: nn.LSTM, layer: int) -> tuple[Tensor, Tensor]:
        """A layer's weights and biases as the kernel reads them, in doubles."""
        from_input, from_hidden, bias, second_bias = (weights.double() for weights in lstm.all_weights[layer])
        scale = _TO_POWER * bias.new_tensor([1, 1, 2, 1]).view(4, 1, 1)
        # What a layer hands on to the next is as wide as the units that fill it up.
        known = self.inputs if layer == 0 else self.hidden
        spare = padded(self.hidden) - self.hidden
        parts = [
            nn.functional.pad(scale * weights.view(4, self.hidden, -1), (0, padded(count) - count, 0, spare))
            for weights, count in ((from_input, known), (from_hidden, self.hidden))
        ]
        biases = nn.functional.pad(scale[..., 0] * (bias + second_bias).view(4, self.hidden), (0, spare))
        return torch.cat(parts, -1).transpose(1, 2).contiguous(), biases


def padded(width: int) -> int:
    """The width of the arrays that hold so many numbers."""
    return max(_LEAST_WIDTH, int(triton.next_power_of_2(width)))


def _shape(n: int, device: torch.device) -> tuple[int, int]:
    """Windows and warps of a program: as few windows as let all programs run at once, two on a multiprocessor.

    By what it is given alone, not by what is measured: processes of one fleet must agree.
    """
    processors = torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
    for rows, warps in ((16, 8), (32, 4)):
        if n <= 2 * rows * processors:
            return rows, warps
    return 64, 4


@triton.jit(do_not_specialize=["n"])
def _layer(  # type: ignore[no-untyped-def]
    steps,
    weights,
    biases,
    out,
    n,
    row_stride,
    step_stride,
    length: tl.constexpr,
    known_inputs: tl.constexpr,
    inputs: tl.constexpr,
    units: tl.constexpr,
    rows: tl.constexpr,
    hold_biases: tl.constexpr,
    newest: tl.constexpr,
    interpreted: tl.constexpr,
):
    """All steps of a layer, from zeros; ``out`` is the hidden state at each step [L, n, units], or at the newest."""
    row = tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows)
    present = (row < n)[:, None]
    feature = tl.arange(0, inputs)[None, :]
    readable = present if known_inputs == inputs else present & (feature < known_inputs)
    source = steps + row[:, None] * row_stride + feature
    target = out + row[:, None] * units + tl.arange(0, units)[None, :]
    x_input = _weights(weights, 0, 0, inputs, inputs + units, units)
    x_forget = _weights(weights, 1, 0, inputs, inputs + units, units)
    x_cell = _weights(weights, 2, 0, inputs, inputs + units, units)
    x_output = _weights(weights, 3, 0, inputs, inputs + units, units)
    h_input = _weights(weights, 0, inputs, units, inputs + units, units)
    h_forget = _weights(weights, 1, inputs, units, inputs + units, units)
    h_cell = _weights(weights, 2, inputs, units, inputs + units, units)
    h_output = _weights(weights, 3, inputs, units, inputs + units, units)
    # Of many rows the biases are read at every step: in registers they would leave no room for a second program.
    if hold_biases:
        b_input = _biases(biases, 0, rows, units)
        b_forget = _biases(biases, 1, rows, units)
        b_cell = _biases(biases, 2, rows, units)
        b_output = _biases(biases, 3, rows, units)
    cell = tl.zeros([rows, units], tl.float32)
    hidden = tl.zeros([rows, units], weights.dtype.element_ty)
    x = tl.load(source, mask=readable, other=0.0)
    for step in range(length):
        if not hold_biases:
            b_input = _biases(biases, 0, rows, units)
            b_forget = _biases(biases, 1, rows, units)
            b_cell = _biases(biases, 2, rows, units)
            b_output = _biases(biases, 3, rows, units)
        of_input = _power(tl.dot(hidden, h_input, tl.dot(x, x_input, b_input)))
        of_cell = _power(tl.dot(hidden, h_cell, tl.dot(x, x_cell, b_cell)))
        of_forget = _power(tl.dot(hidden, h_forget, tl.dot(x, x_forget, b_forget)))
        entry = (1 + of_input) * (1 + of_cell)
        new = (1 - of_cell) * (1 + of_forget)
        cell = (cell * entry + new) * _reciprocal((1 + of_forget) * entry, interpreted)
        of_output = _power(tl.dot(hidden, h_output, tl.dot(x, x_output, b_output)))
        # The next step's inputs arrive while this one is computed; the last are read twice.
        source += tl.where(step + 1 < length, step_stride, 0)
        x = tl.load(source, mask=readable, other=0.0)
        of_state = _power(cell * _STATE_TO_POWER)
        output = (1 - of_state) * _reciprocal((1 + of_output) * (1 + of_state), interpreted)
        hidden = output.to(hidden.dtype)
        if not newest:
            tl.store(target, hidden, mask=present)
            target += n * units
    if newest:
        tl.store(target, hidden, mask=present)


@triton.jit
def _weights(  # type: ignore[no-untyped-def]
    weights, gate: tl.constexpr, first: tl.constexpr, count: tl.constexpr, depth: tl.constexpr, units: tl.constexpr
):
    """What a gate multiplies ``count`` values with, from the ``first`` of ``depth`` on: [count, units]."""
    inner = gate * depth + first + tl.arange(0, count)
    return tl.load(weights + inner[:, None] * units + tl.arange(0, units)[None, :])


@triton.jit
def _biases(biases, gate: tl.constexpr, rows: tl.constexpr, units: tl.constexpr):  # type: ignore[no-untyped-def]
    """A gate's biases, the same for every row: [rows, units]."""
    return tl.broadcast_to(tl.load(biases + gate * units + tl.arange(0, units))[None, :], [rows, units])


@triton.jit
def _power(exponent):  # type: ignore[no-untyped-def]
    """``2**exponent``, cut at ``_MOST``; NaN of NaN."""
    return tl.exp2(tl.minimum(exponent, _MOST, propagate_nan=tl.PropagateNan.ALL))


@triton.jit
def _reciprocal(value, interpreted: tl.constexpr):  # type: ignore[no-untyped-def]
    """``1 / value`` of what is neither huge nor tiny, to a unit in the last place."""
    if interpreted:  # Triton's interpreter knows no assembly
        return 1 / value
    return tl.inline_asm_elementwise(
        "rcp.approx.ftz.f32 $0, $1;", "=f,f", [value], dtype=tl.float32, is_pure=True, pack=1
    )
