"""Delimited text that is longer than a chunk, compared with what Python's csv module reads."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from typednn import FileFormatError
from typednn.data.readers import delimited, dialects, packing
from typednn.data.readers.dialects import Dialect
from typednn.data.reading import Data, read_data

ROWS = 120
CHUNKS = (16, 17, 18, 19, 31, 64, 2**22)


def lines(*, broken: bool = True, gap: str = "") -> str:
    """Numbers, text with commas and line ends in quotes, a last column with gaps."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["number", "text", "y"])
    for k in range(ROWS):
        text = f'a, "b"\n{k % 7}' if broken and k % 3 == 0 else f"plain {k % 7}"
        writer.writerow([f"{k / 8:.3f}", text, gap if k % 5 == 2 else k % 4])
    return file.getvalue()


def read(folder: Path, text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> Data:
    monkeypatch.setattr(delimited, "CHUNK_BYTES", size)
    monkeypatch.setattr(delimited, "CHUNK_RECORDS", 5)
    monkeypatch.setattr(dialects, "SAMPLE_RECORDS", 10)
    path = folder / "data.csv"
    path.write_bytes(text.encode())
    return read_data(path, dialect=Dialect(delimiter=",", header=True))


@pytest.mark.parametrize("size", CHUNKS)
@pytest.mark.parametrize("broken", [True, False])
def test_a_record_may_lie_in_two_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, broken: bool
) -> None:
    text = lines(broken=broken)
    records = list(csv.reader(io.StringIO(text, newline="")))[1:]

    table = read(tmp_path, text, size, monkeypatch).table

    np.testing.assert_array_equal(table["number"], [float(record[0]) for record in records])
    assert table["text"].tolist() == [record[1] for record in records]
    assert table["y"].tolist() == [record[2] or None for record in records]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_line_of_names_may_be_longer_than_the_sample(tmp_path: Path, end: str) -> None:
    names = [f"{k}".rjust(200, "x") for k in range(2000)]
    path = tmp_path / "data.csv"
    path.write_bytes((",".join(names) + end + ",".join(map(str, range(2000))) + end).encode())
    assert path.stat().st_size > dialects.SAMPLE_BYTES

    table = read_data(path).table

    assert table.names == tuple(names)
    assert [column[0] for column in table.columns[:-1]] == list(range(1999))


@pytest.mark.parametrize("size", CHUNKS)
def test_a_column_may_turn_to_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(packing, "SOME_ROWS", 8)
    text = lines(broken=False).replace("14.000", "x").replace("12.000", "NA")

    table = read(tmp_path, text, size, monkeypatch).table

    expected = [f"{k / 8:.3f}" for k in range(ROWS)]
    expected[96], expected[112] = "NA", "x"
    assert table["number"].tolist() == expected


@pytest.mark.parametrize("size", CHUNKS)
def test_gaps_in_numbers_of_a_later_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    text = lines(broken=False, gap="NA").replace("14.000", "NA").replace("13.000", "")

    data = read(tmp_path, text, size, monkeypatch)

    expected = np.arange(ROWS) / 8
    expected[[104, 112]] = np.nan
    np.testing.assert_array_equal(data.table["number"], expected)
    assert data.table["y"].tolist()[:4] == ["0", "1", "NA", "3"]


@pytest.mark.parametrize("size", CHUNKS)
@pytest.mark.parametrize("wrong", ["1\n", "1,2\n", "1,2,3,4\n", '1,"2,3\n', '1,2"\n', "1,2,3\0,\n"])
def test_the_line_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, wrong: str
) -> None:
    text = lines()
    line = text.count("\n") + 1

    with pytest.raises(FileFormatError, match=f"line {line}: expected "):
        read(tmp_path, text + wrong, size, monkeypatch)


@pytest.mark.parametrize("size", CHUNKS)
def test_the_line_of_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    text = lines()
    reader = csv.reader(io.StringIO(text, newline=""))
    begins = [reader.line_num + 1 for _ in reader][:-1]

    table = read(tmp_path, text, size, monkeypatch).table

    assert [table.place(row) for row in range(0, ROWS, 7)] == [
        f"{table.source}, line {line}" for line in begins[0:ROWS:7]
    ]


@pytest.mark.parametrize("size", CHUNKS)
@pytest.mark.parametrize("numbers", [True, False])
def test_a_quoted_empty_value_is_a_record_in_every_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, numbers: bool
) -> None:
    rows = [f"{k / 8}" if numbers else f"word {k % 9}" for k in range(40)]
    rows[3] = rows[21] = ""
    text = "\n".join(["name", *(row or '""' for row in rows), ""])

    data = read(tmp_path, text, size, monkeypatch)

    wanted = [float(row or "nan") for row in rows] if numbers else [row or None for row in rows]
    np.testing.assert_array_equal(data.table["name"], np.array(wanted))
    assert data.table.line is not None
    assert data.table.line(39) == 41
    with pytest.raises(FileFormatError, match="line 5: expected 2 values, as in the first line, found 1"):
        read(tmp_path, 'name,y\n1,2\n3,4\n5,6\n""\n7,8\n', size, monkeypatch)


