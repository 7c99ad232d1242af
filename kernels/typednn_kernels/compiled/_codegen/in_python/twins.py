"""What runs in Python where there is no machine code: `NUMBA_DISABLE_JIT`, or a compiler that fails."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from types import CellType, FunctionType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar, cast

import numba
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic

if TYPE_CHECKING:
    from llvmlite import ir as llvm
    from numba.core.typing.templates import Signature

P = ParamSpec("P")
R = TypeVar("R")

TypedIntrinsic: TypeAlias = "tuple[Signature, Callable[..., llvm.Value]]"
"""What numba expects of an intrinsic: its signature, and the function that writes it."""

JIT_DISABLED = bool(numba.config.DISABLE_JIT)
"""Whether NUMBA_DISABLE_JIT has numba compile nothing: Python runs the kernels then."""

TWINS: dict[object, Callable[..., object]] = {}
"""The functions in Python that compute what intrinsics do, by intrinsic."""


def written_in_llvm(
    typer: Callable[..., TypedIntrinsic],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes the decorated function the twin in Python of an intrinsic that a typer has numba write."""

    def decorate(python: Callable[P, R]) -> Callable[P, R]:
        return python if JIT_DISABLED else with_twin(intrinsic(typer), python)

    return decorate


def with_twin(caller: Callable[P, R], python: Callable[P, R]) -> Callable[P, R]:
    """Notes what computes in Python what an intrinsic does, and returns the intrinsic."""
    TWINS[caller] = python
    return caller


@cache
def in_python(function: object) -> object:
    """Returns what runs a compiled function in Python, and all that it calls; anything else as it is."""
    if isinstance(function, Dispatcher):
        return _in_python(function.py_func)
    return _in_python(TWINS[function]) if function in TWINS else function


def _in_python(function: Callable[..., object]) -> Callable[..., object]:
    if not isinstance(function, FunctionType):
        return function
    called = inspect.getclosurevars(function).globals
    names = {**function.__globals__, **{name: _twin_of(value) for name, value in called.items()}}
    cells = tuple(CellType(_twin_of(each.cell_contents)) for each in function.__closure__ or ())
    twin = FunctionType(function.__code__, names, function.__name__, function.__defaults__, cells)
    twin.__kwdefaults__ = cast("dict[str, Any]", function.__kwdefaults__)
    return twin


def _twin_of(value: object) -> object:
    return in_python(value) if callable(value) and value.__hash__ is not None else value
