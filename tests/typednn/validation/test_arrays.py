"""The border: what is accepted, what it becomes, and what is refused."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tests.oracles.problems import problem
from tests.typednn.building import DTYPES, both_ways, gradient_of, network_of
from typednn import InputLayer, Network, OutputLayer
from typednn.errors import ArrayTypeError, DataError, ShapeError
from typednn.validation.arrays import (
    as_matrix,
    as_sample,
    as_targets,
    check_finite,
    check_range,
    check_same_length,
)

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)

NUMBERS = st.integers(-1000, 1000).map(float)
SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 6))


def matrix(values: Any, width: int, dtype: Any = np.float64) -> NDArray[Any]:
    return as_matrix(values, width, np.dtype(dtype), "x", "layer 3")


@by_dtype
@given(st.data())
def test_any_layout_becomes_contiguous_numbers_of_the_dtype(dtype: Any, data: st.DataObject) -> None:
    kinds: list[Any] = [dtype, np.dtype(dtype).newbyteorder(">"), ">i4", "<i8", "i2"]
    given_dtype: Any = np.dtype(data.draw(st.sampled_from(kinds)))
    whole = data.draw(arrays(given_dtype, SHAPES, elements=st.integers(-100, 100)))
    step, transposed = data.draw(st.sampled_from([1, 2, -1])), data.draw(st.booleans())
    part = (whole.T if transposed else whole)[::step, ::-step]
    reference = part.astype(dtype)

    computed = matrix(part, part.shape[1], dtype)

    assert type(computed) is np.ndarray
    assert computed.dtype == dtype
    assert computed.dtype.isnative
    assert computed.flags.c_contiguous
    assert computed.flags.aligned
    assert not computed.flags.writeable
    assert computed.tolist() == reference.tolist()
    assert part.flags.writeable


def test_nothing_is_copied_that_fits() -> None:
    x = np.zeros((3, 2))

    assert np.shares_memory(matrix(x, 2), x)
    x[0, 0] = 1  # that of the caller can still be written to


@pytest.mark.parametrize("values", [np.array([[True, False]]), np.array([[1, 0]], np.uint64)])
def test_other_numbers_are_accepted(values: Any) -> None:
    assert matrix(values, 2).tolist() == [[1.0, 0.0]]


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "list": ([[1.0, 2.0]], ArrayTypeError, r"x must be a numpy.ndarray, not list; np.array\(...\) makes one"),
    "none": (None, ArrayTypeError, "must be a numpy.ndarray, not NoneType"),
    "objects": (np.array([[1.0, None]]), ArrayTypeError, "must hold real numbers, not object"),
    "text": (np.array([["1", "2"]]), ArrayTypeError, "must hold real numbers, not <U1"),
    "complex": (np.array([[1j, 2]]), ArrayTypeError, "must hold real numbers, not complex128"),
    "dates": (
        np.array([["2020", "2021"]], "M8[Y]"),
        ArrayTypeError,
        r"must hold real numbers, not datetime64\[Y\]",
    ),
    "float32": (
        np.ones((1, 2), np.float32),
        ArrayTypeError,
        r"must be float64, not float32; x.astype\(np.float64\)",
    ),
    "float16": (np.ones((1, 2), np.float16), ArrayTypeError, "must be float64, not float16"),
    "long double": (np.ones((1, 2), np.longdouble), ArrayTypeError, "must be float64, not "),
    "scalar": (np.array(1.0), ShapeError, r"must have the shape \(n_samples, 2\), not \(\)"),
    "vector": (np.ones(2), ShapeError, r"not \(2,\); x.reshape\(1, -1\) makes one sample of it"),
    "cube": (np.ones((1, 2, 2)), ShapeError, r"not \(1, 2, 2\)"),
    "width": (np.ones((2, 3)), ShapeError, r"must have the shape \(n_samples, 2\), not \(2, 3\)"),
    "no samples": (np.ones((0, 2)), DataError, "x has no samples"),
    "nan": (
        np.array([[1, 2], [3, np.nan]]),
        DataError,
        r"1 numbers that are not finite, the first is x\[1, 1\] = nan",
    ),
    "infinity": (
        np.array([[-np.inf, np.inf]]),
        DataError,
        r"2 numbers that are not finite, .* x\[0, 0\] = -inf",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused(name: str) -> None:
    values, kind, message = WRONG[name]

    with pytest.raises(kind, match=message) as caught:
        matrix(values, 2)
    assert str(caught.value).startswith("layer 3: x ")


def test_a_float32_network_refuses_float64() -> None:
    with pytest.raises(
        ArrayTypeError, match=r"must be float32, not float64; .*or give the network dtype=np.float64"
    ):
        matrix(np.ones((1, 2)), 2, np.float32)


ADVICE = (
    r"; (?:labels must be integers, and )?"
    r"(np\.\S+\(.*?\)(?:\[1\])?|[xy]\.\S+\(.*?\)) (?:makes|converts|numbers)"
)
"""An expression that a message recommends."""


def advised(values: Any, make: Callable[[Any], object]) -> Any:
    """What the array becomes that the message of an error recommends."""
    with pytest.raises((ArrayTypeError, ShapeError)) as caught:
        make(values)
    found = re.search(ADVICE, str(caught.value))
    assert found, caught.value
    expression = found[1].replace("np.array(...", "np.array(x")
    return eval(expression, {"np": np, "x": values, "y": values})


@pytest.mark.parametrize(
    "values",
    [
        *(
            np.ones((2, 2), kind)
            for kind in (np.float16, np.float32, np.float64, np.longdouble, ">f4", ">f8")
        ),
        *([[1.0, 2.0]], [[1, 2]], [[np.float16(1), 2.0]], ((True, False),), ((1.0, 2.0),)),
        *(np.ones(2, np.float32), np.ones(2)),
    ],
    ids=str,
)
@by_dtype
def test_samples_are_accepted_as_the_message_advises(values: Any, dtype: Any) -> None:
    try:
        matrix(values, 2, dtype)
    except (ArrayTypeError, ShapeError):
        for _ in range(2):  # the dtype, then the rank
            values = advised(values, lambda each: matrix(each, 2, dtype))
            if values.ndim == 2:
                break
    assert matrix(values, 2, dtype).dtype == dtype


def test_a_column_is_made_of_numbers_where_there_is_one_feature() -> None:
    with pytest.raises(ShapeError, match=r"not \(3,\); x.reshape\(-1, 1\) makes one column of it$"):
        matrix(np.ones(3), 1)
    with pytest.raises(ShapeError, match=r"must have the shape \(n_samples, 2\), not \(3,\)$"):
        matrix(np.ones(3), 2)


@by_dtype
@pytest.mark.parametrize("kind", ["f2", "g"])
def test_no_network_has_another_precision(kind: str, dtype: Any) -> None:
    with pytest.raises(ArrayTypeError) as caught:
        matrix(np.ones((1, 2), kind), 2, dtype)
    assert "give the network" not in str(caught.value)


@pytest.mark.parametrize("values", [None, object(), [None, 1.0], [[1.0], [1.0, 2.0]]])
def test_nothing_is_advised_where_there_are_no_numbers(values: Any) -> None:
    with pytest.raises(ArrayTypeError, match=r"^layer 3: x must be a numpy.ndarray, not \w+$"):
        matrix(values, 2)


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (np.array([[0], [2], [1]]), [0, 2, 1]),
        (np.array([[0], [2], [1]], np.uint8), [0, 2, 1]),
        (np.array([0.0, 2.0, 1.0]), [0, 2, 1]),
        (np.array([True, False, True]), [1, 0, 1]),
        (np.array(["b", "c", "a"]), [1, 2, 0]),
        (np.array(["b", "c", "a"], object), [1, 2, 0]),
        ([0, 2, 1], [0, 2, 1]),
    ],
)
@by_dtype
def test_labels_are_accepted_as_the_message_advises(y: Any, labels: list[int], dtype: Any) -> None:
    def targets(values: Any) -> Any:
        return as_targets(values, 3, np.dtype(dtype), True, "Network")

    assert targets(advised(y, targets)).tolist() == np.eye(3)[labels].tolist()


def test_labels_from_one_begin_at_zero() -> None:
    with pytest.raises(DataError, match=r"labels must be 0 … 2, .* y holds 1 … 3; y - 1 begins at 0"):
        as_targets(np.array([1, 2, 3]), 3, np.dtype(np.float64), True, "Network")


@by_dtype
def test_large_numbers_are_finite_though_their_sum_is_not(dtype: Any) -> None:
    largest = np.finfo(dtype).max

    assert matrix(np.full((2, 2), largest, dtype), 2, dtype).tolist() == [[largest] * 2] * 2
    check_finite(np.array([largest, largest, -largest], dtype), "x", "layer 3")


# One sample.


@pytest.mark.parametrize(
    "values",
    [
        [1, 2],
        (1.0, 2.0),
        np.array([1, 2]),
        np.array([[1.0, 2.0]]),
        np.array([1, 2], np.float32),
        np.array([1, 2], ">f2"),
    ],
)
@by_dtype
def test_a_sample(values: Any, dtype: Any) -> None:
    computed = as_sample(values, 2, np.dtype(dtype), "values", "layer 0")

    assert computed.dtype == dtype
    assert computed.tolist() == [[1.0, 2.0]]


def test_a_number_is_a_sample_of_one() -> None:
    assert as_sample(3, 1, np.dtype(np.float64), "values", "layer 0").tolist() == [[3.0]]


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([1, 2, 3], ShapeError, "values must hold 2 numbers, not 3"),
        (7, ShapeError, "values must hold 2 numbers, not 1"),
        ([], ShapeError, "values must hold 2 numbers, not 0"),
        ([[1, 2, 3]], ShapeError, r"\(n_samples, 2\), not \(1, 3\)"),
        ([[[1, 2]]], ShapeError, r"\(n_samples, 2\), not \(1, 1, 2\)"),
        (np.ones((0, 2)), DataError, "values has no samples"),
        ([1, None], ArrayTypeError, "not object"),
        (["1", "2"], ArrayTypeError, "not <U1"),
        ([1j, 2], ArrayTypeError, "not complex128"),
        ([1.0, np.nan], DataError, r"values\[0, 1\] = nan"),
        ([[1, 2], [3]], (ArrayTypeError, ShapeError), "values"),
        ([10**400, 1], ArrayTypeError, "not object"),
    ],
)
@by_dtype
def test_samples_that_are_refused(values: Any, kind: Any, message: str, dtype: Any) -> None:
    with pytest.raises(kind, match=message) as caught:
        as_sample(values, 2, np.dtype(dtype), "values", "layer 0, InputLayer(2, 'none')")
    assert str(caught.value).startswith("layer 0, InputLayer(2, 'none'): ")


@pytest.mark.parametrize("values", [[1e300, 1.0], np.array([1e39, 1.0]), np.array([1e100, 1e100])])
def test_numbers_too_large_for_the_dtype_are_refused(values: Any) -> None:
    with pytest.raises(DataError, match=r"values\[0, 0\] = inf"):
        as_sample(values, 2, np.dtype(np.float32), "values", "layer 0")


# Targets.


def targets(values: Any, width: int = 3, classes: bool = True) -> NDArray[Any]:
    return as_targets(values, width, np.dtype(np.float32), classes, "Network")


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, ">i2", np.uint64])
def test_labels_become_one_hot(dtype: Any) -> None:
    computed = targets(np.array([2, 0, 1, 2], dtype))

    assert computed.dtype == np.float32
    assert computed.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_targets_are_a_matrix() -> None:
    given = np.ones((2, 3), np.float32)

    assert targets(given).tolist() == targets(given, classes=False).tolist() == given.tolist()


@pytest.mark.parametrize(
    ("values", "width", "classes", "kind", "message"),
    [
        (np.array([0, 3]), 3, True, DataError, r"labels must be 0 … 2, for 3 outputs; y holds 0 … 3"),
        (np.array([-1, 2]), 3, True, DataError, "y holds -1 … 2"),
        (np.array([2**63], np.uint64), 3, True, DataError, "y holds 9223372036854775808"),
        (np.array([], int), 3, True, DataError, "y has no samples"),
        (np.array([0.0, 1.0]), 3, True, ShapeError, r"\(n_samples, 3\), not \(2,\); labels must be integers"),
        (np.array([True, False]), 3, True, ShapeError, "labels must be integers"),
        (
            np.array([0, 1]),
            3,
            False,
            ShapeError,
            r"\(n_samples, 3\), not \(2,\); labels are for crossentropy, kl_divergence, nll$",
        ),
        (np.array([0.0, 1.0]), 1, False, ArrayTypeError, "y must be float32, not float64"),
        (np.array([0.0, 1.0]), 1, True, ShapeError, r"\(n_samples, 1\), not \(2,\); labels must be integers"),
        ([0, 1], 3, True, ArrayTypeError, "y must be a numpy.ndarray, not list"),
        (np.ones((2, 2), np.float32), 3, True, ShapeError, r"not \(2, 2\)"),
    ],
)
def test_targets_that_are_refused(values: Any, width: int, classes: bool, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        targets(values, width, classes)
    assert str(caught.value).startswith("Network: ")


def test_ranges() -> None:
    t = np.array([[0.0, 0.5], [1.0, 0.25]])

    check_range(t, 0.0, 1.0, "y", "Network")
    check_range(t, -np.inf, np.inf, "y", "Network")
    for lowest, highest in ((0.1, 1.0), (0.0, 0.9)):
        with pytest.raises(DataError, match=r"Network: y must lie in \[0.*\], but holds 0 … 1"):
            check_range(t, lowest, highest, "y", "Network")


def test_lengths() -> None:
    check_same_length(np.ones((2, 3)), np.ones((2, 1)), "Network")
    with pytest.raises(ShapeError, match="Network: x has 2 samples, y has 3"):
        check_same_length(np.ones((2, 3)), np.ones((3, 1)), "Network")


# Through both doors.


def frozen(x: NDArray[Any]) -> NDArray[Any]:
    """A copy that cannot be written to."""
    array = x.copy()
    array.setflags(write=False)
    return array


def unaligned(x: NDArray[Any]) -> NDArray[Any]:
    """A copy that lies one byte off."""
    memory = np.zeros(x.nbytes + 1, np.uint8)[1:]
    memory[...] = np.frombuffer(x.tobytes(), np.uint8)
    return memory.view(x.dtype).reshape(x.shape)


ARRAYS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "read-only": frozen,
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "Fortran-ordered": np.asfortranarray,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "integers": lambda x: x.astype(np.int32),
    "unsigned": lambda x: (x + 128).astype(np.uint8).astype(np.int16) - 128,
    "unaligned": unaligned,
}


@pytest.mark.parametrize("kind", ARRAYS)
@by_dtype
@pytest.mark.usefixtures("path")
def test_arrays_are_accepted_as_they_come(kind: str, dtype: Any) -> None:
    case = problem((3, 4, 3), ("none", "tanh", "none"), "MSE", 7, dtype)
    x, t = np.rint(case.x * 3), np.rint(case.t * 3)

    reference, computed = (
        everything(network_of(case), convert(x), convert(t))
        for convert in (np.ascontiguousarray, ARRAYS[kind])
    )

    assert computed == reference


def everything(network: Network[Any], x: NDArray[Any], t: NDArray[Any]) -> list[object]:
    """What a network computes from samples, through both doors, to the bit."""
    both_ways(list(network.layers), x, t)
    return [
        gradient_of(list(network.layers)).tobytes(),
        network.predict(x).tobytes(),
        network.evaluate(x, t),
        network.forward(x).backward(t).vector.tobytes(),
        network.fit(x, t, epochs=2, batch_size=3, validation_data=(x, t)),
        network.parameters.tobytes(),
    ]


class OnlyDlpack:
    """An array of another library that has no `__array__`."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


