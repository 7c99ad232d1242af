"""Data files written by hand: what is read, and the one sentence about whatever is wrong."""

from __future__ import annotations

import contextlib
import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from typednn import DataError, FileFormatError, SettingError, ShapeError, TypednnError, UnknownNameError
from typednn.data.readers.dialects import Dialect
from typednn.data.reading import Data, read_data, read_tables

PLAIN = "a,b,kind\n1,2.5,cat\n-3,4e2,dog\n"


def written(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def x_of(data: Data) -> Any:
    """The features, as a matrix."""
    return np.stack([data.table[name] for name in data.features], axis=1)


def y_of(data: Data) -> Any:
    """The first target."""
    return data.table[data.targets[0]]


def idx(array: Any, code: int = 0x08) -> bytes:
    """An IDX file, as MNIST's page describes it."""
    array = np.asarray(array)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + bytes(array.tobytes())


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zipped(**members: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


IMAGES = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
LABELS = np.array([7, 0, 7], np.uint8)

VARIANTS = {
    "plain": PLAIN.encode(),
    "no newline at the end": PLAIN[:-1].encode(),
    "Windows": PLAIN.replace("\n", "\r\n").encode(),
    "byte order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "quotes": b'"a","b","kind"\n"1","2.5","cat"\n"-3","4e2","dog"\n',
    "semicolons": PLAIN.replace(",", ";").encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "spaces and empty lines": b"\n a , b,kind\n\n 1 , 2.5 , cat\n\n-3,4e2,dog\n\n",
    "gzip": gzip.compress(PLAIN.encode()),
    "zip": zipped(table=PLAIN),
    "pipes": PLAIN.replace(",", "|").encode(),
    "spaces": b"a   b kind\n 1 2.5\tcat \n-3 4e2  dog\n",
    "a separator line": b"sep=;\n" + PLAIN.replace(",", ";").encode(),
    "decimal commas": b"a;b;kind\n1,0;2,5;cat\n-3,0;4e2;dog\n",
    "UTF-16": PLAIN.encode("utf-16"),
    "comments": b"# made by hand\na,b,kind\n1,2.5,cat\n# more\n-3,4e2,dog\n",
    "old Macs": PLAIN.replace("\n", "\r").encode(),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_csv(tmp_path: Path, variant: str) -> None:
    data = read_data(written(tmp_path, VARIANTS[variant]))

    np.testing.assert_array_equal(x_of(data), [[1, 2.5], [-3, 400]])
    assert y_of(data).tolist() == ["cat", "dog"]
    assert (data.features, data.targets, data.table.pixels) == (("a", "b"), ("kind",), False)


def test_csv_names_with_commas_and_umlauts(tmp_path: Path) -> None:
    data = read_data(written(tmp_path, '"Größe, in m","said ""x""\nby me",y\n1,2,3\n4,5,6.5\n'))

    assert data.features == ("Größe, in m", 'said "x"\nby me')
    assert y_of(data).tolist() == [3, 6.5]


def test_csv_target_by_name(tmp_path: Path) -> None:
    data = read_data(written(tmp_path, "y,a,b\n5,1,2\n6,3,4\n"), target="y")

    np.testing.assert_array_equal(x_of(data), [[1, 2], [3, 4]])
    assert y_of(data).tolist() == ["5", "6"]
    assert (data.features, data.targets) == (("a", "b"), ("y",))


def test_csv_of_numbers_needs_no_header(tmp_path: Path) -> None:
    data = read_data(written(tmp_path, "1,2,3\n4,5,6\n"))

    np.testing.assert_array_equal(x_of(data), [[1, 2], [4, 5]])
    assert y_of(data).tolist() == ["3", "6"]
    assert not data.table.named
    for target in ("column 1", "1", "-3"):
        assert y_of(read_data(written(tmp_path, "1,2,3\n4,5,6\n"), target=target)).tolist() == ["1", "4"]


def test_csv_columns_named_by_numbers(tmp_path: Path) -> None:
    data = read_data(written(tmp_path, "0,1,target\n5,6,7\n"))

    assert data.features == ("0", "1")
    np.testing.assert_array_equal(x_of(data), [[5, 6]])


def test_mixed_targets_are_text(tmp_path: Path) -> None:
    assert y_of(read_data(written(tmp_path, "a,y\n1,1\n2,2\n3,3+\n"))).tolist() == ["1", "2", "3+"]


def test_none_is_a_name_among_names(tmp_path: Path) -> None:
    assert y_of(read_data(written(tmp_path, "a,y\n1,none\n2,mild\n"))).tolist() == ["none", "mild"]


WRONG_CSV: dict[str, tuple[str | bytes, type[TypednnError], str]] = {
    "empty": ("", DataError, "empty file"),
    "empty lines": ("\n\n\n", DataError, "empty file"),
    "header alone": ("a,b\n", DataError, "expected lines of values below"),
    "short line": (
        "a,b\n1,2\n3\n",
        FileFormatError,
        "line 3: expected 2 values, as in the first line, found 1",
    ),
    "long line": (
        "a,b\n1,2\n\n3,4,5\n",
        FileFormatError,
        "line 4: expected 2 values, as in the first line, found 3",
    ),
    "after a line break in quotes": ('"a\nb",y\n1,2\n3\n', FileFormatError, "line 4: expected 2"),
    "short line of text": ("a b c\nd e\n".replace(" ", ";"), FileFormatError, "line 2: expected 3 values"),
    "a name twice": ("a,b,a\n1,2,3\n", FileFormatError, "found 'a' for the columns 1 and 3"),
    "open quotes": ('a,b\n1,"2\n3,4\n', FileFormatError, "quotes that do not match"),
    "text after quotes": ('a,b\n"1"x,2\n', FileFormatError, "line 2: .*quotes that do not match"),
    "overlong": (f"a,b\n{'1' * 200_000},\n", FileFormatError, "line 2: .*overlong"),
    "Latin 1": (b"gr\xfcn,b\n1,2\n", FileFormatError, "line 1: expected CSV in UTF-8, .*--encoding latin-1"),
    "Latin 1 later": (
        b"a,b\n" + b"1,2\n" * 99999 + b"1,gr\xfcn\n",
        FileFormatError,
        "expected CSV in UTF-8, found the byte 0xfc after line .*--encoding",
    ),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(99), FileFormatError, "expected CSV in UTF-8"),
    "gzip cut off": (gzip.compress(PLAIN.encode())[:-9], FileFormatError, "expected a complete gzip file"),
    "gzip damaged": (b"\x1f\x8b" + bytes(50), FileFormatError, "expected a complete gzip file"),
    "gzip without a line end": (
        gzip.compress(b"1" * (2**24 + 1)),
        FileFormatError,
        "expected lines of values, found none that ends within 16 MiB",
    ),
    "two files in an archive": (zipped(a="1", b="2"), FileFormatError, "found 2: a, b; unpack it"),
    "Parquet cut off": (b"PAR1" + bytes(40), FileFormatError, "expected a complete parquet file"),
    "Arrow cut off": (b"ARROW1" + bytes(40), FileFormatError, "expected a complete arrow file"),
    "Feather of version 1": (b"FEA1" + bytes(40), FileFormatError, "write_feather writes version 2"),
    "npy of objects": (npy(np.array([{}])), FileFormatError, "can run code"),
    "npy cut off": (npy(np.eye(3))[:-9], FileFormatError, "truncated or damaged"),
    "npy of rank 3": (npy(np.zeros((2, 2, 2))), ShapeError, r"found \(2, 2, 2\)"),
}


@pytest.mark.parametrize("name", WRONG_CSV)
def test_what_is_wrong_with_a_csv_is_said(tmp_path: Path, name: str) -> None:
    content, kind, message = WRONG_CSV[name]
    path = written(tmp_path, content)

    with pytest.raises(kind, match=message) as error:
        read_data(path)

    assert str(path) in str(error.value)


def test_an_unknown_column(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown column of .* 'knid': did you mean 'kind'"):
        read_data(written(tmp_path, PLAIN), target="knid")
    many = ",".join(f"pixel{k}" for k in range(784))
    with pytest.raises(UnknownNameError, match=r"pixel7, …, pixel776") as error:
        read_data(written(tmp_path, f"{many}\n"), target="label")
    assert len(str(error.value)) < 500


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="nothing: there is no such file"):
        read_data(tmp_path / "nothing")
    with pytest.raises(FileFormatError, match="is not a file"):
        read_data(tmp_path)


@pytest.mark.parametrize("dtype", ["f4", ">f8", "i2", "u1", "?"])
def test_npz(tmp_path: Path, dtype: str) -> None:
    x = np.asfortranarray(np.array([[1, 0, 1], [0, 1, 1]], dtype))

    data = read_data(written(tmp_path, npz(x=x, y=np.array([3, 4])), "data.npz"))

    np.testing.assert_array_equal(x_of(data), x)
    assert y_of(data).tolist() == [3.0, 4.0]
    assert (data.table.named, data.targets, data.table.pixels) == (False, ("y",), False)


def test_npz_compressed_with_images_and_names(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "data", x=IMAGES, y=np.array(["rot", "grün", "rot"]), z=np.zeros(1))

    data = read_data(tmp_path / "data.npz")

    np.testing.assert_array_equal(x_of(data), IMAGES.reshape(3, 8))
    assert data.table.pixels
    assert y_of(data).tolist() == ["rot", "grün", "rot"]


def test_npz_with_several_targets(tmp_path: Path) -> None:
    y = np.array([[1.0, 2.0], [3.0, 4.0]])

    data = read_data(written(tmp_path, npz(x=np.eye(2), y=y)))

    assert data.targets == ("y 1", "y 2")
    np.testing.assert_array_equal([data.table[name] for name in data.targets], y.T)
    assert read_data(written(tmp_path, npz(x=np.eye(2), y=y[:, :1]))).targets == ("y",)


class Dangerous:
    """Unpickling it would fail the test."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return pytest.fail, ("it was unpickled",)


def forged(shape: str, content: bytes = bytes(64)) -> bytes:
    """An .npz whose x says that it has another shape than it has bytes."""
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + content)
    return file.getvalue()


def bomb() -> bytes:
    """An .npz whose x is said to unpack to a thousand times what deflate can do."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"")
    return file.getvalue()


FINE = {"x": np.eye(2), "y": np.array([0, 1])}
OBJECTS = np.array([Dangerous(), 1], object)
DAMAGED = "found a truncated, damaged or foreign archive"

WRONG_NPZ: dict[str, tuple[bytes, type[TypednnError], str]] = {
    "no y": (npz(x=np.eye(2)), FileFormatError, "expected the arrays 'x' and 'y', found only 'x'"),
    "no x": (npz(arr_0=np.eye(2)), FileFormatError, "found 'arr_0'"),
    "nothing": (npz(), FileFormatError, "expected"),
    "objects in x": (npz(**FINE | {"x": OBJECTS}), FileFormatError, "numbers or text in 'x', found object"),
    "objects in y": (npz(**FINE | {"y": OBJECTS}), FileFormatError, "can run code"),
    "records": (npz(**FINE | {"x": np.zeros(2, "i4,f8")}), DataError, "expected numbers as features"),
    "complex": (npz(**FINE | {"x": np.eye(2) * 1j}), FileFormatError, "found complex128"),
    "text in x": (npz(**FINE | {"x": np.array([["a"], ["b"]])}), DataError, "numbers as features, found <U1"),
    "one dimension": (
        npz(**FINE | {"x": np.ones(2)}),
        ShapeError,
        r"\(n_samples, n_features\), found \(2,\)",
    ),
    "no samples": (npz(x=np.ones((0, 2)), y=np.ones(0)), ShapeError, r"found \(0, 2\)"),
    "other length": (npz(x=np.eye(3), y=np.ones(2)), ShapeError, "y has 2 targets for the 3 samples"),
    "y of rank 3": (npz(x=np.eye(2), y=np.ones((2, 1, 1))), ShapeError, r"of the shape \(2, 1, 1\)"),
    "cut off": (npz(**FINE)[:-30], FileFormatError, "truncated or damaged"),
    "cut off early": (npz(**FINE)[:60], FileFormatError, "truncated or damaged"),
    "bytes changed": (
        npz(**FINE).replace(b"\0\0\0\0\0\0\xf0?", b"\0\0\0\0\0\0\xf0@"),
        FileFormatError,
        DAMAGED,
    ),
    "no npy inside": (forged("(1,").replace(b"NUMPY", b"NUMBY"), FileFormatError, DAMAGED),
    "header that is no shape": (forged("(1,"), FileFormatError, DAMAGED),
    "more said than there": (forged("(9, 1)"), FileFormatError, "expected 200 bytes for 'x', found 192"),
    "exabytes said": (
        forged("(1000000000, 1000000000)"),
        FileFormatError,
        "fewer than 281474976710656 elements",
    ),
    "negative shape": (forged("(-1, -8)"), FileFormatError, DAMAGED),
    "empty member": (bomb(), FileFormatError, DAMAGED),
}


@pytest.mark.parametrize("name", WRONG_NPZ)
def test_what_is_wrong_with_an_npz_is_said(tmp_path: Path, name: str) -> None:
    content, kind, message = WRONG_NPZ[name]
    path = written(tmp_path, content, "data.npz")

    with pytest.raises(kind, match=message) as error:
        read_data(path)

    assert str(path) in str(error.value)


def test_every_truncated_npz_is_refused(tmp_path: Path) -> None:
    content = npz(**FINE)
    for length in range(4, len(content), 7):
        with pytest.raises(FileFormatError):
            read_data(written(tmp_path, content[:length]))


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-images.idx3-ubyte"])
@pytest.mark.parametrize("images_packed", [False, True])
@pytest.mark.parametrize("labels_packed", [False, True])
def test_mnist(tmp_path: Path, name: str, images_packed: bool, labels_packed: bool) -> None:
    beside = name.replace("images", "labels").replace("idx3", "idx1")
    for content, file, packed in ((idx(LABELS), beside, labels_packed), (idx(IMAGES), name, images_packed)):
        path = written(tmp_path, gzip.compress(content) if packed else content, file + ".gz" * packed)

    data = read_data(path)

    np.testing.assert_array_equal(x_of(data), IMAGES.reshape(3, 8))
    assert y_of(data).tolist() == [7, 0, 7]
    assert data.table.pixels


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(0x08, "u1"), (0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")],
)
def test_every_type_of_idx(tmp_path: Path, code: int, dtype: str) -> None:
    x = np.array([[1, 2], [100, 4]], dtype)
    path = written(tmp_path, idx(x, code), "x.idx")
    labels = written(tmp_path, idx(LABELS[:2]), "y.idx")

    data = read_data(path, labels=labels)

    np.testing.assert_array_equal(x_of(data), x)
    assert not data.table.pixels


GOOD = idx(IMAGES)
WRONG_IDX: dict[str, tuple[bytes, str]] = {
    "unknown type": (b"\0\0\x07" + GOOD[3:], "found 00 00 07 03"),
    "no dimension": (b"\0\0\x08\0", "found 00 00 08 00"),
    "200 dimensions": (b"\0\0\x08\xc8" + bytes(900), "found 00 00 08 c8"),
    "magic cut off": (b"\0\0", "found 00 00"),
    "sizes cut off": (GOOD[:9], "found fewer"),
    "numbers cut off": (GOOD[:-1], r"expected 24 bytes of numbers for the shape \(3, 2, 4\), found fewer"),
    "something follows": (GOOD + b"\0", "found more"),
    "exabytes said": (b"\0\0\x08\x03" + b"\xff" * 12, "found fewer"),
    "packed, exabytes said": (gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12), "found fewer"),
    "packed, cut off": (gzip.compress(GOOD)[:-10], "expected a complete gzip file"),
    "packed, numbers cut off": (gzip.compress(GOOD[:-1]), "found fewer"),
    "labels": (idx(LABELS), r"\(n_samples, n_features\), found \(3,\)"),
    "no samples": (idx(IMAGES[:0]), r"found \(0, 2, 4\)"),
}


@pytest.mark.parametrize("name", WRONG_IDX)
def test_what_is_wrong_with_an_idx_file_is_said(tmp_path: Path, name: str) -> None:
    content, message = WRONG_IDX[name]
    path = written(tmp_path, content, "images")
    written(tmp_path, idx(LABELS), "labels")

    with pytest.raises(TypednnError, match=message) as error:
        read_data(path)

    assert str(path) in str(error.value)


def test_labels_must_fit(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD, "images")
    with pytest.raises(FileFormatError, match=r"in labels or labels\.gz, found neither; --labels FILE"):
        read_data(path)
    with pytest.raises(FileFormatError, match="expected its labels beside it"):
        read_data(written(tmp_path, GOOD, "x.idx"))
    for labels, message in (
        (idx(LABELS[:2]), "labels has 2 targets for the 3 samples"),
        (GOOD, "expected one label for each image, found uint8 of shape"),
        (idx(np.ones(3, ">f4"), 0x0D), "found >f4"),
        (b"a,b\n1,2\n", "expected an IDX file, beginning with 00 00, type and rank, found 61 2c 62 0a"),
    ):
        written(tmp_path, labels, "labels")
        with pytest.raises(TypednnError, match=message):
            read_data(path)


def test_options_for_other_files(tmp_path: Path) -> None:
    table, archive = written(tmp_path, PLAIN), written(tmp_path, npz(**FINE), "x.npz")
    with pytest.raises(SettingError, match="labels in a file of their own go with IDX files; this is csv"):
        read_data(table, labels=archive)
    with pytest.raises(SettingError, match="a target column can be chosen in tables; this is npz"):
        read_data(archive, target="y")


def test_samples_of_npz_and_idx(tmp_path: Path) -> None:
    np.testing.assert_array_equal(next(read_tables(written(tmp_path, npz(x=np.eye(2))))).columns, np.eye(2))
    np.testing.assert_array_equal(next(read_tables(written(tmp_path, GOOD))).columns, IMAGES.reshape(3, 8).T)


@pytest.mark.parametrize("packed", [False, True])
def test_npy(tmp_path: Path, packed: bool) -> None:
    content = npy(np.array([[1.0, 2.0, 0.0], [3.0, 4.0, 1.0]]))

    data = read_data(written(tmp_path, gzip.compress(content) if packed else content))

    np.testing.assert_array_equal(x_of(data), [[1, 2], [3, 4]])
    assert (data.targets, y_of(data).tolist()) == (("column 3",), [0.0, 1.0])


def test_npy_with_named_fields(tmp_path: Path) -> None:
    rows = np.array([(1.5, "rot"), (2.5, "grün")], [("Größe", "f4"), ("Farbe", "U4")])

    data = read_data(written(tmp_path, npy(rows)))

    assert (data.features, y_of(data).tolist()) == (("Größe",), ["rot", "grün"])


@pytest.mark.parametrize("kind", ["parquet", "arrow", "arrow compressed"])
def test_parquet_and_arrow(tmp_path: Path, kind: str) -> None:
    from datetime import date

    pl = pytest.importorskip("polars", reason="polars is not installed")
    frame = pl.DataFrame(
        {
            "a": [1, None, 3],
            "b": ["x", None, "z"],
            "c": [True, False, None],
            "d": [date(2024, 1, 2), None, None],
        }
    ).with_columns(pl.col("b").cast(pl.Categorical).alias("e"))
    path = tmp_path / "table"
    if kind == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_ipc(path, compression="zstd" if kind == "arrow compressed" else "uncompressed")

    [table] = read_tables(path)

    assert table.names == ("a", "b", "c", "d", "e")
    np.testing.assert_array_equal(table["a"], [1, np.nan, 3])
    assert table["b"].tolist() == ["x", None, "z"]
    assert table["c"].tolist() == ["true", "false", None]
    assert table["e"].tolist() == ["x", None, "z"]
    assert str(table["d"].astype("datetime64[D]")[0]) == "2024-01-02"


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(PLAIN.encode()))))

    data = read_data(Path("-"))

    np.testing.assert_array_equal(x_of(data), [[1, 2.5], [-3, 400]])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(DataError, match="the standard input: expected a line of column names"):
        read_data(Path("-"))


