"""Reads CSV tables of numbers and a target line by line; errors name the line and the column."""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Iterator
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import TextIO

import numpy as np
from typednn_kernels.arrays import Matrix, Vector

from typednn.data.preprocessing import TargetValues
from typednn.errors import DataError, FileFormatError
from typednn.validation.arrays import check_finite

DELIMITERS = ",;\t"
MISSING = {"", "?", "-", "na", "n/a", "nan", "null", "none"}


class Table:
    """A CSV file that is being read.

    Attributes:
        names: the names of the columns; `column 1`, … if the file has no names.
        named: whether the file has names.
    """

    def __init__(self, file: TextIO, path: Path) -> None:
        self.path = path
        line = file.readline()
        unquoted = re.sub('"[^"]*"', "", line)
        self.delimiter: str = max(DELIMITERS, key=unquoted.count)
        self._reader = csv.reader(chain([line], file), delimiter=self.delimiter, strict=True)
        first = next((record for record in self._records() if record), None)
        if first is None:
            raise DataError(
                f"{path}: expected a line of column names and lines of values, found an empty file"
            )
        self.names: list[str] = [field.strip() for field in first]
        self.named: bool = not all(map(_is_number, self.names))
        self.first: list[list[str]] = [] if self.named else [first]
        if self.named:
            self._check_names()
        else:
            self.names = [f"column {k}" for k in range(1, len(first) + 1)]

    def read(self, target: int | None) -> tuple[Matrix[np.float64], TargetValues]:
        """Reads all columns but `target` as numbers `(n_samples, n_features)`, and the target column."""
        count = len(self.names)
        numbers = array("d")
        targets: list[str] = []
        lines: list[int] = []
        features = [name for k, name in enumerate(self.names) if k != target]
        for record in chain(self.first, self._records()):
            if not record:
                continue
            if len(record) != count:
                raise FileFormatError(
                    f"{self._here()}: expected {count} values, as in line 1, found {len(record)}"
                )
            if target is not None:
                targets.append(record.pop(target).strip())
                lines.append(self._reader.line_num)
            try:
                row = [float(field) for field in record]
            except ValueError:
                row = []
            if len(row) != len(record) or not isfinite(sum(row)):
                self._check_row(features, record)
            numbers.extend(row)
        samples = len(numbers) // len(features) if features else len(targets)
        if samples == 0:
            raise DataError(f"{self.path}: expected lines of values below the column names, found none")
        if not features:
            raise DataError(f"{self.path}: expected columns of features beside the target, found none")
        x: Matrix[np.float64] = np.frombuffer(numbers, np.float64).reshape(samples, len(features))
        name = "" if target is None else self.names[target]
        return x, self._as_target(targets, lines, name)

    def _records(self) -> Iterator[list[str]]:
        try:
            yield from self._reader
        except csv.Error:
            raise FileFormatError(
                f"{self._here()}: expected values between {self.delimiter!r}, found quotes that do not "
                "match, a NUL byte, or an overlong value"
            ) from None

    def _here(self) -> str:
        return f"{self.path}, line {self._reader.line_num}"

    def _check_names(self) -> None:
        places: dict[str, int] = {}
        for k, name in enumerate(self.names, start=1):
            if not name:
                raise FileFormatError(
                    f"{self.path}, line 1: expected a name for each column, found none for column {k} "
                    "(if it is an index that pandas wrote: to_csv(..., index=False) leaves it out)"
                )
            if name in places:
                raise FileFormatError(
                    f"{self.path}, line 1: expected different names, found {name!r} for the columns "
                    f"{places[name]} and {k}"
                )
            places[name] = k
        numbers = [float(name) for name in self.names if _is_number(name)]
        counted = all(number.is_integer() for number in numbers) and numbers == sorted(numbers)
        if not counted:
            raise FileFormatError(
                f"{self.path}, line 1: expected the names of the columns, found values like {numbers[0]:g}"
            )

    def _check_row(self, features: list[str], record: list[str]) -> None:
        """Raises the error for a line that has a value that is missing, no number, or not finite."""
        for name, field in zip(features, record, strict=True):
            text = field.strip()
            if text.lower() in MISSING:
                raise DataError(
                    f"{self._here()}: column {name!r} has no value ({text!r}); fill it in or drop the line"
                )
            if not _is_number(field):
                comma = self.delimiter == ";" and _is_number(text.replace(",", "."))
                shown = field if _is_number(text) else text  # beside a control character
                hint = "decimal commas must be points" if comma else "text cannot be a feature"
                raise DataError(
                    f"{self._here()}: column {name!r}: expected a number, found {shown!r}; {hint}"
                )
            if not isfinite(float(text)):
                raise DataError(f"{self._here()}: column {name!r}: expected a finite number, found {text!r}")

    def _as_target(self, targets: list[str], lines: list[int], name: str) -> TargetValues:
        """Converts a target column to numbers if all are numbers; a missing value raises DataError."""
        numeric = any(map(_is_number, targets))
        for text, line in zip(targets, lines, strict=True):
            if text == "" or (numeric and text.lower() in MISSING):
                raise DataError(f"{self.path}, line {line}: the target {name!r} has no value ({text!r})")
            if "\0" in text:
                raise DataError(f"{self.path}, line {line}: expected text in {name!r}, found a NUL byte")
        try:
            numbers: Vector[np.float64] = np.array([float(text) for text in targets])
        except ValueError:
            return np.array(targets)
        check_finite(numbers, name, str(self.path))
        return numbers


def _is_number(text: str) -> bool:
    """Tells whether the text is a number other than NaN."""
    try:
        return float(text) == float(text)
    except ValueError:
        return False
