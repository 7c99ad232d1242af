"""The C peer: `online.c`, compiled with gcc where there is one, with the arguments of our own kernel."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from typednn_kernels.arrays import F, Layout, Vector
from typednn_kernels.operands import Epoch, Workspace

SOURCE = Path(__file__).with_name("online.c")
FLAGS = ("-O3", "-march=native", "-ffast-math", "-shared", "-fPIC")
REALS = {"float32": ("float", ctypes.c_float), "float64": ("double", ctypes.c_double)}


def gcc() -> str | None:
    """The path of gcc, if it is installed."""
    return shutil.which("gcc")


def train_online(
    parameters: Vector[F],
    layout: Layout,
    loss: int,
    epoch: Epoch[F],
    learning_rate: F,
    workspace: Workspace[F],
) -> None:
    """A step of gradient descent for each sample of the epoch; the loss of each before its step."""
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
    """The function of the library compiled for a dtype."""
    compiler = gcc()
    if compiler is None:
        raise FileNotFoundError("gcc is not installed")
    name, real = REALS[dtype]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, f"online_{name}.so")
        command = [compiler, *FLAGS, f"-DREAL={name}", str(SOURCE), "-o", str(library), "-lm"]
        subprocess.run(command, check=True)
        function = ctypes.CDLL(str(library)).train_online
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [pointer, pointer, integer, integer, *[pointer] * 3, integer, real, *[pointer] * 5]
    function.restype = None
    return function
