"""JSON values that are checked when they are read; an error names the place, what was expected and found."""

from __future__ import annotations

import json
import reprlib
from collections import Counter
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TypeGuard, TypeVar

import numpy as np
from typednn_kernels.arrays import Vector

from typednn.errors import FileFormatError

N = TypeVar("N", bound=str)

LARGEST = 1 << 48
"""A number that no length and no offset in a file reaches."""
MAX_VALUES = 1_000_000
MAX_BRACKETS = 250_000
"""The largest numbers of values, and of lists and objects, in a text, whatever else a file holds."""


@dataclass(frozen=True, slots=True)
class JsonValue:
    """A JSON value and its place in a file. Each `as_` method raises FileFormatError for another type.

    >>> header = parse_json('{"length": 3}', "header", Path("a.json"))
    >>> header["length"].as_int(1)
    3
    """

    value: object
    place: str
    path: Path

    def error(self, expected: str) -> FileFormatError:
        """Returns the error that says what was expected here and what was found."""
        return FileFormatError(
            f"{self.path}: {self.place}: expected {expected}, found {reprlib.repr(self.value)}"
        )

    def __getitem__(self, key: str) -> JsonValue:
        """Returns one member of an object."""
        if not is_object(self.value):
            raise self.error("an object")
        if key not in self.value:
            raise self.error(f"an entry {key!r}")
        return JsonValue(self.value[key], f"{self.place}.{key}", self.path)

    def as_object(self) -> dict[str, JsonValue]:
        """Returns the members of an object."""
        if not is_object(self.value):
            raise self.error("an object")
        return {key: JsonValue(each, f"{self.place}.{key}", self.path) for key, each in self.value.items()}

    def as_list(self) -> list[JsonValue]:
        """Returns the elements of a list."""
        if not is_list(self.value):
            raise self.error("a list")
        return [JsonValue(each, f"{self.place}[{k}]", self.path) for k, each in enumerate(self.value)]

    def as_str(self) -> str:
        """Returns a string."""
        if not isinstance(self.value, str) or not _is_unicode(self.value):
            raise self.error("text")
        return self.value

    def as_bool(self) -> bool:
        """Returns True or False."""
        if not isinstance(self.value, bool):
            raise self.error("true or false")
        return self.value

    def as_int(self, lowest: int) -> int:
        """Returns an integer of at least `lowest` and below `LARGEST`."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or self.value < lowest:
            raise self.error(f"a whole number of {lowest} or more")
        if self.value >= LARGEST:
            raise self.error(f"a whole number below {LARGEST}")
        return self.value

    def as_fraction(self) -> float:
        """Returns a number of at least 0 and below 1."""
        if not _is_finite(self.value) or not 0 <= self.value < 1:
            raise self.error("a number from 0 up to but not 1")
        return float(self.value)

    def as_nonnegative(self) -> float:
        """Returns a finite number of at least 0."""
        if not _is_finite(self.value) or self.value < 0:
            raise self.error("a finite number of 0 or more")
        return float(self.value)

    def as_one_of(self, names: tuple[N, ...], *, registered_by: str | None = None) -> N:
        """Returns one of some strings, which the function `registered_by` can add to."""
        for name in names:
            if self.value == name:
                return name
        expected = f"{'one of ' * (len(names) > 1)}{', '.join(map(repr, names))}"
        raise self.error(
            expected if registered_by is None else f"{expected} or one that {registered_by} has added"
        )

    def as_strings(self, count: int) -> tuple[str, ...]:
        """Returns a list of `count` strings."""
        strings = tuple(item.as_str() for item in self.as_list())
        if len(strings) != count:
            raise self.error(f"{count} names")
        return strings

    def as_vector(self, count: int) -> Vector[np.float64]:
        """Returns a list of `count` finite numbers."""
        items = self.as_list()
        if len(items) != count:
            raise self.error(f"{count} numbers")
        vector: Vector[np.float64] = np.zeros(count)
        for k, item in enumerate(items):
            if not _is_finite(item.value):
                raise item.error("a finite number")
            vector[k] = item.value
        return vector


def parse_json(text: str | bytes, place: str, path: Path, max_values: int = MAX_VALUES) -> JsonValue:
    """Parses JSON that was found in a file: bytes in UTF-8, no name twice in an object.

    Args:
        text: the text.
        place: the place in the file, for messages.
        path: the file.
        max_values: the largest number of values, which is compared before Python objects are made of them.

    Raises:
        FileFormatError: the text is not such JSON, or holds too many values.
    """
    values, brackets = (
        (text.count(","), text.count("[") + text.count("{"))
        if isinstance(text, str)
        else (text.count(b","), text.count(b"[") + text.count(b"{"))
    )
    for what, count, limit in (
        ("values", values, max_values),
        ("lists and objects", brackets, MAX_BRACKETS),
    ):
        if count > limit:
            raise FileFormatError(f"{path}: {place}: expected at most {limit} {what}, found {count}")
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        value = json.loads(decoded, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        what = str(error) if isinstance(error, _RepeatedNameError) else "something else"
        raise FileFormatError(f"{path}: {place}: expected JSON, found {what}") from None
    return JsonValue(value, place, path)


class _RepeatedNameError(ValueError):
    """A name occurs twice in an object."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise _RepeatedNameError(f"the name {reprlib.repr(twice)} twice in an object")
    if not _is_unicode("".join(members)):
        raise ValueError
    return members


def _is_unicode(text: str) -> bool:
    """Tells whether a text has no half of a surrogate pair, which JSON can write and nothing can print."""
    return text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text)


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Tells whether a value is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Tells whether a value is a JSON list."""
    return isinstance(value, list)


def _is_finite(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, float | int):
        return False
    try:
        return isfinite(value)
    except OverflowError:
        return False
