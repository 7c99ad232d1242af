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
from typednn.data.datasets import read_dataset, read_samples

PLAIN = "a,b,kind\n1,2.5,cat\n-3,4e2,dog\n"


def written(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def idx(array: Any, code: int = 0x08) -> bytes:
    """An IDX file, as MNIST's page describes it."""
    array = np.asarray(array)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + bytes(array.tobytes())


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
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
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_csv(tmp_path: Path, variant: str) -> None:
    data = read_dataset(written(tmp_path, VARIANTS[variant]))

    np.testing.assert_array_equal(data.x, [[1, 2.5], [-3, 400]])
    assert data.y.tolist() == ["cat", "dog"]
    assert (data.feature_names, data.target_name, data.pixels) == (("a", "b"), "kind", False)


def test_csv_names_with_commas_and_umlauts(tmp_path: Path) -> None:
    data = read_dataset(written(tmp_path, '"Größe, in m","said ""x""\nby me",y\n1,2,3\n4,5,6.5\n'))

    assert data.feature_names == ("Größe, in m", 'said "x"\nby me')
    assert data.y.tolist() == [3, 6.5]


def test_csv_target_by_name(tmp_path: Path) -> None:
    data = read_dataset(written(tmp_path, "y,a,b\n5,1,2\n6,3,4\n"), target="y")

    np.testing.assert_array_equal(data.x, [[1, 2], [3, 4]])
    assert data.y.tolist() == [5, 6]
    assert (data.feature_names, data.target_name) == (("a", "b"), "y")


def test_csv_of_numbers_needs_no_header(tmp_path: Path) -> None:
    data = read_dataset(written(tmp_path, "1,2,3\n4,5,6\n"))

    np.testing.assert_array_equal(data.x, [[1, 2], [4, 5]])
    assert data.y.tolist() == [3, 6]
    assert data.feature_names is None
    assert read_dataset(written(tmp_path, "1,2,3\n4,5,6\n"), target="column 1").y.tolist() == [1, 4]


def test_csv_columns_named_by_numbers(tmp_path: Path) -> None:
    data = read_dataset(written(tmp_path, "0,1,target\n5,6,7\n"))

    assert data.feature_names == ("0", "1")
    np.testing.assert_array_equal(data.x, [[5, 6]])


def test_mixed_targets_are_text(tmp_path: Path) -> None:
    assert read_dataset(written(tmp_path, "a,y\n1,1\n2,2\n3,3+\n")).y.tolist() == ["1", "2", "3+"]


def test_none_is_a_name_among_names(tmp_path: Path) -> None:
    assert read_dataset(written(tmp_path, "a,y\n1,none\n2,mild\n")).y.tolist() == ["none", "mild"]


WRONG_CSV: dict[str, tuple[str | bytes, type[TypednnError], str]] = {
    "empty": ("", DataError, "empty file"),
    "empty lines": ("\n\n\n", DataError, "empty file"),
    "header alone": ("a,b\n", DataError, "expected lines of values below"),
    "target alone": ("y\n1\n2\n", DataError, "columns of features beside the target"),
    "short line": ("a,b\n1,2\n3\n", FileFormatError, "line 3: expected 2 values, as in line 1, found 1"),
    "long line": ("a,b\n1,2\n\n3,4,5\n", FileFormatError, "line 4: expected 2 values, as in line 1, found 3"),
    "after a line break in quotes": ('"a\nb",y\n1,2\n3\n', FileFormatError, "line 4: expected 2"),
    "no value": ("a,b\n1,2\n,4\n", DataError, r"line 3: column 'a' has no value \(''\)"),
    "NA": ("a,b\n1,2\n NA ,4\n", DataError, r"line 3: column 'a' has no value \('NA'\)"),
    "nan": ("a,b\n1,2\nnan,4\n", DataError, r"line 3: column 'a' has no value \('nan'\)"),
    "infinity": (
        "a,b\n1,2\n-inf,4\n",
        DataError,
        "line 3: column 'a': expected a finite number, found '-inf'",
    ),
    "overflow": ("a,b\n1,2\n1e999,4\n", DataError, "line 3: column 'a': expected a finite number"),
    "text": ("city,b\n1,2\nParis,4\n", DataError, "line 3: column 'city': expected a number, found 'Paris'"),
    "decimal comma": ("a;b\n1,5;2\n", DataError, "found '1,5'; decimal commas must be points"),
    "no target": ("a,b\n1,\n", DataError, r"line 2: the target 'b' has no value \(''\)"),
    "target nan": ("a,b\n1,2\n1,nan\n", DataError, r"line 3: the target 'b' has no value \('nan'\)"),
    "target infinite": ("a,b\n1,2\n1,inf\n", DataError, "not finite"),
    "no header": (
        "5.1,3.5,setosa\n4,5,setosa\n",
        FileFormatError,
        "line 1: expected the names of the columns, .* 5.1",
    ),
    "no name": (",a,b\n0,1,2\n", FileFormatError, "none for column 1 .*pandas"),
    "a name twice": ("a,b,a\n1,2,3\n", FileFormatError, "found 'a' for the columns 1 and 3"),
    "open quotes": ('a,b\n1,"2\n3,4\n', FileFormatError, "quotes that do not match"),
    "text after quotes": ('a,b\n"1"x,2\n', FileFormatError, "line 2: .*quotes that do not match"),
    "NUL": ("a,b\n1,\0\n", DataError, "line 2: expected text in 'b', found a NUL byte"),
    "overlong": (f"a,b\n{'1' * 200_000},2\n", FileFormatError, "line 2: .*overlong"),
    "Latin 1": (b"gr\xfcn,b\n1,2\n", FileFormatError, "expected CSV in UTF-8, .npz or IDX"),
    "Latin 1 later": (b"a,b\n" + b"1,2\n" * 9999 + b"1,gr\xfcn\n", FileFormatError, "expected CSV in UTF-8"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), FileFormatError, "expected CSV in UTF-8"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(99), FileFormatError, "expected CSV in UTF-8"),
    "gzip cut off": (gzip.compress(PLAIN.encode())[:-9], FileFormatError, "expected a complete gzip file"),
    "gzip damaged": (b"\x1f\x8b" + bytes(50), FileFormatError, "expected a complete gzip file"),
}


