"""Model files against files written by hand and the safetensors package; whatever is wrong is one error."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.typednn.building import DTYPES, HIDDEN, LOSSES, OUTPUTS, Dtype
from typednn import DataError, FileFormatError, HiddenLayer, InputLayer, Network, OutputLayer
from typednn.data.columns import BooleanColumn, CategoryColumn, DateColumn, NumberColumn
from typednn.data.model import Model
from typednn.data.preprocessing import Preprocessing
from typednn.data.targets import Classes, Scale
from typednn.files.models import load, save
from typednn.formats.atomic import write_file

pytestmark = pytest.mark.usefixtures("numpy_alone")

Header = dict[str, Any]

W1, B1 = np.array([[1.0, -2.0], [0.5, 0.25], [0.0, 3.0]]), np.array([[0.5, 0.0, -1.0]])
W2, B2 = np.array([[1.0, 2.0, -1.0]]), np.array([[0.125]])
TENSORS = {"layers.1.W": W1, "layers.1.Bias": B1, "layers.2.W": W2, "layers.2.Bias": B2}


@pytest.fixture
def numpy_alone() -> Any:
    from typednn import use_backend

    with use_backend("numpy"):
        yield


def description() -> Header:
    return {
        "version": 1,
        "dtype": "float64",
        "layers": [
            {"kind": "input", "length": 2, "activation": "none"},
            {"kind": "hidden", "length": 3, "activation": "relu"},
            {"kind": "output", "length": 1, "activation": "none", "loss": "MSE"},
        ],
        "preprocessing": None,
    }


def preprocessing() -> Header:
    return {
        "features": {"names": ["a", "b"], "mean": [1, 2.5], "deviation": [2, 0.5]},
        "target": {"name": "t", "classes": None, "mean": [10], "deviation": [4]},
    }


def header(said: Header) -> Header:
    made: Header = {"__metadata__": {"typednn": json.dumps(said)}}
    end = 0
    for name, tensor in TENSORS.items():
        start, end = end, end + 8 * tensor.size
        made[name] = {"dtype": "F64", "shape": list(tensor.shape), "data_offsets": [start, end]}
    return made


NUMBERS = b"".join(tensor.astype("<f8").tobytes() for tensor in TENSORS.values())


def container(made: Header, numbers: bytes = NUMBERS) -> bytes:
    """A safetensors file, as the format's page describes it."""
    text = json.dumps(made).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def by_hand(x: Any) -> Any:
    return np.maximum(x @ W1.T + B1, 0) @ W2.T + B2


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(container(header(description())))
    return path


def small(dtype: Dtype = np.float64) -> Network[Any]:
    layers = [InputLayer(3, "tanh"), HiddenLayer(4, "sigmoid"), OutputLayer(2, "softmax", "crossentropy")]
    network: Network[Any] = Network(layers, dtype, seed=1)
    return network


def test_a_file_written_by_hand_is_read(file: Path) -> None:
    x = np.array([[1.0, 2.0], [-3.0, 0.5]])

    network = load(file, np.float64)

    np.testing.assert_array_equal(network.predict(x), by_hand(x))
    assert [repr(layer) for layer in network.layers] == [
        "InputLayer(2, 'none')",
        "HiddenLayer(3, 'relu')",
        "OutputLayer(1, 'none', 'MSE')",
    ]


