"""Training with an optimiser, a schedule, metrics and callbacks; with batches; by a minimiser."""

from collections.abc import Iterator
from typing import assert_type

import numpy as np

from typednn import (
    Adam,
    Callback,
    CosineDecay,
    EarlyStopping,
    GradientNorms,
    HiddenLayer,
    History,
    InputLayer,
    Minimum,
    Network,
    OutputLayer,
    Run,
    minimize,
)

MatrixOf32 = np.ndarray[tuple[int, int], np.dtype[np.float32]]
Labels = np.ndarray[tuple[int], np.dtype[np.int64]]

generator = np.random.default_rng(0)
x = generator.normal(size=(64, 3)).astype(np.float32)
labels = (x[:, 0] > 0).astype(np.int64)


class Report(Callback):
    """Prints the loss of each epoch, and the norm of a gradient."""

    def on_epoch(self, run: Run) -> None:
        """Called after each."""
        print(run.epoch, run.history.loss[-1], float(np.linalg.norm(run.layers[1].dLdW)))


layers = [InputLayer(3), HiddenLayer(8, "tanh", l2=1e-4), OutputLayer(2, "softmax", "crossentropy")]
network = Network(layers, dtype=np.float32, seed=0)
stopping, norms = EarlyStopping(patience=3), GradientNorms()
history = network.fit(
    x,
    labels,
    epochs=4,
    batch_size=16,
    optimizer=Adam(CosineDecay(0.01, decay_steps=16), weight_decay=1e-3, clip_norm=1.0),
    validation_data=(x, labels),
    metrics=["accuracy"],
    class_weight={0: 1.0, 1: 2.0},
    label_smoothing=0.1,
    callbacks=[stopping, norms, Report()],
)
assert_type(history, History)
assert_type(history.metrics["accuracy"], list[float])
assert_type(stopping.best_epoch, int)
assert_type(norms.norms, list[list[float]])


class Batches:
    """Batches of 16, again in each epoch."""

    def __iter__(self) -> Iterator[tuple[MatrixOf32, Labels]]:
        """From the first."""
        for start in range(0, 64, 16):
            yield x[start : start + 16], labels[start : start + 16]


assert_type(network.fit_batches(Batches(), epochs=2, optimizer="sgd", learning_rate=0.1), History)
assert_type(minimize(network, x, labels, "L-BFGS-B", max_iterations=5), Minimum)
assert_type(network.predict(x), MatrixOf32)
