"""The n-th allocation, write or thread fails: an error, and everything is as it was, or as documented."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import compiling_only
from tests.faults.failing_allocations import failing_allocation
from typednn import (
    Adam,
    Callback,
    Checkpoint,
    EarlyStopping,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    in_parallel,
    load,
    save,
)
from typednn.data.reading import read_data

X = np.random.default_rng(0).random((40, 3))
Y = np.arange(40) % 2


def network() -> Network[Any]:
    layers: list[Any] = [InputLayer(3), HiddenLayer(4, "tanh", normalization="batch", dropout=0.25)]
    return Network([*layers, OutputLayer(2, "softmax", "crossentropy")], seed=0)


def fit(trained: Network[Any], *callbacks: Callback) -> object:
    return trained.fit(
        X,
        Y,
        epochs=2,
        batch_size=16,
        optimizer=Adam(1e-2),
        validation_data=(X, Y),
        metrics=["accuracy"],
        callbacks=[EarlyStopping("validation_loss", patience=3), *callbacks],
        progress=False,
    )


def write_and_read(_network: Network[Any], path: Path) -> object:
    path.write_text("a,b,y\n1,2,x\n3,4,z\n5,6,x\n")
    return read_data(path)


def save_and_load(mine: Network[Any], path: Path) -> object:
    save(mine, path)
    return load(path)


CALLS: dict[str, Callable[[Network[Any], Path], object]] = {
    "create": lambda _network, _path: network(),
    "predict": lambda mine, _path: mine.predict(X),
    "evaluate": lambda mine, _path: mine.evaluate(X, Y, metrics=["accuracy"]),
    "backward": lambda mine, _path: mine.forward(X).backward(Y),
    "copy": lambda mine, _path: mine.copy(),
    "save": save,
    "load": save_and_load,
    "fit": lambda mine, _path: fit(mine),
    "table": write_and_read,
}


@pytest.mark.skipif(os.name != "posix", reason="the C library is found by its name")
@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("most", [20, pytest.param(100, marks=pytest.mark.full("a hundred of each"))])
@pytest.mark.parametrize("name", CALLS)
def test_the_nth_allocation_fails(name: str, most: int, tmp_path: Path) -> None:
    file, first, second = tmp_path / "file", network(), network()
    CALLS[name](first, file)
    with failing_allocation(-1) as memory:
        CALLS[name](second, file)
    for number in range(0, memory.asked, 1 + memory.asked // most):
        mine = network()
        before = mine.parameters.copy()
        failed = False
        with failing_allocation(number):
            try:
                CALLS[name](mine, file)
            except MemoryError:
                failed = True
        assert failed, f"the allocation {number} failed, and nobody noticed"
        assert np.isfinite(mine.predict(X)).all()
        if name != "fit":
            np.testing.assert_array_equal(mine.parameters, before)
        if number % 8 == 0:
            CALLS[name](mine, file)
    assert memory.asked
    assert [each.name for each in tmp_path.iterdir()] in ([], ["file"])


class Failing:
    """Has the n-th call of some functions of `os` fail as on a full disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], number: int) -> None:
        self.number, self.asked = number, list[str]()
        for name in names:
            monkeypatch.setattr(os, name, self._failing(name, getattr(os, name)))

    def _failing(self, name: str, known: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.asked.append(name)
            if len(self.asked) - 1 == self.number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return known(*arguments, **options)

        return call


WRITES: dict[str, Callable[[Network[Any], Path], object]] = {
    "save": save,
    "checkpoint": lambda mine, path: fit(mine, Checkpoint(path)),
}


@pytest.mark.skipif(os.name != "posix", reason="calls of POSIX")
@pytest.mark.parametrize("name", WRITES)
def test_the_nth_call_of_a_writer_fails(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is the old one or the new one, and no draft stays."""
    file, number = tmp_path / "file", 0
    for number in count():
        file.write_bytes(b"old")
        mine = network()
        with monkeypatch.context() as patch:
            failing = Failing(patch, ("open", "fdopen", "chmod", "fsync", "replace"), number)
            try:
                WRITES[name](mine, file)
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017 (some calls need not succeed)
        if len(failing.asked) <= number:
            break
        content = file.read_bytes()
        assert content == b"old" or len(content) > 300
        assert [each.name for each in tmp_path.iterdir()] == ["file"]
        assert np.isfinite(mine.predict(X)).all()
        WRITES[name](mine, file)
    assert number > 4


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
@pytest.mark.parametrize("name", WRITES)
def test_a_disk_that_is_full_after_n_bytes(name: str, tmp_path: Path) -> None:
    """Of the kernel itself: beyond the limit a write fails (Python ignores SIGXFSZ)."""
    import resource

    file, before = tmp_path / "file", resource.getrlimit(resource.RLIMIT_FSIZE)
    WRITES[name](network(), file)
    size = file.stat().st_size
    for limit in range(0, size, 1 + size // 16):
        file.write_bytes(b"old")
        mine = network()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(OSError, match="large"):
                WRITES[name](mine, file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert file.read_bytes() == b"old"
        assert [each.name for each in tmp_path.iterdir()] == ["file"]
        WRITES[name](mine, file)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("number", range(3))
def test_the_nth_thread_is_not_made(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call with several jobs says so; the next one works."""
    known: Any = getattr(threading, "_start_new_thread")  # noqa: B009 (it has no type)
    asked = list[int]()

    def start(*arguments: Any) -> Any:
        asked.append(1)
        if len(asked) - 1 == number:
            raise RuntimeError("can't start new thread")
        return known(*arguments)

    def job() -> Any:
        return network().fit(X, Y, epochs=1, progress=False).loss[0]

    expected = job()
    with monkeypatch.context() as patch:
        patch.setattr(threading, "_start_new_thread", start)
        try:
            found = in_parallel([job] * 4, threads=3)
        except RuntimeError as error:
            assert "can't start new thread" in str(error)  # noqa: PT017 (fewer threads may do)
        else:
            assert found == [expected] * 4
    assert in_parallel([job] * 4, threads=3) == [expected] * 4


NO_THREAD = """
import threading, warnings
warnings.simplefilter("error")
def start(*_):
    raise RuntimeError("can't start new thread")
threading._start_new_thread = start
import numpy as np
from typednn import *
layers = [InputLayer(2), HiddenLayer(3, "mish"), OutputLayer(1)]
Network(layers, seed=0).fit(np.zeros((4, 2)), np.zeros((4, 1)), epochs=1, progress=False)
print(backend())
"""


@compiling_only
def test_numba_is_imported_where_no_thread_is_to_be_had() -> None:
    from tests.faults.test_interrupts import run

    assert run(NO_THREAD, TYPEDNN_BACKEND="numba") == "numba\n"
