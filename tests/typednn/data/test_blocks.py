"""Blocks of rows in random order: what they hold, where they go on, and the memory that they take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from typednn import (
    Adam,
    Checkpoint,
    DataError,
    FileFormatError,
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    SettingError,
    ShapeError,
)
from typednn.data.blocks import mapped, parquet_rows, shuffled_blocks


def rows(count: int, dtype: Any = np.float32) -> tuple[NDArray[Any], NDArray[Any]]:
    x = np.random.default_rng(0).normal(size=(count, 3)).astype(dtype)
    x[:, 0] = np.arange(count)
    return x, np.arange(count) % 2


def network() -> Network[np.float32]:
    layers = [InputLayer(3), HiddenLayer(5, "tanh", dropout=0.2), OutputLayer(2, "softmax", "crossentropy")]
    return Network(layers, dtype=np.float32, seed=0)


def test_a_pass_has_each_row_once_and_each_block_has_rows_that_follow_each_other() -> None:
    x, y = rows(103)

    passes = [list(shuffled_blocks((x, y, y + 1.0), block=20, seed=seed)) for seed in (0, 1)]
    again = list(shuffled_blocks((x, y, y + 1.0), block=20, seed=0))

    for blocks in passes:
        places = [block[0][:, 0].astype(int) for block in blocks]
        assert sorted(np.concatenate(places).tolist()) == list(range(103))
        assert sorted(len(each) for each in places) == [3, 20, 20, 20, 20, 20]
        assert all(np.ptp(each) == len(each) - 1 for each in places)
        assert any((each != np.sort(each)).any() for each in places)
        for block, each in zip(blocks, places, strict=True):
            assert (block[0] == x[each]).all()
            assert (block[1] == y[each]).all()
            assert (block[2] == y[each] + 1).all()
    assert all((a[0] == b[0]).all() for a, b in zip(passes[0], again, strict=True))
    assert any(len(a[0]) != len(b[0]) or (a[0] != b[0]).any() for a, b in zip(*passes, strict=True))


def test_passes_differ_and_begin_anywhere() -> None:
    x, y = rows(60)
    blocks = shuffled_blocks((x, y), block=10, seed=3)

    whole = [block[0][:, 0].tolist() for _ in range(3) for block in blocks]
    from_there = [block[0][:, 0].tolist() for block in shuffled_blocks((x, y), block=10, seed=3).after(8)]

    assert whole[:6] != whole[6:12] != whole[12:]
    assert from_there == whole[8:12]


def test_each_block_of_each_pass_has_an_order_of_its_own_in_which_rows_are_as_likely_everywhere() -> None:
    x, y = rows(60 * 20)
    blocks = shuffled_blocks((x, y), block=20, seed=3)

    orders = [block[0][:, 0].astype(int) % 20 for _ in range(4) for block in blocks]

    assert len({tuple(order) for order in orders}) == 4 * 60
    counts: NDArray[np.int64] = np.zeros((20, 20), np.int64)  # how often a row is at a place
    for order in orders:
        counts[order, np.arange(20)] += 1
    expected = len(orders) / 20
    chi_squared = ((counts - expected) ** 2 / expected).sum()  # of 19 * 19 degrees of freedom
    assert abs(chi_squared - 361) < 5 * np.sqrt(2 * 361)


@pytest.mark.parametrize("steps", [None, 4])
def test_a_resumed_training_gives_the_same_bits_and_reads_nothing_twice(
    steps: int | None, tmp_path: Path
) -> None:
    x, y = rows(60)
    read: list[int] = []

    class Counted:
        def bounds(self, block: int) -> list[int]:
            return list(range(0, 61, block))

        def read(self, first: int, last: int) -> Any:
            read.append(first)
            return x[first:last], y[first:last]

    def train(epochs: int, *callbacks: Any) -> Network[np.float32]:
        trained = network()
        blocks = shuffled_blocks(Counted(), block=10, seed=3)
        trained.fit_batches(
            blocks,
            epochs=epochs,
            steps_per_epoch=steps,
            batch_size=4,
            optimizer=Adam(),
            callbacks=callbacks,
        )
        return trained

    path = tmp_path / "training.safetensors"
    reference = train(5)
    train(3, Checkpoint(path))
    read.clear()
    resumed = train(5, Checkpoint(path, resume=True))

    assert resumed.parameters.tobytes() == reference.parameters.tobytes()
    assert resumed.history.loss == reference.history.loss
    assert len(read) <= 2 * (steps or 6) + 2


def test_an_error_of_the_source_is_raised_where_the_block_is_used() -> None:
    class Fails:
        def bounds(self, block: int) -> list[int]:
            return [0, block, 2 * block]

        def read(self, first: int, last: int) -> Any:  # noqa: ARG002 (of the protocol)
            raise OSError("the tape is torn")

    with pytest.raises(OSError, match="the tape is torn"):
        network().fit_batches(shuffled_blocks(Fails()), epochs=1)


def test_npy_and_idx_files_are_mapped(tmp_path: Path) -> None:
    x, y = rows(40)
    np.save(tmp_path / "x.npy", x)
    head = bytes([0, 0, 0x08, 1]) + len(y).to_bytes(4, "big")
    (tmp_path / "y.idx").write_bytes(head + y.astype(np.uint8).tobytes())

    x_file, y_file = mapped(tmp_path / "x.npy"), mapped(tmp_path / "y.idx")
    blocks = list(shuffled_blocks((x_file, y_file), block=15, seed=0))

    assert isinstance(x_file, np.memmap)
    assert isinstance(y_file, np.memmap)
    assert sorted(row for block in blocks for row in block[0].tolist()) == x.tolist()
    for block in blocks:
        assert (block[1] == block[0][:, 0] % 2).all()
    history = network().fit_batches(shuffled_blocks((x_file, y_file), block=15), epochs=2)
    assert len(history.loss) == 2


NPY_HEADER = b"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 1" + b"0" * 30 + b")}"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x" * 100,
        b"\x93NUMPY" + b"x" * 100,
        b"\0\0\x08\x01\0\0\0\x09ab",
        b"\x93NUMPY\1\0" + len(NPY_HEADER).to_bytes(2, "little") + NPY_HEADER,
    ],
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)

    with pytest.raises(FileFormatError, match="file: expected"):
        mapped(path)


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file cannot be truncated there")
def test_a_file_that_is_truncated_while_it_is_read(tmp_path: Path) -> None:
    x, y = rows(4000)
    np.save(tmp_path / "x.npy", x)
    blocks = shuffled_blocks((mapped(tmp_path / "x.npy"), y), block=100, seed=0)
    read = iter(blocks)
    next(read)

    os.truncate(tmp_path / "x.npy", 1000)

    with pytest.raises(DataError, match=r"x\.npy has been truncated since it was mapped, to 1000 bytes"):
        list(read)


def test_row_groups_that_cannot_be_read(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path, text = tmp_path / "table.parquet", tmp_path / "text.parquet"
    x = np.random.default_rng(0).normal(size=20_000)
    parquet.write_table(pyarrow.table({"x": x, "y": x}), path, row_group_size=1000)
    parquet.write_table(pyarrow.table({"x": ["one", "two"], "y": [1, 2]}), text)

    content = bytearray(path.read_bytes())
    content[10_000:100_000] = bytes(90_000)
    path.write_bytes(content)

    for file in (path, text):
        with pytest.raises(
            FileFormatError, match=rf"{file.name}: expected numbers in row group \d+ of \['x'\]"
        ):
            list(shuffled_blocks(parquet_rows(file, ["x"], "y"), seed=0))


def test_row_groups_without_rows_are_left_out(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 3.0]})
    with parquet.ParquetWriter(tmp_path / "table", table.schema) as file:
        for first, count in ((0, 0), (0, 2), (2, 0), (2, 1), (3, 0)):
            file.write_table(table.slice(first, count))

    blocks = list(shuffled_blocks(parquet_rows(tmp_path / "table", ["x"], "y"), seed=0))

    assert sorted(sorted(y.tolist()) for _, y in blocks) == [[1, 2], [3]]
    assert all((x[:, 0] == y).all() for x, y in blocks)


def test_row_groups_of_parquet_are_blocks(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    x, y = rows(50)
    columns = {f"x{k}": x[:, k] for k in range(3)} | {"label": y}
    path = tmp_path / "table.parquet"
    parquet.write_table(pyarrow.table(columns), path, row_group_size=20)

    source = parquet_rows(path, ["x0", "x1", "x2"], "label")
    blocks = list(shuffled_blocks(source, seed=0))

    assert sorted(len(block[0]) for block in blocks) == [10, 20, 20]
    assert sorted(row for block in blocks for row in block[0].tolist()) == x.tolist()
    assert all((block[1] == block[0][:, 0] % 2).all() for block in blocks)
    with pytest.raises(FileFormatError, match=r"expected the columns \['x3'\]"):
        parquet_rows(path, ["x3"], "label")
    with pytest.raises(FileFormatError, match="expected a Parquet file"):
        parquet_rows(__file__, ["x3"], "label")


def test_what_is_no_source_is_refused() -> None:
    x, y = rows(10)
    with pytest.raises(ShapeError, match=r"as many rows as each other, not \[10, 9\]"):
        shuffled_blocks((x, y[:9]))
    with pytest.raises(DataError, match="there are no rows"):
        shuffled_blocks((x[:0], y[:0]))
    with pytest.raises(SettingError, match="must be a tuple"):
        shuffled_blocks((x,))
    with pytest.raises(SettingError, match="have bounds and read"):
        shuffled_blocks([x, y])  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(SettingError, match="block must be"):
        shuffled_blocks((x, y), block=0)


MEASURE = """
import sys, numpy as np
from typednn import InputLayer, Network, OutputLayer
from typednn.data.blocks import mapped, shuffled_blocks
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
x, y = mapped(sys.argv[1]), mapped(sys.argv[2])
network = Network([InputLayer(x.shape[1]), OutputLayer(1)], dtype=np.float32, seed=0)
network.fit(np.zeros((99, x.shape[1]), np.float32), np.zeros((99, 1), np.float32), epochs=1)
before = peak()
network.fit_batches(shuffled_blocks((x, y), block=8192, seed=0), epochs=2, batch_size=256, learning_rate=1e-3)
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
def test_memory_is_that_of_some_blocks(tmp_path: Path) -> None:
    features, count = 256, 120_000
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (count, features))
    np.save(tmp_path / "y.npy", np.zeros((count, 1), np.float32))
    x[:] = 0.5
    x.flush()
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    assert int(done.stdout) < 7 * 8192 * (features + 1) * 4 < x.nbytes / 2