DIALECTS: dict[str, tuple[str | bytes, Dialect]] = {
    "latin-1": (PLAIN.replace("cat", "grün").encode("latin-1"), Dialect(encoding="latin-1")),
    "cp1252 in capitals": (PLAIN.replace("cat", "grün").encode("cp1252"), Dialect(encoding="CP1252")),
    "delimiter": ("a,b:b:kind\n1:2.5:grün\n-3:4e2:dog\n", Dialect(delimiter=":")),
    "header": ("7,8,9\n1,2.5,grün\n-3,4e2,dog\n", Dialect(header=True)),
    "decimal": ("a;b;c\n1;2,5;grün\n-3;4e2;dog\n", Dialect(decimal=",")),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects_that_are_given(tmp_path: Path, name: str) -> None:
    content, dialect = DIALECTS[name]

    data = read_data(written(tmp_path, content), dialect=dialect)

    np.testing.assert_array_equal(x_of(data), [[1, 2.5], [-3, 400]])
    assert y_of(data).tolist() == ["grün", "dog"]


def test_a_wrong_encoding_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN.replace("cat", "grün").encode("latin-1"))
    for encoding, message in (
        ("ascii", "found the byte 0xfc at .*--encoding"),
        ("klingon", "unknown encoding"),
    ):
        with pytest.raises(FileFormatError, match=message):
            read_data(path, dialect=Dialect(encoding=encoding))


