"""Online gradient descent of tiny networks: a loop is written for each.

The kernels for all networks ask of each sample and layer what the layer is, and hand its numbers on in
memory, which takes longer than the arithmetic of a few units. What is written for one network has asked
before, and keeps its parameters in vector registers, or near them. That is done when such a network is first
trained, takes a tenth of a second or two, and is kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import add

import numpy as np
from llvmlite import ir as llvm

from typednn_kernels import activations, losses
from typednn_kernels.activations import ACTIVATIONS, NONE, SOFTMAX
from typednn_kernels.arrays import F, Layout, Matrix, Order, Vector
from typednn_kernels.compiled._codegen.array_views import JIT_DISABLED
from typednn_kernels.compiled._codegen.function_tables import (
    EXPORTED_NAME,
    SCALAR_TYPES,
    address_of_compiled,
    call_address,
)
from typednn_kernels.compiled._codegen.ir_types import BIT, INDEX, INT32, POINTER
from typednn_kernels.compiled._codegen.ir_values import IRValue, Number
from typednn_kernels.compiled._codegen.jit import exported
from typednn_kernels.compiled._codegen.noinline import compiled_for
from typednn_kernels.compiled._codegen.private_parts import kernels_after, report
from typednn_kernels.compiled._codegen.short_rows import VectorLanes
from typednn_kernels.compiled._codegen.simd import VECTOR_BYTES, SimdBuilder
from typednn_kernels.compiled.network.online import train_online
from typednn_kernels.compiled.ops.activation import softmax, softmax_backward
from typednn_kernels.compiled.ops.loss import row_terms, softmax_delta
from typednn_kernels.layout import ACTIVATION, BIASES, LENGTH, PREVIOUS, UNITS, WEIGHTS
from typednn_kernels.losses import LOSSES, canonical, is_mean

MAX_PARAMETER_VECTORS = 64
"""So many vectors hold the parameters of a tiny network at most; there are 16 or 32 registers."""


def places(n: int) -> int:
    """How many places a vector of n numbers has: a power of two."""
    return 1 << (n - 1).bit_length()


class _Units(VectorLanes):
    """The units of a layer, side by side in a vector; in places beyond, parameters and errors are 0."""

    def __init__(self, code: SimdBuilder, row: Sequence[int]) -> None:
        self.n, self.m, self.activation = row[LENGTH], row[PREVIOUS], row[ACTIVATION]
        self.weights, self.biases, self.units = row[WEIGHTS], row[BIASES], row[UNITS]
        width = places(self.n)
        mask = llvm.Constant(llvm.VectorType(BIT, width), [i < self.n for i in range(width)])
        super().__init__(code, width, mask)
        self.kind = llvm.VectorType(code.real, width)

    def symbol(self, vector: llvm.Value) -> IRValue:
        """What formulas take for a vector."""
        return IRValue(self.code.builder, vector)

    def filled(self, number: llvm.Value) -> IRValue:
        """A number in all places."""
        return self.symbol(self.code.filled(number, self.kind))

    def from_place(self, x: Number, j: int) -> IRValue:
        """The number in a place of a vector of other units, in all places."""
        return self.symbol(self.code.shuffled(x.value, x.value, [j] * self.width))

    def gathered(self, numbers: Sequence[llvm.Value]) -> IRValue:
        """A vector of single numbers."""
        vector: llvm.Value = llvm.Constant(self.kind, None)
        for i, number in enumerate(numbers):
            vector = self.code.builder.insert_element(vector, number, INT32(i))
        return self.symbol(vector)

    def load(self, pointer: llvm.Value) -> IRValue:
        """The numbers at an address."""
        return self.symbol(self.code.load(pointer, self.kind, self.mask))

    def store(self, x: Number, pointer: llvm.Value, stride: int = 1) -> None:
        """Writes them, so many places apart."""
        for i in range(self.n):
            number = self.code.builder.extract_element(x.value, INT32(i))
            self.code.builder.store(number, self.code.at(pointer, i * stride))

    def parameters(self, pointer: llvm.Value) -> list[Number]:
        """The biases, and the weights from each unit below."""
        columns = [
            [self.code.number(pointer, self.weights + i * self.m + j) for i in range(self.n)]
            for j in range(self.m)
        ]
        return [self.load(self.code.at(pointer, self.biases)), *map(self.gathered, columns)]

    def store_parameters(self, parameters: Sequence[Number], pointer: llvm.Value) -> None:
        """Writes them back."""
        bias, *columns = parameters
        self.store(bias, self.code.at(pointer, self.biases))
        for j, column in enumerate(columns):
            self.store(column, self.code.at(pointer, self.weights + j), self.m)

    def value(self, a: Number) -> Number:
        """h = f(a)."""
        formula = ACTIVATIONS[self.activation].value
        return softmax(self, a) if formula is None else formula(a)

    def product(self, a: Number, h: Number, dLdh: Number) -> Number:
        """dLda = dLdh * dh/da."""
        derivative = ACTIVATIONS[self.activation].derivative
        return (
            self.within(softmax_backward(self, h, dLdh), 0.0)
            if derivative is None
            else dLdh * derivative(a, h)
        )


class _Loss:
    """A loss of the units of an output layer."""

    def __init__(self, loss: int, output: _Units) -> None:
        self.loss, self.output = loss, output
        self.terms = output.n if is_mean(loss) else 1

    def value(self, a: Number, y: Number, t: Number) -> Number:
        """The loss of a sample, in all places."""
        terms: Number = row_terms(self.loss, self.output.activation)(self.output, a, y, t)
        return self.output.total(terms) / self.terms

    def derivative(self, y: Number, t: Number) -> Number:
        """dLdy."""
        derivative: Number = LOSSES[self.loss].derivative(y, t)
        return derivative / self.terms

    def error(self, a: Number, y: Number, t: Number) -> Number:
        """dLda."""
        if self.output.activation != canonical(self.loss):
            error = self.output.product(a, y, self.derivative(y, t))
        elif self.output.activation == SOFTMAX:
            error = softmax_delta(self.output, y, t, self.terms)
        else:
            error = (y - t) / self.terms
        return self.output.within(error, 0.0)


class _Training:
    """Writes a function `(parameters, x, t, order, steps, rate, a, h, dLdh, dLda, losses)`.

    It does what the kernel `train_online` does, for one layout and loss.
    """

    def __init__(self, code: SimdBuilder, layout: Layout, loss: int) -> None:
        self.code, self.n_inputs = code, int(layout[0, LENGTH])
        self.layers = [_Units(code, [int(each) for each in row]) for row in layout[1:]]
        self.loss = _Loss(loss, self.layers[-1])

    def write(
        self,
        parameters: llvm.Value,
        x: llvm.Value,
        t: llvm.Value,
        order: llvm.Value,
        steps: llvm.Value,
        rate: llvm.Value,
        a: llvm.Value,
        h: llvm.Value,
        dLdh: llvm.Value,
        dLda: llvm.Value,
        losses: llvm.Value,
    ) -> None:
        """Writes the loop, and what is before and after it."""
        code, builder, layers = self.code, self.code.builder, self.layers
        last, (first, *_), (*_, output) = builder.sub(steps, INDEX(1)), layers, layers

        def step(i: llvm.Value, *state: llvm.Value) -> Sequence[llvm.Value]:
            sample = builder.load(builder.gep(order, [i], source_etype=INDEX), typ=INDEX)
            inputs = [code.number(x, (sample, self.n_inputs), j) for j in range(self.n_inputs)]
            target, now = output.load(code.at(t, (sample, output.n))), self.split(state)
            below, pre_activations, values = self.ascend(now, [first.filled(each) for each in inputs])
            result = self.loss.value(pre_activations[-1], values[-1], target)
            builder.store(output.first(result).value, code.at(losses, i))
            error = self.loss.error(pre_activations[-1], values[-1], target)
            signals, errors = self.descend(now, pre_activations, values, error)
            with builder.if_then(builder.icmp_signed("==", i, last), likely=False):
                for j, number in enumerate(inputs):
                    builder.store(number, code.at(h, j))
                signals.append(self.loss.derivative(values[-1], target))
                for workspace, vectors in (a, pre_activations), (h, values), (dLdh, signals), (dLda, errors):
                    for layer, vector in zip(layers, vectors, strict=True):
                        layer.store(vector, code.at(workspace, layer.units))
            return [each.value for each in self.moved(now, below, errors, rate)]

        begin = [each.value for layer in layers for each in layer.parameters(parameters)]
        end = self.split(code.repeat(0, steps, 1, step, *begin))
        for layer, numbers in zip(layers, end, strict=True):
            layer.store_parameters(numbers, parameters)

    def split(self, state: Sequence[llvm.Value]) -> list[list[Number]]:
        """The parameters of each layer, which a loop has as its state."""
        values = iter(state)
        return [[layer.symbol(next(values)) for _ in range(1 + layer.m)] for layer in self.layers]

    def ascend(
        self, parameters: Sequence[Sequence[Number]], inputs: Sequence[Number]
    ) -> tuple[list[Sequence[Number]], list[Number], list[Number]]:
        """Of each layer: the value of each unit below, in all places, then its `a`, and its `h`."""
        below: list[Sequence[Number]] = [inputs]
        pre_activations: list[Number] = []
        values: list[Number] = []
        for layer, (bias, *columns) in zip(self.layers, parameters, strict=True):
            if values:
                below.append([layer.from_place(values[-1], j) for j in range(layer.m)])
            total = bias
            for column, value in zip(columns, below[-1], strict=True):
                total = total + column * value
            pre_activations.append(total)
            values.append(layer.value(total))
        return below, pre_activations, values

    def descend(
        self,
        parameters: Sequence[Sequence[Number]],
        pre_activations: Sequence[Number],
        values: Sequence[Number],
        error: Number,
    ) -> tuple[list[Number], list[Number]]:
        """The signals to the layers but the last, and the errors of all, given that of the last."""
        signals: list[Number] = []
        errors: list[Number] = [error]
        for k in range(len(self.layers) - 2, -1, -1):
            layer, above, (_, *columns) = self.layers[k], self.layers[k + 1], parameters[k + 1]
            sums = [above.first(above.folded(column * errors[0], add)).value for column in columns]
            signals.insert(0, layer.gathered(sums))
            errors.insert(0, layer.product(pre_activations[k], values[k], signals[0]))
        return signals, errors

    def moved(
        self,
        parameters: Sequence[Sequence[Number]],
        below: Sequence[Sequence[Number]],
        errors: Sequence[Number],
        rate: llvm.Value,
    ) -> list[Number]:
        """The parameters after a step."""
        after: list[Number] = []
        for layer, (bias, *columns), numbers, error in zip(
            self.layers, parameters, below, errors, strict=True
        ):
            part = error * layer.filled(rate)
            after += [bias - part]
            after += [column - part * number for column, number in zip(columns, numbers, strict=True)]
        return after


def is_tiny(layout: Layout, loss: int, itemsize: int) -> bool:
    """Whether the parameters fit in so many vectors, and all formulas are the library's."""
    vectors = sum(
        (1 + int(row[PREVIOUS])) * max(1, places(int(row[LENGTH])) * itemsize // VECTOR_BYTES)
        for row in layout[1:]
    )
    known = loss < losses.BUILT_IN and bool((layout[:, ACTIVATION] < activations.BUILT_IN).all())
    return known and layout[0, ACTIVATION] == NONE and vectors <= MAX_PARAMETER_VECTORS


def write_training(module: llvm.Module, layout: Layout, loss: int, real: llvm.Type) -> None:
    """Writes the function for a network in a module."""
    kinds = [*[POINTER] * 4, INDEX, real, *[POINTER] * 5]
    function = llvm.Function(module, llvm.FunctionType(llvm.VoidType(), kinds), EXPORTED_NAME)
    code = SimdBuilder(function, real)
    _Training(code, layout, loss).write(*function.args)
    code.builder.ret_void()


ADDRESSES: dict[tuple[bytes, int, np.dtype[np.floating]], int] = {}
"""What `address_for` has found, by layout, loss and dtype."""


def address_for(layout: Layout, loss: int, dtype: np.dtype[np.floating]) -> int:
    """Where the function for a tiny network is, which is written if need be; 0 for other networks."""
    key = layout.tobytes(), loss, dtype
    if key not in ADDRESSES:
        _, real = SCALAR_TYPES[dtype]

        def write(module: llvm.Module) -> None:
            write_training(module, layout, loss, real)

        tiny = is_tiny(layout, loss, dtype.itemsize)
        ADDRESSES[key] = (
            address_of_compiled("tiny_network", (layout.tolist(), loss, dtype), write) if tiny else 0
        )
    return ADDRESSES[key]


@exported
def train_tiny(
    address: int,
    parameters: Vector[F],
    x: Matrix[F],
    t: Matrix[F],
    order: Order,
    learning_rate: F,
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    losses: Vector[F],
) -> None:
    """Calls what is written for a network."""
    call_address(address, parameters, x, t, order, order.size, learning_rate, a, h, dLdh, dLda, losses)


def train_online_for(dtype: np.dtype[np.floating]) -> Callable[..., object]:
    """The kernel `train_online` for a dtype, which calls `train_tiny` for tiny networks.

    Each is compiled when it is first needed.
    """

    @cache
    def compiled(kernel: Callable[..., object]) -> Callable[..., object]:
        entry = compiled_for(kernel, dtype)
        report()
        return entry

    def train(parameters: Vector[F], layout: Layout, loss: int, *others: object) -> None:
        try:
            address = 0 if JIT_DISABLED else address_for(layout, loss, dtype)
            kernel = compiled(train_tiny if address else train_online)
        except Exception as error:  # noqa: BLE001 (whatever a compiler raises)
            kernel, address = getattr(kernels_after(error), "train_online"), 0  # noqa: B009 (of any types)
        if address:
            kernel(address, parameters, *others)
        else:
            kernel(parameters, layout, loss, *others)

    return train
