"""Tables larger than memory, compared with what is read of the same files at once."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.typednn.data.made_tables import Columns, as_csv, california_like, titanic_like
from typednn import DataError, SettingError
from typednn.cli.output import headline
from typednn.cli.settings import ClassWeightName, Settings
from typednn.cli.train import fit, prepare, train
from typednn.data import large_tables
from typednn.data.columns import written_in
from typednn.data.readers import arrow_files, delimited
from typednn.data.readers.opening import open_source
from typednn.data.reading import Data, read_data
from typednn.formats import temporary
from typednn.formats.temporary import TemporaryCopy

pl = pytest.importorskip("polars")

TABLES = {
    "titanic": (titanic_like, "Survived"),
    "california": (california_like, "median_house_value"),
    "two targets": (california_like, "population,median_house_value"),
}


def written(folder: Path, columns: Columns, kind: str) -> Path:
    path = folder / f"table.{kind}"
    if kind == "csv":
        path.write_text(as_csv(columns), encoding="utf-8")
    else:
        frame = pl.DataFrame(columns)
        write: Callable[[Path], object] = frame.write_parquet if kind == "parquet" else frame.write_ipc
        write(path)
    return path


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", content)
    return file.getvalue()


def utf_16(content: bytes) -> bytes:
    return content.decode().encode("utf-16")


def with_old_line_ends(content: bytes) -> bytes:
    return content.replace(b"\n", b"\r")


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets files be larger than memory, and chunks small."""
    monkeypatch.setattr(large_tables, "available_memory", lambda: 30_000)
    monkeypatch.setattr(large_tables, "MIN_SAMPLE_ROWS", 200)
    monkeypatch.setattr(delimited, "CHUNK_BYTES", 5_000)
    monkeypatch.setattr(arrow_files, "CHUNK_VALUES", 1_000)


def both(path: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Data, Data]:
    sample = read_data(path, target=target)
    with monkeypatch.context() as context:
        context.setattr(large_tables, "available_memory", lambda: 10**12)
        return sample, read_data(path, target=target)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow"])
@pytest.mark.parametrize("table", TABLES)
def test_features_are_those_of_the_file_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, kind: str
) -> None:
    make, target = TABLES[table]
    path = written(tmp_path, make(), kind)

    sample, at_once = both(path, target, monkeypatch)

    whole = sample.whole
    assert whole is not None
    assert at_once.whole is None
    assert whole.count == len(at_once.table)
    assert 200 <= len(sample.table) <= 420
    for name in sample.table.names:
        expected = at_once.table[name][whole.rows]
        assert written_in(sample.table[name]) == written_in(expected)
    prepared = prepare(sample, Settings())
    rows = np.arange(0, len(prepared), 2)
    model, _ = fit(prepared, Settings(epochs=1, patience=0), rows)
    without = rows[::3]
    others = np.delete(np.arange(whole.count), whole.rows[without])
    with whole.features(model.preprocessing, without) as (x, y):
        np.testing.assert_array_equal(x, model.inputs(at_once.table.rows(others)))
        columns = [at_once.table[name][others] for name in at_once.targets]
        expected = model.targets(columns[0] if len(columns) == 1 else np.stack(columns, axis=1))
        np.testing.assert_array_equal(y, expected)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("table", TABLES)
def test_a_training_uses_all_rows_but_the_held_out_ones(tmp_path: Path, table: str) -> None:
    make, target = TABLES[table]
    data = read_data(written(tmp_path, make(), "csv"), target=target)

    weights: ClassWeightName = "balanced" if table == "titanic" else "none"
    training = train(data, Settings(target=target, epochs=30, class_weight=weights))

    assert data.whole is not None
    assert training.model.training["samples"] == data.whole.count - len(training.held_out)
    assert any("is larger than memory" in note for note in training.notes)
    name = "accuracy" if table == "titanic" else "R2"
    assert headline(training.measures)[name] > headline(training.baseline)[name] + 0.05


@pytest.mark.usefixtures("little_memory")
def test_words_like_numbers_in_a_chunk_and_lines_of_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"{'abc'[k % 3] if k < 4000 else '1.50'},{k % 7},{k % 2}\n" for k in range(8_000))
    (tmp_path / "codes.csv").write_text(f"code,x,y\n{rows}", encoding="utf-8")

    sample, at_once = both(tmp_path / "codes.csv", "y", monkeypatch)

    assert sample.whole is not None
    assert [sample.table.place(k) for k in (0, 100)] == [
        f"{sample.table.source}, line {row + 2}" for row in sample.whole.rows[[0, 100]]
    ]
    prepared = prepare(sample, Settings())
    model, _ = fit(prepared, Settings(epochs=1, patience=0), np.arange(len(prepared)))
    with sample.whole.features(model.preprocessing, np.arange(0)) as (x, _):
        np.testing.assert_array_equal(x, model.inputs(at_once.table))


