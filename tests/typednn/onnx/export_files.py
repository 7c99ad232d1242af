"""Writes models by the exporters of PyTorch, scikit-learn and Keras.

`python -m tests.typednn.onnx.export_files FOLDER` writes them to a folder. Beside each `NAME.onnx`,
`NAME.npz` holds samples and the outputs of the library that made it, and which versions made it.

The folder `exported` beside this script holds what it wrote, so that tests read files of real exporters where
these are not installed. Nothing in them was changed, except that nodes of PyTorch's newer exporter have lost
their notes, which are stack traces with the paths of the machine.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

N_FEATURES = 5


def samples() -> Any:
    return np.random.default_rng(0).normal(size=(60, N_FEATURES)).astype(np.float32)


def save_outputs(path: Path, x: Any, y: Any, *packages: str) -> None:
    """Writes samples and outputs, and the versions of the packages that made a model."""
    np.savez(path, x=x, y=y, made_by=[f"{package} {version(package)}" for package in packages])


def write_torch(folder: Path) -> None:
    """An MLP with every activation, batch and layer normalisation, by both exporters."""
    torch: Any = import_module("torch")
    nn = torch.nn

    torch.manual_seed(0)
    activations = [
        *(
            nn.ReLU(),
            nn.Sigmoid(),
            nn.Tanh(),
            nn.LeakyReLU(0.05),
            nn.ELU(0.5),
            nn.SELU(),
            nn.GELU(),
            nn.SiLU(),
        ),
        *(nn.Softplus(), nn.Softsign(), nn.Mish(), nn.Hardtanh(), nn.Hardsigmoid(), nn.ReLU6(), nn.CELU()),
        *(nn.Hardswish(), nn.GELU("tanh"), nn.Identity()),
    ]
    hidden = [each for f in activations for each in (nn.Linear(6, 6), f)]
    norms = [
        *(nn.BatchNorm1d(60), nn.Dropout(0.2), nn.Linear(60, 6, bias=False), nn.LayerNorm(6, eps=1e-3)),
        *(nn.Tanh(), nn.Linear(6, 6), nn.LayerNorm(6)),
    ]
    model = nn.Sequential(nn.Linear(N_FEATURES, 60), *norms, *hidden, nn.Linear(6, 3), nn.Softmax(-1))
    model.train()(torch.from_numpy(samples()) * 2 + 1)  # running moments that are not 0 and 1
    model.eval()
    x = torch.from_numpy(samples())
    outputs = model(x).detach().numpy()
    batch = torch.export.Dim("batch")
    torch.onnx.export(
        model,
        (x,),
        str(folder / "torch_dynamo.onnx"),
        dynamo=True,
        external_data=True,
        verbose=False,
        dynamic_shapes=({0: batch},),
    )
    without_notes(folder / "torch_dynamo.onnx")
    save_outputs(folder / "torch_dynamo.npz", samples(), outputs, "torch", "onnxscript")
    for opset in (13, 17):
        name = f"torch_script_{opset}"
        torch.onnx.export(
            model,
            (x,),
            str(folder / f"{name}.onnx"),
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
        )
        save_outputs(folder / f"{name}.npz", samples(), outputs, "torch")
    image = nn.Sequential(nn.Flatten(), nn.Linear(N_FEATURES, 4), nn.Tanh(), nn.Linear(4, 1)).eval()
    torch.onnx.export(image, (x.reshape(60, 1, N_FEATURES),), str(folder / "torch_image.onnx"), dynamo=False)
    save_outputs(folder / "torch_image.npz", samples(), image(x).detach().numpy(), "torch")


def without_notes(path: Path) -> None:
    """Removes what nodes of a file note: stack traces."""
    onnx: Any = import_module("onnx")
    model = onnx.load(str(path), load_external_data=False)
    for node in model.graph.node:
        del node.metadata_props[:]
    path.write_bytes(model.SerializeToString())


def write_sklearn(folder: Path) -> None:
    """Pipelines with a scaler: two classes, three, several labels, one and two numbers."""
    to_onnx: Any = import_module("skl2onnx").to_onnx
    networks: Any = import_module("sklearn.neural_network")
    make_pipeline: Any = import_module("sklearn.pipeline").make_pipeline
    scaler: Any = import_module("sklearn.preprocessing").StandardScaler

    x = samples() * 3 + 10
    cases: dict[str, tuple[Any, Any]] = {
        "two_classes": (networks.MLPClassifier((6,), max_iter=9), np.where(x[:, 0] > 10, "b", "a")),
        "three_classes": (
            networks.MLPClassifier((6, 4), activation="tanh", max_iter=9),
            x[:, 0].astype(int) % 3,
        ),
        "labels": (networks.MLPClassifier((6,), max_iter=9), (x[:, :3] > 10).astype(int)),
        "number": (
            networks.MLPRegressor(hidden_layer_sizes=(6,), activation="logistic", max_iter=9),
            x[:, 0],
        ),
    }
    for name, (estimator, targets) in cases.items():
        pipeline = make_pipeline(scaler(), estimator).fit(x, targets)
        predict = getattr(pipeline, "predict_proba", pipeline.predict)
        y = predict(x).reshape(len(x), -1)
        if name == "two_classes":
            y = y[:, 1:]
        (folder / f"sklearn_{name}.onnx").write_bytes(to_onnx(pipeline, x[:1]).SerializeToString())
        save_outputs(folder / f"sklearn_{name}.npz", x, y, "skl2onnx", "scikit-learn")


def write_keras(folder: Path) -> None:
    """An MLP with batch normalisation after an activation, Dropout and layers of activations."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras: Any = import_module("keras")
    layers = keras.layers

    keras.utils.set_random_seed(0)
    names = ("relu", "gelu", "softplus", "silu", "elu", "selu", "hard_sigmoid", "tanh", "sigmoid", "softsign")
    model = keras.Sequential(
        [
            keras.Input((N_FEATURES,)),
            *(layers.Dense(6, "relu"), layers.BatchNormalization(), layers.Dense(6), layers.LeakyReLU(0.1)),
            *(layers.Dense(6, name) for name in names),
            *(layers.Dropout(0.1), layers.Dense(3, "softmax")),
        ]
    )
    y = np.asarray(model.predict(samples(), verbose=0))
    model.export(str(folder / "keras.onnx"), format="onnx", verbose=False)
    save_outputs(folder / "keras.npz", samples(), y, "keras")


WRITERS: dict[str, Callable[[Path], None]] = {
    "torch": write_torch,
    "skl2onnx": write_sklearn,
    "keras": write_keras,
}
"""By the package that must be installed."""

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for write in WRITERS.values():
        write(Path(sys.argv[1]))
