"""Checks of settings: integers, numbers within a range, booleans."""

from __future__ import annotations

import os
from collections.abc import Iterable
from math import inf, isfinite

import numpy as np

from typednn.errors import SettingError


def check_count(name: str, value: int, lowest: int) -> None:
    """Raises SettingError unless the value is an integer of `lowest` or more."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < lowest:
        raise SettingError(f"{name} must be an integer of {lowest} or more, not {value!r}")


def check_positive(name: str, value: float) -> None:
    """Raises SettingError unless the value is a positive finite number."""
    if not is_number(value) or value <= 0:
        raise SettingError(f"{name} must be a positive finite number, not {value!r}")


def check_nonnegative(name: str, value: float, highest: float = inf) -> None:
    """Raises SettingError unless the value is a finite number of at least 0 and below `highest`."""
    if not is_number(value) or not 0 <= value < highest:
        limit = "finite number of 0 or more" if highest == inf else f"number from 0 to below {highest:g}"
        raise SettingError(f"{name} must be a {limit}, not {value!r}")


def check_path(name: str, value: object) -> None:
    """Raises SettingError unless the value is a path, in text or as `os.PathLike`."""
    kind = type(value).__name__
    if not isinstance(value, str | os.PathLike):
        raise SettingError(f"{name} must be a path, not {kind}")


def check_bool(name: str, value: bool) -> None:
    """Raises SettingError unless the value is True or False."""
    if not isinstance(value, bool | np.bool):
        raise SettingError(f"{name} must be True or False, not {value!r}")


def check_sequence(name: str, value: object) -> None:
    """Raises SettingError if the value is one thing, such as a string, where a sequence is expected."""
    if type(value) in {tuple, list}:
        return
    if value is None:
        raise SettingError(f"{name} must be a sequence, such as (), not None")
    if isinstance(value, str):
        raise SettingError(f"{name} must be a sequence, such as [{value!r}], not {value!r}")
    kind = type(value).__name__
    if not isinstance(value, Iterable) or (isinstance(value, np.ndarray) and value.ndim == 0):
        raise SettingError(f"{name} must be a sequence, such as [{kind}(...)], not one {kind}")


def is_number(value: float) -> bool:
    """Tells whether the value is a finite real number, not a boolean."""
    if type(value) is float:
        return isfinite(value)
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return number and isfinite(value)
