"""Threads that wait for each other: nobody passes a meeting before all are there."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ctypes import CFUNCTYPE, c_int, c_void_p, cast
from importlib import import_module

import numpy as np
import pytest
from typednn_kernels.arrays import F, Vector
from typednn_kernels.operands import Thread
from typednn_kernels.thread_limit import MAX_THREADS, THREADS

from tests.typednn_kernels.compiled.parallel.moving import mover

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("Python makes no threads", allow_module_level=True)
jit = import_module("typednn_kernels.compiled._codegen.jit")
teams = import_module("typednn_kernels.compiled.parallel.team")
threads = import_module("typednn_kernels.compiled.parallel.pthreads")
llvmlite = import_module("llvmlite.binding")

ROUNDS = 300


def count(thread: Thread, rounds: int, counts: Vector[F], differences: Vector[F]) -> None:
    """Each thread counts, and looks after each barrier whether the others have counted as far."""
    for k in range(rounds):
        counts[thread.thread_num] += 1
        teams.barrier(thread.team)
        for other in range(thread.num_threads):
            if counts[other] != k + 1:
                differences[thread.thread_num] += 1
        teams.barrier(thread.team)


def count_together(wanted: int, rounds: int, counts: Vector[F], differences: Vector[F]) -> None:
    all_counts(wanted, rounds, counts, differences)


with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jit, "CACHE", None)  # which knows the sources of the kernels, not this
    all_counts = teams.parallel_region(jit.noinline(count))
    entry = jit.exported(count_together)


@pytest.fixture(params=[1, 2, 3, 5], autouse=True)
def allowed(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many threads at most."""
    before = THREADS.value
    THREADS.value = request.param
    yield request.param
    THREADS.value = before


def members_of(wanted: int) -> int:
    """How many counted; checks that they did it together."""
    counts, differences = np.zeros(MAX_THREADS), np.zeros(MAX_THREADS)
    entry(wanted, ROUNDS, counts, differences)
    members = int((counts > 0).sum())
    assert counts.tolist() == [ROUNDS] * members + [0] * (MAX_THREADS - members)
    assert not differences.any()
    return members


@pytest.mark.parametrize("wanted", [0, 1, 2, 4, 1000])
def test_as_many_members_as_wanted_and_allowed(wanted: int, allowed: int) -> None:
    assert members_of(wanted) == max(1, min(wanted, allowed))


def test_several_teams_at_a_time(allowed: int) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(members_of, [2, 3, 4, 2])) == [min(each, allowed) for each in (2, 3, 4, 2)]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="threads have no set of cores here")
def test_new_members_leave_the_core_of_their_maker_and_may_come_back(
    allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit, "CACHE", None)
    cores = os.sched_getaffinity(0)
    here = min(cores)
    moves: list[set[int]] = []

    fakes = {
        "sched_getcpu": CFUNCTYPE(c_int)(lambda: here),
        "pthread_setaffinity_np": mover(moves),
    }
    for name, fake in fakes.items():
        llvmlite.add_symbol(name, cast(fake, c_void_p).value)
    try:
        jit.exported(count_together)(
            3, 1, np.zeros(MAX_THREADS), np.zeros(MAX_THREADS)
        )  # compiled against these functions
    finally:
        threads.register_c_functions(*fakes)

    assert moves == [cores - {here}, cores] * (min(3, allowed) - 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forked_child(allowed: int) -> None:
    members_of(2)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of forks beside threads
        child = os.fork()
    if child == 0:
        try:
            os._exit(0 if members_of(3) == min(3, allowed) else 1)
        finally:
            os._exit(1)  # an error would have the child run the other tests
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
