"""POSIX threads, and how machine code calls the C library.

On systems without POSIX threads no thread is started. A new thread begins on another core than its caller's:
Linux would put it on the same one while an earlier thread is still ending.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from ctypes import CDLL, CFUNCTYPE, addressof, c_int, c_void_p, cast

from llvmlite import binding
from llvmlite import ir as llvm
from numba.core import cgutils

from typednn_kernels.compiled._codegen.ir_types import (
    BIT,
    INDEX,
    INT32,
    NULL,
    POINTER,
    internal_function,
    struct_fields,
)
from typednn_kernels.thread_limit import MAX_THREADS, THREADS

_refused = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_void_p)(lambda *_: errno.EAGAIN)
"""Stands in for functions that the system lacks: it returns EAGAIN, as if there were no thread to be had."""


def register_c_functions(*names: str) -> None:
    """Registers functions of the C library, by which machine code may call them, with LLVM."""
    library = CDLL(None) if os.name == "posix" else object()
    for name in names:
        binding.add_symbol(name, cast(getattr(library, name, _refused), c_void_p).value)


SYMBOL = "typednn_threads"
binding.add_symbol(SYMBOL, addressof(THREADS))
register_c_functions("pthread_create")
register_c_functions("sched_getaffinity", "sched_getcpu", "pthread_setaffinity_np")

STATUS = INT32
THREAD_FUNCTION: llvm.FunctionType = llvm.FunctionType(POINTER, [POINTER])
CORES, WORD = 1024, 64
"""Cores in a `cpu_set_t`, and the bits of each of its words."""


def thread_function(
    module: llvm.Module,
    job: llvm.LiteralStructType,
    call: Callable[[llvm.IRBuilder, Sequence[llvm.Value]], None],
) -> llvm.Function:
    """Returns the function that a thread runs; `call` writes its body from the fields of its job."""
    function = llvm.Function(module, THREAD_FUNCTION, module.get_unique_name("typednn_thread"))
    function.linkage = "internal"
    builder = llvm.IRBuilder(function.append_basic_block("entry"))
    call(builder, struct_fields(builder, function.args[0], job))
    builder.ret(NULL)
    return function


def start_thread(
    builder: llvm.IRBuilder, handle: llvm.Value, work: llvm.Function, job: llvm.Value
) -> llvm.Value:
    """Starts a thread and stores its handle; returns 0, or the error if it cannot be started."""
    return call_c(builder, "pthread_create", handle, NULL, work, job)


def move_thread(builder: llvm.IRBuilder, thread: llvm.Value, *, keep_away: bool) -> None:
    """Moves a thread to another core than the caller's; `keep_away` forbids it to come back."""
    builder.call(_moving(builder.module), [thread, BIT(keep_away)])


def _moving(module: llvm.Module) -> llvm.Function:
    """Returns the LLVM function that moves a thread."""

    def write(builder: llvm.IRBuilder, thread: llvm.Value, keep_away: llvm.Value) -> None:
        cores, size = builder.alloca(INDEX, INDEX(CORES // WORD)), INDEX(CORES // 8)
        here = call_c(builder, "sched_getcpu")
        status = call_c(builder, "sched_getaffinity", STATUS(0), size, cores)
        known = builder.and_(
            builder.icmp_signed("==", status, STATUS(0)), builder.icmp_unsigned("<", here, STATUS(CORES))
        )
        with builder.if_then(known):
            place = builder.zext(here, INDEX)
            word = builder.gep(cores, [builder.sdiv(place, INDEX(WORD))], source_etype=INDEX)
            before, core = (
                builder.load(word, typ=INDEX),
                builder.shl(INDEX(1), builder.srem(place, INDEX(WORD))),
            )
            builder.store(builder.and_(before, builder.not_(core)), word)
            call_c(builder, "pthread_setaffinity_np", thread, size, cores)
            with builder.if_then(builder.not_(keep_away)):
                builder.store(before, word)
                call_c(builder, "pthread_setaffinity_np", thread, size, cores)
        builder.ret_void()

    return internal_function(module, "moving", llvm.VoidType(), (INDEX, BIT), write)


def call_c(builder: llvm.IRBuilder, name: str, *values: llvm.Value) -> llvm.Value:
    """Calls a function of the C library that returns an int."""
    kinds = [POINTER if isinstance(each.type, llvm.PointerType) else each.type for each in values]
    kind = llvm.FunctionType(STATUS, kinds)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def number_of_threads(builder: llvm.IRBuilder) -> llvm.Value:
    """Reads how many threads may work at a time, at most `MAX_THREADS`."""
    return smaller(builder, builder.load(place_of(builder.module, SYMBOL), typ=INDEX), INDEX(MAX_THREADS))


def place_of(module: llvm.Module, symbol: str) -> llvm.Value:
    """Returns the address of integers that machine code knows by a symbol."""
    known = module.globals.get(symbol)
    return llvm.GlobalVariable(module, INDEX, symbol) if known is None else known


def smaller(builder: llvm.IRBuilder, x: llvm.Value, y: llvm.Value) -> llvm.Value:
    """Returns the smaller of two integers."""
    return builder.select(builder.icmp_signed("<", x, y), x, y)
