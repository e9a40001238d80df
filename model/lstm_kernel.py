"""An LSTM over whole windows on a CPU, compiled: all steps and layers in one call, gates fused with their products.

A tile is up to ``ROWS`` windows by ``LANES`` hidden units, the units as the lanes of a vector. Its four gates stay in
registers while a step's inputs and the hidden state before it are multiplied in, then become the new cell and hidden
state at once: nothing is written in between. A window's numbers are added up in one order, whoever its neighbours are.

Arrays, all float32 and contiguous:

- steps [n, L, inputs]
- weights: for each layer and each ``LANES`` of its units one block [1 + inputs + hidden, 4, LANES]: biases, then what
  multiplies each input and each hidden value, gates in torch's order (input, forget, cell, output). A last block that
  the units do not fill has zeros. They are scaled, so that a product is the power of two that its gate asks for:
  ``sigmoid(x) = 1 / (1 + 2**p)`` with ``p = -x log2(e)``, and ``tanh(x) = (1 - 2**p) / (1 + 2**p)`` with twice that.
- state [layers, 3, n, width]: hidden state after even and after odd numbers of steps, cell state; ``width`` is
  ``hidden`` rounded up to ``LANES``. What is beyond ``hidden`` stays zero.

In bf16, for processors that multiply it, inputs, hidden states and what multiplies them stand in pairs, each pair where
a float32 would, and are added up in float32. Biases, gates and cell state are float32.
"""

from __future__ import annotations

import math

import torch
from llvmlite import ir
from numba import config, njit, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic
from torch import Tensor, nn

# What numba compiles for: what it was told, or this processor.
_TOLD = config.CPU_FEATURES  # type: ignore[attr-defined]
_FEATURES = frozenset((get_host_cpu_features() if _TOLD is None else _TOLD).split(","))  # type: ignore[no-untyped-call]
# Of 32 registers a tile of 6 rows takes 24 for gates, 4 for weights; of 16 one of 3 rows takes 12.
LANES, ROWS = (16, 6) if "+avx512f" in _FEATURES else (8, 3)
# Elsewhere the vectors would be taken apart, and without FMA each lane be a call.
SUPPORTED = "+avx512f" in _FEATURES or {"+avx2", "+fma"} <= _FEATURES
BF16_SUPPORTED = {"+avx512f", "+avx512bf16"} <= _FEATURES

# 2**r for r in [-0.5, 0.5] is 1 + r * (...): the least maximum of the relative error, 9.1e-8 (1.6e-7 in float32), by
# reweighted least squares. Exactly 1 at 0: a unit that is only filling stays exactly 0.
_POWER = (0.6931470036506653, 0.24022242426872253, 0.05550733581185341, 0.009671512991189957, 0.001326472731307149)
_MOST = 40.0  # exponents are cut here: 2**-40 is nothing beside 1, and a product of three 2**40 is no overflow
_TO_INTEGER = 1.5 * 2.0**23  # added to a float, its last bit is worth 1, and its low bits are the integer

_FLOAT, _INT32, _INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR, _INTEGERS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT32, LANES)
_POINTER = _FLOAT.as_pointer()


class _Bf16(ir.Type):  # type: ignore[misc]
    """LLVM's type of that name, which llvmlite does not know."""

    def _to_string(self) -> str:
        return "bfloat"


_PAIRS, _HALVES = ir.VectorType(_Bf16(), 2 * LANES), ir.VectorType(_Bf16(), LANES)
_TILE = ir.FunctionType(
    ir.VoidType(), [_POINTER, _POINTER, _INT64, _INT64, _POINTER, _INT64, _INT64, _POINTER, _POINTER]
)


