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

from typednn_kernels.compiled._codegen.array_views import PLACES, PYTHON_ONLY, _Typed
from typednn_kernels.compiled._codegen.noinline import ROUTINES
from typednn_kernels.compiled.parallel.atomics import FREE, LINE, PATIENCE, Board
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

MEMBERS, ARRIVED, ROUND, LOOKS, TAKEN = range(FREE, FREE + 5)
"""Lines of the board of a meeting: how many are expected, how many have come, how often all have, how many
times who waits looks before it sleeps, and how many pieces are taken since all have come."""
provide("pthread_join")


def team(member: Callable[..., None], *, patience: int = PATIENCE) -> Callable[..., None]:
    """A kernel `(wanted, *arguments)` that calls `member(place, members, meeting, *arguments)` in threads.

    The member is a routine. There are as many members as are wanted, allowed and made, the calling thread the
    first of them; each gets its place among them, from 0 on, and the `meeting` at which `meet` waits. The
    shorter the steps, the more patience they need: who sleeps takes 50 µs to wake.
    """

    def python(_wanted: int, *arguments: object) -> None:
        member(0, 1, 0, *arguments)

    def generate(
        context: CPUContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        wanted, packed = values
        kinds = (types.intp, types.intp, types.intp, *signature.args[1])
        operands = cgutils.unpack_tuple(builder, packed)
        meeting = builder.alloca(_INDEX, _INDEX(LINE * (TAKEN + 1)))
        meeting.align = 8 * LINE
        board = Board(builder, meeting)
        board.open()
        for line in (MEMBERS, ARRIVED, ROUND, TAKEN):
            board.store(line, _INDEX(0))
        board.store(LOOKS, _INDEX(patience))
        job = llvm.LiteralStructType([_INDEX, meeting.type, *(each.type for each in operands)])
        jobs = cgutils.alloca_once(builder, job, _INDEX(PLACES))
        handles = cgutils.alloca_once(builder, _INDEX, _INDEX(PLACES))

        def call(inner: llvm.IRBuilder, fields: Sequence[llvm.Value]) -> None:
            place, common, *rest = fields
            shared = Board(inner, common)
            shared.wait(MEMBERS, _INDEX(0))
            members = shared.load(MEMBERS)
            address = inner.ptrtoint(common, _INDEX)
            ROUTINES[member].call(context, inner, kinds, [place, members, address, *rest])

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
        board.change(MEMBERS, members)
        call(builder, [_INDEX(0), meeting, *operands])
        with cgutils.for_range(builder, members, start=_INDEX(1)) as loop:
            _called(builder, "pthread_join", builder.load(builder.gep(handles, [loop.index])), _NOTHING)
        board.close()
        return context.get_dummy_value()

    def typer(_context: object, wanted: types.Type, *arguments: types.Type) -> _Typed:
        return types.none(wanted, types.StarArgTuple.from_types(arguments)), generate

    if PYTHON_ONLY:
        return python
    kernel = intrinsic(typer)
    ROUTINES[kernel] = ROUTINES[member]
    return kernel


def _meet(_context: object, meeting: types.Type) -> _Typed:
    def generate(
        context: CPUContext, builder: llvm.IRBuilder, _signature: object, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        board = Board(builder, builder.inttoptr(values[0], _INDEX.as_pointer()))
        members = board.load(MEMBERS)
        with builder.if_then(builder.icmp_signed(">", members, _INDEX(1))):
            before = board.load(ROUND)
            is_last = builder.icmp_signed("==", builder.add(board.add(ARRIVED, 1), _INDEX(1)), members)
            with builder.if_else(is_last) as (last, others):
                with last:
                    board.store(ARRIVED, _INDEX(0))
                    board.store(TAKEN, _INDEX(0))
                    board.change(ROUND, builder.add(before, _INDEX(1)))
                with others:
                    board.wait(ROUND, before, patience=board.load(LOOKS))
        return context.get_dummy_value()

    return types.none(meeting), generate


def _take(_context: object, meeting: types.Type) -> _Typed:
    def generate(
        context: CPUContext, builder: llvm.IRBuilder, _signature: object, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        return Board(builder, builder.inttoptr(values[0], _INDEX.as_pointer())).add(TAKEN, 1)

    return types.intp(meeting), generate


if TYPE_CHECKING or PYTHON_ONLY:

    def meet(meeting: int) -> None:
        pass

    def take(meeting: int) -> int:
        raise RuntimeError("who is alone takes all without asking")

else:
    meet, take = intrinsic(_meet), intrinsic(_take)
"""`meet(meeting)`: waits until all members have called it; what each wrote before, all can read after.
`take(meeting)`: how often any of several members has called it before, since they have met."""