def test_the_order_of_tensors_is_free(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    path = tmp_path / "model.safetensors"
    shuffled = {name: TENSORS[name] for name in sorted(TENSORS, reverse=True)}
    safetensors.save_file(shuffled, path, {"typednn": json.dumps(description()), "by": "hand"})

    network = load(path, np.float64)

    np.testing.assert_array_equal(network.predict(np.eye(2)), by_hand(np.eye(2)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_safetensors_package_reads_what_is_saved(tmp_path: Path, dtype: Any) -> None:
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    network = small(dtype)

    save(network, tmp_path / "model.safetensors")

    read = safetensors.load_file(tmp_path / "model.safetensors")
    assert set(read) == {"layers.1.W", "layers.1.Bias", "layers.2.W", "layers.2.Bias"}
    for k in (1, 2):
        for name, values in (("W", network.layers[k].W), ("Bias", network.layers[k].Bias)):
            assert read[f"layers.{k}.{name}"].dtype == dtype
            np.testing.assert_array_equal(read[f"layers.{k}.{name}"], values)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_what_is_saved_is_loaded(tmp_path: Path, hidden: Any, output: Any, loss: Any, dtype: Any) -> None:
    path = tmp_path / "model.safetensors"
    layers = [
        InputLayer(2, hidden),
        HiddenLayer(3, hidden),
        HiddenLayer(1, "tanh"),
        OutputLayer(2, output, loss),
    ]
    network: Network[Any] = Network(layers, dtype, seed=0)

    save(network, path)

    loaded = load(path, dtype)
    assert repr(loaded) == repr(network)
    assert loaded.dtype == dtype
    np.testing.assert_array_equal(loaded.parameters, network.parameters)


@pytest.mark.parametrize("hidden", [100, pytest.param(9_998, marks=pytest.mark.full("takes ten seconds"))])
def test_a_million_features_and_thousands_of_layers(hidden: int, tmp_path: Path) -> None:
    wide: Any = Network([InputLayer(1_000_000), OutputLayer(2, "softmax")], np.float32, seed=0)
    deep: Any = Network(
        [InputLayer(2), *(HiddenLayer(2, "tanh") for _ in range(hidden)), OutputLayer(1)], np.float32, seed=0
    )
    for network in (wide, deep):
        save(network, tmp_path / "model")
        again = load(tmp_path / "model", np.float32)
        assert again.parameters.tobytes() == network.parameters.tobytes()
        assert len(again.layers) == len(network.layers)


def test_a_file_says_which_typednn_wrote_it(tmp_path: Path) -> None:
    save(Network([InputLayer(2), OutputLayer(1)], seed=0), tmp_path / "model")

    content = (tmp_path / "model").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["typednn"])["library"] == f"typednn {version('typednn')}"


def test_penalties_and_freezing_are_saved(tmp_path: Path) -> None:
    layers = [
        InputLayer(2),
        HiddenLayer(3, "tanh", l1=0.25),
        HiddenLayer(2, l2=1e-300),
        OutputLayer(2, l2=0.5),
    ]
    network = Network(layers, seed=0)
    network.layers[2].trainable = False

    save(network, tmp_path / "m")

    loaded: Any = load(tmp_path / "m").layers
    assert [(each.l1, each.l2, each.trainable) for each in loaded[1:]] == [
        (0.25, 0.0, True),
        (0.0, 1e-300, False),
        (0.0, 0.5, True),
    ]


def test_the_dtype_can_be_demanded(file: Path) -> None:
    assert load(file).dtype == np.float64
    with pytest.raises(
        FileFormatError, match=r"model\.safetensors: expected a network of float32, found one of float64"
    ):
        load(file, np.float32)


def test_a_loaded_network_trains(file: Path) -> None:
    network = load(file, np.float64)
    before = network.loss(np.eye(2), np.ones((2, 1)))

    network.fit(np.eye(2), np.ones((2, 1)), epochs=20, batch_size=2, learning_rate=0.05)

    assert network.loss(np.eye(2), np.ones((2, 1))) < before


def test_preprocessing_of_old_versions_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(container(header({**description(), "preprocessing": preprocessing()})))
    x = np.array([[3, 2], [5, 4]])

    model = load(path, Model)

    known = model.preprocessing
    assert (known.feature_names, known.target_names) == (("a", "b"), ("t",))
    np.testing.assert_allclose(model.network.predict(model.inputs(x)), by_hand((x - [1, 2.5]) / [2, 0.5]))
    np.testing.assert_allclose(model.predict(x), 10 + 4 * by_hand((x - [1, 2.5]) / [2, 0.5]))


def test_a_model_is_loaded_with_its_preprocessing(tmp_path: Path) -> None:
    """It predicted standardised targets from features that had to be standardised: -0.07 for 257.9."""
    network: Network[np.float64] = Network([InputLayer(1), OutputLayer(1)], seed=0)
    network.parameters[...] = 2.0, 0.5
    scale = Scale(np.array([200.0]), np.array([50.0]))
    save(Model(network, Preprocessing((NumberColumn("a", 10.0, 4.0),), scale)), tmp_path / "m")

    x = np.array([[10.0], [12.0]])  # standardised 0 and 0.5; outputs 0.5 and 1.5
    assert load(tmp_path / "m").predict(x).tolist() == [[225.0], [275.0]]
    assert load(tmp_path / "m", Model).predict({"a": [10, 12]}).tolist() == [[225.0], [275.0]]
    with pytest.raises(
        FileFormatError, match="m: expected a network alone, found a model that takes raw data"
    ):
        load(tmp_path / "m", np.float64)
    save(network, tmp_path / "n")
    assert load(tmp_path / "n").predict(x).tolist() == [[20.5], [24.5]]
    with pytest.raises(FileFormatError, match="n: expected a model with its preprocessing, found a network"):
        load(tmp_path / "n", Model)


COLUMNS = (
    NumberColumn("Größe", 0.1, 1 / 3, 1e-300, True),
    CategoryColumn("b", ("x", "01"), True, 1, False),
    BooleanColumn("c", ("no", "yes"), True, True),
    DateColumn("d", 1e4, 1e-9, -3.0, True, False),
)


@pytest.mark.parametrize(
    "target", [Classes(("rot", "grün")), Scale(np.array([0.1, 2.0]), np.array([1 / 3, 1e-300]))]
)
def test_preprocessing_comes_back_to_the_bit(tmp_path: Path, target: Any) -> None:
    saved = Preprocessing(COLUMNS, target, ("y",), ("id", "Größe", "b", "c", "d", "y"), named=False)
    network = Network([InputLayer(2 + 3 + 2 + 7), OutputLayer(2)], seed=0)

    save(Model(network, saved, {"epochs": 3}), tmp_path / "m")

    loaded = load(tmp_path / "m", Model)
    assert repr(loaded.preprocessing) == repr(saved)
    assert loaded.training == {"epochs": 3}
    for name in ("network", "preprocessing", "history"):
        with pytest.raises(AttributeError, match=name):
            setattr(loaded, name, getattr(Model(network, saved), name))


def changed_column(which: str, **entries: Any) -> Callable[[], bytes]:
    """A file of version 3 whose column of a kind has other entries."""

    def made() -> bytes:
        from typednn.files.preprocessing_json import preprocessing_json

        column = next(each for each in COLUMNS if each.kind == which)
        width = len(column.features)
        said = json.loads(
            json.dumps(preprocessing_json(Preprocessing((column,), Scale(np.zeros(1), np.ones(1)))))
        )
        said["features"][0] |= entries
        layers = [
            {"kind": "input", "length": width, "activation": "none"},
            {
                "kind": "output",
                "length": 1,
                "activation": "none",
                "loss": "MSE",
                "l1": 0,
                "l2": 0,
                "trainable": True,
            },
        ]
        head = {
            "__metadata__": {
                "typednn": json.dumps(
                    {"version": 3, "dtype": "float64", "layers": layers, "preprocessing": said}
                )
            },
            "layers.1.W": {"dtype": "F64", "shape": [1, width], "data_offsets": [0, 8 * width]},
            "layers.1.Bias": {"dtype": "F64", "shape": [1, 1], "data_offsets": [8 * width, 8 * width + 8]},
        }
        return container(head, bytes(8 * width + 8))

    return made


def test_columns_written_by_hand_are_read(tmp_path: Path) -> None:
    for column in COLUMNS:
        (tmp_path / "m").write_bytes(changed_column(column.kind)())
        assert load(tmp_path / "m", Model).preprocessing.features == (column,)


def changed(**entries: Any) -> Callable[[], bytes]:
    """A file whose description is different."""
    return lambda: container(header({**description(), **entries}))


def changed_layer(k: int, **entries: Any) -> Callable[[], bytes]:
    def made() -> bytes:
        said = description()
        said["layers"][k] |= entries
        return container(header(said))

    return made


def version_2(**entries: Any) -> Callable[[], bytes]:
    """A file of version 2, with these entries of its hidden layer."""

    def made() -> bytes:
        said = description()
        for layer in said["layers"][1:]:
            layer |= {"l1": 0, "l2": 0.5, "trainable": True}
        said["layers"][1] |= {"normalization": "none", "dropout": 0, **entries}
        return container(header({**said, "version": 2}))

    return made


def changed_tensor(name: str, **entries: Any) -> Callable[[], bytes]:
    def made() -> bytes:
        head = header(description())
        head[name] |= entries
        return container(head)

    return made


def changed_preprocessing(part: str, **entries: Any) -> Callable[[], bytes]:
    def made() -> bytes:
        said = preprocessing()
        said[part] |= entries
        return container(header({**description(), "preprocessing": said}))

    return made


def without_a_tensor() -> bytes:
    head = header(description())
    del head["layers.2.W"]
    return container(head)


def with_another_tensor() -> bytes:
    head = header(description())
    head["extra"] = {"dtype": "F64", "shape": [0], "data_offsets": [96, 96]}
    return container(head)


def with_nan() -> bytes:
    return container(header(description()), NUMBERS[:-8] + np.array([np.nan]).astype("<f8").tobytes())


WRONG: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "expected a safetensors file, found 0 bytes"),
    "text": (lambda: b"a,b\n1,2\n" * 5, "expected a safetensors file"),
    "pickle": (lambda: b"\x80\x04\x95" + bytes(40), "expected a safetensors file"),
    "header longer than the file": (
        lambda: (10**6).to_bytes(8, "little") + b"{}",
        "expected a safetensors file",
    ),
    "header of exabytes": (lambda: b"\xff" * 8 + b"{}", "expected a safetensors file"),
    "header that is no JSON": (lambda: (4).to_bytes(8, "little") + b"{{}}", "header: expected JSON"),
    "header that is no text": (
        lambda: (4).to_bytes(8, "little") + b"\xff\xfe\xff\xfe",
        "header: expected JSON",
    ),
    "header that is nested": (lambda: (40000).to_bytes(8, "little") + b"[" * 40000, "header: expected JSON"),
    "header that is a list": (lambda: (2).to_bytes(8, "little") + b"[]", "header: expected an object"),
    "foreign": (
        lambda: container({"w": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}),
        "model of typednn",
    ),
    "foreign metadata": (lambda: container({"__metadata__": {"format": "pt"}}), "model of typednn"),
    "metadata of lists": (
        lambda: container({"__metadata__": {"typednn": [1]}}),
        "expected text, found \\[1\\]",
    ),
    "description that is no JSON": (
        lambda: container({"__metadata__": {"typednn": "x"}}),
        "description: expected",
    ),
    "description without version": (
        lambda: container({"__metadata__": {"typednn": "{}"}}),
        "an entry 'version'",
    ),
    "another version": (changed(version=4), "description.version: expected 1 to 3, .* found 4"),
    "unknown dtype": (
        changed(dtype="float16"),
        "dtype: expected one of 'float32', 'float64', found 'float16'",
    ),
    "another dtype": (changed(dtype="float32"), "dtype: expected 'F32', found 'F64'"),
    "layers that are no list": (changed(layers={}), "layers: expected a list"),
    "one layer": (changed(layers=description()["layers"][:1]), "layers: expected 2 to"),
    "unknown activation": (
        changed_layer(1, activation="mine"),
        r"activation: expected one of .* that register_activation has",
    ),
    "hidden softmax": (changed_layer(1, activation="softmax"), r"layers\[1\].activation: expected one of"),
    "unknown loss": (
        changed_layer(2, loss="mine"),
        r"loss: expected one of 'MSE'.* that register_loss has added",
    ),
    "no normalization": (changed(version=2), r"layers\[1\]: expected an entry 'normalization'"),
    "unknown normalization": (
        version_2(normalization="group"),
        r"layers\[1\].normalization: expected one of 'none', 'batch', 'layer'",
    ),
    "dropout of all": (
        version_2(dropout=1),
        r"layers\[1\].dropout: expected a number from 0",
    ),
    "dropout of text": (version_2(dropout="0"), r"layers\[1\].dropout: expected"),
    "negative penalty": (version_2(l1=-1), r"layers\[1\].l1: expected a finite number of 0 or more"),
    "infinite penalty": (version_2(l2=10**400), r"layers\[1\].l2: expected a finite number of 0 or more"),
    "penalty true": (version_2(l2=True), r"layers\[1\].l2: expected a finite number of 0 or more"),
    "frozen by a number": (version_2(trainable=0), r"layers\[1\].trainable: expected true or false"),
    "no gains": (version_2(normalization="layer"), "expected the tensors .*Gain.* found"),
    "kinds in disorder": (
        changed_layer(1, kind="output"),
        r"layers\[1\].kind: expected one of 'hidden', 'normalization'",
    ),
    "length 0": (changed_layer(1, length=0), r"layers\[1\].length: expected a whole number"),
    "length true": (changed_layer(1, length=True), r"layers\[1\].length: expected a whole number"),
    "another length": (changed_layer(1, length=4), r"shape: expected \[4, 2\], as the layers say"),
    "length of terabytes": (changed_layer(0, length=10**12), r"shape: expected \[3, 1000000000000\]"),
    "tensor missing": (without_a_tensor, "expected the tensors layers.1.W"),
    "tensor too many": (with_another_tensor, "found .*extra"),
    "tensor of another dtype": (
        changed_tensor("layers.2.W", dtype="F32"),
        "dtype: expected 'F64', found 'F32'",
    ),
    "tensor of another shape": (changed_tensor("layers.2.W", shape=[3, 1]), r"shape: expected \[1, 3\]"),
    "tensor without offsets": (changed_tensor("layers.2.W", data_offsets=[]), "expected two numbers"),
    "offsets that overlap": (changed_tensor("layers.2.W", data_offsets=[0, 24]), "data_offsets: expected"),
    "offsets of text": (changed_tensor("layers.2.W", data_offsets=["0", "24"]), "expected a whole number"),
    "numbers missing": (
        lambda: container(header(description()), NUMBERS[:-1]),
        "found 103: the file is truncated",
    ),
    "numbers too many": (lambda: container(header(description()), NUMBERS + b"\0"), "something follows"),
    "NaN": (with_nan, "found NaN or infinity in Bias of layer 2"),
    "names missing": (changed_preprocessing("features", names=["a"]), "names: expected 2 names"),
    "mean too long": (changed_preprocessing("features", mean=[1, 2, 3]), "mean: expected 2 numbers"),
    "mean of text": (
        changed_preprocessing("features", mean=["1", "2"]),
        r"mean\[0\]: expected a finite number",
    ),
    "mean infinite": (changed_preprocessing("target", mean=[float("inf")]), "expected a finite number"),
    "mean huge": (changed_preprocessing("target", mean=[10**400]), "expected a finite number"),
    "deviation 0": (
        changed_preprocessing("features", deviation=[1, 0]),
        "deviation: expected positive numbers",
    ),
    "classes of another number": (
        changed_preprocessing("target", classes=["a", "b"]),
        "classes: expected 1 names",
    ),
    "name that is a number": (changed_preprocessing("target", name=3), "name: expected text, found 3"),
    "column of no kind": (changed_column("number", kind="picture"), "kind: expected one of 'number'"),
    "column without a number": (changed_column("number", mean=None), r"mean.*: expected a finite number"),
    "column of deviation 0": (changed_column("date", deviation=0), "deviation: expected a positive number"),
    "column of text": (changed_column("number", indicator="yes"), "indicator: expected true or false"),
    "a category too few": (
        changed_column("category", categories=["x"], fill=0),
        "columns with 3 features together",
    ),
    "a category that is none": (changed_column("category", fill=2), "fill: expected the index of a category"),
    "three words": (changed_column("boolean", words=["a", "b", "c"]), "words: expected 2 names"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, name: str) -> None:
    content, message = WRONG[name]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content())

    with pytest.raises(FileFormatError, match=message) as error:
        load(path)

    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_every_truncated_file_is_refused(tmp_path: Path, file: Path) -> None:
    content, path = file.read_bytes(), tmp_path / "truncated"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(FileFormatError):
            load(path)


