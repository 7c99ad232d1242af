"""Threads: how many the kernels may use, and several trainings at a time.

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
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from threading import Event, Lock
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from typednn_kernels.thread_limit import THREADS, available_cores

from typednn.errors import SettingError
from typednn.validation.settings import check_count

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

T = TypeVar("T")

LOOK = 0.05
"""After so many seconds who waits looks up: it sleeps on if Ctrl-C comes just before it falls asleep."""

_lock = Lock()
_limits = [THREADS.value]
"""What the user chose, and then what is left to a job of each call of `in_parallel` that runs."""
_interrupted: ContextVar[tuple[Event, ...]] = ContextVar("interrupted", default=())
"""Of the calls of `in_parallel` that a job belongs to, one within the other: whether each was interrupted."""


def threads() -> int:
    """How many threads the kernels use at most for one call.

    `TYPEDNN_THREADS` sets it for a process; without it there are as many as cores.
    """
    return THREADS.value


class use_threads:
    """Lets the kernels and BLAS use so many threads, for the rest of the program or for a `with` block.

    There are never more than cores. Only large arrays, batches and layers are divided between threads: small
    networks stay on one in any case. The choice holds for the whole process.

    Raises:
        SettingError: not a positive integer.

    >>> with use_threads(1):
    ...     print(threads())
    1
    """

    def __init__(self, count: int) -> None:
        check_count("threads", count, 1)
        self.previous: int = _limits[0]
        _choose(int(count))

    def __enter__(self) -> None:
        """The choice is made when the object is."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Goes back to the choice before."""
        _choose(self.previous)


def in_parallel(jobs: Iterable[Callable[[], T]], threads: int | None = None) -> list[T]:
    """Calls functions in several threads; for trainings of different networks, which run on a core each.

    `in_parallel(partial(network.fit, x, y) for network in networks)` trains all networks; data that they
    share are not copied. Kernels that a job calls get the cores that are left to it.

    Args:
        jobs: functions without arguments.
        threads: so many at a time; by default as many as `threads()`.

    Returns:
        What they return, in their order.

    Raises:
        SettingError: something that cannot be called, or a number of threads that is no positive integer.
        ExceptionGroup: of what jobs raised, when all are over.

    Ctrl-C raises KeyboardInterrupt in all trainings, as each `fit` says, and then here.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    if threads is not None:
        check_count("threads", threads, 1)
    work = list(jobs)
    for job in work:
        if not callable(job):
            raise SettingError(f"in_parallel: jobs must be functions without arguments, not {job!r}")
    if not work:
        return []
    at_once = min(len(work), threads or _limits[0])
    stop = Event()
    all_stops = (*_interrupted.get(), stop)

    def run(job: Callable[[], T]) -> T:
        _interrupted.set(all_stops)
        check_interrupt()
        return job()

    with _shared(at_once), ThreadPoolExecutor(at_once) as pool:
        try:
            futures = [pool.submit(run, job) for job in work]
            while wait(futures, LOOK).not_done:
                pass
        except KeyboardInterrupt:
            stop.set()
            raise
    errors = [error for error in (each.exception() for each in futures) if error is not None]
    if errors:
        raise BaseExceptionGroup(f"{len(errors)} of {len(work)} jobs failed", errors)
    return [each.result() for each in futures]


def check_interrupt() -> None:
    """Raises KeyboardInterrupt in a job whose caller was interrupted."""
    if any(stop.is_set() for stop in _interrupted.get()):
        raise KeyboardInterrupt


@contextmanager
def _shared(jobs: int) -> Generator[None]:
    share = max(1, _limits[0] // jobs)
    with _lock:
        _limits.append(share)
        _apply()
    try:
        yield
    finally:
        with _lock:
            del _limits[_limits.index(share, 1)]  # the first is the user's
            _apply()


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
    """The BLAS libraries of the process; with more modules there may be more, and to look takes 1 ms."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _choose_by(text: str) -> None:
    count = int(text) if text.strip().isdecimal() else 0
    if count < 1:
        raise SettingError(f"TYPEDNN_THREADS must be a positive integer, not {text!r}")
    _choose(count)


if "TYPEDNN_THREADS" in os.environ:
    _choose_by(os.environ["TYPEDNN_THREADS"])