@pytest.mark.parametrize("size", CHUNKS)
def test_a_carriage_return_ends_a_line_in_every_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    text = "name,y\n" + "".join(f"{k},{k / 8}\n" for k in range(30))
    assert len(read(tmp_path, text.replace("9,1.125\n", "9,1.125\r"), size, monkeypatch).table["y"]) == 30
    with pytest.raises(FileFormatError, match="expected 2 values, as in the first line, found 1"):
        read(tmp_path, text.replace("9,1.125\n", "9\r,1.125\n"), size, monkeypatch)


@pytest.mark.parametrize("size", CHUNKS)
@pytest.mark.parametrize("ends", [("\r", "\n"), ("\n", "\r"), ("\r\n", "\r"), ("\r", "\r\n")])
def test_lines_that_end_by_carriage_returns_are_counted_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, ends: tuple[str, str]
) -> None:
    """Rows after names that end by a carriage return were skipped; lines were counted by line feeds alone."""
    pieces = ["sep=,", "name,y", *(f"{k},{k / 8}" for k in range(40))]
    text = "".join(piece + ends[k % 2] for k, piece in enumerate(pieces))

    table = read(tmp_path, text, size, monkeypatch).table

    assert table["name"].tolist() == list(range(40))
    assert [table.place(row) for row in (0, 1, 39)] == [f"{table.source}, line {k}" for k in (3, 4, 42)]
    with pytest.raises(FileFormatError, match="line 41: expected 2 values, as in the first line, found 1"):
        read(tmp_path, text.replace("38,4.75", "38"), size, monkeypatch)


@pytest.mark.parametrize("size", CHUNKS)
def test_numbers_turn_to_text_within_a_chunk_that_is_read_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    words = [*map(str, range(30)), "word", *map(str, range(9))]
    text = "x,y\n" + "".join(f'{word},"{k / 8}\r"\n' for k, word in enumerate(words))
    table = read(tmp_path, text, size, monkeypatch).table
    assert table["x"].tolist() == words
    assert table["y"].tolist() == [k / 8 for k in range(len(words))]


def test_lines_of_a_chunk_whose_quotes_do_not_match_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "MAX_LINE", 30_000)
    rest = '3,"' + "\n" * 1500 + '"\n'
    start = "a,b\n1,2\n" + "1,2\n" * 20

    assert len(read(tmp_path, f"{start}{rest}5,6\n", 64, monkeypatch).table) == 23
    with pytest.raises(FileFormatError, match=r"found one that does not end within 16 MiB$"):
        read(tmp_path, f"{start}{rest}{',' * 31_000}\n", 64, monkeypatch)


def test_lines_among_which_an_open_quote_is_closed_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "MAX_LINE", 1000)
    monkeypatch.setattr(delimited, "CHUNK_BYTES", 4)

    def chunks(lines: int) -> list[bytes | None]:
        return list(delimited._chunks(io.BytesIO(b'1,"a\n' + b"b" * 99 + b"\n" * lines + b'"\n'), "t.csv"))

    assert chunks(1) == [b'1,"a\n' + b"b" * 99 + b'\n"\n']
    assert chunks(900) == [b'1,"a\n' + b"b" * 99 + b"\n" * 900 + b'"\n']
    assert chunks(990) == [None]


def gap_words(late: str = "8") -> str:
    """Numbers with `NA`, numbers with exponents and `NA` of which a later one is given, and a class."""
    pairs = [("NA" if k % 5 == 1 else k / 4, "NA" if k % 7 == 2 else f"{k}e-05") for k in range(ROWS)]
    pairs[100] = ("", late)
    return "a,b,y\n" + "".join(f"{a},{b},0{k % 3}\n" for k, (a, b) in enumerate(pairs))


@pytest.mark.parametrize("size", CHUNKS)
def test_words_for_missing_numbers_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    table = read(tmp_path, gap_words(), size, monkeypatch).table

    a = np.array([np.nan if k % 5 == 1 or k == 100 else k / 4 for k in range(ROWS)])
    b = np.array([np.nan if k % 7 == 2 else k * 1e-5 for k in range(ROWS)])
    b[100] = 8
    np.testing.assert_array_equal(table["a"], a)
    np.testing.assert_allclose(table["b"].astype(float), b, rtol=1e-15)
    assert table["y"].tolist() == [f"0{k % 3}" for k in range(ROWS)]


@pytest.mark.parametrize("late", ["08", "+08", "-01.5", "x", "?"])
@pytest.mark.parametrize("size", CHUNKS)
def test_later_codes_make_text_of_numbers_with_missing_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, late: str
) -> None:
    table = read(tmp_path, gap_words(late), size, monkeypatch).table

    if late == "?":
        assert table["b"].dtype == np.float64
        assert np.isnan(table["b"][100])
    else:
        assert table["b"].tolist() == [
            late if k == 100 else "NA" if k % 7 == 2 else f"{k}e-05" for k in range(ROWS)
        ]
    assert table["a"].dtype == np.float64


def test_a_word_for_missing_numbers_is_known_after_the_first_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    as_numbers = packing.as_numbers

    def counted(words: Any, as_text: bool) -> Any | None:
        calls.append(len(words))
        return as_numbers(words, as_text)

    monkeypatch.setattr(delimited, "as_numbers", counted)
    text = gap_words()
    for k in range(3):  # codes among the classes are not told from codes among numbers
        text = text.replace(f",0{k}\n", f",c{k}\n")

    read(tmp_path, text, 256, monkeypatch)

    assert len(calls) == 2
    assert sum(calls) < ROWS
