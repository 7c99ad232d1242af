"""The transforms of columns, against formulas written out; what each column is taken for."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from typednn import ArrayTypeError, DataError, ShapeError, UnknownNameError
from typednn.data.columns import (
    BooleanColumn,
    CategoryColumn,
    ColumnTransform,
    DateColumn,
    NumberColumn,
    date_of,
    fit_categories,
    fit_dates,
    fit_numbers,
    number_of,
)
from typednn.data.inspection import choose_features
from typednn.data.preprocessing import Preprocessing
from typednn.data.table import Table, as_column, table_of
from typednn.data.targets import Classes, Scale

NUMBERS = Scale(np.zeros(1), np.ones(1))


def column(values: Any) -> Any:
    return as_column(values, "c", "data")


def place(row: int) -> str:
    return f"data, row {row + 1}"


def applied(transform: ColumnTransform, values: Any) -> Any:
    out = np.full((len(values), len(transform.features)), 99.0)
    transform.apply(column(values), out, place)
    return out


def chosen(columns: dict[str, Any], **options: Any) -> tuple[dict[str, ColumnTransform], tuple[str, ...]]:
    table = table_of(columns)
    choice = choose_features(table, table.names, np.arange(len(table)), **options)
    return {each.name: each for each in choice.transforms}, choice.notes


def test_numbers_are_standardised_and_gaps_filled_with_the_median() -> None:
    values = np.array([1.0, np.nan, 3.0, 8.0])
    filled = np.array([1.0, 3.0, 3.0, 8.0])

    transform = fit_numbers("c", values, place)

    assert transform.features == ("c", "c is missing")
    np.testing.assert_allclose(applied(transform, values)[:, 0], (filled - filled.mean()) / filled.std())
    np.testing.assert_array_equal(applied(transform, values)[:, 1], [0, 1, 0, 0])
    np.testing.assert_allclose(
        applied(transform, ["?", "NA", " 3 ", "8"])[:2], applied(transform, values)[[1, 1]]
    )


def test_numbers_without_gaps_have_one_feature_and_take_gaps_later() -> None:
    transform = fit_numbers("c", np.array([1.0, 3.0]), place)

    assert transform == NumberColumn("c", 2.0, 1.0, 2.0)
    np.testing.assert_array_equal(applied(transform, [1.0, None, 3]), [[-1], [0], [1]])


@pytest.mark.parametrize("dtype", ["u1", "i8", "?", "f4", "f8"])
def test_numbers_of_every_dtype(dtype: str) -> None:
    values = np.array([0, 1, 1, 1], dtype)

    found = applied(fit_numbers("c", values, place), values)

    np.testing.assert_allclose(found[:, 0], [-math.sqrt(3), *[math.sqrt(1 / 3)] * 3])


def test_what_is_no_number_is_said() -> None:
    transform = NumberColumn("c", 0.0, 1.0)
    for values, message in (
        (["1", "Paris"], "data, row 2: column 'c': expected a number, found 'Paris'; correct it, .*--drop"),
        (["1", "1_000"], "found '1_000'"),
        (["1", "\x1c3"], "row 2: column 'c': expected a number"),
        (["1e999"], "row 1: column 'c': expected a finite number, found inf"),
        ([1.0, -np.inf], "row 2: column 'c': expected a finite number, found -inf"),
        (np.array(["2024-01-01"], "M8[D]"), "expected a number, found the date"),
    ):
        with pytest.raises(DataError, match=message):
            applied(transform, values)
    with pytest.raises(DataError, match="column 'c': the numbers are too large"):
        fit_numbers("c", np.array([1e308, -1e308, 1e308]), place)


def test_categories_are_one_hot_as_in_scikit_learn() -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing", reason="scikit-learn is not installed")
    words = np.random.default_rng(0).choice(["x", "y", "z"], 60).tolist()

    transform = fit_categories("c", column(words))

    expected = preprocessing.OneHotEncoder().fit_transform(np.array(words).reshape(-1, 1)).toarray()
    np.testing.assert_array_equal(applied(transform, words), expected)
    assert transform.features == ("c = x", "c = y", "c = z")


def test_rare_categories_are_grouped_and_unknown_ones_with_them() -> None:
    words = ["a"] * 50 + ["b"] * 30 + ["c", "d"]

    transform = fit_categories("c", column(words))

    assert transform == CategoryColumn("c", ("a", "b"), True)
    np.testing.assert_array_equal(
        applied(transform, ["a", "b", "c", "new"]), [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    )
    assert len(fit_categories("c", column([f"w{k % 200}" for k in range(4000)])).features) == 65


def test_unknown_categories_without_rare_ones_are_0() -> None:
    np.testing.assert_array_equal(applied(CategoryColumn("c", ("a", "b")), ["new", "b"]), [[0, 0], [0, 1]])


def test_missing_categories_count_as_the_most_frequent_with_an_indicator() -> None:
    transform = fit_categories("c", column(["b"] * 7 + ["a"] * 6 + [None, "?"]))

    assert transform == CategoryColumn("c", ("a", "b"), False, 1, True)
    np.testing.assert_array_equal(applied(transform, ["a", None, "NA"]), [[1, 0, 0], [0, 1, 1], [0, 1, 1]])


def test_numbers_may_be_categories() -> None:
    np.testing.assert_array_equal(
        applied(CategoryColumn("c", ("1", "2")), [2.0, 1.0, np.nan]), [[0, 1], [1, 0], [1, 0]]
    )


def test_booleans() -> None:
    transforms, _ = chosen({"c": ["Yes", "no", None, "YES"] * 3, "d": [True, False, True, True] * 3})

    assert transforms["c"] == BooleanColumn("c", ("no", "yes"), True, True)
    np.testing.assert_array_equal(applied(transforms["c"], ["no", "YES", None]), [[-1, 0], [1, 0], [1, 1]])
    np.testing.assert_array_equal(applied(transforms["d"], [True, False]), [[1], [-1]])
    with pytest.raises(DataError, match="row 2: column 'c': expected 'no' or 'yes', found 'perhaps'"):
        applied(transforms["c"], ["no", "perhaps"])


def test_dates_become_days_and_parts() -> None:
    words = ["2024-01-01", "2024-07-04 12:00", "2023-12-31"]
    days = np.array([datetime.fromisoformat(word).timestamp() for word in words]) / 86400
    days += (datetime(1970, 1, 2) - datetime.fromtimestamp(86400)).total_seconds() / 86400  # noqa: DTZ001, DTZ006

    transform = fit_dates("c", column(words), place)

    found = applied(transform, words)
    np.testing.assert_allclose(found[:, 0], (days - days.mean()) / days.std(), atol=1e-9)
    month = 2 * np.pi * np.array([0, 6, 11]) / 12
    weekday = 2 * np.pi * np.array([0, 3, 6]) / 7  # Monday, Thursday, Sunday
    hour = 2 * np.pi * np.array([0, 0.5, 0])
    turns = [turn(angle) for angle in (month, weekday, hour) for turn in (np.sin, np.cos)]
    np.testing.assert_allclose(found[:, 1:], np.stack(turns, axis=1), atol=1e-9)
    assert len(transform.features) == 7
    assert len(fit_dates("c", column(words[:1]), place).features) == 5


@pytest.mark.parametrize(
    "word", ["2024-01-31", "2024/01/31", "31.01.2024", "01/31/2024", "31/01/2024", "2024-01-31T00:00:00Z"]
)
def test_forms_of_dates(word: str) -> None:
    assert date_of(word) == np.datetime64("2024-01-31", "us")


@pytest.mark.parametrize("word", ["2024-13-01", "13:30", "today", "20240131", "1.5", "12345678"])
def test_what_is_no_date(word: str) -> None:
    assert date_of(word) is None
    with pytest.raises(DataError, match="row 1: column 'c': expected a date, found"):
        applied(DateColumn("c", 0.0, 1.0), [word])


@pytest.mark.parametrize(
    ("word", "number"), [("1e3", 1000.0), ("-.5", -0.5), ("1_0", None), ("0x1", None), ("١", 1.0)]
)
def test_words_that_are_numbers(word: str, number: float | None) -> None:
    assert number_of(word) == number


def test_columns_that_tell_nothing_are_left_out_and_said() -> None:
    count = 40
    transforms, notes = chosen(
        {
            "PassengerId": list(range(1, count + 1)),
            "Unnamed: 0": list(range(count)),
            "user_id": np.random.default_rng(0).permutation(count * 9)[:count].tolist(),
            "always": [3.0] * count,
            "word": ["x"] * count,
            "nothing": [None] * count,
            "name": [f"No {k}" for k in range(count)],
            "time": list(range(count)),
            "valid": [k % 7 for k in range(count)],
        }
    )

    assert list(transforms) == ["time", "valid"]
    assert [note.split(": ", 1 + ("Unnamed" in note))[-1] for note in notes] == [
        *["it numbers the rows"] * 3,
        *("it is always 3", "it is always 'x'", "it has no values"),
        "its text differs in most rows (40 of 40), as names and keys do",
    ]
    transforms, notes = chosen({"id": [1, 2, 3], "b": [1, 2, 4]}, explicit=("id",))
    assert (list(transforms), notes) == (["id", "b"], ())
    with pytest.raises(
        DataError, match="expected columns of features beside the target, found none; column 'a' is"
    ):
        chosen({"a": [1, 1]})


def test_kinds_of_text() -> None:
    transforms, _ = chosen(
        {
            "zip": ["02134", "10115", "10117", "02134"] * 5,
            "day": ["2024-01-01", "2024-02-01", None, "2024-02-03"] * 5,
            "number": ["1", "2.5", "?", "4"] * 5,
            "word": ["a", "b", "a", "1"] * 5,
        }
    )

    assert [each.kind for each in transforms.values()] == ["category", "date", "number", "category"]


def test_a_misprint_among_numbers_is_no_category() -> None:
    with pytest.raises(
        DataError, match=r"row 31: column 'a': expected a number, as in most rows, found '1o'"
    ):
        chosen({"a": [str(k) for k in range(30)] + ["1o"] + [str(k) for k in range(30)]})


def model_of(*names: str, columns: tuple[str, ...] = (), named: bool = True) -> Preprocessing:
    transforms = tuple(NumberColumn(name, 0.0, 1.0) for name in names)
    return Preprocessing(transforms, NUMBERS, ("y",), columns, named)


def test_columns_are_found_by_name_and_others_passed_over() -> None:
    known = model_of("a", "b")

    x = known.apply({"id": [7, 7], "b": [3, 4], "a": [1, 2]}, np.dtype(np.float32))

    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, [[1, 3], [2, 4]])
    with pytest.raises(ShapeError, match="found none named 'a'; its columns are 'b'"):
        known.apply({"b": [1]}, np.dtype(np.float32))


@pytest.mark.parametrize(("count", "places"), [(2, [0, 1]), (3, [1, 2]), (4, [1, 3])])
def test_columns_without_names_are_found_by_place(count: int, places: list[int]) -> None:
    """The features, or all columns of the training."""
    known = model_of("a", "b", columns=("id", "a", "y", "b"))
    x = np.arange(2.0 * count).reshape(2, count)

    np.testing.assert_array_equal(known.apply(x, np.dtype(np.float64)), x[:, places])
    with pytest.raises(ShapeError, match=r"expected 2 columns of features, or 3 or 4 with those .*, found 5"):
        known.apply(np.zeros((1, 5)), np.dtype(np.float64))


def test_long_tables_are_transformed_in_chunks() -> None:
    values: list[Any] = [float(k) for k in range(9000)]

    np.testing.assert_array_equal(model_of("a").apply({"a": values}, np.dtype(np.float64))[:, 0], values)
    with pytest.raises(DataError, match="the table, row 8500: column 'a'"):
        model_of("a").apply({"a": [*map(str, values[:8499]), "x"]}, np.dtype(np.float64))


def frames() -> list[Any]:
    columns = {"a": [1.5, None, 3.0], "b": ["x", None, "z"], "c": [True, False, True]}
    found: list[Any] = [columns]
    for module, make in (
        ("pandas", "DataFrame"),
        ("polars", "DataFrame"),
        ("pyarrow", "table"),
    ):
        library: Any = pytest.importorskip(module, reason=f"{module} is not installed")
        found.append(getattr(library, make)(columns))
    return found


def test_numbers_beyond_the_dtype_are_named() -> None:
    preprocessing = Preprocessing(
        (NumberColumn("a", 0.0, 1.0), NumberColumn("b", 0.0, 2.0)), Classes(("x", "y"))
    )
    data = {"a": np.zeros(3), "b": np.array([0.0, 1.0, 1e39])}
    message = r"row 3: 'b' is 5e\+38 deviations from the mean, which is beyond what float32 can hold"
    with pytest.raises(DataError, match=message):
        preprocessing.apply(data, np.dtype(np.float32))
    with pytest.raises(DataError, match=message):
        preprocessing.apply(data, np.dtype(np.float32), np.array([0, 2]))
    assert np.isfinite(preprocessing.apply(data, np.dtype(np.float64))).all()


def test_dataframes_of_all_kinds_are_tables() -> None:
    for frame in frames():
        table = table_of(frame)

        assert table.names == ("a", "b", "c")
        np.testing.assert_array_equal(table["a"], [1.5, np.nan, 3.0])
        assert table["b"].tolist() == ["x", None, "z"]
        assert table["c"].tolist() == [True, False, True]


def test_what_is_no_table() -> None:
    wrong: list[tuple[Any, type[Exception], str]] = [
        ([[1, 2]], ArrayTypeError, r"must be a DataFrame, .* not list; np.array\(...\) makes"),
        (np.ones(3), ShapeError, r"found \(3,\); .reshape\(1, -1\)"),
        ({"a": [1, 2], "b": [1]}, ShapeError, r"columns of one length, found the lengths \[1, 2\]"),
        ({"a": []}, DataError, "expected rows of values, found none"),
        (
            {"a": [object()]},
            ArrayTypeError,
            "column 'a': expected numbers, booleans, dates or text, found object",
        ),
        ({"a": [1j]}, ArrayTypeError, "found complex128"),
        (np.ma.masked_array(np.ones((2, 2))), ArrayTypeError, "masked"),
    ]
    for value, error, message in wrong:
        with pytest.raises(error, match=message):
            table_of(value)
    with pytest.raises(UnknownNameError, match="did you mean 'kind'"):
        Table(("kind", "b"), (np.ones(1), np.ones(1)))["knid"]
