"""Thirteen right uses, as users of other libraries write them: neither checker may report anything."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import assert_type

import numpy as np

from typednn import (
    Adam,
    AnyNetwork,
    Callback,
    CosineDecay,
    EarlyStopping,
    HiddenLayer,
    History,
    InputLayer,
    LossName,
    MetricName,
    Network,
    OptimizerName,
    OutputActivationName,
    OutputLayer,
    Run,
    gradcheck,
    gradient_descent_epoch,
    load,
    minimize,
    save,
)

rng = np.random.default_rng(0)
x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 1))
vector, labels = y[:, 0], (y[:, 0] > 0).astype(np.int64)


def targets_as_a_vector() -> History:
    network = Network([InputLayer(3), HiddenLayer(4, "relu"), OutputLayer(1)], seed=0)
    return network.fit(x, vector, epochs=2, validation_data=(x, vector))


def probabilities_as_a_vector() -> float | None:
    network = Network([InputLayer(3), OutputLayer(1, "sigmoid", "bincrossentropy")], seed=0)
    network.fit(x, labels, epochs=2, optimizer="adam")
    network.fit(x, labels.astype(np.float64), epochs=2, optimizer="adam", learning_rate=0.1)
    return network.evaluate(x, vector > 0).accuracy


def targets_of_either_rank(path: Path) -> None:
    save(Network([InputLayer(3), OutputLayer(1)], seed=0), path)
    network = load(path)
    assert_type(network, AnyNetwork)
    network.fit(x, vector, epochs=1)
    network.fit(x, y, epochs=1)


def classes_in_float32() -> float:
    layers = [InputLayer(3), HiddenLayer(8, "tanh", dropout=0.1), OutputLayer(2, "softmax", "crossentropy")]
    network = Network(layers, dtype=np.float32, seed=0)
    network.fit(x.astype(np.float32), labels, epochs=2, metrics=["accuracy", "auc"], class_weight="balanced")
    return float(network.predict(x.astype(np.float32)).max())


def rate_of_an_optimizer() -> History:
    network = Network([InputLayer(3), OutputLayer(1)], seed=0)
    return network.fit(x, y, epochs=2, optimizer=Adam(learning_rate=CosineDecay(0.1, 4)), batch_size=8)


def rate_alone(rate: float | None = None) -> History:
    network = Network([InputLayer(3), OutputLayer(1)], seed=0)
    return network.fit_batches([(x, y), (x, vector)], epochs=2, learning_rate=rate)


@dataclass
class Settings:
    """What a configuration file says."""

    sizes: tuple[int, ...] = (8, 4)
    output: OutputActivationName = "none"
    loss: LossName = "huber"
    optimizer: OptimizerName = "rmsprop"
    metrics: tuple[MetricName, ...] = ("r2", "mae")


def from_a_configuration(settings: Settings) -> History:
    hidden = [HiddenLayer(size, "relu") for size in settings.sizes]
    network = Network([InputLayer(3), *hidden, OutputLayer(2, settings.output, settings.loss)], seed=0)
    rows = np.column_stack([y, y])
    return network.fit(x, rows, epochs=2, optimizer=settings.optimizer, metrics=settings.metrics)


def one_output_from_a_number(outputs: int) -> float:
    network = Network([InputLayer(3), OutputLayer(outputs, "none", "MSE")], seed=0)
    return network.loss(x, y)


def kinds_of_layers() -> list[float]:
    network = Network([InputLayer(3), HiddenLayer(4, "relu", dropout=0.2), OutputLayer(1)], seed=0)
    rates: list[float] = []
    for layer in network.layers:
        if isinstance(layer, HiddenLayer):
            assert_type(layer, HiddenLayer[np.float64])
            layer.dropout = 0.1
            rates.append(layer.dropout)
    return rates


class Losses(Callback):
    """Keeps the losses of the steps, and what the layers show at the last."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.largest = 0.0

    def on_batch(self, run: Run) -> None:
        """Called after each step."""
        self.steps.append(run.step_loss)
        self.largest = max(float(np.abs(layer.dLdW).max()) for layer in run.layers[1:])


def callback_of_ones_own() -> int:
    network, losses = Network([InputLayer(3), OutputLayer(1)], seed=0), Losses()
    stopping = EarlyStopping("loss", patience=3)
    network.fit(x, y, epochs=2, callbacks=[losses, stopping])
    return len(losses.steps)


def plain_list() -> float:
    ANN = [InputLayer(3), HiddenLayer(4, "sigmoid"), OutputLayer(1, "none", "MSE")]
    for before, layer in pairwise(ANN):
        layer.attach_after(before)
        layer.set_weights("xavier", seed=0)
    ANN[0].put_values(x)
    ANN[-1].set_actual(y)
    for layer in ANN:
        layer.forward()
    for layer in reversed(ANN[1:]):
        layer.backward()
        layer.W -= 0.1 * layer.dLdW
    _, losses = gradient_descent_epoch(ANN, x, y, 0.01, 1)
    return losses[-1]


def transfer() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    old = Network([InputLayer(3), HiddenLayer(4, "relu"), OutputLayer(1)], seed=0)
    new = Network([*old.layers[:-1], OutputLayer(2, "softmax", "crossentropy")], seed=0)
    new.layers[1].trainable = False
    new.fit(x, labels, epochs=1)
    return new.predict(x)


def checks_and_minimizers() -> bool:
    network = Network([InputLayer(3), HiddenLayer(3, "tanh"), OutputLayer(1)], seed=0)
    minimize(network, x, vector, method="L-BFGS-B", max_iterations=3)
    gradients = network.forward(x).backward(vector)
    assert_type(gradients.loss, float)
    return gradcheck(network, x, vector).passed


targets_as_a_vector()
probabilities_as_a_vector()
targets_of_either_rank(Path("model.safetensors"))
classes_in_float32()
rate_of_an_optimizer()
rate_alone()
from_a_configuration(Settings())
one_output_from_a_number(1)
kinds_of_layers()
callback_of_ones_own()
plain_list()
transfer()
assert checks_and_minimizers()