class OnAnotherDevice:
    """A tensor that cannot become an array."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy\nmore")


def from_elsewhere(x: Any, y: Any) -> Any:
    """The same samples and targets as other libraries hold them."""
    yield OnlyDlpack(x), OnlyDlpack(y)
    makers: list[tuple[str, Callable[[Any], Any]]] = [
        ("pandas", lambda library: (library.DataFrame(x), library.Series(y))),
        ("polars", lambda library: (library.DataFrame(x), library.Series(y))),
        ("pyarrow", lambda library: (library.table({"a": x[:, 0], "b": x[:, 1]}), library.array(y))),
        ("torch", lambda library: (library.from_numpy(x), library.from_numpy(y))),
        ("xarray", lambda library: (library.DataArray(x), library.DataArray(y))),
    ]
    for module, make in makers:
        if importlib.util.find_spec(module) is not None:
            yield make(importlib.import_module(module))


def test_arrays_of_other_libraries_are_taken() -> None:
    x, y = np.random.default_rng(0).normal(size=(6, 2)), np.arange(6.0)
    labels = np.arange(6) % 3

    for given_x, given_y in from_elsewhere(x, y):
        np.testing.assert_array_equal(as_matrix(given_x, 2, np.dtype(np.float64), "x", "n"), x)
        np.testing.assert_array_equal(as_targets(given_y, 1, np.dtype(np.float64), False, "n")[:, 0], y)
        with pytest.raises(ArrayTypeError, match=r"x must be float32, not float64; x.astype\(np.float32\)"):
            as_matrix(given_x, 2, np.dtype(np.float32), "x", "n")
    for _, given_labels in from_elsewhere(x, labels):
        rows = as_targets(given_labels, 3, np.dtype(np.float64), True, "n")
        np.testing.assert_array_equal(rows.argmax(axis=1), labels)


def test_weights_of_other_libraries_are_taken() -> None:
    x, y, weights = np.ones((3, 1)), np.arange(3.0), np.array([1.0, 0.0, 2.0])
    network = Network([InputLayer(1), OutputLayer(1)], seed=0)
    expected = network.evaluate(x, y, sample_weight=weights).loss

    for _, theirs in from_elsewhere(np.ones((3, 2)), weights):
        assert network.evaluate(x, y, sample_weight=theirs).loss == expected


def test_what_cannot_become_an_array_is_said() -> None:
    values: Any = OnAnotherDevice()
    with pytest.raises(
        ArrayTypeError, match=r"^n: x, a OnAnotherDevice, is no array on the CPU: can't .* numpy$"
    ):
        as_matrix(values, 2, np.dtype(np.float64), "x", "n")
    with pytest.raises(ArrayTypeError, match=r"must hold real numbers, not object; x.astype\(np.float64\)"):
        as_matrix(np.array([["a", 1]], object), 2, np.dtype(np.float64), "x", "n")
