"""JSON in files, read with every check: what was expected, what was found, and where."""

from __future__ import annotations

import json
import reprlib
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TypeGuard, TypeVar

import numpy as np
from typednn_kernels.arrays import Vector

from typednn.errors import FileFormatError

N = TypeVar("N", bound=str)


@dataclass(frozen=True, slots=True)
class JsonValue:
    """A value of a file's JSON, with its place there for messages."""

    value: object
    place: str
    path: Path

    def wrong(self, expected: str) -> FileFormatError:
        """The error that says what was expected here."""
        return FileFormatError(
            f"{self.path}: {self.place}: expected {expected}, found {reprlib.repr(self.value)}"
        )

    def members(self) -> dict[str, JsonValue]:
        """The entries of an object."""
        if not is_object(self.value):
            raise self.wrong("an object")
        return {key: JsonValue(each, f"{self.place}.{key}", self.path) for key, each in self.value.items()}

    def __getitem__(self, key: str) -> JsonValue:
        """One entry of an object."""
        members = self.members()
        if key not in members:
            raise self.wrong(f"an entry {key!r}")
        return members[key]

    def items(self) -> list[JsonValue]:
        """The entries of a list."""
        if not is_list(self.value):
            raise self.wrong("a list")
        return [JsonValue(each, f"{self.place}[{k}]", self.path) for k, each in enumerate(self.value)]

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            raise self.wrong("text")
        return self.value

    def count(self, lowest: int) -> int:
        """A whole number."""
        if not isinstance(self.value, int) or isinstance(self.value, bool) or self.value < lowest:
            raise self.wrong(f"a whole number of {lowest} or more")
        return self.value

    def share(self) -> float:
        """A number from 0 up to but not 1."""
        number = self.value
        if isinstance(number, bool) or not isinstance(number, float | int) or not 0 <= number < 1:
            raise self.wrong("a number from 0 up to but not 1")
        return float(number)

    def amount(self) -> float:
        """A finite number of 0 or more."""
        number = self.value
        if isinstance(number, bool) or not isinstance(number, float | int) or not _fits(number) or number < 0:
            raise self.wrong("a finite number of 0 or more")
        return float(number)

    def switch(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def one_of(self, names: tuple[N, ...], *, adds: str | None = None) -> N:
        """A name of a table, to which a function `adds` names."""
        for name in names:
            if self.value == name:
                return name
        expected = f"{'one of ' * (len(names) > 1)}{', '.join(map(repr, names))}"
        raise self.wrong(expected if adds is None else f"{expected} or one that {adds} has added")

    def names(self, count: int) -> tuple[str, ...]:
        """So many strings."""
        names = tuple(item.text() for item in self.items())
        if len(names) != count:
            raise self.wrong(f"{count} names")
        return names

    def numbers(self, count: int) -> Vector[np.float64]:
        """So many finite numbers."""
        items = self.items()
        if len(items) != count:
            raise self.wrong(f"{count} numbers")
        vector: Vector[np.float64] = np.zeros(count)
        for k, item in enumerate(items):
            number = item.value
            if isinstance(number, bool) or not isinstance(number, float | int) or not _fits(number):
                raise item.wrong("a finite number")
            vector[k] = number
        return vector


def parsed(text: str | bytes, place: str, path: Path) -> JsonValue:
    """JSON of a file.

    Raises:
        FileFormatError: it is something else.
    """
    try:
        return JsonValue(json.loads(text), place, path)
    except (ValueError, RecursionError):
        raise FileFormatError(f"{path}: {place}: expected JSON, found something else") from None


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Whether it is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether it is a JSON list."""
    return isinstance(value, list)


def _fits(number: float) -> bool:
    try:
        return isfinite(number)
    except OverflowError:
        return False
