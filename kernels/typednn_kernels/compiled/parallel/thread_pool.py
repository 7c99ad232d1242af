"""A pool of threads that share loops with the calling thread.

Workers are started when there is work for them; an idle worker looks for more for some time before it sleeps,
and ends after a second without any. Each part of the work is taken by the thread that comes first: where
workers are late, help another caller, or cannot be started, the caller does it all. A forked child, which has
none of its parent's workers, starts its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ctypes import py_object, pythonapi

import numpy as np
from llvmlite import binding
from llvmlite import ir as llvm
from numba import types
from numba.core import cgutils
from numba.core.cpu import CPUContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic
from numpy.typing import NDArray

from typednn_kernels.compiled._codegen.array_views import JIT_DISABLED, THREAD_SLOTS, TypedIntrinsic
from typednn_kernels.compiled._codegen.ir_types import (
    INDEX,
    NULL,
    POINTER,
    call_pointer,
    field_pointer,
    internal_function,
    opaque,
)
from typednn_kernels.compiled._codegen.noinline import NOINLINE_FUNCTIONS
from typednn_kernels.compiled._codegen.tuning import WORKER_IDLE_TIMEOUT_S, WORKER_SPINS_BEFORE_SLEEP
from typednn_kernels.compiled.parallel.atomics import FIRST_FREE_LINE, LINE_WORDS, AtomicLines
from typednn_kernels.compiled.parallel.pthreads import (
    STATUS,
    THREAD_FUNCTION,
    begin_thread,
    call_c,
    move_thread,
    number_of_threads,
    place_of,
    provide,
    smaller,
    thread_function,
)

OWNER, BUSY, CORE, TICKET, WORK, JOBS, STRIDE, WORKERS, HANDLES = range(FIRST_FREE_LINE, FIRST_FREE_LINE + 9)
"""Lines of the lines of workers.

