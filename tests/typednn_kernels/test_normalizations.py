"""Batch and layer normalisation of both paths, against their definition and its Jacobian."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from typednn_kernels.normalizations import (
    CODES,
    EPSILON,
    MOMENTUM,
    NORMALIZATIONS,
    Settings,
    named,
    settings_of,
)

from tests.oracles import differences, normalization
from tests.oracles.agreement import assert_agrees
from tests.oracles.loops import Number, exact

NAMES = tuple(row.name for row in NORMALIZATIONS if row.axis is not None)
TABLE: dict[str, int] = {str(name): code for name, code in CODES.items()}

Constants: TypeAlias = tuple[float, float, bool]
USUAL: Constants = (EPSILON, MOMENTUM, False)
OTHERS: tuple[Constants, ...] = (USUAL, (1e-5, 0.9, True), (0.25, 0.0, False), (1e-8, 1.0, True))
"""Epsilon, momentum, and whether running variances are unbiased."""

by_constants = pytest.mark.parametrize("constants", OTHERS)
by_name = pytest.mark.parametrize("name", NAMES)
by_mode = pytest.mark.parametrize("training", [True, False])
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
by_shape = pytest.mark.parametrize("shape", [(1, 1), (1, 5), (6, 1), (2, 3), (7, 70), (70, 9)])


class Case:
    """A layer's arrays, and what a path computes."""

    def __init__(self, name: str, training: bool, z: NDArray[Any], constants: Constants = USUAL) -> None:
        rng = np.random.default_rng(len(z))
        self.name, self.training, self.given, self.constants = name, training, z, constants
        samples, n = z.shape
        self.gain, self.bias = rng.normal(1, 0.5, (2, n)).astype(z.dtype)
        self.running_before = abs(rng.normal(1, 0.2, (2, n))).astype(z.dtype)
        self.running = self.running_before.copy() if name == "batch" else np.zeros((2, 0), z.dtype)
        self.z, self.a = z.copy(), np.full_like(z, np.nan)
        self.inv_std = np.full(n if name == "batch" else samples, np.nan, z.dtype)
        self.dLda = rng.normal(0, 1, z.shape).astype(z.dtype)
        self.dLdBias, self.dLdGain = np.full((2, n), np.nan, z.dtype)
        self.dLdz = np.full_like(z, np.nan)

    def run(self, kernels: Any) -> Case:
        """Forward and backward."""
        code = TABLE[self.name]
        kernels.normalize(
            *(Settings(code, *self.constants), self.training, self.z, self.gain, self.bias),
            *(self.running, self.inv_std, self.a),
        )
        kernels.normalization_backward(
            code,
            self.training,
            self.z,
            self.gain,
            self.inv_std,
            self.dLda,
            self.dLdBias,
            self.dLdGain,
            self.dLdz,
        )
        return self

    @property
    def exact_constants(self) -> normalization.Constants:
        """The constants in decimal digits, as they were written."""
        epsilon, momentum, unbiased = self.constants
        return normalization.Constants(Number(repr(epsilon)), Number(repr(momentum)), unbiased)

    def reference(self) -> normalization.Normalized:
        """The definition."""
        return normalization.normalize(
            *(self.name, self.training, self.given, self.gain, self.bias, self.running_before),
            self.exact_constants,
        )


def numbers(shape: tuple[int, int], dtype: Any) -> NDArray[Any]:
    """Some z."""
    return np.random.default_rng(7).normal(0.3, 2, shape).astype(dtype)


def test_constants_are_those_of_keras() -> None:
    assert (EPSILON, MOMENTUM) == (1e-3, 0.99)


@pytest.mark.once_per("name", "constants", "training")
@by_name
@by_mode
@by_dtype
@by_shape
@by_constants
def test_against_the_definition(
    kernels: Any, name: str, training: bool, shape: tuple[int, int], dtype: Any, constants: Constants
) -> None:
    case = Case(name, training, numbers(shape, dtype), constants).run(kernels)

    reference = case.reference()

    magnitude = 1 + abs(exact(case.given)).max() * reference.factors.max()
    assert_agrees(case.z, reference.z, 8, magnitude, "z")
    assert_agrees(case.inv_std, reference.factors, 16, what="the inv_std")
    assert_agrees(case.a, reference.a, 16, magnitude * 3, "a")
    if name == "batch":
        assert_agrees(case.running, reference.moving, 8, 1 + abs(reference.moving).max(), "running averages")
        assert (case.running == case.running_before).all() == (not training or constants[1] == 1)


@pytest.mark.once_per("name", "constants", "training")
@by_name
@by_mode
@by_dtype
@by_shape
@by_constants
def test_gradients_against_the_jacobian(
    kernels: Any, name: str, training: bool, shape: tuple[int, int], dtype: Any, constants: Constants
) -> None:
    case = Case(name, training, numbers(shape, dtype), constants).run(kernels)

    forward = case.reference()
    dLda = exact(case.dLda)
    if name == "batch" and not training:
        dLdz = dLda * exact(case.gain) * forward.factors
    else:
        dLdz = normalization.slope_by_z(name, exact(case.given), case.gain, case.dLda, case.exact_constants)

    size = abs(dLda).max() * abs(case.gain).max() * forward.factors.max() * (1 + abs(forward.z).max() ** 2)
    assert_agrees(case.dLdz, dLdz, 64, size, "dLdz")
    assert_agrees(case.dLdBias, dLda.sum(axis=0), 8, abs(dLda).sum(axis=0), "dLdBias")
    assert_agrees(case.dLdGain, (dLda * forward.z).sum(axis=0), 64, abs(dLda).sum(axis=0) * 4, "dLdGain")


