"""What ends a training on all ranks: failures of one, settings that differ; and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.typednn.building import Dtype
from tests.typednn.processes.test_shared_training import by_dtype, data, network, rows_of, vector
from tests.typednn.processes.thread_ranks import ThreadRank, on_ranks
from typednn import (
    SGD,
    Adam,
    Callback,
    DivergenceError,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    ProcessError,
    Run,
    SettingError,
)
from typednn.processes import Processes, averaged
from typednn.processes import fit as shared_fit
from typednn.processes.ranks import Ranks, digest

SIZE = 3


class FailsIn:
    """Raises in one of the methods of a callback, at its second call or at once."""

    def __init__(self, method: str, calls: int) -> None:
        self.method, self.calls = method, calls

    def _count(self, method: str) -> None:
        self.calls -= method == self.method
        if self.calls == 0 and method == self.method:
            raise OSError(f"no space left, found by {method}")

    def on_begin(self, _run: Run) -> None:
        self._count("on_begin")

    def on_batch(self, _run: Run) -> None:
        self._count("on_batch")

    def on_epoch(self, _run: Run) -> None:
        self._count("on_epoch")

    def on_end(self, _run: Run) -> None:
        self._count("on_end")


@pytest.mark.parametrize("hidden", [{}, {"normalization": "batch", "dropout": 0.2}], ids=["plain", "batch"])
@pytest.mark.parametrize(("average", "moved"), [(False, False), (False, True), (True, False)])
@pytest.mark.parametrize(
    ("method", "calls"), [("on_begin", 1), ("on_batch", 3), ("on_batch", 4), ("on_epoch", 2), ("on_end", 1)]
)
def test_a_rank_that_raises_ends_all_with_its_message(
    method: str, calls: int, average: bool, moved: bool, hidden: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_fit, "MOVED_PARAMETERS", 0 if moved else 1 << 20)
    x, labels, _ = data(np.float64)

    def job(rank: ThreadRank) -> Any:
        rows = rows_of(rank, 90)
        mine = network(np.float64, **hidden)
        callbacks = [FailsIn(method, calls)] if rank.rank == 1 else []
        processes: Processes = averaged(rank) if average else rank
        try:
            return mine.fit(
                x[rows], labels[rows], epochs=3, batch_size=25, callbacks=callbacks, processes=processes
            )
        finally:
            parameters.append(vector(mine))

    parameters: list[Any] = []
    [first, failed, last] = on_ranks(SIZE, job)

    assert isinstance(failed, OSError)
    for other in (first, last):
        assert isinstance(other, ProcessError)
        assert f"rank 1 of 3 has ended the training on all: OSError: no space left, found by {method}" in str(
            other
        )
    if not average:
        assert len({each.tobytes() for each in parameters}) == 1


@pytest.mark.parametrize("hidden", [{}, {"normalization": "batch"}], ids=["plain", "batch"])
def test_a_rank_whose_batches_end_in_an_exception_ends_all(hidden: Any) -> None:
    x, labels, _ = data(np.float64)

    def batches(rank: ThreadRank) -> Iterator[Any]:
        for start in range(0, 90, 15):
            if rank.rank == 2 and start == 45:
                raise ConnectionError("the database is gone")
            yield x[start : start + 15], labels[start : start + 15]

    def job(rank: ThreadRank) -> Any:
        return network(np.float64, **hidden).fit_batches(batches(rank), epochs=1, processes=rank)

    [first, second, failed] = on_ranks(SIZE, job)

    assert isinstance(failed, ConnectionError)
    for other in (first, second):
        assert isinstance(other, ProcessError)
        assert "rank 2" in str(other)
        assert "the database is gone" in str(other)


def test_data_of_a_rank_that_do_not_fit_end_all() -> None:
    x, labels, _ = data(np.float64)

    def job(rank: ThreadRank) -> Any:
        width = 5 if rank.rank == 0 else 6
        return network(np.float64).fit(x[:, :width], labels, processes=rank)

    [failed, *others] = on_ranks(SIZE, job)

    assert "(n_samples, 6), not (90, 5)" in str(failed)
    assert all(isinstance(each, ProcessError) and str(failed) in str(each) for each in others)


DIFFERENT: dict[str, tuple[Any, Any]] = {
    "batch_size": ({}, {"batch_size": 9}),
    "epochs": ({}, {"epochs": 4}),
    "shuffle": ({}, {"shuffle": False}),
    "optimizer": ({}, {"optimizer": Adam(0.2)}),
    "label_smoothing": ({}, {"label_smoothing": 0.2}),
    "class_weight": ({}, {"class_weight": {0: 2.0}}),
    "metrics": ({}, {"metrics": ["accuracy"]}),
    "validation": ({}, {"validation_split": 0.1}),
    "seed": ({"seed": 1}, {}),
    "initial parameters": ({}, {}),
    "the network": ({"l2": 0.1}, {}),
}


@pytest.mark.parametrize(("name", "change"), DIFFERENT.items(), ids=list(DIFFERENT))
def test_settings_that_differ_are_found_before_the_first_step(name: str, change: Any) -> None:
    x, labels, _ = data(np.float64)

    def job(rank: ThreadRank) -> Any:
        nothing: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        hidden, rest = change if rank.rank == 2 else nothing
        mine = network(np.float64, **hidden)
        if name == "initial parameters" and rank.rank == 2:
            mine.layers[1].W = -mine.layers[1].W
        before = vector(mine).copy()
        try:
            settings: dict[str, Any] = {"epochs": 3, "optimizer": SGD(0.1), **rest}
            return mine.fit(x, labels, **settings, processes=rank)
        finally:
            assert vector(mine).tobytes() == before.tobytes()

    for error in on_ranks(SIZE, job):
        assert isinstance(error, SettingError)
        assert name in str(error)
        assert "rank 2" in str(error)


def test_parameters_that_a_callback_of_one_rank_changes_are_found() -> None:
    x, labels, _ = data(np.float64)

    class Changes(Callback):
        def on_epoch(self, run: Run) -> None:
            run.parameters[0] += 1e-9

    def job(rank: ThreadRank) -> Any:
        callbacks = [Changes()] if rank.rank == 1 else []
        return network(np.float64).fit(x, labels, callbacks=callbacks, processes=rank)

    for error in on_ranks(2, job):
        assert isinstance(error, SettingError)
        assert "callbacks of one rank alone" in str(error)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("hidden", [{}, {"normalization": "batch"}], ids=["plain", "batch"])
def test_a_step_that_is_not_finite_is_made_on_no_rank(hidden: Any) -> None:
    x, _, _ = data(np.float64)
    x[40:] *= 1e200  # one rank alone has them

    def job(rank: ThreadRank) -> Any:
        rows = slice(40) if rank.rank == 0 else slice(40, None)
        layers: list[Any] = [InputLayer(6), HiddenLayer(9, "relu", **hidden), OutputLayer(1)]
        mine = Network(layers, seed=0)
        before = vector(mine).copy()
        try:
            with np.errstate(all="ignore"):
                return mine.fit(x[rows], x[rows, :1], batch_size=90, processes=rank)
        finally:
            assert vector(mine).tobytes() == before.tobytes()

    for error in on_ranks(2, job):
        assert isinstance(error, DivergenceError)
        assert error.step == error.epoch == 1


@pytest.mark.parametrize("processes", [None.__class__, 3, object(), type("P", (), {"rank": 2, "size": 2})()])
def test_processes_need_rank_size_and_add_up(processes: Any) -> None:
    with pytest.raises(SettingError, match="must have rank, size and add_up"):
        Ranks(processes)


def test_what_needs_the_data_of_all_ranks_is_refused() -> None:
    x, labels, _ = data(np.float64)

    def job(rank: ThreadRank) -> Any:
        return network(np.float64).fit(x, labels, class_weight="balanced", processes=rank)

    def streamed(rank: ThreadRank) -> Any:
        return network(np.float64).fit_batches([(x, labels)], batch_size=8, processes=rank)

    def without(rank: ThreadRank) -> Any:
        return network(np.float64).fit(x[:0], labels[:0], processes=rank)

    for error in on_ranks(2, job):
        assert "balanced" in str(error)
    for error in on_ranks(2, streamed):
        assert "leave batch_size out" in str(error)
    for error in on_ranks(2, without):
        assert "no rank has samples" in str(error)


@pytest.mark.parametrize("size", [3, 8192, 40_001])
@by_dtype
def test_the_digest_of_an_array_finds_one_bit_and_an_exchange(size: int, dtype: Dtype) -> None:
    array = np.random.default_rng(0).normal(size=size).astype(dtype)
    reference = digest(array)

    changed: list[int] = []
    for k in (0, size // 2, size - 1):
        other = array.copy()
        other[k] = np.nextafter(other[k], dtype(9))
        changed.append(digest(other))
        other = array.copy()
        other[[k, k - 2]] = other[[k - 2, k]]
        changed.append(digest(other))

    assert reference not in changed
    assert digest(array.copy()) == reference
