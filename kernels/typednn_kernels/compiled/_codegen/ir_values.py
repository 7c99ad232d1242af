"""IR values: formulas called with them write LLVM instructions.

A formula of `activations`, `losses` or `update_rules`, and the polynomials of `compiled.math`, are ordinary
Python functions. Called with arrays they compute; called with an `IRValue`, each operation in them writes an
LLVM instruction and returns its result. NumPy passes every operator and function on to the IR value
(`__array_ufunc__`, `__array_function__`), and Python scalars in a formula take the dtype of the value that
they are combined with, as they do in NumPy (NEP 50).

The instructions form straight-line code without calls and branches, so that LLVM vectorises the loop around
them. They allow contraction to FMA, but never reordering, whatever the loop allows for its sums: polynomials
and argument reductions depend on their order.
"""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
from llvmlite import ir
from numpy.lib.mixins import NDArrayOperatorsMixin

from typednn_kernels.compiled._codegen.ir_types import INDEX, INT32

EXACT, REASSOCIATE = ("contract",), ("contract", "reassoc")
FLOAT32: ir.Type = ir.FloatType()
FLOAT64: ir.Type = ir.DoubleType()

Number: TypeAlias = Any
"""An operand of a formula, an IRValue or an array, which have no type in common for a type checker."""


def element_of(kind: ir.Type) -> ir.Type:
    """Returns the type of the elements of a vector type, or a scalar type itself."""
    return kind.element if isinstance(kind, ir.VectorType) else kind


def like_type(kind: ir.Type, element: ir.Type) -> ir.Type:
    """Returns the type of as many elements of another type."""
    return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element


def constant(kind: ir.Type, number: float) -> ir.Value:
    """Returns a constant, in all lanes of a vector."""
    return ir.Constant(kind, [number] * kind.count if isinstance(kind, ir.VectorType) else number)


