"""Large work divided between a caller and workers: the same numbers as of one thread, in any process."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ctypes import CFUNCTYPE, c_int, c_size_t, c_void_p, cast
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from typednn_kernels import plain
from typednn_kernels.activations import ACTIVATIONS, CODES, SOFTMAX, couples_units
from typednn_kernels.arrays import F, Vector
from typednn_kernels.losses import CODES as LOSS_CODES
from typednn_kernels.losses import LOSSES
from typednn_kernels.thread_limit import MAX_THREADS, THREADS

from tests.conftest import ENTRY_POINTS
from tests.typednn_kernels.compiled.parallel.moving import mover

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("Python makes no threads", allow_module_level=True)
compiled = ENTRY_POINTS
tuning = import_module("typednn_kernels.compiled._codegen.tuning")
jit = import_module("typednn_kernels.compiled._codegen.jit")
tables = import_module("typednn_kernels.compiled._codegen.function_tables")
threads = import_module("typednn_kernels.compiled.parallel.pthreads")
workers = import_module("typednn_kernels.compiled.parallel.thread_pool")
boards = import_module("typednn_kernels.compiled.parallel.atomics")
llvmlite = import_module("llvmlite.binding")

LARGE = 3 * tuning.GRAIN_ELEMENTS + 12345
"""So many numbers are shared by three threads."""

TASKS = Path("/proc/self/task")
"""Linux has a folder here for each thread of this process."""

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
FULL = pytest.mark.full("as with three threads")
with_workers = pytest.mark.parametrize(
    "allowed", [pytest.param(1, marks=FULL), pytest.param(2, marks=FULL), 3], indirect=True
)
by_size = pytest.mark.parametrize(("n", "m"), [(1101, 1000), (3, LARGE // 3), (LARGE // 3, 3)])
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


def count(part: int, start: int, stop: int, counts: Vector[F]) -> None:
    """Counts each part."""
    counts[part] += stop - start


def count_parts(parts: int, counts: Vector[F]) -> None:
    all_counts(parts, 1, counts)


with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jit, "CACHE", None)  # which knows the sources of the kernels, not this
    all_counts = workers.parallel_for(jit.noinline(count))
    entry = jit.exported(count_parts)


@pytest.fixture(params=[1, 2, 3], autouse=True)
def allowed(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many threads."""
    before = THREADS.value
    THREADS.value = request.param
    yield request.param
    THREADS.value = before


