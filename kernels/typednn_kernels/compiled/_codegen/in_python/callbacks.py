"""Functions that machine code calls as compiled ones, and that Python runs: those that cannot be compiled.

They are slow. But nothing can be raised in the middle of a kernel, which has to end with the right results.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from itertools import islice
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from llvmlite import ir as llvm
from numba import types
from numba.core.registry import cpu_target

from typednn_kernels.compiled._codegen.in_python.twins import in_python
from typednn_kernels.compiled._codegen.references import Reference
from typednn_kernels.compiled._codegen.small_stacks import deliver_again, with_large_stack

if TYPE_CHECKING:
    from numba.core.typing.templates import Signature

CType: TypeAlias = "type[Any]"
"""A type of ctypes."""

ADDRESS_WORDS = 5
"""Words that numba passes for an array before shape and strides; the last is the address of its elements."""

CALLBACKS: list[object] = []
"""What keeps the callbacks in memory."""


def callback_in_python(function: Callable[..., object], signature: Signature) -> int:
    """Returns the address of a function with the calling convention of numba, which Python runs.

    Args:
        function: is compiled for a call from Python, or is an intrinsic.
        signature: the types of its arguments and of its result.
    """
    run, context = in_python(function), cpu_target.target_context
    assert callable(run)
    returns = signature.return_type != types.none
    result_type = _ctype(context.get_value_type(signature.return_type))
    prototype = context.call_conv.get_function_type(signature.return_type, signature.args)

    def call(result: int, _exception: int, *words: float) -> int:
        def compute() -> None:
            given = iter(words)
            returned = run(*(_argument(each, given) for each in signature.args))
            if returns:
                result_type.from_address(result).value = returned

        try:
            with_large_stack(compute)
        except KeyboardInterrupt:
            deliver_again()
        except RuntimeError:  # there is no thread to be had: here, where the stack may be small
            compute()
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int32, *map(_ctype, prototype.args))(call)
    CALLBACKS.append(callback)
    return ctypes.cast(callback, ctypes.c_void_p).value or 0


def _argument(kind: types.Type, words: Iterator[float]) -> object:
    """Returns an argument for Python, from the words that numba passes for it."""
    if isinstance(kind, types.Array):
        *_, address = islice(words, ADDRESS_WORDS)
        shape, _strides = ([int(each) for each in islice(words, kind.ndim)] for _ in range(2))
        dtype = np.dtype(str(kind.dtype))
        if not prod(shape):
            return np.empty(shape, dtype)
        memory = (ctypes.c_char * (prod(shape) * dtype.itemsize)).from_address(int(address))
        return np.frombuffer(memoryview(memory), dtype).reshape(shape)
    if isinstance(kind, Reference):
        struct = _ctype(cpu_target.target_context.get_value_type(kind.fields))
        return _argument(kind.fields, _words(struct.from_address(int(next(words)))))
    if isinstance(kind, types.BaseNamedTuple):
        return kind.instance_class(*[_argument(each, words) for each in kind.types])
    word = next(words)
    if isinstance(kind, types.Float):
        return np.dtype(str(kind)).type(word)
    return bool(word) if kind == types.boolean else int(word)


def _words(value: Any) -> Iterator[float]:
    """Yields the words of a struct in memory, as numba passes them."""
    if isinstance(value, ctypes.Structure):
        for name, *_ in value._fields_:
            yield from _words(getattr(value, name))
    else:
        yield value or 0


def _ctype(kind: llvm.Type) -> CType:
    """Returns the type of ctypes for one of LLVM's."""
    if isinstance(kind, llvm.IntType):
        return {1: ctypes.c_uint8, 8: ctypes.c_uint8, 32: ctypes.c_int32, 64: ctypes.c_int64}[kind.width]
    if isinstance(kind, llvm.FloatType):
        return ctypes.c_float
    if isinstance(kind, llvm.DoubleType):
        return ctypes.c_double
    if isinstance(kind, llvm.ArrayType | llvm.LiteralStructType):
        fields = [(f"field{i}", _ctype(each)) for i, each in enumerate(kind.elements)]
        return type("Fields", (ctypes.Structure,), {"_fields_": fields})
    return ctypes.c_void_p
