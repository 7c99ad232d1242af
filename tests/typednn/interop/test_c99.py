"""Networks as C, compiled by gcc without a warning and compared with `predict`."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.oracles import error_function
from tests.typednn.onnx.test_writer import (
    ACTIVATIONS,
    NORMALIZATIONS,
    columns_of_all_kinds,
    magnitude,
    network_with,
    normalizing,
)
from typednn import (
    HiddenLayer,
    InputLayer,
    NotReadyError,
    OutputLayer,
    SettingError,
    register_activation,
)
from typednn.data.columns import DateColumn, NumberColumn
from typednn.data.model import Model
from typednn.data.preprocessing import Preprocessing
from typednn.data.targets import Classes, Scale
from typednn.formulas import erf, exp, sign, sqrt
from typednn.interop import to_c
from typednn.interop.c99 import VECTORIZE
from typednn.interop.c99_functions import PARTS

pytestmark = pytest.mark.usefixtures("numpy_alone")
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffp-contract=off")
EPS = float(np.finfo(np.float32).eps)
POINTER = ctypes.c_void_p


def compiled(source: str, folder: Path, *flags: str) -> Any:
    """The library that gcc makes of a file."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("there is no gcc")
    (folder / "model.c").write_text(source, encoding="ascii")
    out = str(folder / "model.so")
    command = [gcc, *STRICT, *flags, "-shared", "-fPIC", "-o", out, str(folder / "model.c"), "-lm"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return ctypes.CDLL(out)


def outputs_of(library: Any, x: Any, n_outputs: int, dtype: Any = np.float32) -> Any:
    outputs = np.full((len(x), n_outputs), np.nan, dtype)
    for row, result in zip(x, outputs, strict=True):
        library.model_predict(row.ctypes.data_as(POINTER), result.ctypes.data_as(POINTER))
    return outputs


def check(network: Any, folder: Path, *flags: str) -> None:
    x = np.random.default_rng(5).normal(size=(20, network.layers[0].length)).astype(np.float32)

    outputs = outputs_of(compiled(to_c(network), folder, *flags), x, network.layers[-1].length)

    expected = network.predict(x)
    assert abs(outputs - expected).max() <= 8 * np.finfo(np.float32).eps * magnitude(network, x)


@pytest.mark.parametrize(
    ("activation", "normalization", "output"),
    [("gelu", "none", "softmax"), ("mish", "batch", "exponential"), ("selu", "layer", "log_softmax")],
)
def test_each_normalization(activation: Any, normalization: Any, output: Any, tmp_path: Path) -> None:
    hidden = HiddenLayer(7, activation, normalization=normalization)
    check(network_with([InputLayer(5), hidden, OutputLayer(3, output)], np.float32), tmp_path)


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_layers_that_only_normalize(normalization: Any, tmp_path: Path) -> None:
    check(normalizing(normalization, np.float32), tmp_path)


@pytest.mark.full("compiles a file for each case")
@pytest.mark.parametrize("output", ["none", "softmax", "gelu", "log_softmax"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_c_computes_what_predict_computes(
    activation: Any, normalization: Any, output: Any, tmp_path: Path
) -> None:
    hidden = HiddenLayer(7, activation, normalization=normalization, dropout=0.25)
    check(network_with([InputLayer(5), hidden, OutputLayer(3, output)], np.float32), tmp_path)


@pytest.mark.parametrize("flags", [("-O0",), ("-O3", "-march=native", "-ffp-contract=fast")])
@pytest.mark.parametrize("lengths", [(1, 1), (2, 32, 1), (65, 33, 64, 10), (200, 100, 31, 2)])
def test_layers_of_any_length(lengths: tuple[int, ...], flags: tuple[str, ...], tmp_path: Path) -> None:
    first, *between, last = lengths
    layers = [InputLayer(first, "tanh"), *(HiddenLayer(n, "relu") for n in between), OutputLayer(last)]

    check(network_with(layers, np.float32), tmp_path, *flags)


EXACT: dict[str, Any] = {
    **{name: getattr(np, name) for name in ("exp", "expm1", "log1p", "tanh")},
    "erf": error_function.erf,
    "erfc": error_function.erfc,
}


@pytest.mark.parametrize("flags", [("-O1",), ("-O3", "-march=native", "-ffp-contract=fast")])
def test_elementary_functions_are_accurate(flags: tuple[str, ...], tmp_path: Path) -> None:
    parts = dict.fromkeys(part for parts in PARTS.values() for part in parts)
    loops = [
        f"void v_{name}(const float *x, float *y, int n)\n"
        f"{{ int u; for (u = 0; u < n; u++) y[u] = {name}_of(x[u]); }}\n"
        for name in EXACT
    ]
    heads = [f"#include <{name}.h>\n" for name in ("math", "stdint", "string")]
    library = compiled("".join([*heads, VECTORIZE, *parts, *loops]), tmp_path, *flags)
    large = np.geomspace(1e-38, 1e38, 2000)
    near = np.concatenate([np.linspace(-110, 95, 20001), np.linspace(-2, 2, 20001)])
    x = np.concatenate([near, large, -large, [0, np.inf, -np.inf, np.nan]]).astype(np.float32)
    assert EXACT.keys() == PARTS.keys()

    for name, exact in EXACT.items():
        y = np.full_like(x, 7)
        getattr(library, f"v_{name}")(x.ctypes.data_as(POINTER), y.ctypes.data_as(POINTER), len(x))

        with np.errstate(all="ignore"):
            wanted = np.asarray(exact(x.astype(np.longdouble)))
            rounded = wanted.astype(np.float32)
            off = abs(y - wanted) / np.maximum(
                np.spacing(abs(rounded)), np.finfo(np.float32).smallest_subnormal
            )
        same = (y == rounded) | (np.isnan(y) & np.isnan(rounded))
        assert (same | (off < 2)).all(), (name, x[~(same | (off < 2))][:5])


def test_activations_of_users(tmp_path: Path) -> None:
    own = register_activation(
        "own */ in C",
        lambda a: erf(a) + sign(a) * sqrt(a * a + 1) - sign(a),
        lambda a, y: exp(-a * a) * (2 / np.pi**0.5) + sign(a) * a / sqrt(a * a + 1),
    )
    check(network_with([InputLayer(5), HiddenLayer(7, own), OutputLayer(3)], np.float32), tmp_path)


RAW = np.random.default_rng(6).normal(size=(50, 2)) * [1, 1e-3] + [1e7, 0]
FEATURES = (NumberColumn("a", 1e7, 1.5, 1e7), NumberColumn("b", 0.0, 2e-3))


def test_raw_features_go_in_and_classes_come_out(tmp_path: Path) -> None:
    network = network_with([InputLayer(2), HiddenLayer(7, "tanh"), OutputLayer(3, "softmax")], np.float32)
    names = ('a "quoted" one', "dög??/", "new\nline\\")
    preprocessing = Preprocessing(FEATURES, Classes(names), ("kind */",), ("a", "b"))

    library = compiled(to_c(Model(network, preprocessing)), tmp_path)
    outputs = outputs_of(library, RAW, 3)

    expected = Model(network, preprocessing).predict(RAW)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=8 * EPS)
    labels = [library.model_label(row.ctypes.data_as(POINTER)) for row in outputs]
    assert labels == expected.argmax(axis=1).tolist()
    stored = (ctypes.c_char_p * 3).in_dll(library, "model_classes")
    assert [each.decode() for each in stored if each is not None] == list(names)


def test_predictions_of_a_regression_have_the_units_of_the_target(tmp_path: Path) -> None:
    network = network_with([InputLayer(2), HiddenLayer(7, "tanh"), OutputLayer(2)], np.float32)
    scale = Scale(np.array([1e5, -1.0]), np.array([3.0, 0.5]))
    preprocessing = Preprocessing(FEATURES, scale, ("y", "z"), ("a", "b"))

    library = compiled(to_c(Model(network, preprocessing)), tmp_path)

    expected = Model(network, preprocessing).predict(RAW)
    outputs = outputs_of(library, RAW, 2, np.float64)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=32 * EPS)


def test_columns_of_text_and_missing_values(tmp_path: Path) -> None:
    preprocessing, raw, _ = columns_of_all_kinds()
    layers = [InputLayer(12), HiddenLayer(6, "tanh"), OutputLayer(2, "softmax")]
    model = Model(network_with(layers, np.float32), preprocessing)
    nan = np.nan
    rows = np.array([[1e6, 1, 1, 1, 0], [1e6 + 3, 7, 0, 2, 1], [nan, nan, nan, 3, 2], [5, 2, 1, -4, nan]])

    outputs = outputs_of(compiled(to_c(model), tmp_path), rows, 2)

    np.testing.assert_allclose(outputs, model.predict(raw), rtol=0, atol=8 * EPS)


def test_dates_are_refused() -> None:
    preprocessing = Preprocessing((DateColumn("born", 0.0, 1.0),), Classes(("a", "b")))
    model = Model(network_with([InputLayer(5), OutputLayer(2, "softmax")], np.float32), preprocessing)

    with pytest.raises(SettingError, match="the column 'born' holds dates"):
        to_c(model)


def test_two_networks_in_one_program(tmp_path: Path) -> None:
    both = [
        to_c(network_with([InputLayer(2), OutputLayer(1)], np.float32), name=name) for name in ("one", "two")
    ]
    for name, source in zip(("one", "two"), both, strict=True):
        (tmp_path / f"{name}.c").write_text(source, encoding="ascii")
    gcc = shutil.which("gcc") or pytest.skip("there is no gcc")
    command = [str(gcc), *STRICT, "-shared", "-fPIC", "-o", "both.so", "one.c", "two.c", "-lm"]

    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0


def test_what_cannot_be_written_is_refused() -> None:
    network = network_with([InputLayer(2), OutputLayer(1)], np.float32)
    with pytest.raises(SettingError, match=r"network\.astype\(np\.float32\)"):
        to_c(network.astype(np.float64))
    for name in ("", "2nd", "a b", "naïve", "x;", "_x"):
        with pytest.raises(SettingError, match="identifier of C"):
            to_c(network, name=name)
    network.layers[1]._actname = "of another process"
    with pytest.raises(NotReadyError, match="call register_activation"):
        to_c(network)
