"""A pool of threads that share loops with the calling thread.

Workers are started when there is work for them; an idle worker looks for more for some time before it sleeps,
and ends after a second without any. Each part of the work is taken by the thread that comes first: where
workers are late, help another caller, or cannot be started, the caller does it all. A forked child, which has
none of its parent's workers, starts its own.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from ctypes import py_object, pythonapi

import numpy as np
from llvmlite import binding
from llvmlite import ir as llvm
from numba import types
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu import CPUContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic
from numpy.typing import NDArray

from typednn_kernels.compiled._codegen.array_views import THREAD_SLOTS
from typednn_kernels.compiled._codegen.function_tables import EXPORTED_NAME, address_of_compiled
from typednn_kernels.compiled._codegen.in_python.twins import JIT_DISABLED, TypedIntrinsic, with_twin
from typednn_kernels.compiled._codegen.ir_types import (
    INDEX,
    NULL,
    POINTER,
    call_pointer,
    field_pointer,
    internal_function,
    opaque,
    stored,
    struct_fields,
)
from typednn_kernels.compiled._codegen.noinline import NOINLINE_FUNCTIONS, AddressOnDemand
from typednn_kernels.compiled._codegen.tuning import WORKER_IDLE_TIMEOUT_S, WORKER_SPINS_BEFORE_SLEEP
from typednn_kernels.compiled.parallel.atomics import FIRST_FREE_LINE, LINE_WORDS, AtomicLines
from typednn_kernels.compiled.parallel.pthreads import (
    STATUS,
    THREAD_FUNCTION,
    call_c,
    move_thread,
    number_of_threads,
    place_of,
    register_c_functions,
    smaller,
    start_thread,
    thread_function,
)

# Lines of the pool. Only the thread that has set BUSY writes CORE, WORK, JOBS, STRIDE, WORKERS and HANDLES.
OWNER = FIRST_FREE_LINE
"""The pid of the process that owns the pool; negative while this process makes it its own."""
BUSY = FIRST_FREE_LINE + 1
"""1 while a caller uses the pool, or a worker leaves it."""
CORE = FIRST_FREE_LINE + 2
"""The core of the last caller, which all workers avoid."""
TICKET = FIRST_FREE_LINE + 3
"""From the low bits up: how many parts are taken, the number of parts (`COUNT_BITS` each), and the round."""
WORK = FIRST_FREE_LINE + 4
"""The address of the function that does a part."""
JOBS = FIRST_FREE_LINE + 5
"""The address of the arguments of the first part."""
STRIDE = FIRST_FREE_LINE + 6
"""Bytes from the arguments of a part to those of the next."""
WORKERS = FIRST_FREE_LINE + 7
"""The number of workers."""
HANDLES = FIRST_FREE_LINE + 8
"""The first of the lines that hold the handles of the workers, side by side."""
CALLER = HANDLES + THREAD_SLOTS // LINE_WORDS
"""First line of the caller's block; separate, so that the thread that finishes last wakes only the caller."""
PARTS_LEFT = FIRST_FREE_LINE
"""A line of the caller's block: the number of parts that are not done."""
COUNT_BITS = 16
PART: llvm.LiteralStructType = llvm.LiteralStructType([INDEX, INDEX, INDEX, POINTER])
"""What a part is given: its number, its first step, the one behind its last, the address of the operands."""
SYMBOL = "typednn_workers"
_memory = np.zeros(LINE_WORDS * (CALLER + PARTS_LEFT + 2), np.int64)
LINES: NDArray[np.int64] = _memory[-_memory.ctypes.data // 8 % LINE_WORDS :]
"""Memory of the pool, aligned to a cache line."""
pythonapi.Py_IncRef(py_object(_memory))  # never freed: workers may outlive the modules of Python
binding.add_symbol(SYMBOL, LINES.ctypes.data)
register_c_functions("getpid", "pthread_self", "pthread_detach")


def _disown() -> None:
    """Leaves the pool without an owner in a forked child, whose pid may be that of an earlier owner."""
    global_compiler_lock.release()
    LINES[LINE_WORDS * OWNER] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=global_compiler_lock.acquire,  # LLVM cannot be left in the middle of its work
        after_in_parent=global_compiler_lock.release,
        after_in_child=_disown,
    )


