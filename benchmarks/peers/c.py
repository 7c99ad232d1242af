"""C: `online.c`, compiled with gcc if it is installed; it takes the arguments of our `train_online`."""

from __future__ import annotations

import ctypes
import ctypes.util
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from typednn_kernels.arrays import F, Layout, Vector
from typednn_kernels.layout import COLUMNS
from typednn_kernels.operands import Epoch, Workspace

from benchmarks.installed import AbsentError
from benchmarks.networks import Task
from benchmarks.peers.vector_trainer import VectorTrainer

SOURCE = Path(__file__).with_name("online.c")
FLAGS = ("-O3", "-march=native", "-ffast-math", "-shared", "-fPIC")
REALS = {"float32": ("float", ctypes.c_float), "float64": ("double", ctypes.c_double)}


class CTrainer(VectorTrainer):
    """Trains by one call of the C program for all samples.

    Raises:
        AbsentError: gcc is not installed.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        if shutil.which("gcc") is None:
            raise AbsentError("gcc is not installed")
        with denormals_kept():
            self.train(1)
        self.reset()

    def train(self, samples: int) -> None:
        """Trains on the first samples."""
        self.run(train_online, samples)


@contextmanager
def denormals_kept() -> Generator[None, None, None]:
    """Restores the floating-point environment that loading a library built with -ffast-math changes.

    Such a library makes the CPU flush subnormal numbers to 0, in the whole process and so for all candidates.
    """
    library = ctypes.CDLL(ctypes.util.find_library("m"))
    environment = ctypes.create_string_buffer(256)
    library.fegetenv(environment)
    try:
        yield
    finally:
        library.fesetenv(environment)


def train_online(
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    epoch: Epoch[F],
    learning_rate: F,
    workspace: Workspace[F],
) -> None:
    """Takes a step of gradient descent for each sample of the epoch; stores its loss before the step."""
    addresses = [each.ctypes.data for each in (*workspace, epoch.losses)]
    _program(parameters.dtype.name)(
        parameters.ctypes.data,
        layout.ctypes.data,
        len(layout),
        loss,
        epoch.x.ctypes.data,
        epoch.t.ctypes.data,
        epoch.order.ctypes.data,
        len(epoch.order),
        learning_rate,
        *addresses,
    )


@cache
def _program(dtype: str) -> Any:
    """Compiles the program for a dtype, loads it and returns its function."""
    name, real = REALS[dtype]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, f"online_{name}.so")
        defined = [f"-DREAL={name}", f"-DCOLUMNS={COLUMNS}"]
        command = ["gcc", *FLAGS, *defined, str(SOURCE), "-o", str(library), "-lm"]
        subprocess.run(command, check=True)
        function = ctypes.CDLL(str(library)).train_online
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [pointer, pointer, integer, integer, *[pointer] * 3, integer, real, *[pointer] * 5]
    function.restype = None
    return function