class IRValue(NDArrayOperatorsMixin):
    """A value that exists when the machine code runs: a float, a signed integer, a condition, or a vector."""

    signed = True
    replaced: ClassVar[Mapping[str, Callable[..., Number]]] = {}
    """What is written in place of `INSTRUCTIONS`, by name."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder: ir.IRBuilder = builder
        self.value: ir.Value = value

    @property
    def is_real(self) -> bool:
        """Whether its elements are floats."""
        return element_of(self.value.type) in {FLOAT32, FLOAT64}

    def like(self, value: ir.Value) -> IRValue:
        """Wraps another value of the same function."""
        return type(self)(self.builder, value)

    def peer(self, number: IRValue | float) -> IRValue:
        """Returns an operand as an IR value; a Python scalar takes the type of this value.

        A single value is broadcast to the lanes of a vector.
        """
        kind = self.value.type
        if not isinstance(number, IRValue):
            return self.like(constant(kind, float(number) if self.is_real else int(number)))
        if not isinstance(kind, ir.VectorType) or isinstance(number.value.type, ir.VectorType):
            return number
        return number.broadcast(kind.count)

    def broadcast(self, lanes: int) -> IRValue:
        """Returns a vector with a single value in all lanes."""
        kind = ir.VectorType(self.value.type, lanes)
        nothing, first = (
            ir.Constant(kind, ir.Undefined),
            ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes),
        )
        single = self.builder.insert_element(nothing, self.value, INT32(0))
        return self.like(self.builder.shuffle_vector(single, nothing, first))

    def bits(self) -> IRValue:
        """Reads the bits of a float as an integer, or those of an integer as a float."""
        pairs: list[tuple[ir.Type, ir.Type]] = [(FLOAT32, INT32), (FLOAT64, INDEX)]
        types = dict(pairs) | {integer: real for real, integer in pairs}
        kind = like_type(self.value.type, types[element_of(self.value.type)])
        return self.like(self.builder.bitcast(self.value, kind))

    def __bool__(self) -> bool:
        """Refuses `if`, `and`, `max` and the like: the code is written once, for all values."""
        raise TypeError("a formula chooses with where, maximum and minimum")

    def __array_ufunc__(self, ufunc: np.ufunc, _method: str, *inputs: IRValue | float) -> Number:
        """Writes the instructions of an operator or function."""
        write = self.replaced.get(ufunc.__name__) or INSTRUCTIONS[ufunc.__name__]
        widest = _widest(inputs, self)
        return write(*(widest.peer(each) for each in inputs))

    def __array_function__(
        self,
        function: Callable[..., object],
        _types: object,
        args: tuple[IRValue, IRValue | float, IRValue | float],
        _kwargs: object,
    ) -> IRValue:
        """Writes the instruction of `np.where`."""
        if function is not np.where:
            raise TypeError(f"{function.__name__} is not a word for formulas")
        condition, x, y = args
        typed = self._constant(x) if not isinstance(x, IRValue) else x
        typed = _widest((x, y), typed)
        return typed.like(self.builder.select(condition.value, typed.peer(x).value, typed.peer(y).value))

    def _constant(self, number: float) -> IRValue:
        """Wraps a NumPy scalar."""
        kind = FLOAT32 if np.result_type(number) == np.float32 else FLOAT64
        return self.like(constant(like_type(self.value.type, kind), float(number)))


def _widest(operands: Sequence[IRValue | float], otherwise: IRValue) -> IRValue:
    """Returns the first vector among some operands; without one the first IR value, or `otherwise`."""
    values = [each for each in operands if isinstance(each, IRValue)]
    vectors = [each for each in values if isinstance(each.value.type, ir.VectorType)]
    return [*vectors, *values, otherwise][0]


class UnsignedIRValue(IRValue):
    """An unsigned integer of 32 bits."""

    signed = False


def _arithmetic(real: str, integer: str) -> Callable[[IRValue, IRValue], IRValue]:
    def write(x: IRValue, y: IRValue) -> IRValue:
        if x.is_real:
            return x.like(getattr(x.builder, real)(x.value, y.value, flags=EXACT))
        return x.like(getattr(x.builder, integer)(x.value, y.value))

    return write


def _comparison(sign: str) -> Callable[[IRValue, IRValue], IRValue]:
    def write(x: IRValue, y: IRValue) -> IRValue:
        of_integers = x.builder.icmp_signed if x.signed else x.builder.icmp_unsigned
        return x.like((x.builder.fcmp_ordered if x.is_real else of_integers)(sign, x.value, y.value))

    return write


def _llvm(name: str) -> Callable[..., IRValue]:
    def write(x: IRValue, *others: IRValue) -> IRValue:
        kind, values = x.value.type, [each.value for each in (x, *others)]
        module, places = x.builder.module, f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
        full_name = f"{name}.{places}{element_of(kind).intrinsic_name}"
        signature = ir.FunctionType(kind, [kind] * len(values))
        function = module.globals.get(full_name) or ir.Function(module, signature, full_name)
        return x.like(x.builder.call(function, values))

    return write


INSTRUCTIONS: dict[str, Callable[..., Number]] = {
    "add": _arithmetic("fadd", "add"),
    "subtract": _arithmetic("fsub", "sub"),
    "multiply": _arithmetic("fmul", "mul"),
    "divide": _arithmetic("fdiv", "sdiv"),
    "left_shift": _arithmetic("", "shl"),
    "right_shift": lambda x, y: x.like((x.builder.ashr if x.signed else x.builder.lshr)(x.value, y.value)),
    "bitwise_and": _arithmetic("", "and_"),
    "bitwise_or": _arithmetic("", "or_"),
    "bitwise_xor": _arithmetic("", "xor"),
    "less": _comparison("<"),
    "less_equal": _comparison("<="),
    "greater": _comparison(">"),
    "greater_equal": _comparison(">="),
    "equal": _comparison("=="),
    "negative": lambda x: x.like(x.builder.fneg(x.value, flags=EXACT)),
    "absolute": _llvm("llvm.fabs"),
    "sqrt": _llvm("llvm.sqrt"),
    "sign": lambda x: np.where(x > 0, 1, np.where(x < 0, -1, x)),
    "copysign": _llvm("llvm.copysign"),
    "maximum": lambda x, y: np.where(x < y, y, x),
    "fmax": _llvm("llvm.maximum"),
    "minimum": lambda x, y: np.where(y < x, y, x),
}
"""What each NumPy function writes, by its name. `compiled.math` adds exp, log and the like."""


def emit(formula: Callable[..., Number], builder: ir.IRBuilder, arguments: Sequence[ir.Value]) -> ir.Value:
    """Writes a formula of floats of one type and 32-bit integers, and returns its result."""
    return emit_all(formula, builder, arguments)[0]


def emit_all(
    formula: Callable[..., Number],
    builder: ir.IRBuilder,
    arguments: Sequence[ir.Value],
    real: type[IRValue] = IRValue,
) -> list[ir.Value]:
    """Writes a formula that may return several results, and returns them; floats become values of `real`."""
    operands = [(UnsignedIRValue if each.type == INT32 else real)(builder, each) for each in arguments]
    results = formula(*operands)
    return [operands[0].peer(each).value for each in (results if isinstance(results, tuple) else [results])]


def is_float32(argument: object) -> bool:
    """Whether an argument is an IR value of float32."""
    return isinstance(argument, IRValue) and element_of(argument.value.type) == FLOAT32