def parallel_for(body: Callable[..., None]) -> Callable[..., int]:
    """Returns a loop `(count, grain, *arguments)` over `body(part, start, stop, *arguments)`.

    It divides the steps into ranges of at least `grain` (the last may be shorter), at most one for each
    allowed thread, and returns their number. Each is run once, by any free thread; the body, a `noinline`
    function, gets the range's number, from 0 on.
    """

    def python(count: int, _grain: int, *arguments: object) -> int:
        body(0, 0, count, *arguments)
        return 1

    def generate(
        context: CPUContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        count, grain, packed = values
        operands = cgutils.unpack_tuple(builder, packed)
        common = llvm.LiteralStructType([each.type for each in operands])
        kinds = (types.intp, types.intp, types.intp, *signature.args[2])

        def call(inner: llvm.IRBuilder, fields: Sequence[llvm.Value]) -> None:
            *numbers, place = fields
            NOINLINE_FUNCTIONS[body].call(
                context, inner, kinds, [*numbers, *struct_fields(inner, place, common)]
            )

        name = f"{NOINLINE_FUNCTIONS[body].name} {common}"
        function = _divide_function(builder.module, name, common, call)
        return builder.call(function, [count, grain, *operands])

    def typer(
        _context: object, count: types.Type, grain: types.Type, *arguments: types.Type
    ) -> TypedIntrinsic:
        return types.intp(count, grain, types.StarArgTuple.from_types(arguments)), generate

    if JIT_DISABLED:
        return python
    caller = with_twin(intrinsic(typer), python)
    NOINLINE_FUNCTIONS[caller] = NOINLINE_FUNCTIONS[body]
    return caller


def _divide_function(
    module: llvm.Module,
    name: str,
    common: llvm.LiteralStructType,
    call: Callable[[llvm.IRBuilder, Sequence[llvm.Value]], None],
) -> llvm.Function:
    """Returns the LLVM function that divides work into parts, has all done, and returns their number."""

    def write(builder: llvm.IRBuilder, count: llvm.Value, grain: llvm.Value, *operands: llvm.Value) -> None:
        work, one = thread_function(module, PART, call), INDEX(1)
        _, shared_operands = stored(builder, operands)
        jobs = opaque(cgutils.alloca_once(builder, PART, INDEX(THREAD_SLOTS)))
        most = _between(builder, one, builder.sdiv(count, grain), number_of_threads(builder))
        size = _quotient(builder, count, most)
        parts = _quotient(builder, count, size)
        with cgutils.for_range(builder, parts) as loop:
            start = builder.mul(loop.index, size)
            stop = smaller(builder, builder.add(start, size), count)
            for field, value in enumerate([loop.index, start, stop, shared_operands]):
                target = builder.gep(jobs, [loop.index], source_etype=PART)
                builder.store(value, field_pointer(builder, target, PART, field))
        with builder.if_else(builder.icmp_signed("==", parts, one)) as (alone, together):
            with alone:
                builder.call(work, [jobs])
            with together:
                place, following = (
                    builder.ptrtoint(each, INDEX)
                    for each in (jobs, builder.gep(jobs, [one], source_etype=PART))
                )
                stride, function = builder.sub(following, place), builder.ptrtoint(work, INDEX)
                call_pointer(
                    builder, RUN_PARTS.load(builder), RUN_PARTS_TYPE, [function, place, stride, parts]
                )
        builder.ret(parts)

    return internal_function(module, f"divide {name}", INDEX, (INDEX, INDEX, *common.elements), write)


RUN_PARTS_TYPE: llvm.FunctionType = llvm.FunctionType(llvm.VoidType(), [INDEX] * 4)


def _write_run_parts(module: llvm.Module) -> None:
    """Writes the LLVM function that runs all parts of some work, with the workers unless they are busy."""

    def write(builder: llvm.IRBuilder, work: llvm.Value, *numbers: llvm.Value) -> None:
        lines, (jobs, stride, parts) = _workers(builder), numbers
        process = builder.zext(call_c(builder, "getpid"), INDEX)
        owner, adopting = lines.load(OWNER), builder.sub(INDEX(0), process)
        inherited = builder.and_(
            builder.icmp_signed("!=", owner, process), builder.icmp_signed("!=", owner, adopting)
        )
        with builder.if_then(inherited, likely=False):
            builder.call(_adopt_after_fork(module), [owner, process])
        with builder.if_then(builder.icmp_signed("==", lines.load(OWNER), process)):
            free = lines.compare_exchange(BUSY, INDEX(0), INDEX(1))
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
                builder.call(_take_parts(module), [])
                _wait_for_all(builder)
                lines.store(BUSY, INDEX(0))
                builder.ret_void()
        with cgutils.for_range(builder, parts) as loop:
            _do(builder, work, jobs, stride, loop.index)
        builder.ret_void()

    function = llvm.Function(module, RUN_PARTS_TYPE, EXPORTED_NAME)
    write(llvm.IRBuilder(function.append_basic_block("entry")), *function.args)


def _run_in_turn(work: int, jobs: int, stride: int, parts: int) -> None:
    """Runs all parts of some work one after another, where the function that shares them is not compiled."""
    part = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int64)(work)
    for i in range(parts):
        part(jobs + i * stride)


