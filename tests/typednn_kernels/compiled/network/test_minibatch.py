"""Batches divided between threads: the same numbers as by one thread, to the bit."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from typednn_kernels.activations import CODES as ACTIVATION_CODES
from typednn_kernels.dropout import ALL
from typednn_kernels.layout import (
    ACTIVATION,
    LENGTH,
    NORMALIZATION,
    layout_of,
    parameter_count,
    vector_size,
    workspace_size,
)
from typednn_kernels.layout import biases as biases_of
from typednn_kernels.layout import weights as weights_of
from typednn_kernels.losses import CODES as LOSS_CODES
from typednn_kernels.normalizations import BATCH, LAYER, NONE
from typednn_kernels.operands import Epoch, OptimizerSteps, Workspace
from typednn_kernels.thread_limit import THREADS
from typednn_kernels.update_rules import CODES as RULE_CODES
from typednn_kernels.update_rules import MOST_STATES, coefficient_rows

from tests.conftest import ENTRY_POINTS

pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
compiled = ENTRY_POINTS
products = import_module("typednn_kernels.compiled.linalg.gemm")
DEPTH = products.KC + products.REST
shares = import_module("typednn_kernels.compiled.network.partition")

ACTIVATIONS = [ACTIVATION_CODES[name] for name in ("none", "relu", "tanh", "softmax")]
WIDE, LONG = (300, 500, 61, 7), (1500, 50, 1500, 7)
"""Networks with more weights than activations, and with less."""
LAYOUTS = {
    "units": layout_of(WIDE, ACTIVATIONS),
    "samples": layout_of(LONG, ACTIVATIONS),
    "dropout": layout_of(WIDE, ACTIVATIONS, dropouts=[0, ALL // 3, ALL // 2, 0]),
    "all samples": layout_of(LONG, ACTIVATIONS, [NONE, BATCH, NONE, NONE], [0, ALL // 3, 0, 0]),
    "all units": layout_of(WIDE, ACTIVATIONS, [NONE, LAYER, NONE, NONE], [0, 0, ALL // 3, 0]),
    "fewer units than threads": layout_of(
        (3200, 50, 3, 7), ACTIVATIONS, [NONE, NONE, BATCH, NONE], [0, 0, ALL // 3, 0]
    ),
    "features normalised": layout_of(
        (620, 620, 300, 7), ACTIVATIONS, [NONE, BATCH, NONE, NONE], weighted=[True, False, True, True]
    ),
    "only normalises": layout_of(
        *((1900, 100, 100, 7), ACTIVATIONS, [NONE, NONE, LAYER, NONE], [0, 0, ALL // 3, 0]),
        weighted=[True, True, False, True],
    ),
}
LARGE = (1200, 1000, 61, 7)
LARGE_LAYOUTS = {
    "two layers": layout_of((1200, 1000, 1150, 7), ACTIVATIONS),
    "dropout": layout_of(LARGE, ACTIVATIONS, dropouts=[0, ALL // 3, ALL // 2, 0]),
    "all samples": layout_of(LARGE, ACTIVATIONS, [NONE, BATCH, NONE, NONE], [0, ALL // 3, 0, 0]),
}
"""Hidden layers of many blocks of the product."""
BATCH_SIZE, SAMPLES = 61, 900
"""The last batch has 46 samples; with those of one epoch more, or less, 1 to 4."""

by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


by_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def trained(
    layout: Any,
    threads: int,
    dtype: Any,
    rule: str,
    samples: int,
    weighted: bool = True,
    clip_norm: float = np.inf,
    bad_step: int | None = None,
    batch_size: int = BATCH_SIZE,
    at_once: int | None = None,
    among: str = "two segments",
    extreme: tuple[int, Any, Any] | None = None,
) -> list[Any]:
    """All that a training changes; a sample of the bad step is not finite.

    An extreme unit of the first hidden layer has one weight for all inputs, one for all above, and no bias.

    So many steps are made in a call, of parameters that are among those of two segments, or of one.
    """
    random, size, (n_inputs, *_, n) = np.random.default_rng(3), parameter_count(layout), layout[:, LENGTH]
    parameters = (random.normal(size=vector_size(layout)) / 8).astype(dtype)
    if extreme is not None:
        unit, from_below, to_above = extreme
        weights_of(parameters, layout, 1)[unit], weights_of(parameters, layout, 2)[:, unit] = (
            from_below,
            to_above,
        )
        biases_of(parameters, layout, 1)[unit] = 0
    x = random.normal(size=(SAMPLES, n_inputs)).astype(dtype)
    t = np.eye(n, dtype=dtype)[random.integers(0, n, SAMPLES)]
    weights = random.uniform(0, 2, SAMPLES * weighted).astype(dtype)
    order = random.permutation(SAMPLES)[:samples]
    if bad_step is not None:
        x[order[bad_step * batch_size + batch_size // 2]] = np.inf
    steps = -(-samples // batch_size)
    at_once = at_once or steps
    own = np.tile({"sgd": [0.1], "adam": [0.01, 0.1, 0.001, 1e-8]}[rule], (steps, 1))
    clip_value, decay = {"clipped": 1e-4}.get(among, np.inf), {"decay": 1e-3}.get(among, 0.0)
    coefficients = coefficient_rows(own, dtype, clip_norm=clip_norm, clip_value=clip_value, decay=decay)
    segments = np.array([[0, size // 3], [size // 3, size]])
    penalties = np.array([[0.0, 0.01], [1e-4, 0.0]], dtype)
    if among != "two segments":
        segments = np.array([[0, size // 3 if among == "some" else size]])
        penalties = np.array([[0.0, 0.001 if among == "penalty" else 0.0]], dtype)
    work = Workspace(*(np.zeros(workspace_size(layout, batch_size), dtype) for _ in range(4)))
    gradient, states = np.zeros(size, dtype), np.zeros((MOST_STATES, size), dtype)
    losses = np.zeros(samples, dtype)
    before, THREADS.value = THREADS.value, threads
    try:
        for step in range(0, steps, at_once):
            some = slice(step * batch_size, (step + at_once) * batch_size)
            compiled.train_batches(
                parameters,
                layout,
                12345 + step,
                LOSS_CODES["crossentropy"],
                Epoch(x, t, weights, order[some], batch_size, losses[some]),
                OptimizerSteps(
                    RULE_CODES[rule],  # type: ignore[index]
                    coefficients[step : step + at_once],
                    segments,
                    penalties,
                    states,
                ),
                work,
                gradient,
            )
    finally:
        THREADS.value = before
    return [parameters, *work, gradient, states, losses]


@pytest.mark.once_per("layout", "samples")
@by_dtype
@pytest.mark.parametrize(
    ("samples", "weighted", "clip_norm", "rule"),
    [
        (900, False, np.inf, "sgd"),
        (900, True, np.inf, "adam"),
        (857, False, 0.1, "adam"),
        (856, True, np.inf, "sgd"),
        (855, False, np.inf, "adam"),
    ],
)
@pytest.mark.parametrize("threads", [2, 5])
@by_layout
def test_threads_change_no_bit(
    layout: Any, threads: int, samples: int, weighted: bool, clip_norm: float, rule: str, dtype: Any
) -> None:
    assert worth(layout, BATCH_SIZE, samples) >= min(threads, 4)
    reference = trained(layout, 1, dtype, rule, samples, weighted, clip_norm)
    computed = trained(layout, threads, dtype, rule, samples, weighted, clip_norm)

    for one, several in zip(reference, computed, strict=True):
        assert one.tobytes() == several.tobytes()
    assert np.isfinite(reference[0]).all()


@pytest.mark.once_per("layout", "rule", "clip_norm")
@by_dtype
@pytest.mark.parametrize(("rule", "clip_norm"), [("sgd", np.inf), ("adam", np.inf), ("adam", 0.1)])
@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("layout", LARGE_LAYOUTS.values(), ids=LARGE_LAYOUTS)
def test_threads_change_no_bit_of_large_layers(
    layout: Any, threads: int, rule: str, clip_norm: float, dtype: Any
) -> None:
    samples = 2 * BATCH_SIZE + 46
    assert worth(layout, BATCH_SIZE, samples) >= min(threads, 4)
    reference = trained(layout, 1, dtype, rule, samples, clip_norm=clip_norm, among="all")
    computed = trained(layout, threads, dtype, rule, samples, clip_norm=clip_norm, among="all")

    for one, several in zip(reference, computed, strict=True):
        assert one.tobytes() == several.tobytes()
    assert np.isfinite(reference[0]).all()


@by_dtype
@pytest.mark.parametrize("clip_norm", [np.inf, 0.1])
@pytest.mark.once_per("clip_norm")
def test_any_number_of_threads_gives_the_same_bits(clip_norm: float, dtype: Any) -> None:
    layout, batch_size = LARGE_LAYOUTS["two layers"], 130
    assert worth(layout, batch_size, 2 * batch_size) >= 64

    results = [
        trained(layout, threads, dtype, "adam", 260, clip_norm=clip_norm, batch_size=batch_size)
        for threads in (1, 2, 3, 5, 8, 16, 64)
    ]

    for computed in results[1:]:
        for one, several in zip(results[0], computed, strict=True):
            assert one.tobytes() == several.tobytes()


@by_dtype
def test_a_clipped_step_has_the_norm_of_its_bound_and_the_same_bits_for_any_number_of_threads(
    dtype: Any,
) -> None:
    """Of ranges that do not begin where the parts do in which squares are summed."""
    random, size, rate, clip_norm = np.random.default_rng(5), 300_001, 0.25, 3.0
    before = random.normal(size=size).astype(dtype)
    gradient = random.normal(size=size).astype(dtype)
    ranges = np.array([[1, 70_000], [70_000, 200_003], [260_000, size]])
    penalties = np.array([[0.0, 0.1], [0.2, 0.0], [0.0, 0.0]], dtype)
    rows = coefficient_rows(np.full((1, 1), rate), np.dtype(dtype), clip_norm=clip_norm)
    steps = OptimizerSteps(RULE_CODES["sgd"], rows, ranges, penalties, np.zeros((0, size), dtype))
    results: list[Any] = []
    limit = THREADS.value
    try:
        for THREADS.value in (1, 2, 3, 5, 8, 16, 64):
            parameters = before.copy()
            assert compiled.apply_gradient(parameters, gradient, steps)
            results.append(parameters)
    finally:
        THREADS.value = limit

    change = (before.astype(np.float64) - results[0]) / rate
    assert np.linalg.norm(change) == pytest.approx(clip_norm, rel=1e-4 if dtype == np.float32 else 1e-12)
    assert not change[200_003:260_000].any()
    assert len({each.tobytes() for each in results}) == 1


@pytest.mark.once_per("layout", "rule", "among", "batch_size", "clip_norm")
@by_dtype
@pytest.mark.parametrize(
    ("rule", "among", "batch_size", "clip_norm"),
    [
        *(("sgd", "all", batch_size, np.inf) for batch_size in (61, DEPTH, DEPTH + 1)),
        ("sgd", "all", 61, 0.1),
        *(("sgd", among, 61, np.inf) for among in ("two segments", "some", "penalty", "clipped", "decay")),
        ("adam", "all", 61, np.inf),
    ],
)
@by_layout
def test_steps_are_the_same_in_one_call_and_in_many(
    layout: Any, rule: str, among: str, batch_size: int, clip_norm: float, dtype: Any
) -> None:
    training: dict[str, Any] = {"clip_norm": clip_norm, "batch_size": batch_size, "among": among}

    reference = trained(layout, 1, dtype, rule, SAMPLES, at_once=1, **training)
    computed = trained(layout, 2, dtype, rule, SAMPLES, **training)

    for one, several in zip(reference, computed, strict=True):
        assert one.tobytes() == several.tobytes()
    assert np.isfinite(reference[0]).all()


@pytest.mark.once_per("layout", "threads")
@by_dtype
@pytest.mark.parametrize("among", ["two segments", "all"])
@pytest.mark.parametrize("threads", [1, 2, 3])
@by_layout
def test_no_thread_makes_a_step_that_is_not_finite(layout: Any, threads: int, among: str, dtype: Any) -> None:
    assert worth(layout, BATCH_SIZE, SAMPLES) >= 3
    reference, *_ = trained(layout, 1, dtype, "sgd", 2 * BATCH_SIZE, False, among=among)
    parameters, *_, losses = trained(layout, threads, dtype, "sgd", SAMPLES, False, bad_step=2, among=among)

    assert parameters.tobytes() == reference.tobytes()
    assert np.isfinite(losses[: 2 * BATCH_SIZE]).all()
    assert np.isnan(losses[2 * BATCH_SIZE :]).all()


@by_dtype
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("unit", [0, LARGE[1] - 1])
@pytest.mark.parametrize("what", ["activations", "signals"])
def test_what_is_finite_depends_on_each_unit(what: str, unit: int, threads: int, dtype: Any) -> None:
    """No step is made where norms are not finite, be it of one unit, of which the loss knows nothing."""
    layout = layout_of(LARGE, [ACTIVATION_CODES[name] for name in ("none", "none", "tanh", "softmax")])
    much = np.finfo(dtype).max
    extreme = (unit, much, 0) if what == "activations" else (unit, 0, much)
    training: dict[str, Any] = {"among": "all", "extreme": extreme}

    parameters, *_, losses = trained(layout, threads, dtype, "sgd", 3 * BATCH_SIZE, False, **training)

    assert np.isfinite(parameters).all()
    assert np.isnan(losses).all()


def worth(layout: Any, batch_size: int, samples: int) -> int:
    python = getattr(shares.batch_num_threads, "py_func", shares.batch_num_threads)
    found: int = python(layout, parameter_count(layout), batch_size, samples)
    return found


def test_where_threads_pay() -> None:
    small = layout_of([64, 32, 10], [0, 0, 0])
    both = LAYOUTS["all samples"].copy()
    both[2, NORMALIZATION] = LAYER

    found = [worth(layout, BATCH_SIZE, 3 * SAMPLES) for layout in LAYOUTS.values()]

    assert found == [5, 4, 5, 4, 5, 4, 5, 5]  # at least 2²¹ multiplications and additions for each
    assert worth(LAYOUTS["units"], 2 * 7, 10**6) == 1
    assert worth(layout_of((9000, 9000, 10), [0, 0, 0]), BATCH_SIZE, SAMPLES) == BATCH_SIZE // 2
    assert worth(LAYOUTS["units"], BATCH_SIZE, BATCH_SIZE) == 1  # one step, for which no thread is made
    assert worth(small, 32, 10**6) == 1
    assert worth(both, BATCH_SIZE, 3 * SAMPLES) == 1


def test_what_is_divided_by_units() -> None:
    """Where there are more weights than activations, unless a layer needs all of a sample, or of a batch."""
    softmax = LAYOUTS["units"].copy()
    softmax[2, ACTIVATION] = ACTIVATION_CODES["softmax"]

    found = [
        shares.is_divided_by_units.py_func(layout, parameter_count(layout), batch_size)
        for layout, batch_size in (
            *((layout, 61) for layout in LAYOUTS.values()),
            (LAYOUTS["units"], 600),
            (softmax, 61),
        )
    ]

    assert found == [True, False, True, True, False, True, True, False, False, False]
