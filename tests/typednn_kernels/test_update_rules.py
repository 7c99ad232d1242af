"""The table of update rules, and its formulas on both paths."""

from __future__ import annotations

from inspect import signature
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
from numpy.testing import assert_allclose
from typednn_kernels.layout import layout_of, parameter_count, unit_count
from typednn_kernels.operands import Epoch, OptimizerSteps, Workspace
from typednn_kernels.update_rules import (
    CLIP_NORM,
    CLIP_VALUE,
    CODES,
    COEFFICIENTS,
    DECAY,
    FIRST,
    PENALTY,
    RULES,
    RuleName,
    UpdateRule,
    coefficient_rows,
    settings_of,
)

by_rule = pytest.mark.parametrize("row", RULES, ids=lambda row: row.name)
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)


def test_the_table_and_its_names() -> None:
    assert [row.name for row in RULES] == list(get_args(RuleName))
    assert [CODES[row.name] for row in RULES] == list(range(len(RULES)))


SETTINGS = SimpleNamespace(
    learning_rate=0.5,
    momentum=0.75,
    rho=0.75,
    centered=True,
    initial_accumulator_value=0.25,
    beta_1=0.75,
    beta_2=0.5,
    epsilon=0.125,
    etas=(0.5, 2.0),
    step_sizes=(0.25, 4.0),
)
"""Numbers whose products are exact."""


@by_rule
def test_a_row_has_a_first_value_for_each_state_and_a_column_for_each_coefficient(row: UpdateRule) -> None:
    t, rate = np.array([1.0, 2.0, 5000.0]), np.array([0.5, 0.25, 0.125])

    columns = row.columns(t, rate, **settings_of(row.columns, SETTINGS))

    assert len(row.first_states) == row.states
    assert all(hasattr(SETTINGS, each) for each in row.first_states if isinstance(each, str))
    assert len(columns) == row.coefficients
    assert {np.shape(each) for each in columns} <= {(), (3,)}


def test_the_correction_of_bias_of_adam() -> None:
    row = RULES[CODES["adam"]]

    columns = row.columns(np.array([1.0, 2.0]), np.array([1.0, 1.0]), beta_1=0.75, beta_2=0.5, epsilon=0.125)

    root = np.sqrt([0.5, 0.75])
    assert_allclose(columns[0], root / [0.25, 0.4375], rtol=1e-15)
    assert columns[1:3] == (0.25, 0.5)
    assert_allclose(columns[3], 0.125 * root, rtol=1e-15)


@by_rule
def test_no_step_adds_less_to_a_divisor_than_the_row_says(row: UpdateRule) -> None:
    """The gradient is 0 and epsilon grows with the step, so that the first divisor is the smallest."""
    floor = row.divisor_floor(**settings_of(row.divisor_floor, SETTINGS))

    expected = {"adam": 0.125 * np.sqrt(0.5), "adagrad": 0.375, "rmsprop": 0.125, "rmsprop_momentum": 0.0}
    assert floor == {**expected, "nadam": expected["adam"]}.get(row.name, np.inf)


@by_rule
@by_dtype
def test_formulas_return_parameters_and_states_in_their_dtype(row: UpdateRule, dtype: Any) -> None:
    arguments = [np.full(3, 0.5, dtype) for _ in range(2 + row.states)]
    coefficients = [dtype(0.25)] * row.coefficients

    results = row.formula(*arguments, *coefficients)

    assert len(signature(row.formula).parameters) == 2 + row.states + row.coefficients
    assert [(each.dtype, each.shape) for each in results] == [(dtype, (3,))] * (1 + row.states)


def test_coefficients_are_rounded_once() -> None:
    own = np.array([[0.1, 1 - 0.999], [0.2, 1e-8]])

    rows = coefficient_rows(own, np.dtype(np.float32), decay=np.array([0.3, 0.4]), clip_value=2.0)

    assert rows.dtype == np.float32
    assert rows.shape == (2, COEFFICIENTS)
    assert (rows[:, FIRST : FIRST + 2] == own.astype(np.float32)).all()
    assert (rows[:, DECAY] == np.array([0.3, 0.4], np.float32)).all()
    assert (rows[:, CLIP_VALUE] == 2).all()
    assert np.isinf(rows[:, CLIP_NORM]).all()