@by_dtype
@pytest.mark.parametrize("n", [2, 5, 70])
def test_variances_beyond_the_dtype(kernels: Any, n: int, dtype: Any) -> None:
    """inv_std was 0: the layer gave its biases, whatever the sample was, and no gradient."""
    largest = np.finfo(dtype).maxexp - 4
    exponents = np.array([0, largest // 2 - 2, largest // 2 + 2, largest - 8, largest, 0])
    z = np.ldexp(numbers((6, n), dtype), exponents[:, None]).astype(dtype)
    case = Case("layer", True, z).run(kernels)

    reference = case.reference()
    dLdz = normalization.slope_by_z("layer", exact(z), case.gain, case.dLda, case.exact_constants)

    size = 1 + abs(reference.z).max()
    assert_agrees(case.z, reference.z, 64, size, "z")
    assert_agrees(case.a, reference.a, 64, size * 3, "a")
    size = abs(case.dLda).max() * abs(case.gain).max() * (1 + abs(reference.z).max() ** 2)
    computed, dLdz = (exact(each) / reference.factors[:, None] for each in (case.dLdz, dLdz))
    assert_agrees(computed.astype(dtype), dLdz, 256, size, "dLdz, times the deviation")


@by_name
def test_the_oracle_against_differences(name: str) -> None:
    case = Case(name, True, numbers((4, 3), np.float64))

    def weighted_sum(z: NDArray[np.float64]) -> float:
        normalized = normalization.normalize(
            name, True, z.reshape(4, 3), case.gain, case.bias, case.running_before
        )
        return float((normalized.a * case.dLda).sum())

    reference = differences.gradient(weighted_sum, case.given.reshape(-1))
    computed = normalization.slope_by_z(name, exact(case.given), case.gain, case.dLda)

    np.testing.assert_allclose(np.array(computed, np.float64).reshape(-1), reference, atol=1e-8)


@by_dtype
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -1e6, 1e30])
@by_name
def test_constants_become_exactly_0(kernels: Any, name: str, value: float, dtype: Any) -> None:
    case = Case(name, True, np.full((9, 11), value, dtype)).run(kernels)

    assert (case.z == 0).all()
    assert (case.a == case.bias).all()
    assert np.isfinite(case.dLdz).all()


@by_dtype
def test_one_sample_of_a_batch_is_its_own_mean(kernels: Any, dtype: Any) -> None:
    case = Case("batch", True, numbers((1, 6), dtype)).run(kernels)

    assert (case.a == case.bias).all()
    assert (case.dLdz == 0).all()


@by_name
@by_dtype
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_hidden(kernels: Any, name: str, value: float, dtype: Any) -> None:
    z = numbers((4, 3), dtype)
    z[1, 2] = value

    case = Case(name, True, z).run(kernels)

    group, others = (case.a[:, 2], case.a[:, :2]) if name == "batch" else (case.a[1], case.a[[0, 2, 3]])
    assert np.isnan(group).any()
    assert np.isfinite(others).all()


@by_dtype
def test_where_the_variance_of_a_batch_overflows_the_running_one_shows_it(kernels: Any, dtype: Any) -> None:
    """A training refuses the step; see `test_normalized_training`."""
    z = numbers((4, 3), dtype) * (100 * np.sqrt(np.finfo(dtype).max))

    case = Case("batch", True, z).run(kernels)

    assert np.isinf(case.running[1]).all()
    assert (case.z == 0).all()
    assert (case.a == case.bias).all()


def test_means_and_gradients_lose_no_digits_over_many_samples(kernels: Any) -> None:
    """Mean and variance of 0.1, 0.3, 0.1, … and the sum of gradients that are equal."""
    samples = 1_000_000
    z = np.tile(np.array([[0.1], [0.3]], np.float32), (samples // 2, 1))
    case = Case("batch", True, z)
    case.gain[...], case.bias[...], case.running[...] = 1, 0, 0
    case.dLda[...] = np.float32(-6 / samples) * np.sign(z - np.float32(0.2))
    case.run(kernels)

    wide = z[:2].astype(np.float64)
    expected = np.array([wide.mean(), wide.var()]) * 0.01
    np.testing.assert_allclose(case.running[:, 0], expected, rtol=2e-6)
    exact_sum = float(case.dLda.astype(np.float64)[:, 0] @ case.z.astype(np.float64)[:, 0])
    np.testing.assert_allclose(case.dLdGain, [exact_sum], rtol=2e-6)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (Settings(CODES["batch"]), "batch"),
        (
            Settings(CODES["batch"], 1e-5, 0.9, unbiased=True),
            "batch(epsilon=1e-05, momentum=0.9, unbiased=True)",
        ),
        (Settings(CODES["layer"], inner_bias=True), "layer(inner_bias=True)"),
        (Settings(CODES["layer"], 1 / 3), "layer(epsilon=0.3333333333333333)"),
    ],
)
def test_names_tell_settings(settings: Settings, name: str) -> None:
    assert named(settings) == name
    assert settings_of(name) == settings


@pytest.mark.parametrize(
    "name",
    [
        *("", "bach", "none()", "batch()", "batch(", "batch)", "none(epsilon=1.0)", "batch(epsilon=nan)"),
        *("batch(epsilon=0.0)", "batch(epsilon=-1.0)", "batch(momentum=1.5)", "batch(epsilon=1e-5)"),
        *("batch(momentum=0.9, epsilon=0.1)", "layer(momentum=0.9)", "batch(inner_bias=True)"),
        *("layer(inner_bias=1)", "batch(epsilon=0.1, epsilon=0.1)", "batch(epsilon=0.001)", "layer(x=1)"),
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no normalisation"):
        settings_of(name)
