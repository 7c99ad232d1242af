"""Threads of the system (POSIX), and what machine code calls of its C library.

Where it has none, none is made. A new thread begins on another core than the caller's; Linux would put it
there, too, while the last one is still ending.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from ctypes import CDLL, CFUNCTYPE, addressof, c_int, c_void_p, cast

from llvmlite import binding
from llvmlite import ir as llvm
from numba.core import cgutils

from typednn_kernels.thread_limit import THREADS

_refused = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_void_p)(lambda *_: errno.EAGAIN)
"""What makes no thread, where the system has none."""


def provide(*names: str) -> None:
    """Tells LLVM where functions of the C library are."""
    library = CDLL(None) if os.name == "posix" else object()
    for name in names:
        binding.add_symbol(name, cast(getattr(library, name, _refused), c_void_p).value)


SYMBOL = "typednn_threads"
binding.add_symbol(SYMBOL, addressof(THREADS))
provide("pthread_create")
provide("sched_getaffinity", "sched_getcpu", "pthread_setaffinity_np")

_INDEX, _STATUS, _POINTER = llvm.IntType(64), llvm.IntType(32), llvm.IntType(8).as_pointer()
_WORK = llvm.FunctionType(_POINTER, [_POINTER])
_CREATE = llvm.FunctionType(_STATUS, [_POINTER, _POINTER, _WORK.as_pointer(), _POINTER])
_NOTHING = llvm.Constant(_POINTER, None)
CORES, WORD = 1024, 64
"""So many cores, in words of so many bits, has a set of them in C."""


def thread_function(
    module: llvm.Module,
    job: llvm.LiteralStructType,
    call: Callable[[llvm.IRBuilder, Sequence[llvm.Value]], None],
) -> llvm.Function:
    """The function that a thread runs: it does what is written for the fields of its argument, a job."""
    function = llvm.Function(module, _WORK, module.get_unique_name("typednn_thread"))
    function.linkage = "internal"
    builder = llvm.IRBuilder(function.append_basic_block("entry"))
    place = builder.bitcast(function.args[0], job.as_pointer())
    call(
        builder,
        [builder.load(cgutils.gep_inbounds(builder, place, 0, k)) for k in range(len(job.elements))],
    )
    builder.ret(_NOTHING)
    return function


def begin_thread(
    builder: llvm.IRBuilder, handle: llvm.Value, work: llvm.Function, job: llvm.Value
) -> llvm.Value:
    """Makes a thread, of which the handle is stored; 0, or why there is none."""
    create = cgutils.get_or_insert_function(builder.module, _CREATE, "pthread_create")
    return builder.call(create, [builder.bitcast(handle, _POINTER), _NOTHING, work, job])


def move_thread(builder: llvm.IRBuilder, thread: llvm.Value, *, keep_away: bool) -> None:
    """Moves a thread to another core than that of the caller; it may come back, unless it is to keep away."""
    builder.call(_moving(builder.module), [thread, llvm.IntType(1)(keep_away)])


def _moving(module: llvm.Module) -> llvm.Function:
    def write(builder: llvm.IRBuilder, thread: llvm.Value, keep_away: llvm.Value) -> None:
        allowed, size = builder.alloca(_INDEX, _INDEX(CORES // WORD)), _INDEX(CORES // 8)
        cores, here = builder.bitcast(allowed, _POINTER), _called(builder, "sched_getcpu")
        status = _called(builder, "sched_getaffinity", _STATUS(0), size, cores)
        known = builder.and_(
            builder.icmp_signed("==", status, _STATUS(0)), builder.icmp_unsigned("<", here, _STATUS(CORES))
        )
        with builder.if_then(known):
            place = builder.zext(here, _INDEX)
            word = builder.gep(allowed, [builder.sdiv(place, _INDEX(WORD))])
            before, core = builder.load(word), builder.shl(_INDEX(1), builder.srem(place, _INDEX(WORD)))
            builder.store(builder.and_(before, builder.not_(core)), word)
            _called(builder, "pthread_setaffinity_np", thread, size, cores)
            with builder.if_then(builder.not_(keep_away)):
                builder.store(before, word)
                _called(builder, "pthread_setaffinity_np", thread, size, cores)
        builder.ret_void()

    return _function(module, "moving", llvm.VoidType(), (_INDEX, llvm.IntType(1)), write)


def _function(
    module: llvm.Module,
    name: str,
    result: llvm.Type,
    arguments: Sequence[llvm.Type],
    write: Callable[..., None],
) -> llvm.Function:
    """A function of a module, written when it is first asked for."""
    name = f"typednn_{name}"
    if name not in module.globals:
        function = llvm.Function(module, llvm.FunctionType(result, arguments), name)
        function.linkage = "internal"
        write(llvm.IRBuilder(function.append_basic_block("entry")), *function.args)
    return module.globals[name]


def _called(builder: llvm.IRBuilder, name: str, *values: llvm.Value) -> llvm.Value:
    """The status that a function of the C library returns."""
    kind = llvm.FunctionType(_STATUS, [each.type for each in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def number_of_threads(module: llvm.Module) -> llvm.Value:
    """Where machine code reads how many threads may work at a time."""
    return place_of(module, SYMBOL)


def place_of(module: llvm.Module, symbol: str) -> llvm.Value:
    """Where indices lie that machine code knows by a name."""
    known = module.globals.get(symbol)
    return llvm.GlobalVariable(module, _INDEX, symbol) if known is None else known


def smaller(builder: llvm.IRBuilder, x: llvm.Value, y: llvm.Value) -> llvm.Value:
    """The smaller of two integers."""
    return builder.select(builder.icmp_signed("<", x, y), x, y)