@pytest.mark.parametrize("name", WRONG_CSV)
def test_what_is_wrong_with_a_csv_is_said(tmp_path: Path, name: str) -> None:
    content, kind, message = WRONG_CSV[name]
    path = written(tmp_path, content)

    with pytest.raises(kind, match=message) as error:
        read_dataset(path)

    assert str(path) in str(error.value)


def test_an_unknown_column(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown column of .* 'knid': did you mean 'kind'"):
        read_dataset(written(tmp_path, PLAIN), target="knid")
    many = ",".join(f"pixel{k}" for k in range(784))
    with pytest.raises(UnknownNameError, match=r"pixel7, …, pixel776") as error:
        read_dataset(written(tmp_path, f"{many}\n"), target="label")
    assert len(str(error.value)) < 500


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="nothing: there is no such file"):
        read_dataset(tmp_path / "nothing")
    with pytest.raises(FileFormatError, match="is not a file"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("dtype", ["f4", ">f8", "i2", "u1", "?"])
def test_npz(tmp_path: Path, dtype: str) -> None:
    x = np.asfortranarray(np.array([[1, 0, 1], [0, 1, 1]], dtype))

    data = read_dataset(written(tmp_path, npz(x=x, y=np.array([3, 4])), "data.npz"))

    np.testing.assert_array_equal(data.x, x)
    assert data.y.tolist() == [3.0, 4.0]
    assert (data.feature_names, data.target_name, data.pixels) == (None, None, False)


def test_npz_compressed_with_images_and_names(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "data", x=IMAGES, y=np.array(["rot", "grün", "rot"]), z=np.zeros(1))

    data = read_dataset(tmp_path / "data.npz")

    np.testing.assert_array_equal(data.x, IMAGES.reshape(3, 8))
    assert data.pixels
    assert data.y.tolist() == ["rot", "grün", "rot"]


def test_npz_with_several_targets(tmp_path: Path) -> None:
    y = np.array([[1.0, 2.0], [3.0, 4.0]])

    data = read_dataset(written(tmp_path, npz(x=np.eye(2), y=y)))

    np.testing.assert_array_equal(data.y, y)
    assert read_dataset(written(tmp_path, npz(x=np.eye(2), y=y[:, :1]))).y.shape == (2,)


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
    "no y": (npz(x=np.eye(2)), FileFormatError, "expected the arrays 'x' and 'y', found 'x'"),
    "no x": (npz(arr_0=np.eye(2)), FileFormatError, "found 'arr_0'"),
    "nothing": (npz(), FileFormatError, "expected"),
    "objects in x": (npz(**FINE | {"x": OBJECTS}), FileFormatError, "numbers or text in 'x', found object"),
    "objects in y": (npz(**FINE | {"y": OBJECTS}), FileFormatError, "can run code"),
    "records": (npz(**FINE | {"x": np.zeros(2, "i4,f8")}), FileFormatError, "numbers or text in 'x'"),
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
    "NaN in x": (npz(**FINE | {"x": np.array([[1, 2], [3, np.nan]])}), DataError, r"x\[1, 1\] = nan"),
    "infinity in y": (npz(**FINE | {"y": np.array([1, np.inf])}), DataError, r"y\[1\] = inf"),
    "cut off": (npz(**FINE)[:-30], FileFormatError, DAMAGED),
    "cut off early": (npz(**FINE)[:60], FileFormatError, DAMAGED),
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
        "expected 8000000000000000128 bytes",
    ),
    "negative shape": (forged("(-1, -8)"), FileFormatError, DAMAGED),
    "empty member": (bomb(), FileFormatError, DAMAGED),
}


