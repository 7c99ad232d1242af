"""Workloads that depend on tuning thresholds, all in float32; each is a function of one size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import numpy as np
from typednn_kernels import activations
from typednn_kernels.activations import OutputActivationName
from typednn_kernels.compiled._codegen.simd import VECTOR_BYTES
from typednn_kernels.compiled.entry_points import kernels_for

from benchmarks.networks import Architecture, Array, Task
from benchmarks.peers.typednn import KernelTrainer

Workload: TypeAlias = tuple[Callable[[], object], float]
"""A call, and the number of operations that it makes."""

DTYPE = np.dtype("float32")
LANES = VECTOR_BYTES // DTYPE.itemsize
STEPS = 64


def _drawn(*shape: int) -> Array:
    return np.random.default_rng(0).normal(0, 1, shape).astype(DTYPE)


def _activation(name: str, rows: int, columns: int) -> Workload:
    a = _drawn(rows, columns)
    return partial(kernels_for(DTYPE).activation_value, activations.CODES[name], a, np.empty_like(a)), 1


def _product(m: int, n: int, k: int) -> Workload:
    """dLdh (m, n) = dLda (m, k) W (k, n), in floating-point operations."""
    arguments = _drawn(m, k), _drawn(k, n), np.empty((m, n), DTYPE)
    return partial(kernels_for(DTYPE).backpropagate, *arguments), 2 * m * n * k


def _affine(side: int) -> Workload:
    arguments = _drawn(1, side), _drawn(side, side), _drawn(side), np.empty((1, side), DTYPE)
    return partial(kernels_for(DTYPE).affine, *arguments), 1


def _training(*lengths: int, steps: int = STEPS, batch_size: int = 1) -> Workload:
    """SGD with tanh in hidden layers, in steps."""
    hidden: list[OutputActivationName] = ["tanh"] * (len(lengths) - 2)
    samples = steps * batch_size
    task = Task(Architecture(lengths, (*hidden, "none"), "MSE", samples, batch_size), "float32")
    return partial(KernelTrainer(task).train, samples), steps


WORKLOADS: Mapping[str, Callable[[int], Workload]] = {
    "tanh": lambda n: _activation("tanh", 1, n),
    "softmax row": lambda n: _activation("softmax", 1, n),
    "softmax of short rows": lambda registers: _activation("softmax", 64, registers * LANES),
    "affine": _affine,
    "square product": lambda side: _product(side, side, side),
    "product, y by size": lambda side: _product(256, side, side),
    "product, y by rows of x": lambda m: _product(m, 512, 512),
    "product, x by columns of y": lambda n: _product(512, n, 512),
    "online, few units": lambda n: _training(2, n, 1),
    "online, units by registers": lambda registers: _training(LANES, registers * LANES, 1),
    "online, inputs by registers": lambda registers: _training(registers * LANES, LANES, 1),
    "online, parameters by registers": lambda registers: _training(registers - LANES - 2, LANES, 1),
    "online, side": lambda side: _training(side, side, 1, steps=256),
    "online, steps": lambda steps: _training(256, 256, 1, steps=steps),
    "mini-batches, side": lambda side: _training(side, side, 10, batch_size=32),
    "mini-batches, steps": lambda steps: _training(256, 256, 10, steps=steps, batch_size=64),
    "mini-batches, batch size": lambda size: _training(512, 512, 10, steps=16, batch_size=size),
}
"""By name; operations are calls, floating-point operations of products, or steps of trainings."""
