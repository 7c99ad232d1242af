"""The C peer: `online.c`, compiled with gcc where there is one, with the arguments of our own kernel."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from typednn_kernels.arrays import F, Layout, Matrix, Order, Vector

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
    x: Matrix[F],
    t: Matrix[F],
    order: Order,
    learning_rate: F,
    a: Vector[F],
    h: Vector[F],
    dLdh: Vector[F],
    dLda: Vector[F],
    losses: Vector[F],
) -> None:
    """A step of gradient descent for each sample of `order`; the loss of each before its step."""
    addresses = [each.ctypes.data for each in (a, h, dLdh, dLda, losses)]
    _program(parameters.dtype.name)(
        parameters.ctypes.data,
        layout.ctypes.data,
        len(layout),
        loss,
        x.ctypes.data,
        t.ctypes.data,
        order.ctypes.data,
        len(order),
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
