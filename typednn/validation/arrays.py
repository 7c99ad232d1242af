"""Input validation: checks the arrays that users pass in and converts them for the kernels, once.

Inside the library arrays are C-contiguous and of the network's dtype. Those that the kernels only read are
marked read-only, so that one compiled version serves all callers.
"""

from __future__ import annotations

import sys
from collections.abc import Sized
from math import inf, isfinite, sqrt
from typing import Any, Protocol, TypeAlias, TypeGuard, cast, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from typednn_kernels.arrays import F, Matrix
from typednn_kernels.losses import LOSSES

from typednn.errors import ArrayTypeError, DataError, ShapeError

if sys.version_info >= (3, 13):
    from typing import TypeVar
else:
    from typing_extensions import TypeVar

A = TypeVar("A", bound=NDArray[np.generic])

Labels: TypeAlias = np.ndarray[tuple[int], np.dtype[np.integer]]
"""Integer labels `(n_samples,)`, from 0."""

Whole: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.integer]]
"""Integers `(n_samples, n)`."""

Truths: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.bool]]
"""Booleans `(n_samples, n)`, which count as 0 and 1."""

ClassTargets: TypeAlias = Truths | Whole | Labels
"""Targets that name the class of a sample."""

Column: TypeAlias = np.ndarray[tuple[int], np.dtype[np.floating | np.integer | np.bool]]
"""Targets of a network with one output, `(n_samples,)`."""

AnyTargets: TypeAlias = Truths | Whole | Column
"""Targets of a network whose loss and outputs are unknown to a type checker."""

Y_co = TypeVar("Y_co", bound=AnyTargets, default=AnyTargets, covariant=True)
"""The type of targets besides matrices of the network's dtype: `Truths` for a regression loss, `ClassTargets`
for other losses, with `Column` where there is one output, `Never` for a layer without a loss.

It is covariant although it is used in parameters: where the loss is unknown, as in `Network[np.float32]`, a
type checker accepts labels, and a run-time check refuses them if need be.
"""

F_co = TypeVar("F_co", bound=np.float32 | np.float64, default=np.float64, covariant=True)
"""The dtype of a network. It is covariant although it is used in parameters, so that every network is one of
`Network[np.float32 | np.float64]`, whose dtype only the run-time check knows."""


@runtime_checkable
class ArrayExport(Protocol):
    """A DataFrame or Series of pandas or polars, an array of pyarrow or xarray, of any dtype."""

    def to_numpy(self) -> np.ndarray[Any, Any]:
        """Returns an array."""
        ...


Given: TypeAlias = NDArray[np.generic] | ArrayExport
"""What users pass in."""

Samples: TypeAlias = Matrix[F] | Whole | Truths | ArrayExport
"""Samples `(n_samples, n_features)` of the network's dtype, or integers, or booleans.

It is a union of arrays so that a type checker infers the type of an array that is created in the call,
instead of assuming the parameter's type.
"""

Targets: TypeAlias = Matrix[F] | Y_co | ArrayExport
"""Targets `(n_samples, n_outputs)`, or labels `(n_samples,)`."""

Weights: TypeAlias = np.ndarray[tuple[int], np.dtype[np.floating | np.integer]] | ArrayExport
"""Nonnegative weights of samples, `(n_samples,)`: an array, or a column of a DataFrame."""

OF_CLASSES = ", ".join(row.name for row in LOSSES if row.targets == "classes")

CHUNK_ELEMENTS = 2**20
"""The number of elements whose squares `check_finite` sums at a time."""

BLAS_ITEMSIZES = frozenset({4, 8})
"""The bytes of the numbers whose products BLAS computes."""

FIT_FLAGS = 0x101
"""The bits of C-contiguous and aligned memory in `flags.num` of an array."""


def is_plain(values: object, dtype: np.dtype[F]) -> TypeGuard[Matrix[F]]:
    """Says whether kernels can read an array as it is: the fast path, for a matrix of the dtype.

    Its shape and elements are for the kernel to check.
    """
    return (
        type(values) is np.ndarray
        and values.dtype is dtype
        and values.ndim == 2
        and values.flags.num & FIT_FLAGS == FIT_FLAGS
    )


def as_matrix(values: Given, width: int, dtype: np.dtype[F], name: str, owner: str) -> Matrix[F]:
    """Checks samples `(n_samples, width)` and converts them for the kernels.

    Integer, boolean, strided, Fortran-ordered, big-endian and read-only arrays are accepted.

    Raises:
        ArrayTypeError: the values are not an array, or one of another precision, of complex numbers, objects
            or text.
        ShapeError: the array is not two-dimensional, or of another width.
        DataError: the array has no samples, NaN or infinity.
    """
    return converted(checked_matrix(values, width, dtype, name, owner), dtype)


