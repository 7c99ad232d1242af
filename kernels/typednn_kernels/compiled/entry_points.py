"""Makes the kernels for one dtype callable without numba's choice among versions.

At each call a dispatcher looks at the types of all arguments, which takes longer than many kernels. An entry
point assumes what `interface` says: C-contiguous arrays of the dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import cast

import numpy as np

from typednn_kernels import compiled
from typednn_kernels.arrays import F, Layout, Vector
from typednn_kernels.compiled._codegen import noinline
from typednn_kernels.compiled._codegen.helpers import helped
from typednn_kernels.compiled._codegen.noinline import compiled_for, prepare_all
from typednn_kernels.compiled._codegen.private_parts import kernels_after, report
from typednn_kernels.compiled.network.specialized import train_online_for, train_tiny
from typednn_kernels.interface import Kernels
from typednn_kernels.layout import LENGTH


class EntryPoints:
    """The kernels for a dtype; each is compiled, or read from disk, when it is first used."""

    def __init__(self, dtype: np.dtype[np.floating]) -> None:
        self._dtype = dtype

    def __getattr__(self, name: str) -> Callable[..., object]:
        """Returns the entry point of a kernel, which becomes an attribute, so that this is called once."""
        if name.startswith("_"):
            raise AttributeError(name)
        kernel = getattr(compiled, name)
        try:
            with helped(kernel, self._dtype):
                entry = (
                    train_online_for(self._dtype)
                    if name == "train_online"
                    else compiled_for(kernel, self._dtype)
                )
        except Exception as error:  # noqa: BLE001 (whatever a compiler raises)
            instead: Callable[..., object] = getattr(kernels_after(error), name)
            return instead
        setattr(self, name, entry)
        report()
        return entry


@cache
def kernels_for(dtype: np.dtype[np.floating]) -> Kernels:
    """Returns the kernels for float32 or float64."""
    return cast("Kernels", EntryPoints(dtype))  # a checker does not see attributes made on first use


def predictor_of(parameters: Vector[F], layout: Layout, memory_size: int) -> Callable[[Vector[F]], Vector[F]]:
    """Returns a function that predicts one sample, for what numba compiles for users.

    Args:
        parameters: the parameters of a network, which are read at each call.
        layout: their layout.
        memory_size: the elements that `Kernels.predict` needs for a sample, `layout.prediction_size`.
    """
    with helped(compiled.predict, parameters.dtype):
        function = noinline.predictor_of(compiled.predict, parameters, layout, memory_size)
    # What is compiled at its first call needs Python's lock, which code of users holds while it runs.
    x, outputs = (np.zeros((1, int(layout[k, LENGTH])), parameters.dtype) for k in (0, -1))
    kernels_for(parameters.dtype).predict(parameters, layout, x, np.empty(memory_size, x.dtype), outputs)
    return function


def prepare(dtype: np.dtype[np.floating]) -> None:
    """Compiles all kernels for a dtype, and what they have compiled on demand."""
    prepare_kernels(dtype)
    prepare_all(dtype)


def prepare_kernels(dtype: np.dtype[np.floating]) -> None:
    """Compiles all kernels for a dtype."""
    for entry in (*(getattr(compiled, name) for name in compiled.__all__), train_tiny):
        compiled_for(entry, dtype)
