"""`assert_type` at run time: a value against the type that it is declared to have."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from typednn import Network

T = TypeVar("T")


def assert_type(value: T, declared: Any) -> T:
    """The value; raises AssertionError where it is not of the type, read-only where it is annotated so."""
    conforming: Any = value
    if get_origin(declared) is Annotated:
        assert get_args(declared)[1] == "read-only"
        assert not conforming.flags.writeable, f"{describe(value)} is not read-only"
        conforming, declared = conforming.copy(), get_args(declared)[0]
    assert conforms(conforming, declared), f"{describe(value)} is not of type {declared}"
    return value


def conforms(value: Any, declared: Any) -> bool:
    """Whether a value is of a type, an array of its rank and dtype; arrays can be written to."""
    origin, arguments = get_origin(declared) or declared, get_args(declared)
    if origin in (Union, UnionType):
        return any(conforms(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    if declared is None:
        return isinstance(value, NoneType)
    if isinstance(declared, NewType):
        return conforms(value, declared.__supertype__)
    if not isinstance(value, origin):
        return False
    if origin is np.ndarray:
        shape, dtype = arguments
        return _fits(value.shape, get_args(shape)) and conforms(value.dtype, dtype) and value.flags.writeable
    if origin is np.dtype:
        kinds = get_args(arguments[0]) or arguments
        return value.isnative and any(np.issubdtype(value, kind) for kind in kinds)
    if origin is Network:
        dtypes = get_args(arguments[0]) or arguments[:1]
        return value.dtype in dtypes and value.parameters.dtype == value.dtype
    if origin is tuple:
        wanted = arguments[:1] * len(value) if arguments[-1] is ... else arguments
        return len(wanted) == len(value) and all(map(conforms, value, wanted))
    return origin is not list or all(conforms(each, arguments[0]) for each in value)


def describe(value: Any) -> str:
    """What a value is."""
    if type(value) is np.ndarray:
        array: NDArray[np.generic] = value
        writable = "writable" if array.flags.writeable else "read-only"
        return f"a {writable} array of shape {array.shape} and dtype {array.dtype}"
    return f"{value!r} of type {type(value).__name__}"


def _fits(shape: Sequence[int], declared: tuple[Any, ...]) -> bool:
    return declared[-1] is ... or len(shape) == len(declared)
