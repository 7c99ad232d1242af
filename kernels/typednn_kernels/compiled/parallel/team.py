"""A team of threads that work on one call step by step, with a barrier between the steps.

A team is made for one call and removed after it: it pays where a call has many steps. All its threads are
there together, unlike the workers of `thread_pool`, which may come late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir as llvm
from numba import types
from numba.core import cgutils
from numba.core.cpu import CPUContext
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from typednn_kernels.compiled._codegen.array_views import THREAD_SLOTS
from typednn_kernels.compiled._codegen.in_python.twins import (
    JIT_DISABLED,
    TypedIntrinsic,
    with_twin,
    written_in_llvm,
)
from typednn_kernels.compiled._codegen.ir_types import (
    INDEX,
    NULL,
    POINTER,
    field_pointer,
    internal_function,
    opaque,
    stored,
    struct_fields,
)
from typednn_kernels.compiled._codegen.noinline import NOINLINE_FUNCTIONS
from typednn_kernels.compiled._codegen.tuning import SPINS_BEFORE_SLEEP
from typednn_kernels.compiled.parallel.atomics import FIRST_FREE_LINE, LINE_WORDS, AtomicLines
from typednn_kernels.compiled.parallel.pthreads import (
    STATUS,
    call_c,
    move_thread,
    number_of_threads,
    register_c_functions,
    smaller,
    start_thread,
    thread_function,
)
from typednn_kernels.operands import Thread

NUM_THREADS, ARRIVED, GENERATION, SPIN_LIMIT = range(FIRST_FREE_LINE, FIRST_FREE_LINE + 4)
"""Lines of a team: its number of threads, how many of them have arrived at the barrier, how many times all
have, and how many times a waiting thread spins before it sleeps."""
register_c_functions("pthread_join")


def parallel_region(
    body: Callable[..., None], *, spins_before_sleep: int = SPINS_BEFORE_SLEEP
) -> Callable[..., None]:
    """Returns a function `(wanted, *arguments)` that calls `body(thread, *arguments)` in several threads.

    The body is a `noinline` function. At most `wanted` threads run it, as many as are allowed and can be
    started; the calling thread is number 0. Each gets its `Thread`, whose `team` is what `barrier` takes. The
    shorter the steps, the more often a waiting thread should look before it sleeps (`spins_before_sleep`): it
    takes 50 µs to wake.
    """

    def python(_wanted: int, *arguments: object) -> None:
        body(Thread(0, 1, 0), *arguments)

    def generate(
        context: CPUContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        wanted, packed = values
        thread_kind = types.NamedUniTuple(types.intp, len(Thread._fields), Thread)
        operands = cgutils.unpack_tuple(builder, packed)
        team = builder.alloca(INDEX, INDEX(LINE_WORDS * (SPIN_LIMIT + 1)))
        team.align = 8 * LINE_WORDS
        lines = AtomicLines(builder, team)
        lines.open()
        for line in (NUM_THREADS, ARRIVED, GENERATION):
            lines.store(line, INDEX(0))
        lines.store(SPIN_LIMIT, INDEX(spins_before_sleep))
        common, shared_operands = stored(builder, operands)
        job = llvm.LiteralStructType([INDEX, POINTER, POINTER])
        jobs = opaque(cgutils.alloca_once(builder, job, INDEX(THREAD_SLOTS)))
        handles = cgutils.alloca_once(builder, INDEX, INDEX(THREAD_SLOTS))

        def call(inner: llvm.IRBuilder, fields: Sequence[llvm.Value]) -> None:
            place, memory, rest = fields
            shared = AtomicLines(inner, memory)
            shared.wait(NUM_THREADS, INDEX(0))
            num_threads = shared.load(NUM_THREADS)
            address = inner.ptrtoint(memory, INDEX)
            thread = context.make_tuple(inner, thread_kind, [place, num_threads, address])
            kinds = (thread_kind, *signature.args[1])
            NOINLINE_FUNCTIONS[body].call(
                context, inner, kinds, [thread, *struct_fields(inner, rest, common)]
            )

        def fill(place: llvm.Value) -> llvm.Value:
            target = builder.gep(jobs, [place], source_etype=job)
            for field, value in enumerate([place, team, shared_operands]):
                builder.store(value, field_pointer(builder, target, job, field))
            return target

        def handle(place: llvm.Value) -> llvm.Value:
            return builder.gep(handles, [place], source_etype=INDEX)

        work = thread_function(builder.module, job, call)
        most = smaller(builder, wanted, number_of_threads(builder))
        made = cgutils.alloca_once_value(builder, INDEX(1))
        with cgutils.for_range(builder, most, start=INDEX(1)):
            next_place = builder.load(made, typ=INDEX)
            refusal = start_thread(builder, handle(next_place), work, fill(next_place))
            accepted = builder.icmp_signed("==", refusal, STATUS(0))
            with builder.if_then(accepted):
                move_thread(builder, builder.load(handle(next_place), typ=INDEX), keep_away=False)
            builder.store(builder.add(builder.load(made, typ=INDEX), builder.zext(accepted, INDEX)), made)
        num_threads = builder.load(made, typ=INDEX)
        lines.store_and_notify(NUM_THREADS, num_threads)
        call(builder, [INDEX(0), team, shared_operands])
        with cgutils.for_range(builder, num_threads, start=INDEX(1)) as loop:
            call_c(builder, "pthread_join", builder.load(handle(loop.index), typ=INDEX), NULL)
        lines.close()
        return context.get_dummy_value()

    def typer(_context: object, wanted: types.Type, *arguments: types.Type) -> TypedIntrinsic:
        return types.none(wanted, types.StarArgTuple.from_types(arguments)), generate

    if JIT_DISABLED:
        return python
    caller = with_twin(intrinsic(typer), python)
    NOINLINE_FUNCTIONS[caller] = NOINLINE_FUNCTIONS[body]
    return caller


def _barrier(_context: object, team: types.Type) -> TypedIntrinsic:
    def generate(
        context: CPUContext, builder: llvm.IRBuilder, _signature: object, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        num_threads = AtomicLines(builder, builder.inttoptr(values[0], POINTER)).load(NUM_THREADS)
        with builder.if_then(builder.icmp_signed(">", num_threads, INDEX(1))):
            function = internal_function(builder.module, "arrive", llvm.VoidType(), (INDEX,), _write_arrival)
            function.attributes.add("noinline")  # a step has many barriers
            builder.call(function, values)
        return context.get_dummy_value()

    return types.none(team), generate


def _write_arrival(builder: llvm.IRBuilder, team: llvm.Value) -> None:
    """Writes what a thread does at a barrier."""
    lines = AtomicLines(builder, builder.inttoptr(team, POINTER))
    before = lines.load(GENERATION)
    arrived = builder.add(lines.fetch_add(ARRIVED, 1), INDEX(1))
    is_last = builder.icmp_signed("==", arrived, lines.load(NUM_THREADS))
    with builder.if_else(is_last) as (last, others):
        with last:
            lines.store(ARRIVED, INDEX(0))
            lines.store_and_notify(GENERATION, builder.add(before, INDEX(1)))
        with others:
            lines.wait(GENERATION, before, spins=lines.load(SPIN_LIMIT))
    builder.ret_void()


@written_in_llvm(_barrier)
def barrier(team: int) -> None:
    """Waits until all threads have called it; what each wrote before, all can read after."""
