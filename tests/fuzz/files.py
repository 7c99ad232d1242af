"""Mutated files: models, checkpoints, CSV, IDX, .npz, Parquet, Arrow and ONNX.

A reader returns what is in order, or raises an error of this library that names the file; nothing else.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.campaign import Target, limit_memory
from tests.fuzz.mutations import drawn_changes, mutated
from typednn import (
    Adam,
    Checkpoint,
    EarlyStopping,
    HiddenLayer,
    InputLayer,
    Model,
    Network,
    OutputLayer,
    ReduceOnPlateau,
    load,
    save,
)
from typednn.data.columns import BooleanColumn, CategoryColumn, DateColumn, NumberColumn
from typednn.data.preprocessing import Preprocessing
from typednn.data.reading import read_data as read_table
from typednn.data.targets import Classes
from typednn.errors import TypednnError
from typednn.onnx import load as load_graph
from typednn.onnx import save as save_graph

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
X, Y = np.linspace(-1, 1, 12).reshape(6, 2), np.arange(6) % 2


def network(dtype: Any = np.float64) -> Network[Any]:
    layers: list[Any] = [InputLayer(2), HiddenLayer(3, "tanh", normalization="batch")]
    return Network([*layers, OutputLayer(2, "softmax", "crossentropy")], dtype=dtype, seed=0)


def resume(trained: Network[Any], path: Path) -> None:
    """Continues the training of a checkpoint for no more epochs than it has."""
    callbacks = [EarlyStopping("loss", patience=9), Checkpoint(path, resume=True)]
    trained.fit(X, Y, epochs=2, optimizer=Adam(ReduceOnPlateau(0.1)), callbacks=callbacks, progress=False)


@cache
def models() -> list[bytes]:
    path, found = FOLDER / "good", list[bytes]()
    columns = (NumberColumn("a", 0.5, 1.0), BooleanColumn("b", ("no", "yes")))
    preprocessing = Preprocessing(columns, Classes(("01", "grün")), ("y",), ("a", "b", "y"))
    wide = Preprocessing(
        (CategoryColumn("c", ("x",), other=True), DateColumn("d", 2.0, 3.0, 1.0)), Classes(("n", "y"))
    )
    layers: list[Any] = [InputLayer(len(wide.feature_names)), OutputLayer(2, "softmax", "crossentropy")]
    for each in (
        network(),
        Model(network(np.float32), preprocessing, {"epochs": 3}),
        Model(Network(layers, seed=0), wide),
    ):
        save(each, path)
        found.append(path.read_bytes())
    return found


@cache
def checkpoints() -> list[bytes]:
    path = FOLDER / "good checkpoint"
    resume(network(), path)
    return [path.read_bytes()]


@cache
def tables() -> list[bytes]:
    rows = "\n".join(f"{a:.3f},{b:.3f},{'yes' if y else 'no'}" for (a, b), y in zip(X, Y, strict=True))
    text = f'a,"b, c",target\n{rows}\n'.encode()
    gaps = b"a\tb\tc\ty\n" + b"".join(
        b"%d\tNA\t%s\t%d\n" % (k, (b"NA", b"1.5")[k % 2], k % 3) for k in range(80)
    )
    words = b"k;w;y\n" + b"".join(
        b"%d,5;%s;%d\n" % (k, (b"rot", b'"gr;n"', b"")[k % 3], k % 2) for k in range(99)
    )
    wide = ",".join(f"c{k}" for k in range(1000)) + "\n" + (",".join("01234" * 200) + "\n") * 3
    more = [gaps, words, wide.encode(), gzip.compress(words), b"# note\n 1 2 3\n 4 5 6\n" * 40]
    return [text, text.replace(b",", b";"), gzip.compress(text), b"1,2,3\n4,5,6\n", *more]


@cache
def archives() -> list[bytes]:
    buffer, packed = io.BytesIO(), io.BytesIO()
    np.savez(buffer, x=X, y=Y)
    np.savez_compressed(packed, x=X.astype(np.float32), y=np.array(["no", "yes"] * 3))
    found = [buffer.getvalue(), packed.getvalue()]
    for array in (X.astype(">f4"), np.array([(1.5, "no"), (2.5, "ü")], [("a", "f4"), ("y", "U3")])):
        single = io.BytesIO()
        np.save(single, array)
        found.append(single.getvalue())
    return found


@cache
def images() -> list[bytes]:
    content = b"\0\0\x08\x03" + struct.pack(">3I", 4, 2, 2) + bytes(range(16))
    doubles = b"\0\0\x0e\x02" + struct.pack(">2I", 4, 2) + np.arange(8.0).astype(">f8").tobytes()
    return [content, gzip.compress(content), doubles]


@cache
def frames() -> list[bytes]:
    """Files of polars and of pyarrow, which fill in different fields."""
    import polars as pl

    pa: Any = import_module("pyarrow")
    pq: Any = import_module("pyarrow.parquet")

    frame = pl.DataFrame({"a": X[:, 0], "b": [1, None] * 3, "c": ["x", "ü", None] * 2, "y": Y == 1})
    words = pa.array(["p", "q", None] * 20).dictionary_encode()
    kinds = pa.table(
        {
            "a": np.arange(60) / 7,
            "b": pa.array([k if k % 5 else None for k in range(60)], pa.int16()),
            "c": pa.array([Decimal(k) for k in range(60)], pa.decimal128(9, 2)),
            "d": pa.array([date(2024, 1, 1 + k % 28) for k in range(60)]),
            "e": pa.array([datetime(2024, 1, 1, k % 24, tzinfo=UTC) for k in range(60)]),
            "f": pa.nulls(60),
            "g": words,
            "y": [f"w{k % 4}" for k in range(60)],
        }
    )
    nested = pa.table({"a": [[1, 2], None, []] * 2, "b": [{"c": 1, "d": "x"}] * 6})
    some = kinds.select(["a", "b", "y"])
    encodings = {"a": "BYTE_STREAM_SPLIT", "b": "DELTA_BINARY_PACKED", "y": "DELTA_BYTE_ARRAY"}
    words_as = pa.table({"a": X[:, 0], "d": pa.array(["p", "q"] * 3).dictionary_encode()})

    def written(write: Callable[[io.BytesIO], object]) -> bytes:
        buffer = io.BytesIO()
        write(buffer)
        return buffer.getvalue()

    def write_batches(buffer: io.BytesIO, table: Any, compression: str | None) -> None:
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_file(buffer, table.schema, options=options) as file:
            file.write_table(table, max_chunksize=25)

    parquet: list[Callable[[io.BytesIO], object]] = [
        *(partial(frame.write_parquet, compression=each) for each in ("uncompressed", "snappy", "zstd")),
        partial(pq.write_table, words_as),
        partial(pq.write_table, nested),
        partial(pq.write_table, some, use_dictionary=False, column_encoding=encodings),
        *(partial(pq.write_table, kinds, compression=each, row_group_size=25) for each in ("none", "lz4")),
        partial(pq.write_table, kinds, compression="gzip", data_page_version="2.0"),
    ]
    arrow: list[Callable[[io.BytesIO], object]] = [
        *(partial(frame.write_ipc, compression=each) for each in ("uncompressed", "lz4")),
        partial(frame.with_columns(pl.col("c").cast(pl.Categorical)).write_ipc, compression="uncompressed"),
        *(partial(write_batches, table=kinds, compression=each) for each in (None, "zstd")),
        partial(write_batches, table=some.append_column("g", words), compression=None),
        partial(write_batches, table=nested, compression=None),
    ]
    return [*map(written, parquet), *map(written, arrow)]


@cache
def graphs() -> list[bytes]:
    """Files of ours, one with preprocessing, and one as others write them, without our description."""
    import onnx

    found, path = list[bytes](), FOLDER / "good"
    layers: list[Any] = [InputLayer(2), HiddenLayer(3, "mish", normalization="layer")]
    columns = (NumberColumn("a", 0.5, 1.0), BooleanColumn("b", ("no", "yes")))
    preprocessing = Preprocessing(columns, Classes(("01", "grün")), ("y",), ("a", "b", "y"))
    for each in (
        Network([*layers, OutputLayer(2, "softmax", "crossentropy")], seed=0),
        Model(network(np.float32), preprocessing),
    ):
        save_graph(each, path)
        found.append(path.read_bytes())
    for content in list(found):
        graph = onnx.ModelProto.FromString(content)
        del graph.metadata_props[:]
        found.append(graph.SerializeToString())
    return found


LABELS = b"\0\0\x08\x01" + struct.pack(">I", 4) + bytes([0, 1, 2, 1])


def raw(content: bytes, changes: list[list[Any]]) -> bytes:
    return mutated(content, changes)


def in_the_header(content: bytes, changes: list[list[Any]]) -> bytes:
    """Mutates the JSON of a safetensors file, whose length then is right."""
    length = int.from_bytes(content[:8], "little")
    header = mutated(content[8 : 8 + length], changes)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def in_the_description(content: bytes, changes: list[list[Any]]) -> bytes:
    """Mutates the JSON within the JSON."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = header["__metadata__"]
    for key, text in metadata.items():
        metadata[key] = mutated(text.encode(), changes).decode(errors="replace")
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def in_the_arrays(content: bytes, changes: list[list[Any]]) -> bytes:
    """Mutates the members of an archive, whose checksums then are right."""
    if not content.startswith(b"PK"):
        return mutated(content, changes)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for k, name in enumerate(old.namelist()):
            new.writestr(name, mutated(old.read(name), changes) if k == 0 else old.read(name))
    return buffer.getvalue()


