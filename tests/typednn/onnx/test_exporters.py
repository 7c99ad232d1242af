"""Files of the exporters of PyTorch, scikit-learn and Keras are read, and predict what those predict."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import typednn.onnx
from tests.typednn.onnx.export_files import WRITERS

pytest.importorskip("onnx", reason="onnx is not installed: pip install 'typednn[onnx]'")
pytestmark = pytest.mark.usefixtures("numpy_alone")
KEPT = Path(__file__).parent / "exported"
"""What `export_files` wrote once."""

FILES = {
    "torch": ("torch_dynamo", "torch_script_13", "torch_script_17", "torch_image"),
    "skl2onnx": ("sklearn_two_classes", "sklearn_three_classes", "sklearn_labels", "sklearn_number"),
    "keras": ("keras",),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("exported")
    for package, writer in WRITERS.items():
        if find_spec(package) is not None:
            code = (
                f"import warnings; warnings.simplefilter('ignore'); from pathlib import Path; "
                f"from tests.typednn.onnx.export_files import {writer.__name__} as w; w(Path({str(made)!r}))"
            )
            run = subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "KERAS_BACKEND": "torch"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert run.returncode == 0, run.stderr
    return made


by_file = pytest.mark.parametrize(
    ("package", "name"), [(p, name) for p, names in FILES.items() for name in names]
)


@by_file
def test_a_kept_file_of_an_exporter_is_read(package: str, name: str) -> None:
    check(KEPT, package, name)


@pytest.mark.full("imports PyTorch, skl2onnx and Keras")
@by_file
def test_a_file_of_the_installed_exporter_is_read(package: str, name: str, written: Path) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install 'typednn[exporters]'")
    check(written, package, name)


def test_a_kept_file_has_its_weights_beside_it() -> None:
    assert (KEPT / "torch_dynamo.onnx.data").stat().st_size > 0


def check(folder: Path, package: str, name: str) -> None:
    said = np.load(folder / f"{name}.npz")
    assert said["made_by"][0].startswith(package)

    network: Any = typednn.onnx.load(folder / f"{name}.onnx", np.float32)

    np.testing.assert_allclose(network.predict(said["x"]), said["y"], rtol=2e-5, atol=2e-6)


def test_the_activations_of_pytorch_are_those_of_the_model() -> None:
    wanted = (
        "none, none, tanh, none, relu, sigmoid, tanh, leaky_relu(0.05), elu(0.5), selu, gelu, silu, "
        "softplus, softsign, mish, hard_tanh, hard_sigmoid, relu6, elu, hard_swish, gelu_tanh, none, softmax"
    )
    for name in ("torch_dynamo", "torch_script_13", "torch_script_17"):
        network: Any = typednn.onnx.load(KEPT / f"{name}.onnx")
        assert ", ".join(map(str, (layer.actname for layer in network.layers))) == wanted
        assert network.layers[2].normalization == "layer"
        assert repr(network.layers[3].normalization) == "LayerNorm(epsilon=1e-05, inner_bias=True)"