IN_TURN = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(_run_in_turn)


def _address_in_turn() -> int:
    return ctypes.cast(IN_TURN, ctypes.c_void_p).value or 0


def _address_of_run_parts() -> int:
    return address_of_compiled("run_parts", (), _write_run_parts) or _address_in_turn()


RUN_PARTS = AddressOnDemand("run_parts", "typednn_run_parts", _address_of_run_parts, _address_in_turn)


def _adopt_after_fork(module: llvm.Module) -> llvm.Function:
    """Returns the LLVM function that makes the pool this process's, at first and after a fork.

    A round that was open at the fork belongs to the parent alone: here no part of it is left.
    """

    def write(builder: llvm.IRBuilder, owner: llvm.Value, process: llvm.Value) -> None:
        lines = _workers(builder)
        with builder.if_then(lines.compare_exchange(OWNER, owner, builder.sub(INDEX(0), process))):
            lines.open()
            _caller(builder).open()
            rounds = builder.lshr(lines.load(TICKET), INDEX(2 * COUNT_BITS))
            lines.store(TICKET, builder.shl(rounds, INDEX(2 * COUNT_BITS)))
            _caller(builder).store(PARTS_LEFT, INDEX(0))
            for line in BUSY, WORKERS:
                lines.store(line, INDEX(0))
            lines.store(OWNER, process)
        builder.ret_void()

    return internal_function(module, "adopt_after_fork", llvm.VoidType(), (INDEX, INDEX), write)


def _make_workers(builder: llvm.IRBuilder, lines: AtomicLines, wanted: llvm.Value) -> None:
    """Starts workers until there are `wanted`, and keeps all away from the core of the caller."""
    known, core = lines.load(WORKERS), builder.zext(call_c(builder, "sched_getcpu"), INDEX)
    with builder.if_then(builder.icmp_signed("!=", core, lines.load(CORE))):
        lines.store(CORE, core)
        with cgutils.for_range(builder, known) as loop:
            move_thread(builder, builder.load(_handle(lines, loop.index), typ=INDEX), keep_away=True)
    with cgutils.for_range(builder, wanted, start=known):
        place = _handle(lines, lines.load(WORKERS))
        refusal = start_thread(builder, place, _worker_main(builder.module), NULL)
        with builder.if_then(builder.icmp_signed("==", refusal, STATUS(0))):
            move_thread(builder, builder.load(place, typ=INDEX), keep_away=True)
            call_c(builder, "pthread_detach", builder.load(place, typ=INDEX))
            lines.fetch_add(WORKERS, 1)


def _wait_for_all(builder: llvm.IRBuilder) -> None:
    """Waits until no part of the caller's work is left."""
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


def _worker_main(module: llvm.Module) -> llvm.Function:
    """Returns the LLVM function that a worker runs: it takes parts until it has been idle for a second."""

    def write(builder: llvm.IRBuilder, _nothing: llvm.Value) -> None:
        lines = _workers(builder)
        names = ("take", "idle", "ask", "leave")
        take, idle, ask, leave = (builder.append_basic_block(name) for name in names)
        builder.branch(take)
        builder.position_at_end(take)
        ticket = builder.call(_take_parts(module), [])
        builder.cbranch(
            lines.wait(TICKET, ticket, spins=INDEX(WORKER_SPINS_BEFORE_SLEEP), seconds=WORKER_IDLE_TIMEOUT_S),
            take,
            idle,
        )
        builder.position_at_end(idle)
        builder.cbranch(builder.icmp_signed("==", lines.load(TICKET), ticket), ask, take)
        builder.position_at_end(ask)
        builder.cbranch(lines.compare_exchange(BUSY, INDEX(0), INDEX(1)), leave, idle)
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

    return internal_function(module, "worker_main", POINTER, (POINTER,), write)


def _take_parts(module: llvm.Module) -> llvm.Function:
    """Returns the LLVM function that takes and runs parts until none is left; it returns that last ticket."""

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
        # They are of the ticket's round if the ticket is unchanged: a round ends when all parts are taken.
        work, jobs, stride = (lines.load(line) for line in (WORK, JOBS, STRIDE))
        builder.cbranch(lines.compare_exchange(TICKET, ticket, builder.add(ticket, INDEX(1))), do, look)
        builder.position_at_end(do)
        _do(builder, work, jobs, stride, taken)
        left = _caller(builder).fetch_add(PARTS_LEFT, -1)
        builder.cbranch(builder.icmp_signed("==", left, INDEX(1)), finish, look)
        builder.position_at_end(finish)
        _caller(builder).notify()
        builder.branch(look)
        builder.position_at_end(after)
        builder.ret(ticket)

    return internal_function(module, "take_parts", INDEX, (), write)


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