def checked_matrix(
    values: Given, width: int, dtype: np.dtype[F], name: str, owner: str
) -> NDArray[np.generic]:
    """Checks samples as `as_matrix` does and returns them unchanged.

    Raises:
        ArrayTypeError, ShapeError, DataError: as `as_matrix`.
    """
    array = matrix_of_numbers(values, width, dtype, name, owner)
    check_finite(array, name, owner)
    return array


def matrix_of_numbers(
    values: Given, width: int, dtype: np.dtype[F], name: str, owner: str
) -> NDArray[np.generic]:
    """Checks shape and dtype of samples as `as_matrix` does, but not the numbers.

    Raises:
        ArrayTypeError, ShapeError, DataError: as `as_matrix`.
    """
    array = _numbers(as_ndarray(values, name, owner), dtype, name, owner)
    if array.ndim != 2 or array.shape[1] != width:
        hint = ""
        if array.ndim == 1 and len(array) == width:
            hint = f"; {name}.reshape(1, -1) makes one sample of it"
        elif array.ndim == 1 and width == 1:
            hint = f"; {name}.reshape(-1, 1) makes one column of it"
        raise ShapeError(f"{owner}: {name} must have the shape (n_samples, {width}), not {array.shape}{hint}")
    if len(array) == 0:
        raise DataError(f"{owner}: {name} has no samples")
    return array


def converted(array: NDArray[np.generic], dtype: np.dtype[F]) -> Matrix[F]:
    """Converts a checked matrix for the kernels; returns a view where nothing needs to be converted."""
    rows, columns = array.shape
    matrix: Matrix[F] = np.require(array, dtype, ["C", "A"]).view(np.ndarray).reshape(rows, columns)
    return read_only(matrix)


def as_sample(values: ArrayLike, width: int, dtype: np.dtype[F], name: str, owner: str) -> Matrix[F]:
    """Checks one sample `(width,)` or a batch `(B, width)`, of any real dtype; returns a matrix `(B, width)`.

    Raises:
        ArrayTypeError: the values are not numbers.
        ShapeError: the samples are of another length.
        DataError: there are no samples, or NaN or infinity.
    """
    array = as_real(values, dtype, name, owner)
    if array.ndim < 2:
        if array.size != width:
            raise ShapeError(f"{owner}: {name} must hold {width} numbers, not {array.size}")
        array = array.reshape(1, width)
    return as_matrix(array, width, dtype, name, owner)


def as_real(values: ArrayLike, dtype: np.dtype[F], name: str, owner: str) -> NDArray[np.generic]:
    """Makes an array of input of the layer API; floating-point numbers are converted to the dtype.

    Raises:
        ArrayTypeError: NumPy cannot make an array of the values.
    """
    refuse_masked(values, name, owner)
    try:
        array: NDArray[np.generic] = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ArrayTypeError(f"{owner}: {name} must be numbers, in rows of one length: {error}") from error
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        return array.astype(dtype, copy=False)


def as_targets(values: Given, width: int, dtype: np.dtype[F], classes: bool, owner: str) -> Matrix[F]:
    """Checks targets and converts them for the kernels, `(n_samples, width)`.

    If `classes` is True, integer labels `(n_samples,)` are accepted and become one-hot rows. Otherwise
    numbers `(n_samples,)` are accepted where the width is 1.

    Raises:
        ArrayTypeError, ShapeError, DataError: as `as_matrix`, and for labels outside 0 … width - 1.
    """
    array = checked_targets(values, width, dtype, classes, owner)
    return one_hot(array, width, dtype) if array.ndim == 1 else converted(array, dtype)


