"""A type test for every public name: what it gives, exactly. A function takes what it tests as arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, assert_type

import numpy as np
from typednn_kernels.activations import ActivationName, OutputActivationName
from typednn_kernels.losses import LossName

from typednn import (
    ArrayTypeError,
    DataError,
    DivergenceError,
    Evaluation,
    FileFormatError,
    ForwardPass,
    GradientReport,
    Gradients,
    HiddenLayer,
    History,
    InputLayer,
    LayerGradients,
    MissingExtraError,
    Network,
    NotReadyError,
    OutputLayer,
    Predictor,
    SettingError,
    ShapeError,
    TypednnError,
    UnknownNameError,
    WiringError,
    backend,
    gradcheck,
    gradient_descent_epoch,
    gradient_descent_threshold,
    load,
    names,
    save,
    use_backend,
)
from typednn.arrays import ClassTargets, Truths
from typednn.gradient_checking import GradientCheck
from typednn.initializers import BiasInitializerName, WeightInitializerName
from typednn.layers import Layer, TrainableLayer
from typednn.names import Names

Matrix32 = np.ndarray[tuple[int, int], np.dtype[np.float32]]
Matrix64 = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Vector32 = np.ndarray[tuple[int], np.dtype[np.float32]]
Vector64 = np.ndarray[tuple[int], np.dtype[np.float64]]
Tensor64 = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

Classifier = Network[np.float32, ClassTargets]
Regressor = Network[np.float64, Truths]


def input_layer(layer: InputLayer[np.float64]) -> None:
    assert_type(InputLayer(3), InputLayer[np.float64])
    assert_type(InputLayer(3, "tanh"), InputLayer[np.float64])
    layer.put_values(np.zeros(2))
    layer.forward()
    assert_type(layer.pre_activations, Matrix64)


def trainable_layer(layer: TrainableLayer[np.float64]) -> None:
    layer.set_weights("he", seed=0)
    layer.set_biases("constant", seed=np.random.default_rng(0))
    layer.forward()
    assert_type(layer.W, Matrix64)
    assert_type(layer.Bias, Matrix64)
    assert_type(layer.dLda, Matrix64)
    assert_type(layer.dLdW, Matrix64)
    assert_type(layer.dLdBias, Matrix64)


def new_layers() -> None:
    hidden, output = HiddenLayer(3, "relu", weights="he", biases="zeros"), OutputLayer(1)
    assert_type(hidden, HiddenLayer[np.float64])
    assert_type(output, OutputLayer[np.float64, Truths])
    assert_type(OutputLayer(1, "sigmoid", "bincrossentropy"), OutputLayer[np.float64, ClassTargets])
    assert_type(OutputLayer(2, "softmax", "crossentropy"), OutputLayer[np.float64, ClassTargets])


def attached(layer: TrainableLayer[np.float64], before: InputLayer[np.float64]) -> None:
    layer.attach_after(before)


def hidden_layer(layer: HiddenLayer[np.float64]) -> None:
    layer.backward()
    assert_type(layer.dLdh, Matrix64)
    assert_type(layer.dhda, Matrix64)


def output_layer(layer: OutputLayer[np.float64]) -> None:
    layer.set_actual([0.5])
    layer.backward()
    assert_type(layer.output(), Matrix64)
    assert_type(layer.loss(), float)
    assert_type(layer.dLdy, Matrix64)
    assert_type(layer.dyda, Tensor64)
    assert_type(layer.lossfnname, LossName)
    assert_type(layer.last, bool)


def first_of_any(first: Layer[np.float64]) -> None:
    assert_type(first.length, int)
    assert_type(first.actname, OutputActivationName)
    assert_type(first.previous, Layer[np.float64] | None)
    assert_type(first.next, Layer[np.float64] | None)
    assert_type(first.last, bool)
    assert_type(first.name, str)
    first.put_values([1.0, 2.0])
    first.forward()
    assert_type(first.activations, Matrix64)
    assert_type(first.pre_activations, Matrix64)


def middle_of_any(middle: Layer[np.float64], first: Layer[np.float64]) -> None:
    middle.attach_after(first)
    middle.set_weights("one")
    middle.set_biases("zeros")
    middle.forward()


def last_of_any(last: Layer[np.float64]) -> None:
    last.forward()
    last.set_actual([[1.0]])
    last.backward()
    assert_type(last.output(), Matrix64)
    assert_type(last.loss(), float)
    assert_type(last.dLdy, Matrix64)
    assert_type(last.dyda, Tensor64)


def gradients_of_any(middle: Layer[np.float64]) -> None:
    middle.backward()
    assert_type(middle.W, Matrix64)
    assert_type(middle.Bias, Matrix64)
    assert_type(middle.dLda, Matrix64)
    assert_type(middle.dLdW, Matrix64)
    assert_type(middle.dLdBias, Matrix64)
    assert_type(middle.dLdh, Matrix64)
    assert_type(middle.dhda, Matrix64)


def classic_training(ann: list[Layer[np.float64]]) -> None:
    x, y = np.zeros((3, 2)), [[0], [1], [1]]
    assert_type(gradient_descent_epoch(ann, x, y, 0.1, 2), tuple[list[Layer[np.float64]], list[float]])
    assert_type(
        gradient_descent_threshold(ann, x, y, 0.1, 0.5, 2), tuple[list[Layer[np.float64]], list[float]]
    )


def classifier(network: Classifier) -> None:
    x, labels, rates = np.zeros((3, 2), np.float32), np.array([0, 1, 1]), np.eye(3, 2, dtype=np.float32)
    assert_type(network.layers, tuple[Layer[np.float32], ...])
    assert_type(network.parameters, Vector32)
    assert_type(network.dtype, np.dtype[np.float32])
    assert_type(network.predict(x), Matrix32)
    assert_type(network.predict(x.astype(np.uint8)), Matrix32)
    assert_type(network.predictor(), Predictor[np.float32])
    assert_type(network.forward(x), ForwardPass[np.float32, ClassTargets])
    assert_type(network.loss(x, labels), float)
    assert_type(network.loss(x, rates), float)
    assert_type(network.evaluate(x, labels), Evaluation)
    assert_type(network.fit(x, labels, epochs=1, validation_data=(x, labels)), History)
    assert_type(network.summary(), str)
    assert_type(gradcheck(network, x, labels), GradientReport)


def regressor(network: Regressor) -> None:
    x, y = np.zeros((3, 2)), np.ones((3, 1))
    assert_type(network.predict(x), Matrix64)
    assert_type(network.layers[1].W, Matrix64)
    assert_type(network.loss(x, y), float)
    assert_type(network.loss(x, y > 0.5), float)
    assert_type(network.fit(x, y, epochs=1, learning_rate=0.1, shuffle=False, on_epoch=print), History)
    assert_type(gradcheck(network, x, y), GradientReport)


def new_networks() -> None:
    values = [InputLayer(2), HiddenLayer(3), OutputLayer(1)]
    classes = [InputLayer(2), HiddenLayer(3), OutputLayer(2, "softmax", "crossentropy")]
    assert_type(Network(values, dtype=np.float32), Network[np.float32, Truths])
    assert_type(Network(classes, dtype=np.float32), Network[np.float32, ClassTargets])
    assert_type(Network(values), Network[np.float64, Truths])
    assert_type(Network(classes), Network[np.float64, ClassTargets])


def forward_pass(forward: ForwardPass[np.float64]) -> None:
    y = np.ones((3, 1))
    assert_type(forward.output, Matrix64)
    assert_type(forward.loss(y), float)
    assert_type(forward.backward(y), Gradients[np.float64])


def gradients_of_a_network(gradients: Gradients[np.float32], network: Classifier) -> None:
    assert_type(gradients.vector, Vector32)
    assert_type(gradients.loss, float)
    assert_type(gradients[network.layers[1]], LayerGradients[np.float32])


def layer_gradients(gradients: LayerGradients[np.float32]) -> None:
    assert_type(gradients.dLda, Matrix32)
    assert_type(gradients.dLdW, Matrix32)
    assert_type(gradients.dLdBias, Matrix32)


def predictor(predict: Predictor[np.float32]) -> None:
    assert_type(predict(np.zeros(2, np.float32)), Vector32)


def evaluation(evaluation: Evaluation) -> None:
    assert_type(evaluation.loss, float)
    assert_type(evaluation.accuracy, float | None)
    assert_type(evaluation.r2, float | None)


def history(history: History) -> None:
    assert_type(history.loss, list[float])
    assert_type(history.validation_loss, list[float])


def gradient_report(report: GradientReport) -> None:
    assert_type(report.checks, tuple[GradientCheck, ...])
    assert_type(report.dtype, str)
    assert_type(report.passed, bool)


def saving_and_loading(network: Regressor, path: Path) -> None:
    save(network, path)
    assert_type(load(path), Network[np.float32] | Network[np.float64])
    assert_type(load(str(path), np.float64), Network[np.float64])


def backends(switch: use_backend) -> None:
    assert_type(backend(), Literal["numba", "numpy"])
    assert_type(switch.previous, Literal["numba", "numpy"])
    with use_backend("numpy") as nothing:
        assert_type(nothing, None)


def parsed_names() -> None:
    assert_type(names.activation("relu"), ActivationName)
    assert_type(names.hidden_activation("relu"), ActivationName)
    assert_type(names.output_activation("softmax"), OutputActivationName)
    assert_type(names.loss("MSE"), LossName)
    assert_type(names.weight_initializer("he"), WeightInitializerName)
    assert_type(names.bias_initializer("zeros"), BiasInitializerName)
    assert_type(names.backend("numpy"), Literal["numba", "numpy"])


def table_of_names(table: Names[LossName]) -> None:
    assert_type(table.kind, str)
    assert_type(table.known, tuple[LossName, ...])
    assert_type(list(table), list[LossName])


def errors() -> None:
    assert_type(TypednnError("where: what"), TypednnError)
    assert_type(ArrayTypeError("where: what"), ArrayTypeError)
    assert_type(DataError("where: what"), DataError)
    assert_type(DivergenceError("where: what"), DivergenceError)
    assert_type(FileFormatError("where: what"), FileFormatError)
    assert_type(MissingExtraError("rich", "this", "cli"), MissingExtraError)
    assert_type(NotReadyError("where: what"), NotReadyError)
    assert_type(SettingError("where: what"), SettingError)
    assert_type(ShapeError("where: what"), ShapeError)
    assert_type(UnknownNameError("loss", "mse", ["MSE"]), UnknownNameError)
    assert_type(WiringError("where: what"), WiringError)