@pytest.mark.parametrize("name", WRONG_NPZ)
def test_what_is_wrong_with_an_npz_is_said(tmp_path: Path, name: str) -> None:
    content, kind, message = WRONG_NPZ[name]
    path = written(tmp_path, content, "data.npz")

    with pytest.raises(kind, match=message) as error:
        read_dataset(path)

    assert str(path) in str(error.value)


def test_every_truncated_npz_is_refused(tmp_path: Path) -> None:
    content = npz(**FINE)
    for length in range(4, len(content), 7):
        with pytest.raises(FileFormatError):
            read_dataset(written(tmp_path, content[:length]))


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-images.idx3-ubyte"])
@pytest.mark.parametrize("images_packed", [False, True])
@pytest.mark.parametrize("labels_packed", [False, True])
def test_mnist(tmp_path: Path, name: str, images_packed: bool, labels_packed: bool) -> None:
    beside = name.replace("images", "labels").replace("idx3", "idx1")
    for content, file, packed in ((idx(LABELS), beside, labels_packed), (idx(IMAGES), name, images_packed)):
        path = written(tmp_path, gzip.compress(content) if packed else content, file + ".gz" * packed)

    data = read_dataset(path)

    np.testing.assert_array_equal(data.x, IMAGES.reshape(3, 8))
    assert data.y.tolist() == [7, 0, 7]
    assert data.pixels


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(0x08, "u1"), (0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")],
)
def test_every_type_of_idx(tmp_path: Path, code: int, dtype: str) -> None:
    x = np.array([[1, 2], [100, 4]], dtype)
    path = written(tmp_path, idx(x, code), "x.idx")
    labels = written(tmp_path, idx(LABELS[:2]), "y.idx")

    data = read_dataset(path, labels=labels)

    np.testing.assert_array_equal(data.x, x)
    assert not data.pixels


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
    "NaN": (idx(np.full((3, 1), np.nan, ">f4"), 0x0D), r"x\[0, 0\] = nan"),
}


@pytest.mark.parametrize("name", WRONG_IDX)
def test_what_is_wrong_with_an_idx_file_is_said(tmp_path: Path, name: str) -> None:
    content, message = WRONG_IDX[name]
    path = written(tmp_path, content, "images")
    written(tmp_path, idx(LABELS), "labels")

    with pytest.raises(TypednnError, match=message) as error:
        read_dataset(path)

    assert str(path) in str(error.value)