HEADERS: dict[str, tuple[str, bool, str]] = {
    "names over numbers": ("a,b\n1,2\n3,4\n", True, ""),
    "pandas numbers the columns": ("0,1,2,3\n5,6,7,8\n5,6,7,9\n", True, "as pandas does"),
    "pandas with its index": (",0,1\n0,6,7\n1,6,8\n", True, "as pandas does"),
    "numbers": ("5,6\n7,8\n", False, "the first line holds values"),
    "numbers with a gap": ("5,?\n7,8\n", False, "the first line holds values"),
    "words that occur again": ("vhigh,low,acc\nlow,low,acc\nmed,vhigh,unacc\n", False, "values like 'low'"),
    "numbers beside words": ("5.1,3.5,setosa\n4.9,3.0,virginica\n", False, "values like '5.1'"),
    "names over words": ("colour,kind\nred,a\ngreen,b\nred,a\n", True, ""),
    "numbers as names": ("2019,2020,kind\n1,2,3\n4,5,6\n", True, ""),
    "one line of names": ("a,b\n1,2\n", True, ""),
}


@pytest.mark.parametrize("name", HEADERS)
def test_whether_the_first_line_names_the_columns(tmp_path: Path, name: str) -> None:
    content, named, said = HEADERS[name]
    rows = len(content.splitlines()) - named

    [table] = read_tables(written(tmp_path, content))

    assert (table.named, len(table)) == (named, rows)
    assert said in " ".join(table.notes)
    assert bool(table.notes) == bool(said)
    for header in (True, False):
        [table] = read_tables(written(tmp_path, content), dialect=Dialect(header=header))
        assert (table.named, len(table), table.notes) == (header, rows + named - header, ())