def unpacked(content: bytes, changes: list[list[Any]]) -> bytes:
    """Mutates what gzip has packed."""
    if content[:2] != b"\x1f\x8b":
        return mutated(content, changes)
    return gzip.compress(mutated(gzip.decompress(content), changes), 1)


Change = Callable[[bytes, list[list[Any]]], bytes]


def refused(error: TypednnError, path: Path) -> str:
    """Demands a short message that can be printed and names the file."""
    message = str(error)
    message.encode()
    assert path.name in message, message
    assert len(message) < 3000, len(message)
    return "refused"


def target(
    name: str,
    contents: Callable[[], list[bytes]],
    changes: list[Change],
    read: Callable[[Path], None],
    *,
    fragile: bool = False,
) -> Target:
    """Makes a target of files: an input is the number of a file, the way it is changed, and the changes."""

    def check_file(content: bytes) -> str:
        path = FOLDER / f"{name} images"
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
        except TypednnError as error:
            return refused(error, path)
        return "read"

    def check(value: list[Any]) -> str:
        which, how = int(value[0]), int(value[1])
        what: list[list[Any]] = value[2]
        good = contents()
        return (check_fragile if fragile else check_file)(
            changes[how % len(changes)](good[which % len(good)], what)
        )

    def draw(random: Random) -> list[Any]:
        return [random.randrange(len(contents())), random.randrange(len(changes)), drawn_changes(random)]

    return Target(name, check, draw=draw, files=contents, check_file=check_file)


