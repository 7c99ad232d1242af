"""Everything compiled ahead of time: `python -m typednn_kernels.compiled.warmup float32 float64`."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from typednn_kernels import compiled
from typednn_kernels.activations import NONE, SIGMOID
from typednn_kernels.arrays import F
from typednn_kernels.layout import layout_of, parameter_count, unit_count


def warm_up(*dtypes: str) -> None:
    """Compiles all entries for the dtypes, by default both, each but the first in a process of its own.

    Raises:
        CalledProcessError: one of the processes failed.
    """
    first, *others = dtypes or ("float32", "float64")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, "-m", "typednn_kernels.compiled.warmup"]
    processes = [subprocess.Popen([*program, each], env=environment) for each in others]  # noqa: S603 (no input)
    compile_for(np.dtype(first))
    for process in processes:
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, process.args)


def compile_for(dtype: np.dtype[F]) -> None:
    """Calls every entry with arrays of the dtype; data are read-only, as they are in training."""
    n, samples, loss = 2, 2, 0
    layout = layout_of([n, n], [NONE, SIGMOID])
    matrix, cube = np.zeros((samples, n), dtype), np.zeros((samples, n, n), dtype)
    vector, losses = np.zeros(n, dtype), np.zeros(samples, dtype)
    parameters, gradient = np.zeros((2, parameter_count(layout)), dtype)
    a, h, dLdh, dLda = np.zeros((4, samples * unit_count(layout)), dtype)
    data, order, rate = np.zeros((samples, n), dtype), np.arange(samples), dtype.type(0)
    for each in (data, order):
        each.setflags(write=False)

    compiled.activation_value(SIGMOID, matrix, matrix)
    compiled.activation_slope(SIGMOID, matrix, matrix, matrix)
    compiled.slope_product(SIGMOID, matrix, matrix, matrix, matrix)
    compiled.softmax_jacobian(matrix, cube)
    compiled.affine(matrix, matrix, vector, matrix)
    compiled.outer(matrix, matrix, matrix)
    compiled.sum_samples(matrix, vector)
    compiled.backpropagate(matrix, matrix, matrix)
    compiled.loss_value(loss, SIGMOID, matrix, matrix, data, losses)
    compiled.loss_slope(loss, matrix, data, matrix)
    compiled.output_error(loss, SIGMOID, matrix, matrix, data, matrix, matrix)
    compiled.forward(parameters, layout, data, a, h)
    compiled.backward(parameters, layout, loss, data, a, h, dLdh, dLda, gradient)
    compiled.train_online(parameters, layout, loss, data, data, order, rate, a, h, dLdh, dLda, losses)
    compiled.train_batches(
        parameters, layout, loss, data, data, order, samples, rate, a, h, dLdh, dLda, gradient, losses
    )


if __name__ == "__main__":
    warm_up(*sys.argv[1:])
