"""Keeps large buffers and the compiler off the small stacks that threads may have.

A thread may have a stack of 64 KiB, of which a kernel takes half at most. Large buffers come from the
heap; where the system refuses memory, a slower way needs none. The compiler gets a thread of its own.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
from collections.abc import Callable
from ctypes import CDLL, c_void_p, cast
from threading import Lock, Thread, Timer, current_thread, main_thread, stack_size
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from llvmlite import ir as llvm
from llvmlite.binding import add_symbol
from numba import types
from numba.core import cgutils

from typednn_kernels.arrays import F, Vector
from typednn_kernels.compiled._codegen.array_views import elements, view
from typednn_kernels.compiled._codegen.in_python.twins import TypedIntrinsic, written_in_llvm
from typednn_kernels.compiled._codegen.ir_types import INDEX, NULL, POINTER, internal_function

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numba.core.base import BaseContext
    from numba.core.typing.templates import Signature

R = TypeVar("R")

MALLOC, FREE = "typednn_malloc", "typednn_free"
"""The symbols by which machine code knows the functions of the C library."""
ALIGNMENT = 64
"""Bytes of a cache line, where all memory begins."""


COMPILER_STACK_BYTES = 16 << 20
_setting_stack_size = Lock()

REDELIVERY_S = 0.05
"""Seconds after which an interrupt is delivered again."""


def _keep_subnormals() -> None:
    """Has this thread know subnormal numbers, such as constants of formulas.

    On Linux a thread begins with the control register of the one that has started it, which may be a kernel
    that takes them for 0. FE_DFL_ENV, the address -1, is what a program begins with.
    """
    if sys.platform == "linux" and hasattr(C_LIBRARY, "fesetenv"):
        C_LIBRARY.fesetenv(c_void_p(-1))


class _Large(Thread, Generic[R]):
    """A thread with the stack that a compiler takes; it keeps what a function returned or raised."""

    def __init__(self, function: Callable[[], R]) -> None:
        super().__init__(name="typednn compiles", daemon=True)
        self.function: Callable[[], R] = function
        self.results: list[R] = []
        self.errors: list[BaseException] = []

    def run(self) -> None:
        """Calls the function."""
        _keep_subnormals()
        try:
            self.results.append(self.function())
        except BaseException as error:  # noqa: BLE001 (the thread that waits raises it)
            self.errors.append(error)


def with_large_stack(function: Callable[[], R]) -> R:
    """Calls a function in a thread with a large stack, where Ctrl-C does not leave numba broken.

    Raises what the function raises; KeyboardInterrupt when it has ended.
    """
    if isinstance(current_thread(), _Large):
        return function()
    thread = _Large(function)
    try:
        with _setting_stack_size:
            before = stack_size(COMPILER_STACK_BYTES)
            try:
                thread.start()
            finally:
                stack_size(before)
        thread.join()
    except RuntimeError:  # there is no thread to be had
        if current_thread() is not main_thread():
            raise
        return function()
    finally:
        if thread.ident is not None:
            thread.join()
    for error in thread.errors:
        raise error
    return thread.results[0]


def interrupt_main_thread() -> None:
    """Interrupts the main thread as Ctrl-C does, also where it sleeps, if threads can be sent signals."""
    thread = main_thread().ident
    if os.name == "posix" and thread is not None and callable(signal.getsignal(signal.SIGINT)):
        signal.pthread_kill(thread, signal.SIGINT)
    else:
        _thread.interrupt_main()


def deliver_again() -> None:
    """Interrupts the main thread in a moment, for a KeyboardInterrupt that ctypes would drop."""
    Timer(REDELIVERY_S, interrupt_main_thread).start()


def register(malloc: Any, free: Any) -> None:
    """Tells LLVM which functions allocate and free memory."""
    for name, function in ((MALLOC, malloc), (FREE, free)):
        add_symbol(name, cast(function, c_void_p).value)


C_LIBRARY: CDLL = CDLL(None) if os.name == "posix" else CDLL("msvcrt")
register(C_LIBRARY.malloc, C_LIBRARY.free)


def allocate(builder: llvm.IRBuilder, size: llvm.Value) -> llvm.Value:
    """Allocates bytes that begin at a cache line; returns their address, or null."""

    def write(inner: llvm.IRBuilder, size: llvm.Value) -> None:
        kind = llvm.FunctionType(POINTER, [INDEX])
        malloc = cgutils.get_or_insert_function(inner.module, kind, MALLOC)
        memory = inner.call(malloc, [inner.add(size, INDEX(2 * ALIGNMENT))])
        with inner.if_then(inner.icmp_unsigned("==", memory, NULL), likely=False):
            inner.ret(NULL)
        address = inner.add(inner.ptrtoint(memory, INDEX), INDEX(2 * ALIGNMENT - 1))
        aligned = inner.inttoptr(inner.and_(address, INDEX(-ALIGNMENT)), POINTER)
        inner.store(memory, inner.gep(aligned, [INDEX(-1)], source_etype=INDEX))  # what is to be freed
        inner.ret(aligned)

    return builder.call(internal_function(builder.module, "allocate", POINTER, (INDEX,), write), [size])


def release(builder: llvm.IRBuilder, address: llvm.Value) -> None:
    """Frees what `allocate` returned."""

    def write(inner: llvm.IRBuilder, address: llvm.Value) -> None:
        with inner.if_then(inner.icmp_unsigned("!=", address, NULL)):
            free = cgutils.get_or_insert_function(
                inner.module, llvm.FunctionType(llvm.VoidType(), [POINTER]), FREE
            )
            inner.call(free, [inner.load(inner.gep(address, [INDEX(-1)], source_etype=INDEX), typ=POINTER)])
        inner.ret_void()

    builder.call(internal_function(builder.module, "release", llvm.VoidType(), (POINTER,), write), [address])


def _heap_row(_context: object, n: types.Type, like: types.Array) -> TypedIntrinsic:
    vector = types.Array(like.dtype, 1, "C")

    def generate(
        context: BaseContext, builder: llvm.IRBuilder, _signature: object, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        size = context.get_constant(types.intp, np.dtype(str(like.dtype)).itemsize)
        address = allocate(builder, builder.mul(values[0], size))
        there = builder.icmp_unsigned("!=", address, NULL)
        return view(context, builder, vector, address, [builder.select(there, values[0], INDEX(0))])

    return vector(types.intp, like), generate


def _free_row(_context: object, row: types.Array) -> TypedIntrinsic:
    def generate(
        context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        release(builder, elements(context, builder, signature.args[0], values[0]))
        return context.get_dummy_value()

    return types.none(row), generate


@written_in_llvm(_heap_row)
def heap_row(n: int, like: Vector[F]) -> Vector[F]:
    """Returns n elements of an array's dtype, or none if there is no memory."""
    return np.empty(n, like.dtype)


@written_in_llvm(_free_row)
def free_row(row: Vector[F]) -> None:
    """Frees what `heap_row` returned."""
