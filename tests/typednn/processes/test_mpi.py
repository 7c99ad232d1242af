"""Trainings that mpiexec starts: the result of one process, and an end of all where one fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.typednn.processes.test_shared_training import data, network, vector
from typednn import Adam, MissingExtraError, SettingError, load
from typednn.processes import mpi

ROOT = Path(__file__).parents[3]
MPIEXEC = Path(sys.executable).with_name("mpiexec")
with_mpi = pytest.mark.skipif(
    find_spec("mpi4py") is None or not MPIEXEC.exists(), reason="mpi4py or mpich is not installed"
)


TRAINING = "-m", "tests.typednn.processes.mpi_training"


def run(size: int, *script: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs a script on some ranks, with NumPy, so that nothing is compiled."""
    command = [MPIEXEC, "-n", size, sys.executable, "-m", "mpi4py", *script]
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "kernels")))
    environment = {**os.environ, "TYPEDNN_BACKEND": "numpy", "PYTHONPATH": paths, "TYPEDNN_THREADS": "1"}
    return subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@with_mpi
@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.full("starts processes"))])
def test_mpi_gives_the_result_of_one_process(size: int) -> None:
    x, labels, _ = data(np.float64)
    reference = network(np.float64, normalization="batch", dropout=0.2)
    history = reference.fit(
        x, labels, batch_size=16, optimizer=Adam(0.01, clip_norm=0.5), validation_split=0.2
    )

    done = run(size, *TRAINING, "train")

    assert done.returncode == 0, done.stderr
    computed = np.array(done.stdout.split(), np.float64)
    expected = np.concatenate([history.loss, vector(reference)])
    np.testing.assert_allclose(computed, expected, rtol=1e-13, atol=1e-13)


@with_mpi
@pytest.mark.parametrize(
    ("size", "memory", "said"),
    [
        (2, "shared", "lent"),
        pytest.param(3, "shared", "lent", marks=pytest.mark.full("starts processes")),
        pytest.param(2, "full", "not lent", marks=pytest.mark.full("starts processes")),
    ],
)
def test_sums_in_shared_memory_give_the_same_result(size: int, memory: str, said: str) -> None:
    done = run(size, *TRAINING, memory)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == said


@with_mpi
@pytest.mark.full("starts processes")
@pytest.mark.parametrize("what", ["fail", "fail sharing memory"])
def test_a_rank_that_raises_ends_mpiexec_with_its_message(what: str) -> None:
    done = run(2, *TRAINING, what)

    assert done.returncode != 0
    assert "OSError: the disk of rank 1 is full" in done.stderr
    assert "rank 1 of 2 has ended the training on all: OSError" in done.stderr


@with_mpi
@pytest.mark.full("starts processes")
def test_the_program_of_the_documentation_trains_on_two_ranks(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "work" / "processes.md").read_text(encoding="utf-8")
    [program] = re.findall(r"^```python\n((?:(?!```).)*?mpi4py.*?)```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "train.py").write_text(program, encoding="utf-8")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((100, 784), np.float32))
    np.save(tmp_path / "labels.npy", np.arange(100) % 10)

    done = run(2, "train.py", folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "model.safetensors").parameters.size == 784 * 512 + 512 + 512 * 10 + 10


def test_mpi_needs_mpi4py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'typednn\[mpi\]'"):
        mpi(None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@with_mpi
def test_mpi_needs_a_communicator() -> None:
    with pytest.raises(SettingError, match=r"must be a communicator such as MPI\.COMM_WORLD, not 3"):
        mpi(3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