@by_rule
@by_dtype
def test_only_segments_and_the_states_of_the_rule_are_touched(
    kernels: Any, row: UpdateRule, dtype: Any
) -> None:
    """Two parts of the parameters, one of them long; around them, and beyond the rule's states, nothing."""
    layout = layout_of([50, 4], [0, 0])
    n, random = parameter_count(layout), np.random.default_rng(1)
    parameters = random.normal(size=n).astype(dtype)
    more = np.full((row.states + 1, n), 0.5, dtype)
    x, t = random.normal(size=(3, 50)).astype(dtype), random.normal(size=(3, 4)).astype(dtype)
    order, unweighted = np.arange(3), np.empty(0, dtype)
    for each in (x, t, order, unweighted):
        each.setflags(write=False)
    segments = np.array([[3, 150], [199, 202]])
    inside = np.isin(np.arange(n), [*range(3, 150), *range(199, 202)])
    before = parameters.copy()

    kernels.train_batches(
        parameters,
        layout,
        0,
        0,
        Epoch(x, t, unweighted, order, 3, np.empty(3, dtype)),
        OptimizerSteps(
            CODES[row.name],
            coefficient_rows(np.full((1, row.coefficients), 0.25), np.dtype(dtype)),
            segments,
            np.zeros((2, 2), dtype),
            more[: row.states],
        ),
        Workspace(*(np.zeros(3 * unit_count(layout), dtype) for _ in range(4))),
        np.empty(n, dtype),
    )

    assert (parameters[~inside] == before[~inside]).all()
    for start, stop in segments.tolist():
        assert (parameters[start:stop] != before[start:stop]).any()
    for state in more[: row.states]:
        assert (state[~inside] == 0.5).all()
    assert row.states == 0 or (more[: row.states, inside] != 0.5).any()
    assert (more[row.states] == 0.5).all()


@pytest.mark.parametrize("clip_norm", [np.inf, 0.1])
@by_dtype
def test_penalties_are_multiplied_by_the_coefficient_of_the_step(
    kernels: Any, dtype: Any, clip_norm: float
) -> None:
    layout, random = layout_of([5, 3], [0, 0]), np.random.default_rng(2)
    n, factors = parameter_count(layout), [0.5, 0.0, 2.0]
    first = random.normal(size=n).astype(dtype)
    gradient = random.normal(size=n).astype(dtype)

    def updated(penalties: Any, scales: Any) -> Any:
        parameters = first.copy()
        for penalty, scale in zip(penalties, scales, strict=True):
            rows = coefficient_rows(np.full((1, 1), 0.25), np.dtype(dtype), clip_norm=clip_norm)
            rows[:, PENALTY] = scale
            states: Any = np.zeros((0, n), dtype)
            steps = OptimizerSteps(CODES["sgd"], rows, np.array([[0, n]]), penalty, states)
            assert kernels.apply_gradient(parameters, gradient, steps)
        return parameters

    penalty = np.array([[0.01, 0.1]], dtype)
    reference = updated([dtype(factor) * penalty for factor in factors], [1] * 3)

    np.testing.assert_array_equal(updated([penalty] * 3, factors), reference)
    assert (updated([penalty] * 3, [1] * 3) != reference).any()


@by_dtype
def test_the_norm_is_clipped_where_its_square_is_beyond_the_dtype(kernels: Any, dtype: Any) -> None:
    """The factor was 1 / infinity: such a step changed nothing, without a word."""
    n, random = parameter_count(layout_of([5, 3], [0, 0])), np.random.default_rng(3)
    direction = random.normal(size=n).astype(dtype)
    gradient = np.ldexp(direction, np.finfo(dtype).maxexp - 12).astype(dtype)
    rows = coefficient_rows(np.full((1, 1), 0.5), np.dtype(dtype), clip_norm=3.0)
    states: Any = np.zeros((0, n), dtype)
    penalty = np.array([[0.01, 0.1]], dtype)  # nothing beside such a gradient
    parameters = np.zeros(n, dtype)

    steps = OptimizerSteps(CODES["sgd"], rows, np.array([[0, n]]), penalty, states)
    assert kernels.apply_gradient(parameters, gradient, steps)

    reference = -0.5 * 3.0 * direction.astype(float) / np.sqrt((direction.astype(float) ** 2).sum())
    np.testing.assert_allclose(parameters, reference, rtol=32 * np.finfo(dtype).eps)