def numbers(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(0.05, 0.95, shape).astype(dtype)


def agree(computed: Any, reference: Any, units: float = 16, terms: Any = 0) -> None:
    """Equal up to rounding, of the results or of the terms that they are differences of."""
    unit = units * np.finfo(reference.dtype).eps
    largest = max(np.max(abs(reference)), np.max(abs(terms)))
    np.testing.assert_allclose(computed, reference, rtol=unit, atol=unit * largest)


@pytest.mark.once_per("activation", "allowed")
@by_dtype
@pytest.mark.parametrize("activation", range(len(ACTIVATIONS)), ids=[row.name for row in ACTIVATIONS])
@pytest.mark.parametrize("shape", [(1, LARGE), (LARGE // 10, 10)], ids=["row", "rows"])
def test_activations(activation: int, shape: tuple[int, int], dtype: Any) -> None:
    a, signal = numbers(shape, dtype), numbers(shape, dtype, 1)
    reference, computed = np.empty_like(a), np.empty_like(a)
    plain.activation_value(activation, a, reference)
    compiled.activation_value(activation, a, computed)
    agree(computed, reference)
    y = reference.copy()
    if not couples_units(activation):
        plain.activation_derivative(activation, a, y, reference)
        compiled.activation_derivative(activation, a, y, computed)
        agree(computed, reference)
    plain.activation_backward(activation, a, y, signal, reference)
    compiled.activation_backward(activation, a, y, signal, computed)
    agree(computed, reference, 64)


@pytest.mark.once_per("loss", "allowed")
@by_dtype
@pytest.mark.parametrize("loss", [row.name for row in LOSSES])
@pytest.mark.parametrize("activation", [0, SOFTMAX])
@pytest.mark.parametrize("shape", [(1, LARGE), (LARGE // 10, 10)], ids=["row", "rows"])
def test_losses(loss: Any, activation: int, shape: tuple[int, int], dtype: Any) -> None:
    code = LOSS_CODES[loss]
    a, t = numbers(shape, dtype), numbers(shape, dtype, 1)
    y = np.empty_like(a)
    plain.activation_value(activation, a, y)
    reference, computed = np.empty(shape[0], dtype), np.empty(shape[0], dtype)
    losses = np.empty(shape[0])
    plain.loss_value(
        code, activation, a.astype(np.float64), y.astype(np.float64), t.astype(np.float64), losses
    )
    compiled.loss_value(code, activation, a, y, t, computed)
    agree(computed, losses.astype(dtype), 64)
    reference, computed = np.empty_like(a), np.empty_like(a)
    error, computed_error = np.empty_like(a), np.empty_like(a)
    plain.output_delta(code, activation, a, y, t, reference, error)
    compiled.output_delta(code, activation, a, y, t, computed, computed_error)
    agree(computed, reference, 64)
    agree(computed_error, error, 256, y * reference)


@by_dtype
@by_size
def test_one_sample(n: int, m: int, dtype: Any) -> None:
    W, bias, x, error = (
        numbers((n, m), dtype),
        numbers((n,), dtype),
        numbers((1, m), dtype),
        numbers((1, n), dtype),
    )
    a, signal, gradient = np.empty((1, n), dtype), np.empty((1, m), dtype), np.empty((n, m), dtype)

    def compute() -> list[Any]:
        compiled.affine(x, W, bias, a)
        compiled.backpropagate(error, W, signal)
        compiled.outer(error, x, gradient)
        return [each.copy() for each in (a, signal, gradient)]

    computed = compute()
    agree(a, (x.astype(np.float64) @ W.T + bias).astype(dtype), 64)
    agree(signal, (error.astype(np.float64) @ W).astype(dtype), 64)
    np.testing.assert_array_equal(gradient, error.T * x)
    THREADS.value = 1
    for result, alone in zip(computed, compute(), strict=True):
        np.testing.assert_array_equal(result, alone)


@by_dtype
@pytest.mark.parametrize(
    ("samples", "n", "m"), [(301, 57, 211), (40, 500, 301), (7, 1000, 999), (2, 2000, 1100)]
)
def test_products_of_batches(samples: int, n: int, m: int, dtype: Any) -> None:
    assert samples * n * m > 3 * tuning.GEMM_GRAIN_FMAS
    W, bias, x, error = (numbers(shape, dtype) for shape in ((n, m), (n,), (samples, m), (samples, n)))
    results = [np.full(shape, np.nan, dtype) for shape in ((samples, n), (samples, m), (n, m))]

    def compute() -> list[Any]:
        compiled.affine(x, W, bias, results[0])
        compiled.backpropagate(error, W, results[1])
        compiled.outer(error, x, results[2])
        return [each.copy() for each in results]

    computed = compute()
    precise = x.astype(np.float64) @ W.T + bias, error.astype(np.float64) @ W, error.T.astype(np.float64) @ x
    for result, reference in zip(computed, precise, strict=True):
        agree(result, reference.astype(dtype), 64)
    THREADS.value = 1
    for result, alone in zip(computed, compute(), strict=True):
        np.testing.assert_array_equal(result, alone)


@by_dtype
@by_size
def test_a_layer_in_one_call(n: int, m: int, dtype: Any) -> None:
    W, W_next, bias = numbers((n, m), dtype), numbers((2, n), dtype), numbers((n,), dtype)
    x, t, error = numbers((1, m), dtype), numbers((1, n), dtype), numbers((1, 2), dtype)
    parts, whole = ([np.full((1, n), np.nan, dtype) for _ in range(4)] for _ in range(2))
    gradient, whole_gradient = np.empty((n, m), dtype), np.empty((n, m), dtype)
    code = CODES["tanh"]
    a, h, signal, dLda = parts
    compiled.affine(x, W, bias, a)
    compiled.activation_value(code, a, h)
    compiled.output_delta(0, code, a, h, t, signal, dLda)
    compiled.outer(dLda, x, gradient)
    compiled.layer_forward(code, x, W, bias, *whole[:2])
    compiled.output_layer_backward(0, code, *parts[:2], t, x, *whole[2:], whole_gradient)
    for computed, reference in zip([*whole, whole_gradient], [*parts, gradient], strict=True):
        agree(computed, reference, 64)
    compiled.backpropagate(error, W_next, signal)
    compiled.activation_backward(code, a, h, signal, dLda)
    compiled.outer(dLda, x, gradient)
    compiled.hidden_layer_backward(code, error, W_next, *parts[:2], x, *whole[2:], whole_gradient)
    for computed, reference in zip([*whole, whole_gradient], [*parts, gradient], strict=True):
        agree(computed, reference, 64)


@pytest.mark.parametrize("numbers", [0, 1, 2, 5, 7, 9, 1000])
@pytest.mark.parametrize("threads", [1, 3, 4, 7, MAX_THREADS])
def test_parts_are_not_empty_and_make_the_whole(
    numbers: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(THREADS, "value", threads)
    counts = np.zeros(MAX_THREADS)

    entry(numbers, counts)

    assert counts.sum() == numbers
    parts = counts[counts != 0]
    assert (parts > 0).all()
    assert len(parts) <= threads


def values_of(a: Any) -> Any:
    y = np.empty_like(a)
    compiled.activation_value(CODES["tanh"], a, y)
    return y


def number_of_threads() -> int | None:
    """So many threads has this process, if that can be told."""
    return len(list(TASKS.iterdir())) if TASKS.is_dir() else None


def number_of_workers() -> int:
    count: int = workers.LINES[workers.LINE_WORDS * workers.WORKERS]
    return count


def wait_until_workers_are_gone() -> None:
    limit = (
        time.monotonic() + 100 * tuning.WORKER_IDLE_TIMEOUT_S
    )  # on a busy machine they give way before each look
    while number_of_workers() and time.monotonic() < limit:
        time.sleep(0.01)
    assert number_of_workers() == 0
    time.sleep(0.1)  # until their threads are gone, too


def agrees_in_forked_child(a: Any, y: Any, threads: int) -> bool:
    """Whether a child computes the same values, and makes workers of its own."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of forks beside threads
        child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(60)  # a child that waits for ever is an error
            agrees = np.array_equal(values_of(a), y) and (threads == 1 or number_of_workers() == threads - 1)
            status = 0 if agrees else 1
        finally:
            os._exit(status)  # also where an error would have the child run the other tests
    return os.waitpid(child, 0)[1] == 0


@forks
def test_forked_child(allowed: int) -> None:
    a = numbers((1, LARGE), np.float64)
    y = values_of(a)

    assert agrees_in_forked_child(a, y, allowed)
    assert np.array_equal(values_of(a), y)


@forks
@with_workers
def test_child_forked_while_workers_are_busy(allowed: int) -> None:
    a = numbers((1, LARGE), np.float64)
    y, stop = values_of(a), Event()

    def keep_busy() -> None:
        while not stop.is_set():
            values_of(a)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(keep_busy)
        try:
            assert all(agrees_in_forked_child(a, y, allowed) for _ in range(20))
        finally:
            stop.set()


@forks
def test_a_round_that_was_open_at_the_fork_belongs_to_the_parent(allowed: int) -> None:
    """The child finds a round of three parts, of which another thread of its parent has taken one."""
    a = numbers((1, LARGE), np.float64)
    y = values_of(a)
    wait_until_workers_are_gone()
    ticket, caller = workers.LINE_WORDS * workers.TICKET, workers.CALLER + workers.PARTS_LEFT
    before = workers.LINES.copy()
    rounds = int(before[ticket]) >> 2 * workers.COUNT_BITS
    try:
        workers.LINES[ticket] = ((rounds + 1) << workers.COUNT_BITS | 3) << workers.COUNT_BITS | 1
        workers.LINES[workers.LINE_WORDS * workers.BUSY] = 1
        workers.LINES[workers.LINE_WORDS * caller] = 3
        assert agrees_in_forked_child(a, y, allowed)
    finally:
        workers.LINES[:] = before
    assert np.array_equal(values_of(a), y)


@forks
def test_a_fork_waits_for_the_compiler() -> None:
    """LLVM in the middle of its work cannot go on in a child."""
    lock = import_module("numba.core.compiler_lock").global_compiler_lock
    order: list[str] = []
    held = Event()

    def compile_for_a_while() -> None:
        with lock:
            held.set()
            time.sleep(0.2)
            order.append("compiled")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(compile_for_a_while)
        held.wait()
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            child = os.fork()
        if child == 0:
            free: list[bool] = []
            other = Thread(target=lambda: free.append(lock._lock.acquire(timeout=10)))
            other.start()
            other.join()
            os._exit(0 if free == [True] else 1)
        order.append("forked")
        assert os.waitpid(child, 0)[1] == 0

    assert order == ["compiled", "forked"]


def test_callers_in_threads(allowed: int) -> None:
    samples = [numbers((1, LARGE + 1000 * k), np.float32, k) for k in range(4)]
    expected = [values_of(a) for a in samples]

    def agrees(k: int) -> bool:
        return all(np.array_equal(values_of(samples[k]), expected[k]) for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(agrees, range(4)))


@with_workers
def test_workers_are_kept_for_the_next_call_and_go_when_there_is_none(allowed: int) -> None:
    a = numbers((1, LARGE), np.float32)
    wait_until_workers_are_gone()
    before = number_of_threads()

    for _ in range(3):
        values_of(a)
        assert number_of_workers() == allowed - 1
        assert before is None or number_of_threads() == before + allowed - 1

    wait_until_workers_are_gone()
    assert number_of_threads() == before
    assert np.array_equal(values_of(a), values_of(a))


LAST = """
import os, time
from ctypes import c_int64
import numpy as np
from typednn_kernels.compiled.parallel import thread_pool as workers
from typednn_kernels.compiled.entry_points import kernels_for
from typednn_kernels.thread_limit import THREADS

class Last:
    board = (c_int64 * workers.LINES.size).from_address(workers.LINES.ctypes.data)
    owner = workers.LINE_WORDS * workers.OWNER

    def __del__(self, process=os.getpid(), threads=os.listdir, sleep=time.sleep, write=os.write):
        before = len(threads("/proc/self/task"))
        sleep(2)
        own = self.board[self.owner] == process
        write(1, b"%d, %d, %d" % (own, before, len(threads("/proc/self/task"))))

THREADS.value = 2
a = np.zeros((1, 1 << 20))
kernels_for(a.dtype).activation_value(1, a, np.empty_like(a))
os.last = Last()  # which is deleted after the modules that were imported later
"""


@pytest.mark.skipif(not TASKS.exists(), reason="threads cannot be counted here")
@pytest.mark.parametrize("allowed", [1], indirect=True)
def test_workers_leave_in_peace_when_python_has_ended() -> None:
    overwriting = {**os.environ, "MALLOC_PERTURB_": "165", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LAST]
    run = subprocess.run(command, env=overwriting, capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("1, 2, 1", "")


@contextmanager
def compiled_against(**fakes: Any) -> Generator[Callable[..., None], None, None]:
    """The entry, with a pool compiled against these functions instead of those of the C library."""
    wait_until_workers_are_gone()
    place = workers.RUN_PARTS.address
    before = int(place[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "CACHE", None)
        for name, fake in fakes.items():
            llvmlite.add_symbol(name, cast(fake, c_void_p).value)
        try:
            place[0] = workers.RUN_PARTS.compiled()
        finally:
            threads.register_c_functions(*fakes)
    yield entry
    wait_until_workers_are_gone()
    place[0] = before


def test_who_may_make_no_worker_does_all(allowed: int) -> None:
    asked: list[int] = []

    def refuse(*_arguments: object) -> int:
        asked.append(1)
        return errno.EAGAIN

    with compiled_against(pthread_create=CFUNCTYPE(c_int, *[c_void_p] * 4)(refuse)) as entry:
        counts = np.zeros(MAX_THREADS)
        entry(5, counts)

    assert counts.sum() == 5
    assert (counts > 0).sum() == allowed
    assert len(asked) == allowed - 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="threads have no set of cores here")
def test_workers_keep_away_from_the_core_of_their_caller(allowed: int) -> None:
    cores = os.sched_getaffinity(0)
    here = [min(cores)]
    moves: list[set[int]] = []

    fakes = {
        "sched_getcpu": CFUNCTYPE(c_int)(lambda: here[0]),
        "pthread_setaffinity_np": mover(moves),
    }
    with compiled_against(**fakes) as entry:
        entry(5, np.zeros(MAX_THREADS))
        entry(5, np.zeros(MAX_THREADS))
        made = len(moves)
        here[0] = max(cores)
        entry(5, np.zeros(MAX_THREADS))
        entry(5, np.zeros(MAX_THREADS))

    assert moves[:made] == [cores - {min(cores)}] * (allowed - 1)
    assert moves[made:] == [cores - {max(cores)}] * (allowed - 1) * (len(cores) > 1)


@with_workers
def test_as_many_workers_are_woken_as_have_a_part(allowed: int) -> None:
    signals: list[int] = []

    def signal(_condition: int) -> int:
        signals.append(1)
        return 0

    with compiled_against(pthread_cond_signal=CFUNCTYPE(c_int, c_size_t)(signal)) as entry:
        THREADS.value = 3
        entry(3, np.zeros(MAX_THREADS))
        limit = time.monotonic() + tuning.WORKER_IDLE_TIMEOUT_S / 2
        while workers.LINES[boards.LINE_WORDS * boards.ASLEEP] < 2 and time.monotonic() < limit:
            time.sleep(0.001)
        del signals[:]
        counts = np.zeros(MAX_THREADS)
        entry(allowed, counts)

    assert counts.tolist() == [1] * allowed + [0] * (MAX_THREADS - allowed)
    assert len(signals) == allowed - 1