def test_labels_must_fit(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD, "images")
    with pytest.raises(FileFormatError, match=r"in labels or labels\.gz, found neither; --labels FILE"):
        read_dataset(path)
    with pytest.raises(FileFormatError, match="expected its labels beside it"):
        read_dataset(written(tmp_path, GOOD, "x.idx"))
    for labels, message in (
        (idx(LABELS[:2]), "labels has 2 targets for the 3 samples"),
        (GOOD, "expected one label for each image, found uint8 of shape"),
        (idx(np.ones(3, ">f4"), 0x0D), "found >f4"),
        (b"a,b\n1,2\n", "expected an IDX file, beginning with 00 00, type and rank, found 61 2c 62 0a"),
    ):
        written(tmp_path, labels, "labels")
        with pytest.raises(TypednnError, match=message):
            read_dataset(path)


def test_options_for_other_files(tmp_path: Path) -> None:
    table, archive = written(tmp_path, PLAIN), written(tmp_path, npz(**FINE), "x.npz")
    with pytest.raises(SettingError, match="labels in a file of their own go with IDX files; this is csv"):
        read_dataset(table, labels=archive)
    with pytest.raises(SettingError, match="a target column can be chosen in CSV files; this is npz"):
        read_dataset(archive, target="y")


def test_samples_by_column_names(tmp_path: Path) -> None:
    path = written(tmp_path, "kind,b,a\n?,2,1\ncat,4,3\n")

    x = read_samples(path, 2, ("a", "b"), "kind")

    np.testing.assert_array_equal(x, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(
        read_samples(written(tmp_path, "b,a\n2,1\n"), 2, ("a", "b"), "kind"), [[1, 2]]
    )


def test_samples_by_place(tmp_path: Path) -> None:
    for content, names, target in (
        ("1,2\n3,4\n", ("a", "b"), "kind"),
        ("1,2,9\n3,4,9\n", ("a", "b"), "kind"),
        ("9,1,2\n9,3,4\n", None, "column 1"),
        ("x,y\n1,2\n3,4\n", None, None),
        ("x,y,z\n1,2,cat\n3,4,dog\n", None, None),
    ):
        x = read_samples(written(tmp_path, content), 2, names, target)
        np.testing.assert_array_equal(x, [[1, 2], [3, 4]])


def test_samples_of_npz_and_idx(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_samples(written(tmp_path, npz(x=np.eye(2))), 2), np.eye(2))
    np.testing.assert_array_equal(read_samples(written(tmp_path, GOOD), 8), IMAGES.reshape(3, 8))


def test_other_columns_than_those_of_the_training(tmp_path: Path) -> None:
    path = written(tmp_path, "a,c,kind\n1,2,3\n")
    with pytest.raises(ShapeError, match="found none named 'b', found also 'c'"):
        read_samples(path, 2, ("a", "b"), "kind")
    with pytest.raises(ShapeError, match="expected 5 columns of features, and perhaps the target, found 3"):
        read_samples(path, 5)
    with pytest.raises(ShapeError, match="expected 9 features, found 8"):
        read_samples(written(tmp_path, GOOD), 9)


SOUND = {"csv": PLAIN.encode(), "npz": npz(**FINE), "idx": GOOD, "gzip": gzip.compress(GOOD, mtime=0)}


@pytest.mark.parametrize("kind", SOUND)
@pytest.mark.parametrize("change", [0x01, 0x80, 0xFF])
def test_a_changed_byte_is_refused_or_harmless(tmp_path: Path, kind: str, change: int) -> None:
    content = SOUND[kind]
    written(tmp_path, idx(LABELS), "labels")
    for place in range(len(content)):
        changed = content[:place] + bytes([content[place] ^ change]) + content[place + 1 :]
        try:
            data = read_dataset(written(tmp_path, changed, "images"))
        except TypednnError:
            continue
        assert len(data.x) == len(data.y)
        assert np.isfinite(data.x).all()


@given(
    st.sampled_from([b"", b"\0\0", b"\0\0\x08\x01\0\0\0", b"PK\x03\x04", b"\x1f\x8b\x08"]),
    st.binary(max_size=200),
)
def test_any_bytes_are_data_or_an_error_of_the_library(tmp_path: Path, start: bytes, rest: bytes) -> None:
    with contextlib.suppress(TypednnError):
        read_dataset(written(tmp_path, start + rest, "images"))
