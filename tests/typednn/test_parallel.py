"""Threads: how many, several trainings at a time, and what becomes of errors and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_all_start_methods, get_context
from threading import Barrier, Event, Timer, current_thread, main_thread
from time import monotonic
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from threadpoolctl import threadpool_info, threadpool_limits
from typednn_kernels.thread_limit import THREADS, available_cores

import typednn
from tests.conftest import compiling_only
from typednn import (
    Callback,
    DivergenceError,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    Run,
    SettingError,
    in_parallel,
    threads,
    use_threads,
)
from typednn.parallel import register_with_threadpoolctl
from typednn.plotting import progress

both_paths = pytest.mark.usefixtures("path")

X = np.random.default_rng(0).normal(size=(60, 4))
LABELS = (X[:, 0] > 0).astype(np.intp)


def networks(count: int = 5) -> list[Network[Any, Any]]:
    return [
        Network([InputLayer(4), HiddenLayer(8, "tanh"), OutputLayer(2, "softmax", "crossentropy")], seed=seed)
        for seed in range(count)
    ]


def trainings(models: list[Network[Any, Any]], **settings: Any) -> list[Callable[[], typednn.History]]:
    return [partial(each.fit, X, LABELS, **{"epochs": 3, "batch_size": 7, **settings}) for each in models]


@both_paths
@pytest.mark.parametrize("workers", [1, 2, 3, None])
def test_jobs_give_what_they_give_one_after_another(workers: int | None) -> None:
    reference = networks()
    histories = [train() for train in trainings(reference)]

    models = networks()
    computed = in_parallel(trainings(models), workers)

    assert [each.loss for each in computed] == [each.loss for each in histories]
    for model, expected in zip(models, reference, strict=True):
        assert model.parameters.tobytes() == expected.parameters.tobytes()


def test_jobs_run_at_the_same_time() -> None:
    together = Barrier(3, timeout=60)

    assert sorted(in_parallel([together.wait] * 3, 3)) == [0, 1, 2]


def test_no_jobs() -> None:
    assert in_parallel([]) == []


def test_jobs_share_the_cores() -> None:
    with use_threads(available_cores()):
        assert in_parallel([threads] * 2, 2) == [max(1, available_cores() // 2)] * 2
        assert threads() == available_cores()


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_come_together_and_the_others_finish(workers: int) -> None:
    models = networks()
    jobs = trainings(models)
    linear: Any = Network([InputLayer(4), OutputLayer(4)], seed=0)
    jobs[1] = partial(linear.fit, X, X, learning_rate=1e300)
    jobs[3] = partial(models[3].fit, X[:, :2], LABELS)

    with pytest.raises(ExceptionGroup, match="2 of 5 jobs failed") as raised:
        in_parallel(jobs, workers)

    assert [type(each) for each in raised.value.exceptions] == [DivergenceError, typednn.ShapeError]
    for place in (0, 2, 4):
        assert len(models[place].history.loss) == 3


class Interrupt(Callback):
    """Sends this process Ctrl-C after the first epoch."""

    def on_epoch(self, run: Run) -> None:
        assert current_thread() is not main_thread()
        if run.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C means what it means in a terminal: jobs in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal")
@pytest.mark.usefixtures("interruptible")
def test_interrupt_ends_all_trainings_and_keeps_what_they_have() -> None:
    models = networks(3)
    jobs = trainings(models, epochs=10**7)
    jobs[0] = partial(models[0].fit, X, LABELS, epochs=10**7, callbacks=[Interrupt()])

    began = monotonic()
    with pytest.raises(KeyboardInterrupt):
        in_parallel(jobs, 2)

    assert monotonic() - began < 60
    assert all(np.isfinite(each.parameters).all() for each in models)
    assert len(models[0].history.loss) > 0
    assert len(models[2].history.loss) == 0


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal")
@pytest.mark.usefixtures("interruptible")
def test_interrupt_ends_trainings_that_jobs_began_in_parallel() -> None:
    models = networks(3)
    inner = trainings(models[1:], epochs=10**7)
    interrupted = partial(models[0].fit, X, LABELS, epochs=10**7, callbacks=[Interrupt()])
    outer: list[Callable[[], object]] = [partial(in_parallel, inner, 2), interrupted]

    began = monotonic()
    with pytest.raises(KeyboardInterrupt):
        in_parallel(outer, 2)

    assert monotonic() - began < 60
    assert all(np.isfinite(each.parameters).all() for each in models)


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal")
@pytest.mark.usefixtures("interruptible")
def test_interrupt_cancels_what_an_executor_has_not_begun() -> None:
    futures: list[Future[Any]] = [Future() for _ in range(3)]
    futures[0].set_running_or_notify_cancel()

    class Busy(Executor):
        def submit(self, *_arguments: Any, **_settings: Any) -> Any:
            return next(submitted)

    submitted = iter(futures)
    timer = Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        in_parallel([threads] * 3, executor=Busy())

    timer.join()
    assert [each.cancelled() for each in futures] == [False, True, True]


def test_threads_of_blas_follow() -> None:
    with use_threads(1):
        assert {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"} == {1}


def test_threadpoolctl_reads_and_sets_our_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    register_with_threadpoolctl()
    registered: list[object] = []
    with monkeypatch.context() as context:
        context.setattr(threadpoolctl, "register", registered.append)
        register_with_threadpoolctl()
    assert registered == [], "once is enough: its list would grow"

    def shown() -> list[str | int]:
        return [row["num_threads"] for row in threadpool_info() if row["user_api"] == "typednn"]

    blas = [row["num_threads"] for row in threadpool_info() if row["user_api"] == "blas"]
    with use_threads(2):
        assert shown() == [threads()]
        with threadpool_limits({"typednn": 1}):
            assert shown() == [1] == [threads()]
        with threadpool_limits(1):
            assert threads() == 1
            with threadpool_limits(1000):
                assert threads() == available_cores()
        assert shown() == [threads()] == [min(2, available_cores())]
    assert [row["num_threads"] for row in threadpool_info() if row["user_api"] == "blas"] == blas


def test_the_choice_ends_with_its_block() -> None:
    before = threads()
    with use_threads(1):
        assert threads() == THREADS.value == 1
    assert threads() == before


def test_never_more_threads_than_cores() -> None:
    with use_threads(10**6):
        assert threads() == available_cores()


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2", None])
def test_numbers_of_threads_that_are_none(count: Any) -> None:
    before = threads()
    with pytest.raises(SettingError, match="threads must be an integer of 1 or more"):
        use_threads(count)
    if count is not None:
        with pytest.raises(SettingError, match="threads must be an integer of 1 or more"):
            in_parallel([threads], count)
    assert threads() == before


def test_jobs_that_are_no_functions() -> None:
    job: Any = 3
    with pytest.raises(SettingError, match="functions without arguments, not 3"):
        in_parallel([threads, job])


VARIABLES = ("TYPEDNN_THREADS", "NUMBA_NUM_THREADS")
"""The environment variables that choose the number of threads."""


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [({"OMP_NUM_THREADS": "1"}, 1), ({"OMP_NUM_THREADS": "1,4"}, 1), ({"OMP_NUM_THREADS": "many"}, None)],
    ids=["number", "numbers", "text"],
)
def test_openmp_chooses_where_nothing_else_does(chosen: dict[str, str], expected: int | None) -> None:
    others = {each: value for each, value in os.environ.items() if each not in VARIABLES}

    def threads_with(variables: dict[str, str]) -> int:
        command = [sys.executable, "-c", "import typednn; print(typednn.threads())"]
        return int(subprocess.check_output(command, env={**others, **variables}))

    assert threads_with(chosen) == (expected or available_cores())
    assert threads_with({**chosen, "TYPEDNN_THREADS": "64"}) == available_cores()


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize(
    ("text", "said"), [("1", "1"), ("0", "must be a positive integer"), ("two", "not 'two'"), ("", "not ''")]
)
@pytest.mark.once_per("text")
def test_the_environment_chooses(name: str, text: str, said: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import typednn; print(typednn.threads())"],
        env={**{each: value for each, value in os.environ.items() if each not in VARIABLES}, name: text},
        capture_output=True,
        text=True,
        check=False,
    )

    assert said in run.stdout + run.stderr


def losses_of(seed: int, batch_size: int = 70) -> list[float]:
    """Of a training whose batches are divided between threads where there are several."""
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(1400, 300)), random.normal(size=(1400, 20))
    network = Network([InputLayer(300), HiddenLayer(400, "relu"), OutputLayer(20)], seed=seed)
    history = network.fit(x, y, epochs=2, batch_size=batch_size, optimizer="adam")
    return [*history.loss, float(network.predict(x).sum())]


@pytest.mark.parametrize("method", [each for each in ("fork", "spawn") if each in get_all_start_methods()])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_children_train_as_their_parent(method: str) -> None:
    reference = [losses_of(seed) for seed in range(3)]

    with get_context(method).Pool(2) as pool:
        computed = pool.map(losses_of, range(3))

    assert computed == reference


def test_threads_train_and_predict_at_the_same_time() -> None:
    reference = [losses_of(seed) for seed in range(6)]

    with ThreadPoolExecutor(6) as pool:
        computed = list(pool.map(losses_of, range(6)))

    assert computed == reference


WORK_FOR_64_THREADS = 1400
"""A batch of which each of 64 threads has 2.8 million multiplications and additions."""


@compiling_only
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 16, 64])
def test_the_number_of_threads_changes_no_bit(count: int) -> None:
    if typednn.backend() == "numpy":
        pytest.skip("NumPy's BLAS sums in another order with more threads")
    before, THREADS.value = THREADS.value, count  # more than there are cores, perhaps
    try:
        computed = losses_of(1, WORK_FOR_64_THREADS)
    finally:
        THREADS.value = before
    with use_threads(1):
        assert computed == losses_of(1, WORK_FOR_64_THREADS)


def trained(seed: int) -> Network[Any, Any]:
    """Makes, trains and returns a network, in any process."""
    [network] = networks(1)
    network.layers[1].set_weights("xavier", seed)
    network.fit(X, LABELS, epochs=3, batch_size=7)
    return network


def threads_and_process() -> tuple[int, int]:
    return threads(), os.getpid()


def failing() -> None:
    raise ValueError("on purpose")


def executors() -> dict[str, Callable[[], Any]]:
    methods = [each for each in ("spawn", "forkserver") if each in get_all_start_methods()]
    pools: dict[str, Callable[[], Any]] = {
        each: partial(ProcessPoolExecutor, 2, mp_context=get_context(each)) for each in methods
    }
    return {**pools, "threads": partial(ThreadPoolExecutor, 2), "loky": loky_executor, "dask": dask_executor}


SLOW = {"forkserver", "loky", "dask"}


@contextmanager
def loky_executor() -> Generator[Any]:
    yield pytest.importorskip("loky").get_reusable_executor(2)


@contextmanager
def dask_executor() -> Generator[Any]:
    distributed = pytest.importorskip("dask.distributed")
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor()


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(each, marks=pytest.mark.full("processes start slowly") if each in SLOW else ())
        for each in executors()
    ],
)
def test_executors_give_the_same_results(kind: str) -> None:
    reference = [trained(seed).parameters for seed in range(3)]

    with executors()[kind]() as executor:
        result = in_parallel([partial(trained, seed) for seed in range(3)], executor=executor)
        places = in_parallel([threads_and_process] * 4, executor=executor)
        with pytest.raises(ExceptionGroup, match="1 of 2 jobs failed") as raised:
            in_parallel([threads_and_process, failing], executor=executor)

    for network, parameters in zip(result, reference, strict=True):
        np.testing.assert_array_equal(network.parameters, parameters)
    if kind != "threads":
        assert {count for count, _ in places} == {1}
        assert os.getpid() not in {process for _, process in places}
    [error] = raised.value.exceptions
    assert (type(error), error.__notes__[0]) == (ValueError, "in job 1 of in_parallel, counted from 0")


def test_training_a_copy_in_another_process_is_refused() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        for job in (trainings(networks(1))[0], networks(1)[0].summary):
            with pytest.raises(SettingError, match="a copy of its Network in another process; train"):
                in_parallel([job], executor=executor)
        with pytest.raises(SettingError, match="leave threads out"):
            in_parallel([threads], 2, executor=executor)


def test_a_bar_on_a_terminal_counts_jobs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rich")
    assert in_parallel([partial(int, 3)] * 2, 2) == [3, 3]
    assert capsys.readouterr() == ("", "")

    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    monkeypatch.setattr(progress, "DELAY_S", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    moved, show = Event(), progress.Bar.show

    def noted(bar: progress.Bar, done: int, samples: int) -> None:
        show(bar, done, samples)
        moved.set()

    monkeypatch.setattr(progress.Bar, "show", noted)

    jobs: list[Callable[[], object]] = [partial(moved.wait, 20), partial(int, 4)]

    assert in_parallel(jobs, 2) == [True, 4]
    shown = capsys.readouterr().out
    assert "job 2/2" in shown
