"""The state of a random generator as a JSON value."""

from __future__ import annotations

import reprlib
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from typednn.errors import DataError
from typednn.formats.json_values import is_list, is_object


def state_as_json(random: np.random.Generator) -> object:
    """Returns the state of a generator as a JSON value, with lists in the place of arrays."""
    return _as_json(random.bit_generator.state)


def state_from_json(random: np.random.Generator, value: object) -> dict[str, object]:
    """Returns the state that a JSON value holds, to be assigned to `random.bit_generator.state`.

    Raises:
        DataError: the value is not the state of this kind of generator.
    """
    state = _like(random.bit_generator.state, value, "random")
    if not is_object(state):
        raise DataError("expected the state of a generator")
    try:
        type(random.bit_generator)().state = state
    except (ArithmeticError, TypeError, ValueError) as error:
        raise DataError(f"expected the state of a generator, but {error}") from None
    return state


def _as_json(value: object) -> object:
    if is_object(value):
        return {key: _as_json(each) for key, each in value.items()}
    if _is_array(value):
        return value.tolist()
    return value


def _like(mine: object, theirs: object, place: str) -> object:
    """Converts a JSON value to the types of the present state, `mine`."""
    if is_object(mine) and is_object(theirs) and mine.keys() == theirs.keys():
        return {key: _like(each, theirs[key], f"{place}.{key}") for key, each in mine.items()}
    if _is_array(mine) and is_list(theirs) and len(theirs) == len(mine):
        highest = int(np.iinfo(mine.dtype).max)
        if all(isinstance(each, int) and 0 <= each <= highest for each in theirs):
            return np.array(theirs, mine.dtype)
    if isinstance(mine, int) and isinstance(theirs, int) and 0 <= theirs < 2**128:
        return theirs
    if isinstance(mine, str) and mine == theirs:
        return mine
    raise DataError(f"expected {place} to be like {reprlib.repr(mine)}, found {reprlib.repr(theirs)}")


def _is_array(value: object) -> TypeGuard[NDArray[np.unsignedinteger]]:
    return isinstance(value, np.ndarray)
