"""predict and evaluate, of tables that are read a chunk at a time."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.typednn.data.made_tables import as_csv, california_like, titanic_like
from typednn import Model, load, use_backend
from typednn.cli.main import main
from typednn.cli.measures import measure
from typednn.cli.tables import predictions
from typednn.data import large_tables
from typednn.data import table as tables
from typednn.data.preprocessing import Preprocessing
from typednn.data.readers import arrow_files, delimited
from typednn.data.reading import read_data
from typednn.data.table import Table
from typednn.formats import temporary

pl = pytest.importorskip("polars")

TABLES = {
    "titanic": (titanic_like(), "Survived"),
    "california": (california_like(2000), "median_house_value"),
    "two targets": (california_like(2000), "population,median_house_value"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Each test runs in a folder of its own, on the NumPy path."""
    monkeypatch.chdir(tmp_path)
    with use_backend("numpy"):
        yield tmp_path


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "CHUNK_BYTES", 5_000)
    for module in (arrow_files, tables):
        monkeypatch.setattr(module, "CHUNK_VALUES", 1_000)


def trained(name: str, epochs: str = "3") -> tuple[Model, Any]:
    """Trains with a table, which is left in table.csv and table.parquet."""
    columns, target = TABLES[name]
    Path("table.csv").write_text(as_csv(columns), encoding="utf-8")
    pl.DataFrame(columns).write_parquet("table.parquet")
    assert main(["train", "table.csv", "--target", target, "--epochs", epochs]) == 0
    model = load("model.safetensors", Model)
    return model, read_data(Path("table.csv"), target=target)


def assert_alike(found: list[list[str]], expected: list[list[str]]) -> None:
    """Compares rows below names; NumPy's products of more rows may differ in the last bits."""
    assert found[0] == expected[0]
    for each, other in zip(zip(*found[1:], strict=True), zip(*expected[1:], strict=True), strict=True):
        np.testing.assert_allclose(np.array(each, float), np.array(other, float), rtol=1e-5, atol=1e-4)


