"""Atomic integers in shared memory that threads change and wait for, as C++20's `atomic::wait`.

A waiting thread spins for a while, which is fastest where each thread has a core to itself, then yields
between its looks, and at last sleeps, so that on a busy machine the thread that it waits for gets the core.
"""

from __future__ import annotations

from llvmlite import ir as llvm
from numba.core import cgutils

from typednn_kernels.compiled._codegen.ir_types import INDEX, IS_X86, NULL
from typednn_kernels.compiled._codegen.tuning import SPINS_BEFORE_SLEEP, SPINS_BEFORE_YIELD
from typednn_kernels.compiled.parallel.pthreads import STATUS, call_c, register_c_functions

LINE_WORDS = 8
"""Words of 64 bits in a cache line: what one thread writes and others read lies on a line of its own."""
ASLEEP, LOCK, SIGNAL, FIRST_FREE_LINE = 0, 1, 3, 5
"""The first lines: the number of sleeping threads, a mutex and a condition variable, each on two lines, more
than any system needs; the last is the first free line."""
REAL_TIME = 0
"""CLOCK_REALTIME, by which pthread_cond_timedwait measures."""
PAUSE = "llvm.x86.sse2.pause" if IS_X86 else ""
register_c_functions(
    "pthread_mutex_init", "pthread_mutex_lock", "pthread_mutex_unlock", "pthread_mutex_destroy"
)
register_c_functions(
    "pthread_cond_init", "pthread_cond_wait", "pthread_cond_broadcast", "pthread_cond_destroy"
)
register_c_functions("pthread_cond_signal", "pthread_cond_timedwait", "clock_gettime", "sched_yield")


class AtomicLines:
    """Writes the code that reads and changes lines of shared memory."""

    def __init__(self, builder: llvm.IRBuilder, memory: llvm.Value) -> None:
        self.builder: llvm.IRBuilder = builder
        self.memory: llvm.Value = memory

    def open(self) -> None:
        """Initialises the mutex and the condition variable; no thread sleeps."""
        self.store(ASLEEP, INDEX(0))
        call_c(self.builder, "pthread_mutex_init", self.place(LOCK), NULL)
        call_c(self.builder, "pthread_cond_init", self.place(SIGNAL), NULL)

    def close(self) -> None:
        """Destroys the mutex and the condition variable."""
        call_c(self.builder, "pthread_cond_destroy", self.place(SIGNAL))
        call_c(self.builder, "pthread_mutex_destroy", self.place(LOCK))

    def load(self, line: int) -> llvm.Value:
        """Reads the integer of a line."""
        return self.builder.load_atomic(self.place(line), "seq_cst", 8, typ=INDEX)

    def store(self, line: int, value: llvm.Value) -> None:
        """Stores an integer, by an exchange: `store_atomic` of llvmlite 0.50 takes no opaque pointer."""
        self.builder.atomic_rmw("xchg", self.place(line), value, "seq_cst")

    def fetch_add(self, line: int, value: int) -> llvm.Value:
        """Adds to the integer of a line; returns its value before."""
        return self.builder.atomic_rmw("add", self.place(line), INDEX(value), "seq_cst")

    def compare_exchange(self, line: int, old: llvm.Value, value: llvm.Value) -> llvm.Value:
        """Stores an integer if the line holds `old`; returns whether it did."""
        outcome = self.builder.cmpxchg(self.place(line), old, value, "seq_cst")
        return self.builder.extract_value(outcome, 1)

    def store_and_notify(self, line: int, value: llvm.Value, wanted: llvm.Value | None = None) -> None:
        """Stores an integer and wakes the threads that sleep until it changes, or `wanted` of them."""
        self.store(line, value)
        self.notify(wanted)

    def notify(self, wanted: llvm.Value | None = None) -> None:
        """Wakes sleeping threads, all or `wanted` of them, after an integer has changed."""
        builder = self.builder
        with builder.if_then(builder.icmp_signed(">", self.load(ASLEEP), INDEX(0))):
            call_c(builder, "pthread_mutex_lock", self.place(LOCK))
            if wanted is None:
                call_c(builder, "pthread_cond_broadcast", self.place(SIGNAL))
            else:
                with cgutils.for_range(builder, wanted):
                    call_c(builder, "pthread_cond_signal", self.place(SIGNAL))
            call_c(builder, "pthread_mutex_unlock", self.place(LOCK))

    def wait(
        self,
        line: int,
        old: llvm.Value,
        *,
        spins: llvm.Value = INDEX(SPINS_BEFORE_SLEEP),  # noqa: B008 (a constant)
        seconds: int | None = None,
    ) -> llvm.Value:
        """Waits until a line no longer holds `old`; returns whether it has changed.

        After `spins` looks the thread sleeps, for `seconds` at most.
        """
        builder = self.builder
        names = ("look", "again", "yield", "on", "idle", "check", "sleep", "awake", "after")
        look, again, give_way, on, idle, check, sleep, awake, after = map(builder.append_basic_block, names)
        time = cgutils.alloca_once(builder, INDEX, INDEX(2))
        start = builder.block
        builder.branch(look)

        def branch_if_same(same: llvm.Block, changed: llvm.Block) -> None:
            builder.cbranch(builder.icmp_signed("==", self.load(line), old), same, changed)

        builder.position_at_end(look)
        looks = builder.phi(INDEX)
        looks.add_incoming(INDEX(0), start)
        branch_if_same(again, after)

        builder.position_at_end(again)
        if PAUSE:
            pause = llvm.FunctionType(llvm.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, pause, PAUSE), [])
        builder.cbranch(builder.icmp_signed("<", looks, INDEX(SPINS_BEFORE_YIELD)), on, give_way)

        builder.position_at_end(give_way)
        call_c(builder, "sched_yield")
        builder.branch(on)

        builder.position_at_end(on)
        more = builder.add(looks, INDEX(1))
        looks.add_incoming(more, on)
        builder.cbranch(builder.icmp_signed("<", more, spins), look, idle)

        builder.position_at_end(idle)
        lock, signal = self.place(LOCK), self.place(SIGNAL)
        if seconds is not None:
            call_c(builder, "clock_gettime", STATUS(REAL_TIME), time)
            builder.store(builder.add(builder.load(time, typ=INDEX), INDEX(seconds)), time)
        call_c(builder, "pthread_mutex_lock", lock)
        self.fetch_add(ASLEEP, 1)
        builder.branch(check)

        builder.position_at_end(check)
        branch_if_same(sleep, awake)

        builder.position_at_end(sleep)
        if seconds is None:
            call_c(builder, "pthread_cond_wait", signal, lock)
            builder.branch(check)
        else:
            late = call_c(builder, "pthread_cond_timedwait", signal, lock, time)
            builder.cbranch(builder.icmp_signed("==", late, STATUS(0)), check, awake)

        builder.position_at_end(awake)
        self.fetch_add(ASLEEP, -1)
        call_c(builder, "pthread_mutex_unlock", lock)
        builder.branch(after)
        builder.position_at_end(after)
        return builder.icmp_signed("!=", self.load(line), old)

    def place(self, line: int) -> llvm.Value:
        """Returns the address of a line."""
        return self.builder.gep(self.memory, [INDEX(LINE_WORDS * line)], source_etype=INDEX)