def checked_targets(
    values: Given, width: int, dtype: np.dtype[F], classes: bool, owner: str
) -> NDArray[np.generic]:
    """Checks targets as `as_targets` does and returns them unchanged, labels as a vector.

    Numbers `(n_samples,)` are a column where there is one output.

    Raises:
        ArrayTypeError, ShapeError, DataError: as `as_targets`.
    """
    values = as_ndarray(values, "y", owner)
    if isinstance(values, np.ndarray):
        refuse_masked(values, "y", owner)
    if classes and isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iu":
        if len(values) == 0:
            raise DataError(f"{owner}: y has no samples")
        lowest, highest = values.min().item(), values.max().item()
        if lowest < 0 or highest >= width:
            raise DataError(
                f"{owner}: labels must be 0 … {width - 1}, for {width} outputs; y holds {lowest} … {highest}"
                + ("; y - 1 begins at 0" if lowest == 1 and highest == width else "")
            )
        return values
    if isinstance(values, np.ndarray) and values.ndim == 1 and width == 1 and not classes:
        return checked_matrix(values.reshape(-1, 1), width, dtype, "y", owner)
    if isinstance(values, np.ndarray) and values.ndim == 1:
        raise ShapeError(
            f"{owner}: y must have the shape (n_samples, {width}), not {values.shape}"
            + (_hint_for_labels(values) if classes else "")
            + (f"; labels are for {OF_CLASSES}" if not classes and values.dtype.kind in "iu" else "")
        )
    if classes and isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1 < width:
        raise ShapeError(
            f"{owner}: y must have the shape (n_samples, {width}), or (n_samples,) for labels, not "
            f"{values.shape}; y.ravel() makes labels of it"
            + ("" if values.dtype.kind in "iu" else _hint_for_labels(values))
        )
    return checked_matrix(values, width, dtype, "y", owner)


def _hint_for_labels(values: NDArray[np.generic]) -> str:
    """Says how an array becomes integer labels."""
    if values.dtype.kind in "fb":
        return "; labels must be integers, and y.astype(int) makes them"
    return "; labels must be integers, and np.unique(y, return_inverse=True)[1] numbers the classes"


def one_hot(labels: NDArray[np.generic], width: int, dtype: np.dtype[F]) -> Matrix[F]:
    """Encodes checked labels `(n_samples,)` as one-hot rows `(n_samples, width)`.

    Raises:
        DataError: a label is out of range: another thread has changed the array since it was checked.
    """
    indices = np.array(labels, np.intp, subok=False)  # a copy, which nobody changes
    if len(indices) and indices.view(np.uintp).max() >= width:  # negative ones are large here
        raise DataError(
            f"labels must be 0 … {width - 1}; y was changed while it was read, and holds "
            f"{indices.min()} … {indices.max()}"
        )
    rows: Matrix[F] = np.zeros((len(indices), width), dtype)
    rows[np.arange(len(indices)), indices] = 1
    return read_only(rows)


def class_indices(values: NDArray[np.generic], boundary: float) -> NDArray[np.intp]:
    """Returns the class of each row `(n_samples,)`: its label, or the column of its largest element.

    Rows of one element are of class 1 above the boundary, else of class 0.
    """
    if values.ndim == 1:
        return values.astype(np.intp)
    if values.shape[1] == 1:
        return above(values, boundary)[:, 0]
    largest: NDArray[np.intp] = values.argmax(axis=1)
    return largest


def above(values: NDArray[np.generic], boundary: float) -> NDArray[np.intp]:
    """Returns 1 for elements above the boundary, else 0, as scikit-learn reads scores and probabilities."""
    positive: NDArray[np.bool_] = np.greater(values, boundary)
    return positive.astype(np.intp)


def read_only(array: A) -> A:
    """Returns a read-only view."""
    view = array.view()
    view.setflags(write=False)
    return view


