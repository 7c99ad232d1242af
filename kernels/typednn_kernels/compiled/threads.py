"""Large work divided between threads.

The threads are the system's own (POSIX), made for one call and gone after it, which takes some 50 µs: there
is no pool, so nothing is lost in a forked child, callers in different threads share nothing, and nothing
waits for work. Where the system has none, or makes none, the calling thread does everything. A new thread
begins on another core than the caller's; Linux would put it there, too, while the last one is still ending.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from ctypes import CDLL, CFUNCTYPE, addressof, c_int, c_void_p, cast

from llvmlite import binding
from llvmlite import ir as llvm
from numba import types
from numba.core import cgutils
from numba.core.cpu import CPUContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from typednn_kernels.compiled.routines import ROUTINES
from typednn_kernels.compiled.views import PLACES, PYTHON_ONLY, _Typed
from typednn_kernels.cores import THREADS

LEAST = 1 << 19
"""So many numbers at least for each thread: fewer are done in the time that it takes to make one."""


_refused = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_void_p)(lambda *_: errno.EAGAIN)
"""What makes no thread, where the system has none."""


def provide(*names: str) -> None:
    """Tells LLVM where functions of the C library are."""
    library = CDLL(None) if os.name == "posix" else object()
    for name in names:
        binding.add_symbol(name, cast(getattr(library, name, _refused), c_void_p).value)


SYMBOL = "typednn_threads"
binding.add_symbol(SYMBOL, addressof(THREADS))
provide("pthread_create", "pthread_join")
provide("sched_getaffinity", "sched_getcpu", "pthread_setaffinity_np")

_INDEX, _STATUS, _POINTER = llvm.IntType(64), llvm.IntType(32), llvm.IntType(8).as_pointer()
_WORK = llvm.FunctionType(_POINTER, [_POINTER])
_CREATE = llvm.FunctionType(_STATUS, [_POINTER, _POINTER, _WORK.as_pointer(), _POINTER])
_JOIN = llvm.FunctionType(_STATUS, [_INDEX, _POINTER])
_NOTHING = llvm.Constant(_POINTER, None)
CORES, WORD = 1024, 64
"""So many cores, in words of so many bits, has a set of them in C."""


def divided(share: Callable[..., None]) -> Callable[..., int]:
    """A kernel `(count, least, *arguments)` that calls `share(part, start, stop, *arguments)` for 0 … count.

    The share is a routine. Each thread gets one part, with a number from 0 on, of at least `least`, the last
    excepted; how many parts there were is returned.
    """

    def python(count: int, _least: int, *arguments: object) -> int:
        share(0, 0, count, *arguments)
        return 1

    def generate(
        context: CPUContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        count, least, packed = values
        operands = cgutils.unpack_tuple(builder, packed)
        job = llvm.LiteralStructType([_INDEX, _INDEX, _INDEX, *(each.type for each in operands)])
        kinds = (types.intp, types.intp, types.intp, *signature.args[2])

        def call(inner: llvm.IRBuilder, fields: Sequence[llvm.Value]) -> None:
            ROUTINES[share].call(context, inner, kinds, fields)

        function = _division(builder.module, f"{ROUTINES[share].name} {job}", job, call)
        return builder.call(function, [count, least, *operands])

    def typer(_context: object, count: types.Type, least: types.Type, *arguments: types.Type) -> _Typed:
        return types.intp(count, least, types.StarArgTuple.from_types(arguments)), generate

    if PYTHON_ONLY:
        return python
    kernel = intrinsic(typer)
    ROUTINES[kernel] = ROUTINES[share]
    return kernel


def _division(
    module: llvm.Module,
    name: str,
    job: llvm.LiteralStructType,
    call: Callable[[llvm.IRBuilder, Sequence[llvm.Value]], None],
) -> llvm.Function:
    """A function of a module, written when it is first asked for: it divides work, and returns the parts."""
    name = f"typednn_division of {name}"
    if name in module.globals:
        return module.globals[name]
    signature = llvm.FunctionType(_INDEX, [_INDEX, _INDEX, *job.elements[3:]])
    function = llvm.Function(module, signature, name)
    function.linkage = "internal"
    builder = llvm.IRBuilder(function.append_basic_block("entry"))
    count, least, *operands = function.args
    work = thread_function(module, job, call)
    one = _INDEX(1)
    jobs = cgutils.alloca_once(builder, job, _INDEX(PLACES))
    handles = cgutils.alloca_once(builder, _INDEX, _INDEX(PLACES))
    refusals = cgutils.alloca_once(builder, _STATUS, _INDEX(PLACES))
    parts = _between(builder, one, builder.sdiv(count, least), builder.load(number_of_threads(module)))
    size = builder.sdiv(builder.sub(builder.add(count, parts), one), parts)

    def place(k: llvm.Value) -> llvm.Value:
        return builder.bitcast(builder.gep(jobs, [k]), _POINTER)

    with cgutils.for_range(builder, parts) as loop:
        start = builder.mul(loop.index, size)
        stop = smaller(builder, builder.add(start, size), count)
        for field, value in enumerate([loop.index, start, stop, *operands]):
            target = cgutils.gep_inbounds(builder, builder.gep(jobs, [loop.index]), 0, field)
            builder.store(value, target)
    with cgutils.for_range(builder, parts, start=one) as loop:
        refusal = begin_thread(builder, builder.gep(handles, [loop.index]), work, place(loop.index))
        builder.store(refusal, builder.gep(refusals, [loop.index]))
    builder.call(work, [place(_INDEX(0))])
    with cgutils.for_range(builder, parts, start=one) as loop:
        refusal = builder.load(builder.gep(refusals, [loop.index]))
        with builder.if_else(builder.icmp_signed("!=", refusal, _STATUS(0))) as (refused, running):
            with refused:
                builder.call(work, [place(loop.index)])
            with running:
                join = cgutils.get_or_insert_function(module, _JOIN, "pthread_join")
                builder.call(join, [builder.load(builder.gep(handles, [loop.index])), _NOTHING])
    builder.ret(parts)
    return function


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
    """Makes a thread on another core, of which the handle is stored; 0, or why there is none."""
    create = cgutils.get_or_insert_function(builder.module, _CREATE, "pthread_create")
    refusal = builder.call(create, [builder.bitcast(handle, _POINTER), _NOTHING, work, job])
    with builder.if_then(builder.icmp_signed("==", refusal, _STATUS(0))):
        builder.call(_moving(builder.module), [builder.load(handle)])
    return refusal


def _moving(module: llvm.Module) -> llvm.Function:
    """A function of a module that moves a thread to another core, from where it may go anywhere."""
    name = "typednn_moving"
    if name in module.globals:
        return module.globals[name]
    function = llvm.Function(module, llvm.FunctionType(llvm.VoidType(), [_INDEX]), name)
    function.linkage = "internal"
    builder = llvm.IRBuilder(function.append_basic_block("entry"))

    def called(name: str, *values: llvm.Value) -> llvm.Value:
        kind = llvm.FunctionType(_STATUS, [each.type for each in values])
        return builder.call(cgutils.get_or_insert_function(module, kind, name), values)

    allowed, size = builder.alloca(_INDEX, _INDEX(CORES // WORD)), _INDEX(CORES // 8)
    cores = builder.bitcast(allowed, _POINTER)
    status, here = called("sched_getaffinity", _STATUS(0), size, cores), called("sched_getcpu")
    known = builder.and_(
        builder.icmp_signed("==", status, _STATUS(0)), builder.icmp_unsigned("<", here, _STATUS(CORES))
    )
    with builder.if_then(known):
        place = builder.zext(here, _INDEX)
        word = builder.gep(allowed, [builder.sdiv(place, _INDEX(WORD))])
        before, core = builder.load(word), builder.shl(_INDEX(1), builder.srem(place, _INDEX(WORD)))
        builder.store(builder.and_(before, builder.not_(core)), word)
        called("pthread_setaffinity_np", function.args[0], size, cores)
        builder.store(before, word)
        called("pthread_setaffinity_np", function.args[0], size, cores)
    builder.ret_void()
    return function


def number_of_threads(module: llvm.Module) -> llvm.Value:
    """Where machine code reads how many threads may work at a time."""
    known = module.globals.get(SYMBOL)
    return llvm.GlobalVariable(module, _INDEX, SYMBOL) if known is None else known


def smaller(builder: llvm.IRBuilder, x: llvm.Value, y: llvm.Value) -> llvm.Value:
    """The smaller of two integers."""
    return builder.select(builder.icmp_signed("<", x, y), x, y)


def _between(builder: llvm.IRBuilder, low: llvm.Value, x: llvm.Value, high: llvm.Value) -> llvm.Value:
    x = smaller(builder, x, high)
    return builder.select(builder.icmp_signed("<", x, low), low, x)
