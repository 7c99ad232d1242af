"""Trains tiny networks online by a loop that is written for each network.

The kernel for all networks looks up each layer for each sample, and passes activations through memory, which
takes longer than the arithmetic of a few units. The loop for one network is written for its layers and keeps
its parameters in vector registers, or near them. It is compiled when such a network is first trained, within
one or two tenths of a second, and kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from operator import add
from typing import NamedTuple

import numpy as np
from llvmlite import ir as llvm

from typednn_kernels import activations, losses
from typednn_kernels.activations import ACTIVATIONS, LOG_SOFTMAX, NONE, SOFTMAX
from typednn_kernels.arrays import F, Layout, Vector
from typednn_kernels.compiled._codegen.function_tables import (
    EXPORTED_NAME,
    SCALAR_TYPES,
    CalledFunction,
    call_address,
)
from typednn_kernels.compiled._codegen.in_python.twins import JIT_DISABLED
from typednn_kernels.compiled._codegen.ir_types import BIT, INDEX, INT32, POINTER
from typednn_kernels.compiled._codegen.ir_values import IRValue, Number
from typednn_kernels.compiled._codegen.jit import exported, require
from typednn_kernels.compiled._codegen.noinline import compiled_for
from typednn_kernels.compiled._codegen.private_parts import kernels_after, report
from typednn_kernels.compiled._codegen.short_rows import VectorLanes
from typednn_kernels.compiled._codegen.simd import VECTOR_BYTES, SimdBuilder
from typednn_kernels.compiled._codegen.tuning import SPECIALIZED_PARAMETER_REGISTERS
from typednn_kernels.compiled.network.fitting import epoch_fits, network_fits
from typednn_kernels.compiled.network.online import train_online
from typednn_kernels.compiled.ops.activation import softmax, softmax_backward
from typednn_kernels.compiled.ops.loss_loops import row_terms, softmax_delta
from typednn_kernels.layout import ACTIVATION, BIASES, LENGTH, PREVIOUS, UNITS, WEIGHTS
from typednn_kernels.losses import (
    COUPLED,
    LOSSES,
    is_mean,
    is_stable,
    pair_delta,
    pair_derivative,
    pair_of,
    softmax_rows,
)
from typednn_kernels.operands import Epoch, Workspace


def vector_width(n: int) -> int:
    """Returns the number of lanes of a vector for n elements: a power of two."""
    return 1 << (n - 1).bit_length()


class _Units(VectorLanes):
    """The units of a layer as the lanes of a vector; unused lanes hold 0 in parameters and deltas."""

    def __init__(self, code: SimdBuilder, row: Sequence[int]) -> None:
        self.n, self.m, self.activation = row[LENGTH], row[PREVIOUS], row[ACTIVATION]
        self.weights, self.biases, self.units = row[WEIGHTS], row[BIASES], row[UNITS]
        width = vector_width(self.n)
        mask = llvm.Constant(llvm.VectorType(BIT, width), [i < self.n for i in range(width)])
        super().__init__(code, width, mask)
        self.kind = llvm.VectorType(code.real, width)

    def value_of(self, vector: llvm.Value) -> IRValue:
        """Wraps a vector in IRValue, for formulas."""
        return IRValue(self.code.builder, vector)

    def splat(self, number: llvm.Value) -> IRValue:
        """Broadcasts a scalar to all lanes."""
        return self.value_of(self.code.splat(number, self.kind))

    def from_lane(self, x: Number, j: int) -> IRValue:
        """Broadcasts a lane of a vector of other units to all lanes."""
        return self.value_of(self.code.shuffled(x.value, x.value, [j] * self.width))

    def gathered(self, numbers: Sequence[llvm.Value]) -> IRValue:
        """Returns a vector of the scalars."""
        vector: llvm.Value = llvm.Constant(self.kind, None)
        for i, number in enumerate(numbers):
            vector = self.code.builder.insert_element(vector, number, INT32(i))
        return self.value_of(vector)

    def load(self, pointer: llvm.Value) -> IRValue:
        """Loads the elements at an address."""
        return self.value_of(self.code.load(pointer, self.kind, self.mask))

    def store(self, x: Number, pointer: llvm.Value, stride: int = 1) -> None:
        """Stores the elements, `stride` apart."""
        for i in range(self.n):
            number = self.code.builder.extract_element(x.value, INT32(i))
            self.code.builder.store(number, self.code.at(pointer, i * stride))

    def parameters(self, pointer: llvm.Value) -> list[Number]:
        """Loads the biases, and the weights of each unit of the layer below."""
        columns = [
            [self.code.load_scalar(pointer, self.weights + i * self.m + j) for i in range(self.n)]
            for j in range(self.m)
        ]
        return [self.load(self.code.at(pointer, self.biases)), *map(self.gathered, columns)]

    def store_parameters(self, parameters: Sequence[Number], pointer: llvm.Value) -> None:
        """Stores what `parameters` loads."""
        bias, *columns = parameters
        self.store(bias, self.code.at(pointer, self.biases))
        for j, column in enumerate(columns):
            self.store(column, self.code.at(pointer, self.weights + j), self.m)

    def activations(self, a: Number) -> Number:
        """Computes h = f(a)."""
        formula = ACTIVATIONS[self.activation].value
        return softmax(self, a) if formula is None else formula(a)

    def delta(self, a: Number, h: Number, dLdh: Number) -> Number:
        """Computes dLda = dLdh * dh/da."""
        derivative = ACTIVATIONS[self.activation].derivative
        return (
            self.masked(softmax_backward(self, h, dLdh), 0.0)
            if derivative is None
            else dLdh * derivative(a, h)
        )


class _Loss:
    """A loss of the units of an output layer."""

    def __init__(self, loss: int, output: _Units) -> None:
        self.loss, self.output = loss, output
        self.terms = output.n if is_mean(loss) else 1
        self.pair = pair_of(loss, output.activation)
        self.in_rows = softmax_rows.has_rows(loss, output.activation, output.n)

    def value(self, a: Number, y: Number, t: Number) -> Number:
        """Computes the loss of a sample, in all lanes."""
        terms: Number
        if self.in_rows:
            terms = softmax_rows.value(self.loss)(a, y, t, *self.row_sums(a, y, t))
        else:
            terms = row_terms(self.loss, self.output.activation)(self.output, a, y, t)
        return self.output.total(terms) / self.terms

    def row_sums(self, a: Number, y: Number, t: Number) -> Sequence[Number]:
        """Computes what the outputs have in common, for `softmax_rows`."""
        return softmax_rows.row_sums(self.loss, self.output, a, y, t)

    def derivative(self, a: Number, y: Number, t: Number) -> Number:
        """Computes dLdy."""
        if self.in_rows:
            formula = softmax_rows.derivative(self.loss)
            return formula(a, y, t, *self.row_sums(a, y, t)) / self.terms
        derivative: Number = (
            LOSSES[self.loss].derivative(y, t) if self.pair < 0 else pair_derivative(self.pair)(a, y, t)
        )
        return derivative / self.terms

    def delta(self, a: Number, y: Number, t: Number) -> Number:
        """Computes dLda."""
        if self.in_rows:
            formula = softmax_rows.delta(self.loss)
            return self.output.masked(formula(a, y, t, *self.row_sums(a, y, t)) / self.terms, 0.0)
        if not is_stable(self.loss, self.output.activation):
            delta = (
                pair_delta(self.pair)(a, t) / self.terms
                if self.pair >= COUPLED
                else self.output.delta(a, y, self.derivative(a, y, t))
            )
        elif self.output.activation == SOFTMAX:
            delta = softmax_delta(self.output, y, t, self.terms)
        else:
            delta = (y - t) / self.terms
        return self.output.masked(delta, 0.0)


class _Arguments(NamedTuple):
    """The arguments of the emitted function: arrays as pointers, and two scalars."""

    parameters: llvm.Value
    x: llvm.Value
    t: llvm.Value
    order: llvm.Value
    steps: llvm.Value
    rate: llvm.Value
    a: llvm.Value
    h: llvm.Value
    dLdh: llvm.Value
    dLda: llvm.Value
    losses: llvm.Value


class _Training:
    """Writes a function of `_Arguments` that does what `train_online` does, for one layout and loss."""

    def __init__(self, code: SimdBuilder, layout: Layout, loss: int) -> None:
        self.code, self.n_inputs = code, int(layout[0, LENGTH])
        self.layers = [_Units(code, [int(each) for each in row]) for row in layout[1:]]
        self.loss = _Loss(loss, self.layers[-1])

    def write(self, given: _Arguments) -> None:
        """Writes the loop over samples, and what loads and stores the parameters before and after it."""
        code, builder, layers = self.code, self.code.builder, self.layers
        last, (first, *_), (*_, output) = builder.sub(given.steps, INDEX(1)), layers, layers

        def step(i: llvm.Value, *state: llvm.Value) -> Sequence[llvm.Value]:
            sample = builder.load(builder.gep(given.order, [i], source_etype=INDEX), typ=INDEX)
            inputs = [code.load_scalar(given.x, (sample, self.n_inputs), j) for j in range(self.n_inputs)]
            t, parameters = output.load(code.at(given.t, (sample, output.n))), self.split(state)
            below, a, h = self.forward(parameters, [first.splat(each) for each in inputs])
            result = self.loss.value(a[-1], h[-1], t)
            builder.store(output.first(result).value, code.at(given.losses, i))
            dLdh, dLda = self.backward(parameters, a, h, self.loss.delta(a[-1], h[-1], t))
            with builder.if_then(builder.icmp_signed("==", i, last), likely=False):
                for j, number in enumerate(inputs):
                    builder.store(number, code.at(given.h, j))
                dLdh.append(self.loss.derivative(a[-1], h[-1], t))
                for pointer, vectors in (given.a, a), (given.h, h), (given.dLdh, dLdh), (given.dLda, dLda):
                    for layer, vector in zip(layers, vectors, strict=True):
                        layer.store(vector, code.at(pointer, layer.units))
            return [each.value for each in self.updated(parameters, below, dLda, given.rate)]

        begin = [each.value for layer in layers for each in layer.parameters(given.parameters)]
        end = self.split(code.repeat(0, given.steps, 1, step, *begin))
        for layer, vectors in zip(layers, end, strict=True):
            layer.store_parameters(vectors, given.parameters)

    def split(self, state: Sequence[llvm.Value]) -> list[list[Number]]:
        """Splits the state of the loop into the parameters of each layer."""
        values = iter(state)
        return [[layer.value_of(next(values)) for _ in range(1 + layer.m)] for layer in self.layers]

    def forward(
        self, parameters: Sequence[Sequence[Number]], inputs: Sequence[Number]
    ) -> tuple[list[Sequence[Number]], list[Number], list[Number]]:
        """Computes for each layer the value of each unit below, in all lanes, then its `a`, and its `h`."""
        below: list[Sequence[Number]] = [inputs]
        a: list[Number] = []
        h: list[Number] = []
        for layer, (bias, *columns) in zip(self.layers, parameters, strict=True):
            if h:
                below.append([layer.from_lane(h[-1], j) for j in range(layer.m)])
            total = bias
            for column, value in zip(columns, below[-1], strict=True):
                total = total + column * value
            a.append(total)
            h.append(layer.activations(total))
        return below, a, h

    def backward(
        self,
        parameters: Sequence[Sequence[Number]],
        a: Sequence[Number],
        h: Sequence[Number],
        output_delta: Number,
    ) -> tuple[list[Number], list[Number]]:
        """Computes dLdh of the layers except the last, and dLda of all."""
        dLdh: list[Number] = []
        dLda: list[Number] = [output_delta]
        for k in range(len(self.layers) - 2, -1, -1):
            layer, above, (_, *columns) = self.layers[k], self.layers[k + 1], parameters[k + 1]
            sums = [above.first(above.horizontal_reduce(column * dLda[0], add)).value for column in columns]
            dLdh.insert(0, layer.gathered(sums))
            dLda.insert(0, layer.delta(a[k], h[k], dLdh[0]))
        return dLdh, dLda

    def updated(
        self,
        parameters: Sequence[Sequence[Number]],
        below: Sequence[Sequence[Number]],
        dLda: Sequence[Number],
        rate: llvm.Value,
    ) -> list[Number]:
        """Computes the parameters after a step."""
        result: list[Number] = []
        for layer, (bias, *columns), values, delta in zip(self.layers, parameters, below, dLda, strict=True):
            step = delta * layer.splat(rate)
            result += [bias - step]
            result += [column - step * value for column, value in zip(columns, values, strict=True)]
        return result


def is_tiny(layout: Layout, loss: int, itemsize: int) -> bool:
    """Says whether the parameters fit in few vector registers, and there are vectors of all formulas."""
    vectors = sum(
        (1 + int(row[PREVIOUS])) * max(1, vector_width(int(row[LENGTH])) * itemsize // VECTOR_BYTES)
        for row in layout[1:]
    )
    codes = layout[:, ACTIVATION]
    known = loss < losses.BUILT_IN and bool(((codes < activations.BUILT_IN) & (codes != LOG_SOFTMAX)).all())
    return known and layout[0, ACTIVATION] == NONE and vectors <= SPECIALIZED_PARAMETER_REGISTERS


def write_training(module: llvm.Module, layout: Layout, loss: int, real: llvm.Type) -> None:
    """Writes the function for a network in a module."""
    kinds = [*[POINTER] * 4, INDEX, real, *[POINTER] * 5]
    function = llvm.Function(module, llvm.FunctionType(llvm.VoidType(), kinds), EXPORTED_NAME)
    code = SimdBuilder(function, real)
    _Training(code, layout, loss).write(_Arguments(*function.args))
    code.builder.ret_void()


MAX_LOOPS = 64
"""Number of loops that a process keeps in memory: those of the networks that it trained last."""


def loop_for(layout: Layout, loss: int, dtype: np.dtype[np.floating]) -> CalledFunction | None:
    """Returns the loop of a tiny network, which is compiled if need be; None for other networks."""
    return _loop_for(layout.tobytes(), layout.shape[1], loss, dtype)


@lru_cache(MAX_LOOPS)
def _loop_for(rows: bytes, columns: int, loss: int, dtype: np.dtype[np.floating]) -> CalledFunction | None:
    layout, (_, real) = np.frombuffer(rows, np.int64).reshape(-1, columns), SCALAR_TYPES[dtype]
    if not is_tiny(layout, loss, dtype.itemsize):
        return None

    def write(module: llvm.Module) -> None:
        write_training(module, layout, loss, real)

    return CalledFunction.compiled("tiny_network", (layout.tolist(), loss, dtype), write)


@exported
def train_tiny(
    address: int,
    parameters: Vector[F],
    layout: Layout,
    epoch: Epoch[F],
    learning_rate: F,
    workspace: Workspace[F],
) -> None:
    """Calls the function that is written for a network."""
    require(network_fits(parameters, layout, 1, workspace) and epoch_fits(layout, epoch))
    data = (epoch.x, epoch.t, epoch.order, epoch.order.size)
    vectors = (workspace.a, workspace.h, workspace.dLdh, workspace.dLda)
    call_address(address, parameters, data, learning_rate, vectors, epoch.losses)


def train_online_for(dtype: np.dtype[np.floating]) -> Callable[..., object]:
    """Returns the kernel `train_online` for a dtype, which calls `train_tiny` for tiny networks.

    Each is compiled when it is first needed.
    """

    @cache
    def compiled(function: Callable[..., object]) -> Callable[..., object]:
        entry = compiled_for(function, dtype)
        report()
        return entry

    def in_numpy(error: Exception) -> Callable[..., object]:
        return kernels_after(error).train_online

    def chosen(layout: Layout, loss: int) -> tuple[Callable[..., object], CalledFunction | None]:
        try:
            loop = None if JIT_DISABLED else loop_for(layout, loss, dtype)
            return compiled(train_online if loop is None else train_tiny), loop
        except Exception as error:  # noqa: BLE001 (whatever a compiler raises)
            return in_numpy(error), None

    last: tuple[bytes, int, Callable[..., object], CalledFunction | None] | None = None

    def train(parameters: Vector[F], layout: Layout, loss: int, *others: object) -> None:
        nonlocal last
        found, rows = last, layout.tobytes()
        if found is None or rows != found[0] or loss != found[1]:
            last = found = rows, loss, *chosen(layout, loss)
        _, _, function, loop = found
        if loop is not None:
            # `loop` keeps its machine code until this returns
            function(loop.address, parameters, layout, *others)
        else:
            function(parameters, layout, loss, *others)

    return train