class FusedLstm(nn.Module):
    """What an `nn.LSTM` says at its newest step, computed by the kernel. For inference on a CPU.

    Every input width, number of units and number of layers will do; one direction, no projections, ``batch_first``.
    With ``bf16``, weights, inputs and hidden states are rounded to it. Any number of threads may call it, which hold no
    lock of Python's meanwhile.
    """

    def __init__(self, lstm: nn.LSTM, *, bf16: bool = False) -> None:
        super().__init__()
        self.inputs, self.hidden, self.layers = lstm.input_size, lstm.hidden_size, lstm.num_layers
        self.width = -(-self.hidden // LANES) * LANES
        self.bf16 = bf16
        if bf16 and not BF16_SUPPORTED:
            raise ValueError("this processor does not multiply bf16 (AVX512-BF16)")
        self._weights = torch.cat([self._packed(lstm, layer) for layer in range(self.layers)])

    def forward(self, steps: Tensor, _state: None = None) -> tuple[Tensor, None]:
        """Steps float32 [n, L, inputs] -> hidden state at the newest of them, [n, 1, hidden]; begins at zeros."""
        n, length, inputs = steps.shape
        if inputs != self.inputs or steps.dtype != torch.float32:  # the kernel would read beyond them
            raise ValueError(f"steps must be float32 [n, L, {self.inputs}], not {steps.dtype} {list(steps.shape)}")
        hidden = self.hidden
        if self.bf16:
            steps, inputs, hidden = _pairs(steps), -(-inputs // 2), -(-hidden // 2)
        steps = steps.contiguous()
        memory = torch.zeros(self.layers, 3, n, self.width)
        _run(
            *(steps.data_ptr(), n, length, inputs),
            *(self._weights.data_ptr(), self.width, hidden, self.layers, memory.data_ptr(), self.bf16),
        )
        newest = memory[-1, length % 2]
        if self.bf16:
            newest = newest.view(torch.bfloat16).float()
        return newest[:, None, : self.hidden], None

    @torch.no_grad()
    def _packed(self, lstm: nn.LSTM, layer: int) -> Tensor:
        """Weights of a layer as the kernel reads them, flat."""
        from_input, from_hidden, bias, second_bias = (weights.double() for weights in lstm.all_weights[layer])
        biases = self._blocks((bias + second_bias).unsqueeze(-1))
        columns = [self._blocks(weights) for weights in (from_input, from_hidden)]
        if self.bf16:
            columns = [_pairs(column.movedim(1, -1)).movedim(-1, 1) for column in columns]
        return torch.cat([biases, *columns], 1).flatten()

    def _blocks(self, gates: Tensor) -> Tensor:
        """What is added or multiplied, [4 * hidden, count], for each block: float32 [blocks, count, 4, LANES]."""
        scaled = gates.view(4, self.hidden, -1) * -math.log2(math.e)
        scaled[2] *= 2
        filled = nn.functional.pad(scaled, (0, 0, 0, self.width - self.hidden))
        return filled.view(4, self.width // LANES, LANES, -1).permute(1, 3, 0, 2).float()


def _pairs(values: Tensor) -> Tensor:
    """Rounded to bf16, two neighbours of the last axis in the place of a float32: [..., ceil(count / 2)]."""
    even = nn.functional.pad(values, (0, values.shape[-1] % 2))
    return even.to(torch.bfloat16).contiguous().view(torch.float32)


@njit(cache=True, nogil=True)
def _run(steps, n, length, inputs, weights, width, hidden, layers, state, bf16):  # type: ignore[no-untyped-def]
    """All steps of ``n`` windows. Arrays come as addresses (their views would take seconds to compile); ``inputs`` and
    ``hidden`` count pairs in bf16.
    """
    kind, size = (ROWS, 2) if bf16 else (0, 4)
    plane = 4 * n * width
    for step in range(length):
        source, stride, count = steps + 4 * step * inputs, length * inputs, inputs
        block = weights
        for layer in range(layers):
            before = state + (3 * layer + step % 2) * plane
            after = state + (3 * layer + 1 - step % 2) * plane
            cell = state + (3 * layer + 2) * plane
            for unit in range(0, width, LANES):
                for row in range(0, n, ROWS):
                    at = 4 * row * width
                    _tile(  # type: ignore[call-arg]
                        *(kind + min(ROWS, n - row), block),
                        *(source + 4 * row * stride, stride, count, before + at, width, hidden),
                        *(cell + at + 4 * unit, after + at + size * unit),
                    )
                block += 4 * 4 * LANES * (1 + count + hidden)
            source, stride, count = after, width, hidden


@intrinsic
def _tile(_typing_context, rows, weights, x, x_stride, inputs, h, h_stride, hidden, c, out):  # type: ignore[no-untyped-def]
    """One step of ``rows`` windows, 1 to ``ROWS``, and ``LANES`` units; ``ROWS`` more stand for the same in bf16.

    ``x`` [rows, inputs] and ``h`` [rows, hidden] are rows ``x_stride`` and ``h_stride`` floats apart; ``c`` and ``out``
    [rows, LANES] are ``h_stride`` apart. Arrays are addresses.
    """

    def generate(context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        rows, *rest = arguments
        rest = [
            builder.inttoptr(value, _POINTER) if isinstance(kind, ir.PointerType) else value
            for value, kind in zip(rest, _TILE.args, strict=True)
        ]
        end = builder.append_basic_block()
        choice = builder.switch(rows, end)
        for count in range(1, (2 if BF16_SUPPORTED else 1) * ROWS + 1):
            choice.add_case(_INT64(count), builder.append_basic_block())
            builder.position_at_end(choice.cases[-1][1])
            builder.call(_tile_of(builder.module, count), rest)
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(rows, weights, x, x_stride, inputs, h, h_stride, hidden, c, out), generate


def _tile_of(module: ir.Module, rows: int) -> ir.Function:
    """The function of a tile with so many rows; beyond ``ROWS`` those of bf16."""
    function = ir.Function(module, _TILE, f"lstm_tile_{rows}")
    function.linkage = "internal"
    function.attributes.add("noinline")
    weights, x, x_stride, inputs, h, h_stride, hidden, c, out = function.args
    bf16, rows = rows > ROWS, (rows - 1) % ROWS + 1
    code = (_Bf16Vectors if bf16 else _Vectors)(function.append_basic_block())
    biases = [code.vector(weights, gate) for gate in range(4)]
    weights = code.gep(weights, [_INT64(4 * LANES)])
    gates, weights = code.products([biases] * rows, weights, x, x_stride, inputs)
    gates, weights = code.products(gates, weights, h, h_stride, hidden)
    for row, powers in enumerate(gates):
        at = code.mul(h_stride, _INT64(row))
        code.activate(powers, code.gep(c, [at]), code.gep(out, [at]))
    code.ret_void()
    return function


class _Vectors(ir.IRBuilder):  # type: ignore[misc]
    """Writes LLVM's instructions on vectors of ``LANES`` floats."""

    def vector(self, base: ir.Value, index: int) -> ir.Value:
        """The vector that is ``index`` vectors behind an address."""
        loaded = self.load(self.bitcast(self.gep(base, [_INT64(index * LANES)]), _VECTOR.as_pointer()))
        loaded.align = 4
        return loaded

    def keep(self, value: ir.Value, base: ir.Value) -> None:
        """Stores a vector."""
        self.store(value, self.bitcast(base, _VECTOR.as_pointer())).align = 4

    def keep_hidden(self, value: ir.Value, base: ir.Value) -> None:
        """Stores a vector of hidden state."""
        self.keep(value, base)

    def product(self, weight: ir.Value, value: ir.Value, sums: ir.Value) -> ir.Value:
        """The sums and the weights times what they multiply."""
        return self.multiply_add(weight, value, sums)

    def everywhere(self, scalar: ir.Value) -> ir.Value:
        """A vector of one value."""
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        first = self.insert_element(undefined, scalar, _INT32(0))
        return self.shuffle_vector(first, undefined, ir.Constant(_INTEGERS, [0] * LANES))

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """``a * b + c``, rounded once."""
        return self.known(f"llvm.fma.v{LANES}f32", _VECTOR, a, b, c)

    def known(self, name: str, result: ir.Type, *arguments: ir.Value) -> ir.Value:
        """What LLVM itself knows by this name."""
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.call(self.module.globals.get(name) or ir.Function(self.module, kind, name), arguments)

    def products(
        self, gates: list[list[ir.Value]], weights: ir.Value, base: ir.Value, stride: ir.Value, count: ir.Value
    ) -> tuple[list[list[ir.Value]], ir.Value]:
        """Adds to the gates of each row its ``count`` values times their weights; and where the weights end."""
        rows = [self.gep(base, [self.mul(stride, _INT64(row))]) for row in range(len(gates))]
        before, body, after = self.block, self.append_basic_block(), self.append_basic_block()
        self.branch(body)
        self.position_at_end(body)
        index, at = self.phi(_INT64), self.phi(_POINTER)
        sums = [[self.phi(_VECTOR) for _ in own] for own in gates]
        weight = [self.vector(at, gate) for gate in range(4)]
        added = []
        for row, own in zip(rows, sums, strict=True):
            value = self.everywhere(self.load(self.gep(row, [index])))
            added.append([self.product(weight[gate], value, own[gate]) for gate in range(4)])
        following, behind = self.add(index, _INT64(1)), self.gep(at, [_INT64(4 * LANES)])
        self.cbranch(self.icmp_signed("<", following, count), body, after)
        began = [_INT64(0), weights, *(value for own in gates for value in own)]
        turned = [following, behind, *(value for own in added for value in own)]
        for phi, first, later in zip([index, at, *(phi for own in sums for phi in own)], began, turned, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(later, body)
        self.position_at_end(after)
        return added, behind

    def activate(self, powers: list[ir.Value], c: ir.Value, out: ir.Value) -> None:
        """From the exponents of the four gates to the new cell state and hidden state, two divisions in all.

        ``c / (1 + F) + (1 - G) / ((1 + I) (1 + G))``, over one denominator; ``(1 - C) / ((1 + O) (1 + C))``.
        """
        one = _all(1.0)
        of_input, of_forget, of_cell, of_output = (self.power_of_two(power) for power in powers)
        forget = self.fadd(one, of_forget)
        entry = self.fmul(self.fadd(one, of_input), self.fadd(one, of_cell))
        new = self.fmul(self.fsub(one, of_cell), forget)
        cell = self.fdiv(self.multiply_add(self.vector(c, 0), entry, new), self.fmul(forget, entry))
        self.keep(cell, c)
        of_state = self.power_of_two(self.fmul(cell, _all(-2 * math.log2(math.e))))
        output = self.fmul(self.fadd(one, of_output), self.fadd(one, of_state))
        self.keep_hidden(self.fdiv(self.fsub(one, of_state), output), out)

    def power_of_two(self, power: ir.Value) -> ir.Value:
        """``2**power``, cut at ``_MOST`` either way; NaN of NaN, for a comparison with it is false."""
        power = self.select(self.fcmp_ordered("<", _all(_MOST), power), _all(_MOST), power)
        power = self.select(self.fcmp_ordered(">", _all(-_MOST), power), _all(-_MOST), power)
        shifted = self.fadd(power, _all(_TO_INTEGER))
        rest = self.fsub(power, self.fsub(shifted, _all(_TO_INTEGER)))
        value = _all(_POWER[-1])
        for coefficient in (*_POWER[-2::-1], 1.0):
            value = self.multiply_add(value, rest, _all(coefficient))
        exponent = self.shl(self.bitcast(shifted, _INTEGERS), ir.Constant(_INTEGERS, [23] * LANES))
        return self.bitcast(self.add(self.bitcast(value, _INTEGERS), exponent), _VECTOR)


class _Bf16Vectors(_Vectors):
    """Products of pairs of bf16 that stand where a float32 would, added up in float32."""

    def product(self, weight: ir.Value, value: ir.Value, sums: ir.Value) -> ir.Value:
        """The sums and both products of each lane."""
        pairs = self.bitcast(weight, _PAIRS), self.bitcast(value, _PAIRS)
        return self.known("llvm.x86.avx512bf16.dpbf16ps.512", _VECTOR, sums, *pairs)

    def keep_hidden(self, value: ir.Value, base: ir.Value) -> None:
        """Stores a vector in half its room."""
        rounded = self.known("llvm.x86.avx512bf16.cvtneps2bf16.512", _HALVES, value)
        self.store(rounded, self.bitcast(base, _HALVES.as_pointer())).align = 2


def _all(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [value] * LANES)