def test_names_of_classes_are_kept_as_written(tmp_path: Path) -> None:
    for words in (["01", "1", "01"], ["1E3", "1000", "1E3"], ["02134", "2134", "02134"], ["1.0", "1", "0"]):
        content = "a,y\n" + "".join(f"{k},{word}\n" for k, word in enumerate(words))
        assert y_of(read_data(written(tmp_path, content))).tolist() == words


def test_codes_are_no_numbers(tmp_path: Path) -> None:
    [table] = read_tables(written(tmp_path, "zip,y\n02134,1\n10115,2\n"))

    assert table["zip"].tolist() == ["02134", "10115"]


def test_control_characters_are_no_spaces(tmp_path: Path) -> None:
    """A field of 0x1c to 0x1f beside a number: the row was dropped, and its target kept."""
    [table] = read_tables(written(tmp_path, "a,y\n1,2\n\x1c3,4\n5,6\n"))

    assert len(table) == 3
    assert table["a"].tolist() == ["1", "\x1c3", "5"]


def test_kinds_that_change_far_below(tmp_path: Path) -> None:
    lines = "".join(f"{k},{k},{k}\n" for k in range(40_000))
    [table] = read_tables(written(tmp_path, f"a,b,c\n{lines}1.5,x,\n,2,?\n"))

    assert table["a"].dtype == np.float64
    assert np.isnan(table["a"][-1])
    assert table["b"].tolist()[-2:] == ["x", "2"]
    assert np.isnan(table["c"][-2:]).all()
    assert table.place(40_000) == f"{tmp_path / 'data.csv'}, line 40002"


