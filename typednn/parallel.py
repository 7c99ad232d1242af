"""The number of threads that the kernels use, and several trainings in parallel.

>>> from functools import partial
>>> import numpy as np
>>> from typednn import HiddenLayer, InputLayer, Network, OutputLayer
>>> x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
>>> y = np.array([[0.0], [1.0], [1.0], [0.0]])
>>> networks = [Network([InputLayer(2), HiddenLayer(8, "tanh"), OutputLayer(1)], seed=s) for s in range(4)]
>>> histories = in_parallel(partial(each.fit, x, y, epochs=200, learning_rate=0.1) for each in networks)
>>> [len(history.loss) for history in histories]
[200, 200, 200, 200]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from threading import Event, Lock
from typing import TYPE_CHECKING, TypeVar, cast

from typednn_kernels.thread_limit import THREADS, available_cores

from typednn.attributes import KnownAttributes
from typednn.errors import SettingError
from typednn.plotting.progress import Bar
from typednn.validation.settings import check_count, check_sequence

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from threadpoolctl import ThreadpoolController

T = TypeVar("T")

POLL_INTERVAL_S = 0.05
"""How long `in_parallel` waits at a time: a Ctrl-C just before a wait takes effect after it."""

_lock = Lock()
_limits = [THREADS.value]
"""The limit that the user chose, then the limit per job of each running call of `in_parallel`."""
_interrupted: ContextVar[tuple[Event, ...]] = ContextVar("interrupted", default=())
"""An event for each call of `in_parallel` that a job runs in, outermost first; an interruption sets it."""


def threads() -> int:
    """Returns the largest number of threads of a kernel call.

    The environment variable `TYPEDNN_THREADS` sets it for a process, or `NUMBA_NUM_THREADS`, or
    `OMP_NUM_THREADS`, by which joblib and Dask give each of their processes a part of the cores; the default
    is the number of cores.
    """
    return THREADS.value


class use_threads(KnownAttributes):
    """Limits the threads of the kernels and of BLAS, for the rest of the program or for a `with` block.

    There are never more threads than cores, and small arrays, batches and layers run in one thread in any
    case. The limit holds for the whole process.

    Args:
        count: the largest number of threads.

    Raises:
        SettingError: the count is not a positive integer.

    >>> with use_threads(1):
    ...     print(threads())
    1
    """

    previous: int

    def __init__(self, count: int) -> None:
        check_count("threads", count, 1)
        self.previous = _limits[0]
        _choose(int(count))

    def __enter__(self) -> None:
        """Does nothing: the limit was set by the constructor."""

    def __exit__(self, *error: object) -> None:
        """Restores the previous limit."""
        _choose(self.previous)


def register_with_threadpoolctl() -> None:
    """Makes threadpoolctl show and limit the threads of the kernels, beside those of BLAS and OpenMP.

    Then `threadpoolctl.threadpool_info()` has a row with the `user_api` "typednn", and
    `threadpool_limits(1)` and `threadpool_limits({"typednn": 1})` hold for the kernels of the whole process.
    threadpoolctl lists libraries by their files. The kernels have none, and are shown with that of NumPy.

    >>> from threadpoolctl import threadpool_limits
    >>> register_with_threadpoolctl()
    >>> with threadpool_limits({"typednn": 1}):
    ...     print(threads())
    1
    """
    import threadpoolctl

    class Kernels(threadpoolctl.LibController):
        user_api = internal_api = "typednn"
        filename_prefixes = ("_multiarray_umath",)

        def get_num_threads(self) -> int:
            return THREADS.value

        def set_num_threads(self, num_threads: int) -> None:
            with _lock:
                _limits[0] = max(1, min(num_threads, available_cores()))
                THREADS.value = min(_limits)  # threadpoolctl limits BLAS by itself

        def get_version(self) -> str:
            from importlib.metadata import version

            return version("typednn")

    known = [row["user_api"] for row in threadpoolctl.threadpool_info()]
    if Kernels.user_api not in known:
        threadpoolctl.register(Kernels)


def in_parallel(
    jobs: Iterable[Callable[[], T]], threads: int | None = None, *, executor: Executor | None = None
) -> list[T]:
    """Calls functions in several threads or processes, such as trainings of different networks, one per core.

    `in_parallel(partial(network.fit, x, y) for network in networks)` trains all networks; data that they
    share are not copied. The kernels of each job use an equal part of the cores. Ctrl-C raises
    KeyboardInterrupt in all trainings, and then here.

    With an executor, jobs run where it runs them: in processes (`ProcessPoolExecutor`, loky), or on other
    machines (Dask's `client.get_executor(pure=False)`, `mpi4py.futures.MPIPoolExecutor`), each with one
    thread. There a network is a copy, so that a job must be a function that makes, trains and returns it.
    Ctrl-C cancels the jobs that have not begun.

    A bar on a terminal shows how many jobs have ended.

    Args:
        jobs: functions without arguments; for processes, functions that pickle can send.
        threads: the number of jobs at a time; by default `threads()`. An executor has a number of its own.
        executor: any executor of `concurrent.futures`; by default threads of this process.

    Returns:
        The results of the jobs, in their order.

    Raises:
        SettingError: a job cannot be called, or would train a copy in another process; the number of threads
            is not a positive integer, or there is one beside an executor.
        ExceptionGroup: jobs raised exceptions, which say in a note which job it was; it is raised when all
            have ended.
    """
    from concurrent.futures import ThreadPoolExecutor

    if threads is not None:
        check_count("threads", threads, 1)
    check_sequence("in_parallel: jobs", jobs)
    work = list(jobs)
    for job in work:
        if not callable(job):
            raise SettingError(f"in_parallel: jobs must be functions without arguments, not {job!r}")
    if not work:
        return []
    if executor is not None:
        if not callable(getattr(executor, "submit", None)):
            raise SettingError(f"in_parallel: executor must have a method submit, not be {executor!r}")
        if threads is not None:
            raise SettingError("in_parallel: an executor has its own number of workers; leave threads out")
        return _on(executor, work)
    at_once = min(len(work), threads or _limits[0])
    stop = Event()
    all_stops = (*_interrupted.get(), stop)

    def run(job: Callable[[], T]) -> T:
        _interrupted.set(all_stops)
        check_interrupt()
        return job()

    with _limited(at_once), ThreadPoolExecutor(at_once) as pool:
        try:
            futures = [pool.submit(run, job) for job in work]
            _wait_for(futures)
        except KeyboardInterrupt:
            stop.set()
            raise
    return _results(futures)


def _on(executor: Executor, work: list[Callable[[], T]]) -> list[T]:
    """Calls functions on an executor."""
    from concurrent.futures import ThreadPoolExecutor

    if isinstance(executor, ThreadPoolExecutor):
        with _limited(min(len(work), _limits[0])):
            return _submitted(executor, work)
    for k, job in enumerate(work):
        owner = type(cast("object", getattr(getattr(job, "func", job), "__self__", None)))
        if owner.__module__.startswith("typednn."):
            raise SettingError(
                f"in_parallel: job {k} would train a copy of its {owner.__name__} in another process; "
                "train in a function that returns the network"
            )
    return _submitted(executor, [partial(_with_one_thread, job) for job in work])


def _submitted(executor: Executor, work: Sequence[Callable[[], T]]) -> list[T]:
    futures = [executor.submit(job) for job in work]
    try:
        _wait_for(futures)
    except KeyboardInterrupt:
        for each in futures:
            each.cancel()
        raise
    return _results(futures)


def _with_one_thread(job: Callable[[], T]) -> T:
    """Calls a function in a worker process, which has one of many places on its machine."""
    with use_threads(1):
        return job()


def _wait_for(futures: list[Future[T]]) -> None:
    from concurrent.futures import wait

    with Bar(len(futures), None, True, "job") as bar:
        while (ended := wait(futures, POLL_INTERVAL_S)).not_done:
            bar.show(len(ended.done), 0)
        bar.show_epoch(len(futures), str)


def _results(futures: list[Future[T]]) -> list[T]:
    errors: list[BaseException] = []
    for k, each in enumerate(futures):
        error = each.exception()
        if error is not None:
            error.add_note(f"in job {k} of in_parallel, counted from 0")
            errors.append(error)
    if errors:
        raise BaseExceptionGroup(f"{len(errors)} of {len(futures)} jobs failed", errors)
    return [each.result() for each in futures]


def check_interrupt() -> None:
    """Raises KeyboardInterrupt in a job of a call of `in_parallel` that was interrupted."""
    stops = _interrupted.get()
    if stops and any(stop.is_set() for stop in stops):
        raise KeyboardInterrupt


@contextmanager
def _limited(jobs: int) -> Generator[None]:
    limit = max(1, _limits[0] // jobs)
    with _lock:
        _limits.append(limit)
        _apply()
    try:
        yield
    finally:
        with _lock:
            del _limits[_limits.index(limit, 1)]  # the first is the user's
            _apply()


def _unlock() -> None:
    """Makes a new lock in a forked child: another thread of its parent may have held the old one."""
    global _lock  # noqa: PLW0603 (a lock cannot be reset)
    _lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


def _choose(count: int) -> None:
    with _lock:
        _limits[0] = min(count, available_cores())
        _apply()


def _apply() -> None:
    count = min(_limits)
    if count != THREADS.value:
        THREADS.value = count
        _blas(len(sys.modules)).limit(limits=count)


@lru_cache(maxsize=1)
def _blas(_modules: int) -> ThreadpoolController:
    """Finds the BLAS libraries of the process, which takes 1 ms; again when modules have been imported."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _choose_by(name: str) -> None:
    text = os.environ[name]
    count = int(text) if text.strip().isdecimal() else 0
    if count < 1:
        raise SettingError(f"{name} must be a positive integer, not {text!r}")
    _choose(count)


for _variable in ("TYPEDNN_THREADS", "NUMBA_NUM_THREADS"):
    if _variable in os.environ:
        _choose_by(_variable)
        break
else:
    _openmp = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # a number for each level
    if _openmp.isdecimal() and int(_openmp) > 0:
        _choose(int(_openmp))
