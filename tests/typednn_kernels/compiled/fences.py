"""`python -m tests.typednn_kernels.compiled.fences 20 0`: networks whose arrays end at forbidden pages.

Every array of a call lies between two pages that nobody may read or write, and ends where the second begins,
or begins where the first ends. A kernel that goes beyond one dies. The arguments are the number of networks
and the seed; sizes lie around the thresholds of the kernels. The results of batches are those of NumPy.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typednn_kernels import plain
from typednn_kernels.activations import CODES, NONE
from typednn_kernels.compiled._codegen import tuning
from typednn_kernels.compiled.entry_points import kernels_for
from typednn_kernels.layout import layout_of, parameter_count, unit_count, vector_size, workspace_size
from typednn_kernels.losses import CODES as LOSS_CODES
from typednn_kernels.normalizations import BATCH, LAYER, Settings
from typednn_kernels.normalizations import NONE as UNNORMALIZED
from typednn_kernels.operands import Epoch, OptimizerSteps, Workspace
from typednn_kernels.update_rules import SGD, coefficient_rows

PAGE = mmap.PAGESIZE
PROT_NONE = 0
libc = ctypes.CDLL(None, use_errno=True)
KEPT: list[mmap.mmap] = []
"""The memory of the arrays of one network."""


def fenced(values: NDArray[Any], at_the_end: bool) -> Any:
    """Copies an array between two forbidden pages."""
    size = max(values.nbytes, 1)
    pages = -(-size // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    KEPT.append(memory)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for place in (address, address + (pages + 1) * PAGE):
        if libc.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(PAGE), PROT_NONE):
            raise OSError(ctypes.get_errno(), "mprotect")
    start = PAGE + (pages * PAGE - values.nbytes if at_the_end else 0)
    array: NDArray[Any] = np.frombuffer(memory, values.dtype, values.size, start).reshape(values.shape)
    array[...] = values
    return array


class Case(NamedTuple):
    """The arrays of a network, and of a call that trains it."""

    parameters: NDArray[Any]
    layout: NDArray[Any]
    x: NDArray[Any]
    t: NDArray[Any]
    order: NDArray[Any]
    losses: NDArray[Any]
    a: NDArray[Any]
    h: NDArray[Any]
    dLdh: NDArray[Any]
    dLda: NDArray[Any]
    gradient: NDArray[Any]
    coefficients: NDArray[Any]
    ranges: NDArray[Any]
    penalties: NDArray[Any]
    states: NDArray[Any]


SETTINGS = (
    *(Settings(code) for code in (UNNORMALIZED, BATCH, LAYER)),
    Settings(BATCH, 1e-5, 0.9, unbiased=True),
    Settings(LAYER, 1e-5, inner_bias=True),
)
"""Normalisations of hidden layers."""


def around(rng: np.random.Generator, threshold: int) -> int:
    return max(1, threshold + int(rng.integers(-2, 3)))


def size_of_layer(rng: np.random.Generator) -> int:
    """A number of units: small, or near a multiple of a vector, a tile or a panel."""
    kinds = [1, 2, 3, 4, 8, 16, 24, 32, 48, tuning.LOOP_BLOCK_ELEMENTS, 96, 128, 192, 256, 384]
    return around(rng, int(rng.choice(kinds)))


def drawn(rng: np.random.Generator, dtype: Any) -> tuple[Case, int, int]:
    lengths = [size_of_layer(rng) for _ in range(int(rng.integers(2, 5)))]
    samples = around(rng, int(rng.choice([1, 2, 8, 32, 48, 64, 96])))
    codes = [0, *rng.integers(0, len(CODES) - 1, len(lengths) - 1)]
    names = {code: name for name, code in CODES.items()}
    codes = [code if names[int(code)] != "exponential" else 1 for code in codes]
    chosen: list[int] = rng.integers(0, len(SETTINGS), len(lengths) - 2).tolist()
    normalizations: list[int | Settings] = [0, *(SETTINGS[k] for k in chosen), 0]
    dropouts = [0, *rng.choice([0, 1 << 31], len(lengths) - 2), 0]
    weighted = [True] * len(lengths)
    for k in range(1, len(lengths) - 1):
        if chosen[k - 1] and not SETTINGS[chosen[k - 1]].inner_bias and rng.integers(2):
            weighted[k], lengths[k] = False, lengths[k - 1]
    layout = layout_of(lengths, codes, normalizations, dropouts, weighted=weighted)
    count, units = 2 * samples + 1, samples * unit_count(layout)
    n, whole = parameter_count(layout), workspace_size(layout, samples)
    parameters = rng.normal(0, 0.3, vector_size(layout))
    parameters[n:] = rng.uniform(0.5, 1.5, len(parameters) - n)
    arrays = {
        "parameters": parameters,
        "x": rng.uniform(-1, 1, (count, lengths[0])),
        "t": rng.uniform(0.1, 0.9, (count, lengths[-1])),
        "losses": np.zeros(count),
        **{
            name: np.zeros(size)
            for name, size in zip(("a", "h", "dLdh", "dLda"), (whole, units, units, whole), strict=True)
        },
        "gradient": np.zeros(n),
        "coefficients": coefficient_rows(np.full((3, 1), 1e-3), dtype),
        "penalties": np.zeros((1, 2)),
        "states": np.zeros((0, n)),
    }
    given = {name: array.astype(dtype) for name, array in arrays.items()}
    order = rng.permutation(count).astype(np.int64)
    return Case(layout=layout, order=order, ranges=np.array([[0, n]]), **given), samples, count


def passes(kernels: Any, case: Case, samples: int) -> list[NDArray[Any]]:
    """Runs a forward and a backward pass, and an epoch."""
    work = Workspace(case.a, case.h, case.dLdh, case.dLda)
    key, loss = 7, LOSS_CODES["MSE"]
    kernels.forward(case.parameters, case.layout, key, case.x[:samples], work)
    kernels.backward(case.parameters, case.layout, key, loss, case.t[:samples], work, case.gradient)
    found = [case.h.copy(), case.gradient.copy()]
    epoch = Epoch(case.x, case.t, case.losses[:0], case.order, samples, case.losses)
    steps = OptimizerSteps(SGD, case.coefficients, case.ranges, case.penalties, case.states)
    kernels.train_batches(case.parameters, case.layout, key, loss, epoch, steps, work, case.gradient)
    return [*found, case.losses.copy(), case.parameters.copy()]


def online(kernels: Any, case: Case) -> None:
    """Trains sample by sample."""
    work = Workspace(case.a, case.h, case.dLdh, case.dLda)
    epoch = Epoch(case.x, case.t, case.losses[:0], case.order, 1, case.losses)
    rate = case.parameters.dtype.type(1e-3)
    kernels.train_online(case.parameters, case.layout, LOSS_CODES["MSE"], epoch, rate, work)


def compare(found: list[NDArray[Any]], expected: list[NDArray[Any]], what: object) -> None:
    for one, other in zip(found, expected, strict=True):
        unit = 2e-3 if one.dtype == np.float32 else 1e-8
        np.testing.assert_allclose(one, other, rtol=unit, atol=unit, err_msg=str(what))


def main(networks: int, seed: int) -> None:
    for number in range(networks):
        rng = np.random.default_rng([seed, number])
        dtype = np.dtype(np.float32 if number % 2 else np.float64)
        case, samples, _ = drawn(rng, dtype)
        dense = not case.layout[:, [6, 10]].any() and case.layout[0, 2] == NONE
        for at_the_end in (True, False):
            fence = Case(*(fenced(each, at_the_end) for each in case))
            found = passes(kernels_for(dtype), fence, samples)
            if at_the_end:
                expected = passes(plain, Case(*(each.copy() for each in case)), samples)
                compare(found, expected, (number, case.layout.tolist(), samples))
            if dense:
                online(kernels_for(dtype), fence)
            del fence
            KEPT.clear()
    print(f"{networks} networks between forbidden pages, seed {seed}: none read or wrote beyond its arrays")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