The process that they belong to, whether a caller has them, and on which core the last was; in one number how
many rounds there have been, how many parts this one has, and how many are taken; the function that does one,
where its arguments lie, and how far from those of the next; how many workers there are, and, from a line on,
their handles. Only who has them writes the last two.
"""
PARTS_LEFT = FIRST_FREE_LINE
"""The line of the caller: how many parts are not done."""
CALLER = HANDLES + THREAD_SLOTS // LINE_WORDS
"""The line where that lines begins, apart, so that who finishes wakes the caller alone."""
TAKING_OVER = -1
"""The owner while a process takes the lines over from its parent."""
COUNT_BITS = 16
SYMBOL = "typednn_workers"
_memory = np.zeros(LINE_WORDS * (CALLER + PARTS_LEFT + 2), np.int64)
LINES: NDArray[np.int64] = _memory[-_memory.ctypes.data // 8 % LINE_WORDS :]
"""It begins with a cache line."""
pythonapi.Py_IncRef(py_object(_memory))  # never freed: workers may outlive the modules of Python
binding.add_symbol(SYMBOL, LINES.ctypes.data)
provide("getpid", "pthread_self", "pthread_detach")


def parallel_for(body: Callable[..., None]) -> Callable[..., int]:
    """Returns a loop `(count, grain, *arguments)` over `body(thread, start, stop, *arguments)`.

    The body is a `noinline` function. Each thread gets one range, of at least `grain` steps but for the last,
    and its number from 0 on. The function returns the number of ranges.
    """

    def python(count: int, _grain: int, *arguments: object) -> int:
        body(0, 0, count, *arguments)
        return 1

    def generate(
        context: CPUContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        count, grain, packed = values
        operands = cgutils.unpack_tuple(builder, packed)
        job = llvm.LiteralStructType([INDEX, INDEX, INDEX, *(each.type for each in operands)])
        kinds = (types.intp, types.intp, types.intp, *signature.args[2])

        def call(inner: llvm.IRBuilder, fields: Sequence[llvm.Value]) -> None:
            NOINLINE_FUNCTIONS[body].call(context, inner, kinds, fields)

        function = _division(builder.module, f"{NOINLINE_FUNCTIONS[body].name} {job}", job, call)
        return builder.call(function, [count, grain, *operands])

    def typer(
        _context: object, count: types.Type, grain: types.Type, *arguments: types.Type
    ) -> TypedIntrinsic:
        return types.intp(count, grain, types.StarArgTuple.from_types(arguments)), generate

    if JIT_DISABLED:
        return python
    kernel = intrinsic(typer)
    NOINLINE_FUNCTIONS[kernel] = NOINLINE_FUNCTIONS[body]
    return kernel


def _division(
    module: llvm.Module,
    name: str,
    job: llvm.LiteralStructType,
    call: Callable[[llvm.IRBuilder, Sequence[llvm.Value]], None],
) -> llvm.Function:
    """A function of a module, written when it is first asked for: it divides work, and returns the parts."""

    def write(builder: llvm.IRBuilder, count: llvm.Value, grain: llvm.Value, *operands: llvm.Value) -> None:
        work = thread_function(module, job, call)
        one = INDEX(1)
        jobs = opaque(cgutils.alloca_once(builder, job, INDEX(THREAD_SLOTS)))
        most = _between(
            builder, one, builder.sdiv(count, grain), builder.load(number_of_threads(module), typ=INDEX)
        )
        size = _quotient(builder, count, most)
        parts = _quotient(builder, count, size)
        with cgutils.for_range(builder, parts) as loop:
            start = builder.mul(loop.index, size)
            stop = smaller(builder, builder.add(start, size), count)
            for field, value in enumerate([loop.index, start, stop, *operands]):
                target = builder.gep(jobs, [loop.index], source_etype=job)
                builder.store(value, field_pointer(builder, target, job, field))
        with builder.if_else(builder.icmp_signed("==", parts, one)) as (alone, together):
            with alone:
                builder.call(work, [jobs])
            with together:
                place, following = (
                    builder.ptrtoint(each, INDEX)
                    for each in (jobs, builder.gep(jobs, [one], source_etype=job))
                )
                stride, function = builder.sub(following, place), builder.ptrtoint(work, INDEX)
                builder.call(_sharing(module), [function, place, stride, parts])
        builder.ret(parts)

    return internal_function(module, f"division of {name}", INDEX, (INDEX, INDEX, *job.elements[3:]), write)


def _sharing(module: llvm.Module) -> llvm.Function:
    """A function of a module that does all parts of some work, with the workers if they are free."""

    def write(builder: llvm.IRBuilder, work: llvm.Value, *numbers: llvm.Value) -> None:
        lines, (jobs, stride, parts) = _workers(builder), numbers
        process = builder.zext(call_c(builder, "getpid"), INDEX)
        owner = lines.load(OWNER)
        inherited = builder.and_(
            builder.icmp_signed("!=", owner, process), builder.icmp_signed("!=", owner, INDEX(TAKING_OVER))
        )
        with builder.if_then(inherited, likely=False):
            builder.call(_taking_over(module), [owner, process])
        with builder.if_then(builder.icmp_signed("==", lines.load(OWNER), process)):
            free = lines.replace(BUSY, INDEX(0), INDEX(1))
            with builder.if_then(free):
                others = builder.sub(parts, INDEX(1))
                _make_workers(builder, lines, others)
                for line, value in (WORK, work), (JOBS, jobs), (STRIDE, stride):
                    lines.store(line, value)
                _caller(builder).store(PARTS_LEFT, parts)
                rounds = builder.lshr(lines.load(TICKET), INDEX(2 * COUNT_BITS))
                ticket = builder.shl(builder.add(rounds, INDEX(1)), INDEX(COUNT_BITS))
                lines.store_and_notify(
                    TICKET, builder.shl(builder.or_(ticket, parts), INDEX(COUNT_BITS)), others
                )
                builder.call(_taking(module), [])
                _wait_for_all(builder)
                lines.store(BUSY, INDEX(0))
                builder.ret_void()
        with cgutils.for_range(builder, parts) as loop:
            _do(builder, work, jobs, stride, loop.index)
        builder.ret_void()

    return internal_function(module, "sharing", llvm.VoidType(), (INDEX,) * 4, write)


def _taking_over(module: llvm.Module) -> llvm.Function:
    """A function of a module that makes the lines one of this process, without workers yet."""

    def write(builder: llvm.IRBuilder, owner: llvm.Value, process: llvm.Value) -> None:
        lines = _workers(builder)
        with builder.if_then(lines.replace(OWNER, owner, INDEX(TAKING_OVER))):
            lines.open()
            _caller(builder).open()
            for line in BUSY, WORKERS:
                lines.store(line, INDEX(0))
            lines.store(OWNER, process)
        builder.ret_void()

    return internal_function(module, "taking_over", llvm.VoidType(), (INDEX, INDEX), write)


def _make_workers(builder: llvm.IRBuilder, lines: AtomicLines, wanted: llvm.Value) -> None:
    """Makes as many workers as are wanted, and keeps all away from the core of the caller."""
    known, core = lines.load(WORKERS), builder.zext(call_c(builder, "sched_getcpu"), INDEX)
    with builder.if_then(builder.icmp_signed("!=", core, lines.load(CORE))):
        lines.store(CORE, core)
        with cgutils.for_range(builder, known) as loop:
            move_thread(builder, builder.load(_handle(lines, loop.index), typ=INDEX), keep_away=True)
    with cgutils.for_range(builder, wanted, start=known):
        place = _handle(lines, lines.load(WORKERS))
        refusal = begin_thread(builder, place, _working(builder.module), NULL)
        with builder.if_then(builder.icmp_signed("==", refusal, STATUS(0))):
            move_thread(builder, builder.load(place, typ=INDEX), keep_away=True)
            call_c(builder, "pthread_detach", builder.load(place, typ=INDEX))
            lines.add(WORKERS, 1)


def _wait_for_all(builder: llvm.IRBuilder) -> None:
    caller = _caller(builder)
    look, wait, after = (builder.append_basic_block(name) for name in ("look", "wait", "after"))
    builder.branch(look)
    builder.position_at_end(look)
    left = caller.load(PARTS_LEFT)
    builder.cbranch(builder.icmp_signed("==", left, INDEX(0)), after, wait)
    builder.position_at_end(wait)
    caller.wait(PARTS_LEFT, left)
    builder.branch(look)
    builder.position_at_end(after)


def _working(module: llvm.Module) -> llvm.Function:
    """The function of a module that a worker runs."""

    def write(builder: llvm.IRBuilder, _nothing: llvm.Value) -> None:
        lines = _workers(builder)
        names = ("take", "idle", "ask", "leave")
        take, idle, ask, leave = (builder.append_basic_block(name) for name in names)
        builder.branch(take)
        builder.position_at_end(take)
        ticket = builder.call(_taking(module), [])
        builder.cbranch(
            lines.wait(TICKET, ticket, spins=INDEX(WORKER_SPINS_BEFORE_SLEEP), seconds=WORKER_IDLE_TIMEOUT_S),
            take,
            idle,
        )
        builder.position_at_end(idle)
        builder.cbranch(builder.icmp_signed("==", lines.load(TICKET), ticket), ask, take)
        builder.position_at_end(ask)
        builder.cbranch(lines.replace(BUSY, INDEX(0), INDEX(1)), leave, idle)
        builder.position_at_end(leave)
        kind = llvm.FunctionType(INDEX, [])
        myself = builder.call(cgutils.get_or_insert_function(module, kind, "pthread_self"), [])
        others = builder.sub(lines.load(WORKERS), INDEX(1))
        last = builder.load(_handle(lines, others), typ=INDEX)
        with cgutils.for_range(builder, others) as loop:
            place = _handle(lines, loop.index)
            with builder.if_then(builder.icmp_signed("==", builder.load(place, typ=INDEX), myself)):
                builder.store(last, place)
        lines.store(WORKERS, others)
        lines.store(BUSY, INDEX(0))
        builder.ret(NULL)

    return internal_function(module, "working", POINTER, (POINTER,), write)


def _taking(module: llvm.Module) -> llvm.Function:
    """A function of a module that does parts until all are taken; it returns the ticket that says so."""

    def write(builder: llvm.IRBuilder) -> None:
        lines, most = _workers(builder), INDEX((1 << COUNT_BITS) - 1)
        names = ("look", "take", "do", "finish", "after")
        look, take, do, finish, after = (builder.append_basic_block(name) for name in names)
        builder.branch(look)
        builder.position_at_end(look)
        ticket = lines.load(TICKET)
        taken = builder.and_(ticket, most)
        parts = builder.and_(builder.lshr(ticket, INDEX(COUNT_BITS)), most)
        builder.cbranch(builder.icmp_signed("<", taken, parts), take, after)
        builder.position_at_end(take)
        # These are of the round of the ticket if nobody has changed it, since a round ends when all is taken.
        work, jobs, stride = (lines.load(line) for line in (WORK, JOBS, STRIDE))
        builder.cbranch(lines.replace(TICKET, ticket, builder.add(ticket, INDEX(1))), do, look)
        builder.position_at_end(do)
        _do(builder, work, jobs, stride, taken)
        left = _caller(builder).add(PARTS_LEFT, -1)
        builder.cbranch(builder.icmp_signed("==", left, INDEX(1)), finish, look)
        builder.position_at_end(finish)
        _caller(builder).notify()
        builder.branch(look)
        builder.position_at_end(after)
        builder.ret(ticket)

    return internal_function(module, "taking", INDEX, (), write)


def _do(
    builder: llvm.IRBuilder, work: llvm.Value, jobs: llvm.Value, stride: llvm.Value, part: llvm.Value
) -> None:
    place = builder.add(jobs, builder.mul(part, stride))
    call_pointer(
        builder, builder.inttoptr(work, POINTER), THREAD_FUNCTION, [builder.inttoptr(place, POINTER)]
    )


def _handle(lines: AtomicLines, worker: llvm.Value) -> llvm.Value:
    builder = lines.builder
    return builder.gep(lines.memory, [builder.add(INDEX(LINE_WORDS * HANDLES), worker)], source_etype=INDEX)


def _workers(builder: llvm.IRBuilder) -> AtomicLines:
    return AtomicLines(builder, place_of(builder.module, SYMBOL))


def _caller(builder: llvm.IRBuilder) -> AtomicLines:
    return AtomicLines(builder, _workers(builder).place(CALLER))


def _quotient(builder: llvm.IRBuilder, x: llvm.Value, y: llvm.Value) -> llvm.Value:
    """Returns x / y, rounded up, and at least 1."""
    above = builder.sub(builder.add(x, y), INDEX(1))
    return builder.sdiv(builder.select(builder.icmp_signed(">", x, INDEX(0)), above, y), y)


def _between(builder: llvm.IRBuilder, low: llvm.Value, x: llvm.Value, high: llvm.Value) -> llvm.Value:
    x = smaller(builder, x, high)
    return builder.select(builder.icmp_signed("<", x, low), low, x)
