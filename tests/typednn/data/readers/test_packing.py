"""Columns that are packed while a file is read, compared with what was written."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from typednn.data.readers import delimited
from typednn.data.reading import read_data

pl = pytest.importorskip("polars")

from typednn.data.readers.packing import Words, joined, packed  # noqa: E402 (it needs polars)

WORDS = {
    "letters": ["a", "b", "c"] * 400,
    "gaps": ["x", "", "?", " y "] * 300,
    "keys": [f"key {k}" for k in range(1200)],
    "later keys": ["same"] * 600 + [f"key {k}" for k in range(600)],
}
NUMBERS: dict[str, Sequence[float | None]] = {
    "digits": [0, 1, -9] * 400,
    "bytes": [127, -128, 0] * 400,
    "beyond a byte": [0] * 1199 + [128],
    "two bytes": [-32768, 32767] * 600,
    "four bytes": [-(2**31), 2**31 - 1] * 600,
    "beyond": [0] * 1199 + [2.0**31],
    "large": [1e300, 5] * 600,
    "fractions": [0.5, 1] * 600,
    "a late fraction": [3] * 1199 + [0.25],
    "gaps": [1, None, 3] * 400,
    "wide gaps": [70_000, None, 3] * 400,
    "nothing": [None] * 1200,
}


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("size", [1200, 500, 7])
def test_words_come_back(name: str, size: int) -> None:
    series = pl.Series(WORDS[name], dtype=pl.String)
    chunks = [packed(series.slice(k, size).to_frame())[0] for k in range(0, len(series), size)]

    found = joined(chunks)

    words = found if isinstance(found, Words) else Words.of(found)
    shown = words.different.to_list()
    assert (shown if words.codes is None else [shown[k] for k in words.codes]) == WORDS[name]
    if name == "letters":
        assert isinstance(found, Words) == (size > 7)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("size", [1200, 500, 7])
def test_numbers_come_back(name: str, size: int) -> None:
    series = pl.Series(NUMBERS[name], dtype=pl.Float64)
    chunks = [packed(series.slice(k, size).to_frame())[0] for k in range(0, len(series), size)]

    found = joined(chunks)

    assert not isinstance(found, Words)
    assert found.cast(pl.Float64).to_list() == NUMBERS[name]
    np.testing.assert_array_equal(found.to_numpy(), np.array(NUMBERS[name], float))


def test_whole_numbers_take_the_bytes_that_they_need() -> None:
    sizes = {
        name: packed(pl.Series(values, dtype=pl.Float64).to_frame())[0].dtype
        for name, values in NUMBERS.items()
    }
    assert [name for name, dtype in sizes.items() if dtype == pl.Int8] == ["digits", "bytes", "gaps"]
    assert [name for name, dtype in sizes.items() if dtype == pl.Int16] == ["beyond a byte", "two bytes"]
    assert [name for name, dtype in sizes.items() if dtype == pl.Int32] == ["four bytes", "wide gaps"]


def test_a_table_of_chunks_is_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {**{f"w {name}": values for name, values in WORDS.items()}, **NUMBERS}
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
    monkeypatch.setattr(delimited, "CHUNK_BYTES", 3_000)

    table = read_data(tmp_path / "t.csv").table

    for name, values in WORDS.items():
        assert table[f"w {name}"].tolist() == [value.strip() or None for value in values]
    for name, numbers in NUMBERS.items():
        if name != "nothing":
            np.testing.assert_array_equal(table[name].astype(float), np.array(numbers, float))


MEASURE = """
import sys
import numpy as np
import typednn.data.reading as reading
import polars
from pathlib import Path
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
Path("small.csv").write_text("x,y\\n1,2\\n2,a\\n")
reading.read_data(Path("small.csv"))
before = peak()
reading.read_data(Path(sys.argv[1]))
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("fields", ["0123456789", "abcdefghij"])
def test_files_of_two_bytes_a_field_take_little_memory(tmp_path: Path, fields: str) -> None:
    letters = np.array(list(fields), "S1")
    text = np.full((800_000, 2 * 20), b",", "S1")
    text[:, ::2] = np.random.default_rng(0).choice(letters, (800_000, 20))
    text[:, -1] = b"\n"
    (tmp_path / "t.csv").write_bytes(text.tobytes())

    command = [sys.executable, "-c", MEASURE, str(tmp_path / "t.csv")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)

    overhead = 110_000_000  # chunks that are read, and what polars keeps for its threads
    assert 0 < int(done.stdout) < {"0": 1.5, "a": 4.3}[fields[0]] * text.size + overhead
