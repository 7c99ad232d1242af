"""Parquet and Arrow files whose values lie, or are of other kinds than tables have."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from typednn import ArrayTypeError, FileFormatError, MissingExtraError
from typednn.data import large_tables
from typednn.data.blocks import parquet_rows
from typednn.data.reading import read_data, read_tables

pa: Any = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pq: Any = pytest.importorskip("pyarrow.parquet")
ipc: Any = pytest.importorskip("pyarrow.ipc")
pytest.importorskip("polars", reason="polars is not installed")

Write = Callable[[Path, Any], None]


def write_arrow(path: Path, table: Any) -> None:
    with ipc.new_file(str(path), table.schema) as file:
        file.write_table(table)


def write_parquet(path: Path, table: Any) -> None:
    pq.write_table(table, path)


def with_numbers(path: Path, dtype: str, old: list[int], new: list[int]) -> None:
    """Writes other numbers in the place of some in a file."""
    content, there = path.read_bytes(), np.array(old, dtype).tobytes()
    assert content.count(there) == 1
    path.write_bytes(content.replace(there, np.array(new, dtype).tobytes()))


WORDS = {
    "words beyond the text": [0, 6, 1 << 30],
    "words that begin before the text": [-(1 << 20), 6, 12],
    "words that end before they begin": [0, 1 << 20, 12],
    "text that is not UTF-8": [0, 1, 12],
}
"""Where the words `ößen` and `weiter` begin and end, instead of 0, 6 and 12."""


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("name", [*WORDS, "words that there are not"])
def test_values_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, large: bool) -> None:
    path = tmp_path / "table"
    if name in WORDS:
        write_arrow(path, pa.table({"a": [1.5, 2.5], "b": ["ößen", "weiter"]}))
        with_numbers(path, "i4", [0, 6, 12], WORDS[name])
    else:
        codes = pa.DictionaryArray.from_arrays(pa.array([12345, 0], pa.int16()), ["one", "two"], safe=False)
        write_arrow(path, pa.table({"a": [1.5, 2.5], "b": codes}))
    if large:
        monkeypatch.setattr(large_tables, "available_memory", lambda: 10)

    with pytest.raises(FileFormatError, match="table: expected a complete arrow file, found a damaged one"):
        read_data(path)
    with pytest.raises(FileFormatError, match="table: expected a complete arrow file, found a damaged one"):
        list(read_tables(path))


@pytest.mark.parametrize("write", [write_arrow, write_parquet])
def test_columns_of_other_kinds(tmp_path: Path, write: Write) -> None:
    path, a = tmp_path / "table", np.arange(3.0)
    write(path, pa.table({"a": a, "b": [[1], [2, 3], []], "c": [b"\xff", b"", None]}))

    [table] = read_tables(path, used=lambda _: [0])

    np.testing.assert_array_equal(table["a"], a)
    with pytest.raises(
        ArrayTypeError, match=r"table: column 'b': expected numbers, .* or text, found list<.*int64>"
    ):
        read_data(path)


@pytest.mark.parametrize("write", [write_arrow, write_parquet])
def test_two_columns_of_one_name(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "table", pa.table([[1, 2], [3, 4]], ["a", "a"]))

    with pytest.raises(FileFormatError, match="table: expected different names of columns, found 'a' twice"):
        read_data(tmp_path / "table")


@pytest.mark.parametrize("write", [write_arrow, write_parquet])
def test_names_that_are_not_utf_8(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "table"
    write(path, pa.table({"grün": [1.5, 2.5], "y": [1, 2]}))
    path.write_bytes(path.read_bytes().replace("ü".encode(), b"\xff\xfe"))

    with pytest.raises(FileFormatError, match=r"table: expected a complete .* file, found a damaged one: "):
        read_data(path)
    if write is write_parquet:
        with pytest.raises(FileFormatError, match="table: expected a Parquet file: "):
            parquet_rows(path, ["y"], "y")


def test_more_rows_than_a_file_can_have(tmp_path: Path) -> None:
    """A column of one value takes some bytes, however long it is; one without values takes none."""
    zeros, nothing = tmp_path / "zeros", tmp_path / "nothing"
    table = pa.table({"a": np.zeros(1_000_000, np.int8), "y": np.zeros(1_000_000, np.int8)})
    pq.write_table(table, zeros, max_rows_per_page=len(table))
    missing = pa.Array.from_buffers(pa.null(), 2**31 - 1, [None])
    write_arrow(nothing, pa.table({"a": missing, "y": missing}))

    for path in (zeros, nothing):
        with pytest.raises(
            FileFormatError,
            match=rf"{path.name}: expected at most 1032 values for each byte of the file, found \d+ rows",
        ):
            read_data(path)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("write", [write_arrow, write_parquet])
def test_long_words_in_many_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write, large: bool
) -> None:
    """A megabyte or less has a word of a megabyte in each of a thousand rows."""
    path, words = tmp_path / "table", pa.array(["one", "1" * 2**20])
    codes = pa.DictionaryArray.from_arrays(pa.array(np.ones(1000, np.int8)), words)
    write(path, pa.table({"a": np.arange(1000), "b": codes}))
    if large:
        monkeypatch.setattr(large_tables, "available_memory", lambda: 10)

    with pytest.raises(FileFormatError, match="table: column 'b': expected words of 256 bytes, or a larger"):
        read_data(path)


def test_words_as_codes(tmp_path: Path) -> None:
    """Codes of text and of numbers, chunks with words of their own, and missing ones."""
    chunks = [
        pa.DictionaryArray.from_arrays(pa.array(places, pa.uint16()), pa.array(words, pa.string()))
        for places, words in (([0, 1, None], ["x", "y"]), ([None, 0], ["x"]), ([], []), ([0], ["z"]))
    ]
    numbers = pa.array([7, None, 8, 7, 7, 7]).dictionary_encode()
    table = pa.table({"a": pa.chunked_array(chunks), "b": numbers, "c": ["p", None, "q", "p", "", "p"]})
    write_parquet(tmp_path / "parquet", table)
    write_arrow(tmp_path / "arrow", table.unify_dictionaries())

    for name in ("parquet", "arrow"):
        found = read_data(tmp_path / name).table
        assert found["a"].tolist() == ["x", "y", None, None, "x", "z"]
        np.testing.assert_array_equal(found["b"], [7, np.nan, 8, 7, 7, 7])
        assert found["c"].tolist() == ["p", None, "q", "p", None, "p"]


def test_many_rows_of_one_value_beside_others(tmp_path: Path) -> None:
    y = np.random.default_rng(0).random(200_000)
    write_parquet(tmp_path / "table", pa.table({f"a{k}": np.zeros(len(y)) for k in range(8)} | {"y": y}))

    data = read_data(tmp_path / "table")

    np.testing.assert_array_equal(data.table["y"], y)
    assert not data.table["a7"].any()


@pytest.mark.parametrize("package", ["pyarrow", "polars"])
def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    write_parquet(tmp_path / "table", pa.table({"a": [1.5], "y": [2.5]}))
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(
        MissingExtraError,
        match=rf"reading Parquet and Arrow files needs {package}: pip install 'typednn\[parquet\]'",
    ):
        read_data(tmp_path / "table")