def read_model(path: Path) -> None:
    """Reads a model; one that is read predicts, and can be saved again."""
    loaded = load(path)
    again = FOLDER / "again"
    save(loaded, again)
    twin = load(again)
    assert type(twin) is type(loaded)
    assert twin.parameters.tobytes() == loaded.parameters.tobytes()
    assert np.isfinite(loaded.parameters).all()
    inner: Any = loaded.network if isinstance(loaded, Model) else loaded
    shape = inner.predict(np.zeros((1, inner.layers[0].length), inner.dtype)).shape
    assert shape == (1, inner.layers[-1].length)
    if isinstance(loaded, Model) and isinstance(twin, Model):
        assert twin.preprocessing == loaded.preprocessing


def read_checkpoint(path: Path) -> None:
    """Resumes from a checkpoint; one that is refused changes nothing."""
    trained = network()
    before, random = trained.parameters.copy(), trained._random.bit_generator.state
    try:
        resume(trained, path)
    except TypednnError:
        assert trained.parameters.tobytes() == before.tobytes()
        assert trained._random.bit_generator.state == random
        trained.fit(X, Y, epochs=1, progress=False)
        raise
    assert np.isfinite(trained.parameters).all()
    assert np.isfinite(trained.history.loss).all()


def read_data(path: Path) -> None:
    data = read_table(path)
    assert {len(column) for column in data.table.columns} == {len(data.table)}
    assert set(data.targets) <= set(data.table.names)


def read_images(path: Path) -> None:
    path.with_name(path.name.replace("images", "labels")).write_bytes(LABELS)
    read_data(path)


def read_graph(path: Path) -> None:
    """Reads a model of an ONNX file; one that is read predicts."""
    loaded = load_graph(path)
    inner: Any = loaded.network if isinstance(loaded, Model) else loaded
    with np.errstate(all="ignore"):
        shape = inner.predict(np.zeros((1, inner.layers[0].length), inner.dtype)).shape
    assert shape == (1, inner.layers[-1].length)


FRAGILE: list[ProcessPoolExecutor] = []
"""A process that reads tables by pyarrow and polars: if one ended it, that would be a failure as others."""


def prepare_fragile() -> None:
    """Keeps what Rust says of panics from the terminal, and limits memory."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    limit_memory()


def check_fragile(content: bytes) -> str:
    """Reads a table in a process of its own."""
    if not FRAGILE:
        FRAGILE.append(ProcessPoolExecutor(1, get_context("spawn"), prepare_fragile))
    try:
        return FRAGILE[0].submit(read_frame, content).result()
    except BrokenProcessPool:
        FRAGILE.clear()
        raise AssertionError("the process was ended") from None


def read_frame(content: bytes) -> str:
    """Reads a file; runs in the process of its own."""
    check_file = target("tables", frames, [raw], read_data).check_file
    assert check_file is not None
    return check_file(content)


FILES: list[Target] = [
    target("models", models, [raw, in_the_header, in_the_description], read_model),
    target("checkpoints", checkpoints, [raw, in_the_header, in_the_description], read_checkpoint),
    target("csv", tables, [raw, unpacked], read_data),
    target("idx", images, [raw, unpacked], read_images),
    target("npz", archives, [raw, in_the_arrays], read_data),
    target("tables", frames, [raw], read_data, fragile=True),
    target("onnx", graphs, [raw], read_graph),
]