def test_a_changed_byte_is_refused_or_harmless(tmp_path: Path, file: Path) -> None:
    content, path = file.read_bytes(), tmp_path / "changed"
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x15]) + content[place + 1 :])
        try:
            network = load(path)
        except FileFormatError:
            continue
        assert np.isfinite(network.parameters).all()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="nothing: there is no such file"):
        load(tmp_path / "nothing")
    with pytest.raises(FileFormatError, match="is not a file"):
        load(tmp_path)


def test_nan_is_not_saved(file: Path) -> None:
    before, network = file.read_bytes(), small()
    network.layers[2].W[0, 1] = np.nan

    with pytest.raises(DataError, match=r"layer 2, .*W\[0, 1\] = nan"):
        save(network, file)

    assert file.read_bytes() == before


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_file_as_it_was(
    file: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        save(small(), file)
    monkeypatch.undo()

    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_an_interrupted_write_leaves_the_file_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(small(), file)

    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="is not a file"):
        save(small(), tmp_path)
    with pytest.raises(FileNotFoundError):
        save(small(), tmp_path / "nowhere" / "model")


@pytest.mark.skipif(os.name != "posix", reason="links and modes of POSIX")
def test_links_and_modes_stay(tmp_path: Path) -> None:
    file, link = tmp_path / "model", tmp_path / "link"
    file.write_bytes(b"before")
    file.chmod(0o640)
    link.symlink_to(file)

    write_file(link, b"after")

    assert link.is_symlink()
    assert file.read_bytes() == b"after"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
