"""Threads that work on one thing step by step, and wait for each other between the steps.

A team is made for one call and gone after it: it pays where a call has many steps. All its members are there
together, unlike the workers of `workers.py`, who may come late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llvmlite import ir as llvm
from numba import types
from numba.core import cgutils
from numba.core.cpu import CPUContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from typednn_kernels.compiled._codegen.array_views import JIT_DISABLED, THREAD_SLOTS, _Typed
from typednn_kernels.compiled._codegen.noinline import NOINLINE_FUNCTIONS
from typednn_kernels.compiled._codegen.tuning import SPINS_BEFORE_SLEEP
from typednn_kernels.compiled.parallel.atomics import FIRST_FREE_LINE, LINE_WORDS, AtomicLines
from typednn_kernels.compiled.parallel.pthreads import (
    _INDEX,
    _NOTHING,
    _POINTER,
    _STATUS,
    _called,
    begin_thread,
    move_thread,
    number_of_threads,
    provide,
    smaller,
    thread_function,
)
from typednn_kernels.operands import Thread

NUM_THREADS, ARRIVED, GENERATION, SPIN_LIMIT = range(FIRST_FREE_LINE, FIRST_FREE_LINE + 4)
"""Lines of a team: how many threads are expected, how many have arrived at the barrier, how often all have,
and how many times a waiting thread looks before it sleeps."""
provide("pthread_join")


def parallel_region(
    member: Callable[..., None], *, patience: int = SPINS_BEFORE_SLEEP
) -> Callable[..., None]:
    """A kernel `(wanted, *arguments)` that calls `member(thread, *arguments)` in threads.

    The member is a routine. There are as many members as are wanted, allowed and made, the calling thread the
    first of them; each gets a `Thread`, at whose `team` the function `barrier` waits. The
    shorter the steps, the more patience they need: who sleeps takes 50 µs to wake.
    """

    def python(_wanted: int, *arguments: object) -> None:
        member(Thread(0, 1, 0), *arguments)

    def generate(
        context: CPUContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        wanted, packed = values
        thread_kind = types.NamedUniTuple(types.intp, len(Thread._fields), Thread)
        operands = cgutils.unpack_tuple(builder, packed)
        meeting = builder.alloca(_INDEX, _INDEX(LINE_WORDS * (SPIN_LIMIT + 1)))
        meeting.align = 8 * LINE_WORDS
        board = AtomicLines(builder, meeting)
        board.open()
        for line in (NUM_THREADS, ARRIVED, GENERATION):
            board.store(line, _INDEX(0))
        board.store(SPIN_LIMIT, _INDEX(patience))
        job = llvm.LiteralStructType([_INDEX, meeting.type, *(each.type for each in operands)])
        jobs = cgutils.alloca_once(builder, job, _INDEX(THREAD_SLOTS))
        handles = cgutils.alloca_once(builder, _INDEX, _INDEX(THREAD_SLOTS))

        def call(inner: llvm.IRBuilder, fields: Sequence[llvm.Value]) -> None:
            place, common, *rest = fields
            shared = AtomicLines(inner, common)
            shared.wait(NUM_THREADS, _INDEX(0))
            members = shared.load(NUM_THREADS)
            address = inner.ptrtoint(common, _INDEX)
            thread = context.make_tuple(inner, thread_kind, [place, members, address])
            kinds = (thread_kind, *signature.args[1])
            NOINLINE_FUNCTIONS[member].call(context, inner, kinds, [thread, *rest])

        def fill(place: llvm.Value) -> llvm.Value:
            target = builder.gep(jobs, [place])
            for field, value in enumerate([place, meeting, *operands]):
                builder.store(value, cgutils.gep_inbounds(builder, target, 0, field))
            return builder.bitcast(target, _POINTER)

        work = thread_function(builder.module, job, call)
        most = smaller(builder, wanted, builder.load(number_of_threads(builder.module)))
        made = cgutils.alloca_once_value(builder, _INDEX(1))
        with cgutils.for_range(builder, most, start=_INDEX(1)):
            next_place = builder.load(made)
            refusal = begin_thread(builder, builder.gep(handles, [next_place]), work, fill(next_place))
            accepted = builder.icmp_signed("==", refusal, _STATUS(0))
            with builder.if_then(accepted):
                move_thread(builder, builder.load(builder.gep(handles, [next_place])), keep_away=False)
            builder.store(builder.add(builder.load(made), builder.zext(accepted, _INDEX)), made)
        members = builder.load(made)
        board.change(NUM_THREADS, members)
        call(builder, [_INDEX(0), meeting, *operands])
        with cgutils.for_range(builder, members, start=_INDEX(1)) as loop:
            _called(builder, "pthread_join", builder.load(builder.gep(handles, [loop.index])), _NOTHING)
        board.close()
        return context.get_dummy_value()

    def typer(_context: object, wanted: types.Type, *arguments: types.Type) -> _Typed:
        return types.none(wanted, types.StarArgTuple.from_types(arguments)), generate

    if JIT_DISABLED:
        return python
    kernel = intrinsic(typer)
    NOINLINE_FUNCTIONS[kernel] = NOINLINE_FUNCTIONS[member]
    return kernel


def _meet(_context: object, meeting: types.Type) -> _Typed:
    def generate(
        context: CPUContext, builder: llvm.IRBuilder, _signature: object, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        board = AtomicLines(builder, builder.inttoptr(values[0], _INDEX.as_pointer()))
        members = board.load(NUM_THREADS)
        with builder.if_then(builder.icmp_signed(">", members, _INDEX(1))):
            before = board.load(GENERATION)
            is_last = builder.icmp_signed("==", builder.add(board.add(ARRIVED, 1), _INDEX(1)), members)
            with builder.if_else(is_last) as (last, others):
                with last:
                    board.store(ARRIVED, _INDEX(0))
                    board.change(GENERATION, builder.add(before, _INDEX(1)))
                with others:
                    board.wait(GENERATION, before, patience=board.load(SPIN_LIMIT))
        return context.get_dummy_value()

    return types.none(meeting), generate


if TYPE_CHECKING or JIT_DISABLED:

    def barrier(meeting: int) -> None:
        pass

else:
    barrier = intrinsic(_meet)
"""`barrier(team)` waits until all threads have called it; what each wrote before, all can read after."""