@pytest.mark.usefixtures("little_memory")
def test_each_class_is_in_the_sample(tmp_path: Path) -> None:
    rows = "".join(f"{k},{'rare' if k == 4321 else 'usual'}\n" for k in range(9_000))
    (tmp_path / "rare.csv").write_text(f"x,y\n{rows}", encoding="utf-8")

    sample = read_data(tmp_path / "rare.csv")

    assert sample.whole is not None
    assert 4321 in sample.whole.rows
    assert len(sample.table) < 1_000
    assert np.abs(np.mean(sample.whole.rows) - 4500) < 600


@pytest.mark.usefixtures("little_memory")
def test_a_value_that_does_not_fit_beyond_the_sample(tmp_path: Path) -> None:
    lines = [f"{k},{k % 2}" for k in range(9_000)]
    for row in range(7_000, 7_010):
        lines[row] = f"{row}x,1"
    path = tmp_path / "data.csv"
    path.write_text("x,y\n" + "\n".join(lines) + "\n", encoding="utf-8")
    data = read_data(path)
    assert data.whole is not None
    kept = np.flatnonzero((data.whole.rows < 7_000) | (data.whole.rows >= 7_010))
    table = data.table.rows(kept)
    numbers = table["x"].astype(np.float64)
    prepared = prepare(Data(type(table)(table.names, (numbers, table["y"])), data.targets), Settings())
    model, _ = fit(prepared, Settings(epochs=1, patience=0), np.arange(len(prepared)))

    with (
        pytest.raises(DataError, match=r"line 7002: column 'x': expected a number, found '7000x'"),
        data.whole.features(model.preprocessing, np.arange(0)),
    ):
        pass


@pytest.mark.parametrize("pack", [gzip.compress, zipped, utf_16, with_old_line_ends])
def test_what_is_packed_or_encoded_is_sampled_from_a_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    plain, packed = written(tmp_path, titanic_like(), "csv"), tmp_path / "packed"
    packed.write_bytes(pack(plain.read_bytes()))
    at_once = read_data(packed)
    assert at_once.whole is None
    monkeypatch.setattr(temporary, "available_memory", lambda: 30_000)
    monkeypatch.setattr(large_tables, "available_memory", lambda: 30_000)
    monkeypatch.setattr(large_tables, "MIN_SAMPLE_ROWS", 200)

    sample = read_data(packed)

    assert list((tmp_path / "temporary").iterdir()) == [], "a file with a name would be left by kill -9"
    if pack in {gzip.compress, zipped}:
        assert isinstance(open_source(packed).content, TemporaryCopy)
    assert sample.whole is not None
    assert sample.whole.count == len(at_once.table)
    for name in sample.table.names:
        expected = at_once.table[name][sample.whole.rows]
        assert written_in(sample.table[name]) == written_in(expected)
    assert sample.table.place(3) == at_once.table.place(int(sample.whole.rows[3]))


def test_what_fits_into_memory_is_not_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, titanic_like(), "csv")
    monkeypatch.setattr(large_tables, "available_memory", lambda: 1)
    assert read_data(path).whole is not None
    monkeypatch.setattr(large_tables, "available_memory", lambda: None)
    assert read_data(path).whole is None


@pytest.mark.usefixtures("little_memory")
def test_features_need_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = read_data(written(tmp_path, california_like(), "csv"))
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)

    def disk_usage(_: str) -> object:
        return usage

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)

    with pytest.raises(SettingError, match=r"expected 0\.\d GB of room .* TMPDIR names another folder"):
        train(data, Settings(epochs=1))


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("change", ["fewer", "more"])
def test_a_file_that_changes_between_its_readings(tmp_path: Path, change: str) -> None:
    path = written(tmp_path, california_like(), "csv")
    data = read_data(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-9] if change == "fewer" else [*lines, lines[-1]]))

    with pytest.raises(DataError, match=r"expected [\d,]+ rows, as when it was read first, found [\d,]+"):
        train(data, Settings(epochs=1))


@pytest.mark.usefixtures("little_memory")
@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_room_that_ends_while_features_are_written(tmp_path: Path) -> None:
    import resource
    import signal

    data = read_data(written(tmp_path, california_like(), "csv"))
    limits, before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(SettingError, match="expected room for a temporary file in"):
            train(data, Settings(epochs=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