def test_places_count_lines(tmp_path: Path) -> None:
    [table] = read_tables(written(tmp_path, 'a,b\n\n1,"x\ny"\n\n2,z\n3,z\n'))

    assert [table.place(row).rpartition(" ")[2] for row in range(3)] == ["3", "6", "7"]
    assert table.rows(np.array([2])).place(0).endswith("line 7")


SOUND = {"csv": PLAIN.encode(), "npz": npz(**FINE), "idx": GOOD, "gzip": gzip.compress(GOOD, mtime=0)}


@pytest.mark.parametrize("kind", SOUND)
@pytest.mark.parametrize("change", [0x01, 0x80, 0xFF])
def test_a_changed_byte_is_refused_or_harmless(tmp_path: Path, kind: str, change: int) -> None:
    content = SOUND[kind]
    written(tmp_path, idx(LABELS), "labels")
    for place in range(len(content)):
        changed = content[:place] + bytes([content[place] ^ change]) + content[place + 1 :]
        try:
            data = read_data(written(tmp_path, changed, "images"))
        except TypednnError:
            continue
        assert len({len(column) for column in data.table.columns}) == 1


@given(
    st.sampled_from([b"", b"\0\0", b"\0\0\x08\x01\0\0\0", b"PK\x03\x04", b"\x1f\x8b\x08"]),
    st.binary(max_size=200),
)
def test_any_bytes_are_data_or_an_error_of_the_library(tmp_path: Path, start: bytes, rest: bytes) -> None:
    with contextlib.suppress(TypednnError):
        read_data(written(tmp_path, start + rest, "images"))