def check_finite(array: NDArray[np.generic], name: str, owner: str) -> float:
    """Checks that an array, which may be larger than memory, is finite.

    Returns:
        The root of the sum of all squares; infinity where it is not known.

    Raises:
        DataError: an element is NaN or infinite; the message names the first.
    """
    if array.dtype.kind != "f":
        return inf
    rows, squares = max(1, CHUNK_ELEMENTS // max(1, array[:1].size)), 0.0
    count, first = 0, tuple[int, ...]()
    for start in range(0, len(array), rows):
        chunk = array[start : start + rows]
        part = _sum_of_squares(chunk)
        squares += part
        if isfinite(part):
            continue
        squares, wrong = inf, np.argwhere(~np.isfinite(chunk))
        if len(wrong) and not count:
            first = (start + int(wrong[0][0]), *map(int, wrong[0][1:]))
        count += len(wrong)
    if count:
        raise DataError(
            f"{owner}: {name} holds {count} numbers that are not finite, the first is "
            f"{name}[{', '.join(map(str, first))}] = {array[first]}"
        )
    return sqrt(squares)


def _sum_of_squares(array: NDArray[np.generic]) -> float:
    """Sums the squares of all elements; the result is not finite if an element is not, or a square."""
    with np.errstate(all="ignore"):
        if array.dtype.itemsize in BLAS_ITEMSIZES and array.flags.c_contiguous:
            vector = np.asarray(array).reshape(-1)  # a matrix stays one, with rows and columns
            return float(vector.dot(vector))
        return float(np.square(array, dtype=np.float64).sum())


def check_range(array: NDArray[np.generic], lowest: float, highest: float, name: str, owner: str) -> None:
    """Checks that targets lie where the loss is defined.

    Raises:
        DataError: an element is below `lowest` or above `highest`.
    """
    smallest, largest = array.min(), array.max()
    if smallest < lowest or largest > highest:
        raise DataError(
            f"{owner}: {name} must lie in [{lowest:g}, {highest:g}], but holds {smallest:g} … {largest:g}"
        )


def refuse_masked(values: object, name: str, owner: str) -> None:
    """Raises ArrayTypeError for a masked array, whose mask the library would ignore."""
    if isinstance(values, np.ma.MaskedArray):
        raise ArrayTypeError(
            f"{owner}: {name} is a masked array, and its mask would be ignored; {name}.filled(...) gives "
            "masked elements a value, or leave out the rows that have some"
        )


def check_same_length(x: Sized, y: Sized, owner: str) -> None:
    """Raises ShapeError if the numbers of samples and targets differ."""
    if len(x) != len(y):
        raise ShapeError(f"{owner}: x has {len(x)} samples, y has {len(y)}")


def as_numbers(
    values: NDArray[np.generic], name: str, owner: str, dtype: str = "float64"
) -> NDArray[np.generic]:
    """Makes an array of real numbers; the message about objects names the dtype that they should have.

    Raises:
        ArrayTypeError: the values are not real numbers.
    """
    refuse_masked(values, name, owner)
    try:
        array: NDArray[np.generic] = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ArrayTypeError(f"{owner}: {name} must be an array of real numbers: {error}") from error
    if array.dtype.kind not in "fiub":
        hint = f"; {name}.astype(np.{dtype}) converts numbers" if array.dtype.kind == "O" else ""
        raise ArrayTypeError(f"{owner}: {name} must hold real numbers, not {array.dtype}{hint}")
    return array


def as_ndarray(values: Given, name: str, owner: str) -> NDArray[np.generic]:
    """Makes an array of what has `__array__` or `__dlpack__`: DataFrames, tensors, Arrow and xarray arrays.

    Whatever else is returned as it is.

    Raises:
        ArrayTypeError: the conversion failed.
    """
    given: object = values
    if type(given) is np.ndarray:
        return given
    exports = hasattr(given, "__array__"), hasattr(given, "__dlpack__")
    if isinstance(given, np.ndarray | np.generic) or not any(exports):
        return cast("NDArray[np.generic]", values)
    try:
        array: NDArray[np.generic] = np.asarray(values) if exports[0] else np.from_dlpack(cast("Any", values))
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        reason = str(error).partition("\n")[0]
        raise ArrayTypeError(
            f"{owner}: {name}, a {type(values).__name__}, is no array on the CPU: {reason}"
        ) from error
    return array


def _numbers(values: Given, dtype: np.dtype[F], name: str, owner: str) -> NDArray[np.generic]:
    if not isinstance(values, np.ndarray):
        raise ArrayTypeError(
            f"{owner}: {name} must be a numpy.ndarray, not {type(values).__name__}"
            f"{_hint_for_an_array(values, dtype)}"
        )
    refuse_masked(values, name, owner)
    found = values.dtype.newbyteorder("=")
    if found.kind in "iub" or found == dtype:
        return values
    if found.kind == "f":
        other = f", or give the network dtype=np.{found}" if found.name in {"float32", "float64"} else ""
        raise ArrayTypeError(
            f"{owner}: {name} must be {dtype}, not {found}; {name}.astype(np.{dtype}) converts it{other}"
        )
    return as_numbers(values, name, owner, str(dtype))


def _hint_for_an_array(values: object, dtype: np.dtype[F]) -> str:
    """Says how something else becomes an array that is accepted, if NumPy makes numbers of it."""
    if hasattr(values, "toarray"):  # sparse matrices of SciPy
        return "; .toarray() makes one"
    try:
        found = np.asarray(values).dtype
    except (TypeError, ValueError, RuntimeError):
        return ""
    if found.kind in "iub" or found == dtype:
        return "; np.array(...) makes one"
    return f"; np.array(..., np.{dtype}) makes one" if found.kind == "f" else ""
