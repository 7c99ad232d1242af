"""Functions that are compiled when machine code first calls them, since few networks need them.

A caller finds the address of such a function in memory. While it is 0 there, the caller has a thread call
Python, which compiles the function. Nothing can be raised in the middle of a kernel: Ctrl-C interrupts Python
after it, and where a function cannot be compiled, when those that every kernel needs could be, the process
ends. In the main thread Ctrl-C could raise KeyboardInterrupt before the first line of Python, for nobody.
"""

from __future__ import annotations

import ctypes
import os
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir as llvm
from llvmlite.binding import add_symbol
from numba.core import cgutils
from numpy.typing import NDArray

from typednn_kernels.compiled._codegen.ir_types import (
    INDEX,
    POINTER,
    Callee,
    call_in_thread,
    internal_function,
)
from typednn_kernels.compiled._codegen.noinline import NoinlineFunction, without_collection
from typednn_kernels.compiled._codegen.private_parts import on_compiled, report
from typednn_kernels.compiled._codegen.small_stacks import with_large_stack

if TYPE_CHECKING:
    from numba.core.dispatcher import Dispatcher

COMPILE = "typednn_compile_on_demand"
"""The symbol of what compiles the function whose address is missing."""

ON_DEMAND: dict[int, AddressOnDemand] = {}
"""All addresses of functions on demand, by where in memory they are."""


class AddressOnDemand:
    """A place in memory for the address of a function, which is compiled when machine code needs it.

    Args:
        name: of the function, for messages.
        symbol: by which machine code knows the place.
        compiled: compiles the function and returns its address.
        dtype: of the arrays that it takes, if any.
    """

    def __init__(
        self,
        name: str,
        symbol: str,
        compiled: Callable[[], int],
        dtype: np.dtype[np.floating] | None = None,
    ) -> None:
        self.name: str = name
        self.symbol: str = symbol
        self.compiled: Callable[[], int] = compiled
        self.dtype: np.dtype[np.floating] | None = dtype
        self.address: NDArray[np.int64] = np.zeros(1, np.int64)
        ON_DEMAND[self.address.ctypes.data] = self
        add_symbol(symbol, self.address.ctypes.data)

    def prepare(self) -> None:
        """Compiles the function, or reads its code from disk, unless its address is there."""
        if not self.address[0]:
            self.address[0] = self.compiled()

    def load(self, builder: llvm.IRBuilder) -> llvm.Value:
        """Writes what loads the address, after the function has been compiled if it is missing."""
        module = builder.module
        place = module.globals.get(self.symbol) or llvm.GlobalVariable(module, INDEX, self.symbol)
        builder.call(internal_function(module, "ensure", llvm.VoidType(), (POINTER,), _write_ensure), [place])
        return builder.inttoptr(builder.load(place, typ=INDEX), POINTER)


class OnDemandFunction(NoinlineFunction):
    """A function that machine code has compiled when it first calls it."""

    is_on_demand: bool = True

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__(dispatcher)
        self.addresses: dict[np.dtype[np.floating], AddressOnDemand] = {
            dtype: AddressOnDemand(self.name, self.symbol(dtype), partial(self.compiled, dtype), dtype)
            for dtype in (np.dtype(np.float32), np.dtype(np.float64))
        }

    def prepare(self, dtype: np.dtype[np.floating]) -> None:
        """Compiles the function for a dtype, or reads its code from disk, and stores its address."""
        self.addresses[dtype].prepare()

    def callee(
        self, builder: llvm.IRBuilder, kind: llvm.FunctionType, dtype: np.dtype[np.floating]
    ) -> llvm.Value:
        """Returns what a caller calls: an address that it loads."""
        return Callee(self.addresses[dtype].load(builder), kind)


def _write_ensure(builder: llvm.IRBuilder, place: llvm.Value) -> None:
    """Writes a loop that has a thread compile the function until its address is there."""
    look, missing, there = (builder.append_basic_block(name) for name in ("look", "missing", "there"))
    builder.branch(look)
    builder.position_at_end(look)
    builder.cbranch(builder.icmp_signed("==", builder.load(place, typ=INDEX), INDEX(0)), missing, there)
    builder.position_at_end(missing)
    compile_it = cgutils.get_or_insert_function(
        builder.module, llvm.FunctionType(POINTER, [POINTER]), COMPILE
    )
    if os.name == "posix":
        call_in_thread(builder, compile_it, place)
    else:
        builder.call(compile_it, [place])
    builder.branch(look)
    builder.position_at_end(there)
    builder.ret_void()


@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
def compile_on_demand(place: int) -> None:
    """Compiles the function whose address is missing at a place."""
    function = ON_DEMAND[place]

    def compiled() -> None:
        with without_collection():
            function.prepare()

    try:
        with_large_stack(compiled)
    except Exception:
        traceback.print_exc()
        message = f"typednn: numba cannot compile {function.name}; TYPEDNN_BACKEND=numpy does without it"
        ctypes.pythonapi.Py_FatalError(message.encode())
        raise
    for call in on_compiled:
        call(function.name)
    report()


add_symbol(COMPILE, ctypes.cast(compile_on_demand, ctypes.c_void_p).value)


def prepare_all(dtype: np.dtype[np.floating]) -> None:
    """Compiles all functions for a dtype, and those without."""
    for each in ON_DEMAND.values():
        if each.dtype in {None, dtype}:
            each.prepare()
