"""Threads that work on one thing step by step, and wait for each other between the steps.

A team is made for one call and gone after it, like the threads of `threads.py`: it pays where a call has
many steps. A member that waits looks for a while whether it may go on, which is fastest where each has a core
to itself, then gives way and looks again, and at last sleeps, so that on a busy machine the others get the
core that they wait for.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from llvmlite import ir as llvm
from numba import types
from numba.core import cgutils
from numba.core.cpu import CPUContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from typednn_kernels.compiled.routines import ROUTINES
from typednn_kernels.compiled.threads import (
    _INDEX,
    _JOIN,
    _NOTHING,
    _POINTER,
    _STATUS,
    begin_thread,
    number_of_threads,
    provide,
    smaller,
    thread_function,
)
from typednn_kernels.compiled.views import PLACES, PYTHON_ONLY, _Typed

EAGER, PATIENCE = 400, 1000
"""So many times a member looks in a row, for some 10 µs, and so many times before it sleeps; between, it
gives way to others, since whom it waits for may have been put on the same core."""
LINE = 8
"""A cache line, in indices: what one member writes and others read lies on a line of its own."""
MEMBERS, ARRIVED, ROUND, ASLEEP, LOCK, SIGNAL, SIZE = (LINE * place for place in (0, 1, 2, 3, 4, 6, 8))
"""Of a meeting: how many are expected, how many have come, how often all have, how many sleep; and what they
sleep by, a mutex and a condition, for which there is more room than any system takes."""
PAUSE = "llvm.x86.sse2.pause" if platform.machine() in {"x86_64", "AMD64", "i686"} else ""
provide("pthread_mutex_init", "pthread_mutex_lock", "pthread_mutex_unlock", "pthread_mutex_destroy")
provide(
    "sched_yield", "pthread_cond_init", "pthread_cond_wait", "pthread_cond_broadcast", "pthread_cond_destroy"
)


def team(member: Callable[..., None]) -> Callable[..., None]:
    """A kernel `(wanted, *arguments)` that calls `member(place, members, meeting, *arguments)` in threads.

    The member is a routine. There are as many members as are wanted, allowed and made, the calling thread the
    first of them; each gets its place among them, from 0 on, and the `meeting` at which `meet` waits.
    """

    def python(_wanted: int, *arguments: object) -> None:
        member(0, 1, 0, *arguments)

    def generate(
        context: CPUContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        wanted, packed = values
        kinds = (types.intp, types.intp, types.intp, *signature.args[1])
        operands = cgutils.unpack_tuple(builder, packed)
        meeting = builder.alloca(_INDEX, _INDEX(SIZE))
        meeting.align = 8 * LINE
        for place in (MEMBERS, ARRIVED, ROUND, ASLEEP):
            builder.store(_INDEX(0), builder.gep(meeting, [_INDEX(place)]))
        _call(builder, "pthread_mutex_init", _place(builder, meeting, LOCK), _NOTHING)
        _call(builder, "pthread_cond_init", _place(builder, meeting, SIGNAL), _NOTHING)
        job = llvm.LiteralStructType([_INDEX, meeting.type, *(each.type for each in operands)])
        jobs = cgutils.alloca_once(builder, job, _INDEX(PLACES))
        handles = cgutils.alloca_once(builder, _INDEX, _INDEX(PLACES))

        def call(inner: llvm.IRBuilder, fields: Sequence[llvm.Value]) -> None:
            place, common, *rest = fields
            _wait_for_change(inner, common, MEMBERS, _INDEX(0))
            members = _load(inner, common, MEMBERS)
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
            builder.store(builder.add(builder.load(made), builder.zext(accepted, _INDEX)), made)
        members = builder.load(made)
        _change(builder, meeting, MEMBERS, members)
        call(builder, [_INDEX(0), meeting, *operands])
        with cgutils.for_range(builder, members, start=_INDEX(1)) as loop:
            join = cgutils.get_or_insert_function(builder.module, _JOIN, "pthread_join")
            builder.call(join, [builder.load(builder.gep(handles, [loop.index])), _NOTHING])
        _call(builder, "pthread_cond_destroy", _place(builder, meeting, SIGNAL))
        _call(builder, "pthread_mutex_destroy", _place(builder, meeting, LOCK))
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
        common = builder.inttoptr(values[0], _INDEX.as_pointer())
        arrived = builder.gep(common, [_INDEX(ARRIVED)])
        members = _load(builder, common, MEMBERS)
        with builder.if_then(builder.icmp_signed(">", members, _INDEX(1))):
            before = _load(builder, common, ROUND)
            count = builder.add(builder.atomic_rmw("add", arrived, _INDEX(1), "acq_rel"), _INDEX(1))
            with builder.if_else(builder.icmp_signed("==", count, members)) as (last, others):
                with last:
                    builder.store_atomic(_INDEX(0), arrived, "monotonic", 8)
                    _change(builder, common, ROUND, builder.add(before, _INDEX(1)))
                with others:
                    _wait_for_change(builder, common, ROUND, before)
        return context.get_dummy_value()

    return types.none(meeting), generate


def _place(builder: llvm.IRBuilder, meeting: llvm.Value, place: int) -> llvm.Value:
    return builder.bitcast(builder.gep(meeting, [_INDEX(place)]), _POINTER)


def _load(builder: llvm.IRBuilder, meeting: llvm.Value, place: int) -> llvm.Value:
    return builder.load_atomic(builder.gep(meeting, [_INDEX(place)]), "seq_cst", 8)


def _call(builder: llvm.IRBuilder, name: str, *places: llvm.Value) -> None:
    kind = llvm.FunctionType(_STATUS, [_POINTER] * len(places))
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), places)


def _change(builder: llvm.IRBuilder, meeting: llvm.Value, place: int, value: llvm.Value) -> None:
    """Writes a number for which others wait, and wakes those that sleep."""
    builder.store_atomic(value, builder.gep(meeting, [_INDEX(place)]), "seq_cst", 8)
    with builder.if_then(builder.icmp_signed(">", _load(builder, meeting, ASLEEP), _INDEX(0))):
        lock = _place(builder, meeting, LOCK)
        _call(builder, "pthread_mutex_lock", lock)
        _call(builder, "pthread_cond_broadcast", _place(builder, meeting, SIGNAL))
        _call(builder, "pthread_mutex_unlock", lock)


def _wait_for_change(builder: llvm.IRBuilder, meeting: llvm.Value, place: int, known: llvm.Value) -> None:
    """Waits until a number is no longer the one that is known."""
    names = ("look", "again", "give_way", "on", "tired", "check", "sleep", "awake", "after")
    look, again, give_way, on, tired, check, sleep, awake, after = map(builder.append_basic_block, names)
    start = builder.block
    builder.branch(look)

    def branch_if_same(same: llvm.Block, changed: llvm.Block) -> None:
        builder.cbranch(builder.icmp_signed("==", _load(builder, meeting, place), known), same, changed)

    builder.position_at_end(look)
    looks = builder.phi(_INDEX)
    looks.add_incoming(_INDEX(0), start)
    branch_if_same(again, after)

    builder.position_at_end(again)
    if PAUSE:
        pause = llvm.FunctionType(llvm.VoidType(), [])
        builder.call(cgutils.get_or_insert_function(builder.module, pause, PAUSE), [])
    builder.cbranch(builder.icmp_signed("<", looks, _INDEX(EAGER)), on, give_way)

    builder.position_at_end(give_way)
    _call(builder, "sched_yield")
    builder.branch(on)

    builder.position_at_end(on)
    more = builder.add(looks, _INDEX(1))
    looks.add_incoming(more, on)
    builder.cbranch(builder.icmp_signed("<", more, _INDEX(PATIENCE)), look, tired)

    builder.position_at_end(tired)
    lock, asleep = _place(builder, meeting, LOCK), builder.gep(meeting, [_INDEX(ASLEEP)])
    _call(builder, "pthread_mutex_lock", lock)
    builder.atomic_rmw("add", asleep, _INDEX(1), "seq_cst")
    builder.branch(check)

    builder.position_at_end(check)
    branch_if_same(sleep, awake)

    builder.position_at_end(sleep)
    _call(builder, "pthread_cond_wait", _place(builder, meeting, SIGNAL), lock)
    builder.branch(check)

    builder.position_at_end(awake)
    builder.atomic_rmw("sub", asleep, _INDEX(1), "seq_cst")
    _call(builder, "pthread_mutex_unlock", lock)
    builder.branch(after)
    builder.position_at_end(after)


if TYPE_CHECKING or PYTHON_ONLY:

    def meet(meeting: int) -> None:
        pass

else:
    meet = intrinsic(_meet)
"""`meet(meeting)`: waits until all members have called it; what each wrote before, all can read after."""