def flat(value: dict[str, Any] | list[Any], name: str = "") -> dict[str, float]:
    """Returns all numbers of JSON by where they stand."""
    pairs: Any = value.items() if isinstance(value, dict) else enumerate(value)
    found: dict[str, float] = {}
    for key, part in pairs:
        place = f"{name}/{key}"
        found |= flat(part, place) if type(part) in {dict, list} else {place: part}
    return found


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("table", TABLES)
def test_predictions_in_chunks_are_those_of_the_whole_table(
    table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = trained(table)
    expected = list(predictions(model, data.table))
    capsys.readouterr()

    for file in ("table.csv", "table.parquet"):
        assert main(["predict", "model.safetensors", file]) == 0
        assert_alike(list(csv.reader(io.StringIO(capsys.readouterr().out))), expected)
    assert main(["predict", "model.safetensors", "table.csv", "--json", "-o", "rows.json"]) == 0

    rows = [json.loads(line) for line in Path("rows.json").read_text(encoding="utf-8").splitlines()]
    assert_alike([list(rows[0]), *([str(each) for each in row.values()] for row in rows)], expected)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("table", TABLES)
def test_measures_of_a_table_larger_than_memory_are_those_of_all_rows(
    table: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = trained(table)
    expected = measure(model, [data.table], data.targets).as_json()
    monkeypatch.setattr(large_tables, "available_memory", lambda: 30_000)
    monkeypatch.setattr(large_tables, "MIN_SAMPLE_ROWS", 200)
    capsys.readouterr()

    for file in ("table.csv", "table.parquet"):
        assert main(["evaluate", "model.safetensors", file, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert flat(found) == pytest.approx(flat(expected), rel=1e-3)
    assert main(["evaluate", "model.safetensors", "table.csv", "--report", "report.html"]) == 0

    count = f"{len(data.table):,} samples"
    assert count in capsys.readouterr().out
    assert count in Path("report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("name", ["d.npz", "packed.npz", "d-images.idx", "d-images.idx.gz", "d.npy"])
def test_arrays_larger_than_memory_are_read_in_chunks(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).integers(0, 256, (700, 3, 4), np.uint8)
    y = x.reshape(700, 12).argmax(axis=1).astype(np.uint8) // 6
    np.savez("d.npz", x=x, y=y)
    np.savez_compressed("packed.npz", x=x, y=np.asfortranarray(y))
    np.save("d.npy", np.concatenate([x.reshape(700, 12), y.reshape(-1, 1)], axis=1).T.copy().T)
    Path("d-images.idx").write_bytes(bytes([0, 0, 8, 3, 0, 0, 2, 188, 0, 0, 0, 3, 0, 0, 0, 4]) + x.tobytes())
    Path("d-images.idx.gz").write_bytes(gzip.compress(Path("d-images.idx").read_bytes()))
    Path("d-labels.idx").write_bytes(bytes([0, 0, 8, 1, 0, 0, 2, 188]) + y.tobytes())
    assert main(["train", name, "--epochs", "1"]) == 0
    model, data = load("model.safetensors", Model), read_data(Path(name))
    expected = list(predictions(model, data.table))
    measures = measure(model, [data.table], data.targets).as_json()
    sizes = list[int]()
    applied = Preprocessing.apply

    def apply(self: Preprocessing, rows: Table, *arguments: Any) -> Any:
        sizes.append(len(rows))
        return applied(self, rows, *arguments)

    monkeypatch.setattr(Preprocessing, "apply", apply)
    monkeypatch.setattr(temporary, "available_memory", lambda: 80)
    capsys.readouterr()

    assert main(["predict", "model.safetensors", name]) == 0
    assert_alike(list(csv.reader(io.StringIO(capsys.readouterr().out))), expected)
    assert main(["evaluate", "model.safetensors", name, "--json"]) == 0
    assert flat(json.loads(capsys.readouterr().out)) == pytest.approx(flat(measures), rel=1e-3)
    assert sum(sizes) == 2 * 700
    assert max(sizes) <= 83


@pytest.mark.usefixtures("small_chunks")
def test_columns_that_are_kept_are_as_they_were_written(capsys: pytest.CaptureFixture[str]) -> None:
    written = [("02134", "1.50", "?"), ("1e3", "-0", ""), ("7", "2,5", "ü")] * 300
    rows = [
        f'{zip_code},{k % 7}.50,"{size}",{note},{"ab"[k % 2]}\n'
        for k, (zip_code, size, note) in enumerate(written)
    ]
    Path("t.csv").write_text(f"zip,x,size,note,y\n{''.join(rows)}", encoding="utf-8")
    assert main(["train", "t.csv", "--epochs", "1", "--features", "x"]) == 0
    capsys.readouterr()

    assert main(["predict", "model.safetensors", "t.csv", "--keep", "zip,size,note,x"]) == 0

    found = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert found[0][:4] == ["zip", "size", "note", "x"]
    assert [tuple(row[:3]) for row in found[1:]] == written
    assert [row[3] for row in found[1:]] == [f"{k % 7}.50" for k in range(len(written))]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("output", [None, "out.csv"])
def test_a_wrong_value_in_a_late_row_leaves_nothing_written(
    output: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("california")
    lines = Path("table.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    lines[1500] = lines[1500].replace(",", "x,", 1)
    Path("wrong.csv").write_text("".join(lines), encoding="utf-8")
    frame = pl.read_csv("table.csv", infer_schema_length=None)
    latitudes = np.array(frame["latitude"].to_list())
    latitudes[1499] = np.inf
    frame.with_columns(latitude=latitudes).write_parquet("wrong.parquet")
    if output is not None:
        Path(output).write_text("before", encoding="utf-8")
    capsys.readouterr()

    for file, message in (
        ("wrong.csv", "wrong.csv, line 1501: column 'longitude': expected a number, found '-"),
        ("wrong.parquet", "wrong.parquet, row 1500: column 'latitude': expected a finite number, found inf"),
    ):
        arguments = ["predict", "model.safetensors", file, *([] if output is None else ["-o", output])]
        assert main(arguments) == 2
        said = capsys.readouterr()
        assert message in said.err
        assert said.out == ""
    if output is not None:
        assert Path(output).read_text(encoding="utf-8") == "before"


def test_letters_of_several_bytes_where_the_predictions_are_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typednn.cli.tables.SPOOLED_BYTES", 7)
    rows = "".join(f"{k % 5},{'äöü€'[k % 4]}\n" for k in range(60))
    Path("t.csv").write_text(f"x,y\n{rows}", encoding="utf-8")
    assert main(["train", "t.csv", "--epochs", "1"]) == 0
    capsys.readouterr()

    assert main(["predict", "model.safetensors", "t.csv", "--keep", "y"]) == 0

    found = capsys.readouterr().out.splitlines()
    assert [line[0] for line in found[1:]] == ["äöü€"[k % 4] for k in range(60)]

    monkeypatch.setattr(tempfile, "tempdir", "no folder")
    assert main(["predict", "model.safetensors", "t.csv"]) == 2
    out, errors = capsys.readouterr()
    assert (out, errors.partition(",")[0]) == ("", "typednn: expected room for a temporary file in no folder")
