"""What a type checker must report: every mistake with a name and inline, and the exact codes.

An ignore that is not needed is an error, as everywhere in this project: so each line
with one must be reported, with these codes and no others. When they run, the functions raise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import typednn
from typednn import (
    ArrayTypeError,
    Callback,
    EarlyStopping,
    HiddenLayer,
    History,
    InputLayer,
    Network,
    OutputLayer,
    Run,
    SettingError,
    ShapeError,
    UnknownNameError,
    WiringError,
)

MISTAKES: dict[str, list[tuple[Callable[[], object], type[Exception]]]] = {}
"""By kind: the functions that make the mistake, and what they raise."""


def mistake(kind: str, raised: type[Exception]) -> Callable[[Callable[[], object]], Callable[[], object]]:
    """Enters a function into the table."""

    def enter(function: Callable[[], object]) -> Callable[[], object]:
        MISTAKES.setdefault(kind, []).append((function, raised))
        return function

    return enter


wide = Network([InputLayer(4), HiddenLayer(3, "tanh"), OutputLayer(2)], seed=0)
narrow = Network([InputLayer(4), HiddenLayer(3, "tanh"), OutputLayer(2)], dtype=np.float32, seed=0)
x, y = np.zeros((6, 4)), np.zeros((6, 2))


@mistake("an unknown activation", UnknownNameError)
def activation_named() -> None:
    name = "rleu"
    HiddenLayer(3, name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("an unknown activation", UnknownNameError)
def activation_inline() -> None:
    HiddenLayer(3, "rleu")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("an unknown activation", UnknownNameError)
def output_activation_inline() -> None:
    OutputLayer(3, "softmx")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


@mistake("an unknown loss", UnknownNameError)
def loss_named() -> None:
    name = "mse"
    OutputLayer(3, "none", name)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


@mistake("an unknown loss", UnknownNameError)
def loss_inline() -> None:
    OutputLayer(3, "none", "mse")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


@mistake("an unknown normalisation", UnknownNameError)
def normalization_named() -> None:
    name = "bach"
    HiddenLayer(3, normalization=name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("an unknown normalisation", UnknownNameError)
def normalization_inline() -> None:
    HiddenLayer(3, "relu", normalization="group")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("an unknown initialiser", UnknownNameError)
def initializer_named() -> None:
    name = "glorot"
    HiddenLayer(3, weights=name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("an unknown initialiser", UnknownNameError)
def initializer_inline() -> None:
    HiddenLayer(3, biases="ones")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("an unknown initialiser", UnknownNameError)
def set_weights_inline() -> None:
    wide.layers[1].set_weights("glorot")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("an unknown optimiser", UnknownNameError)
def optimizer_named() -> None:
    name = "adm"
    wide.fit(x, y, epochs=1, optimizer=name)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


@mistake("an unknown optimiser", UnknownNameError)
def optimizer_inline() -> None:
    wide.fit(x, y, epochs=1, optimizer="adm")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


@mistake("an unknown optimiser", AttributeError)
def optimizer_class_inline() -> None:
    wide.fit(x, y, epochs=1, optimizer=typednn.Adamm())  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]


@mistake("an unknown metric", UnknownNameError)
def metric_named() -> None:
    name = "acuracy"
    wide.fit(x, y, epochs=1, metrics=[name])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


@mistake("an unknown metric", UnknownNameError)
def metric_inline() -> None:
    wide.fit(x, y, epochs=1, metrics=["acuracy"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


@mistake("a missing argument", TypeError)
def argument_named() -> None:
    fit = wide.fit
    fit(x)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


@mistake("a missing argument", TypeError)
def argument_inline() -> None:
    wide.fit(x, epochs=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


@mistake("a missing argument", TypeError)
def length_inline() -> None:
    HiddenLayer(actfn="relu")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@mistake("a list for an array", ArrayTypeError)
def list_named() -> None:
    rows = [[0.0, 1.0, 0.0, 1.0]]
    wide.predict(rows)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("a list for an array", ArrayTypeError)
def list_inline() -> None:
    wide.fit(x, [[0.0, 1.0]] * 6, epochs=1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


@mistake("float32 into a float64 network", ArrayTypeError)
def float32_named() -> None:
    single = np.zeros((6, 4), np.float32)
    wide.predict(single)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("float32 into a float64 network", ArrayTypeError)
def float32_inline() -> None:
    wide.forward(np.zeros((6, 4), np.float32))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("float32 into a float64 network", ArrayTypeError)
def float32_targets_inline() -> None:
    wide.fit(x, np.zeros((6, 2), np.float32), epochs=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("float32 into a float64 network", ArrayTypeError)
def float32_targets_of_a_pass_inline() -> None:
    wide.forward(x).backward(np.ones((6, 2), dtype=np.float32))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("float64 into a float32 network", ArrayTypeError)
def float64_named() -> None:
    narrow.predict(x)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("float64 into a float32 network", ArrayTypeError)
def float64_inline() -> None:
    narrow.forward(np.zeros((6, 4)))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("float64 into a float32 network", ArrayTypeError)
def random_float64_inline() -> None:
    narrow.predict(np.random.default_rng(0).normal(size=(6, 4)))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("one dimension where two are needed", ShapeError)
def one_dimension_named() -> None:
    sample = np.zeros(4)
    wide.predict(sample)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("one dimension where two are needed", ShapeError)
def one_dimension_inline() -> None:
    wide.predict(np.zeros(4))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("one dimension where two are needed", ShapeError)
def targets_of_one_dimension_inline() -> None:
    wide.fit(x, np.zeros(6), epochs=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("softmax in a hidden layer", UnknownNameError)
def softmax_named() -> None:
    name = "softmax"
    HiddenLayer(3, actfn=name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("softmax in a hidden layer", UnknownNameError)
def softmax_inline() -> None:
    HiddenLayer(3, "softmax")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("a forward pass before the network is built", AttributeError)
def forward_named() -> None:
    layers = [InputLayer(4), OutputLayer(2)]
    layers.forward(x)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


@mistake("a forward pass before the network is built", TypeError)
def forward_inline() -> None:
    HiddenLayer(3).forward(x)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@mistake("a forward pass before the network is built", TypeError)
def forward_of_the_class_inline() -> None:
    Network.forward(x)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]


@mistake("a gradient before backward", AttributeError)
def gradient_named() -> None:
    forward = wide.forward(x)
    print(forward.vector)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType]


@mistake("a gradient before backward", TypeError)
def gradient_of_a_layer_named() -> None:
    forward = wide.forward(x)
    print(forward[wide.layers[1]])  # type: ignore[index]  # pyright: ignore[reportIndexIssue, reportUnknownArgumentType]


@mistake("a gradient before backward", AttributeError)
def gradient_inline() -> None:
    print(wide.gradients)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType]


@mistake("integer labels for a regression loss", ShapeError)
def labels_named() -> None:
    labels = np.arange(6)
    wide.fit(x, labels, epochs=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("integer labels for a regression loss", ShapeError)
def labels_inline() -> None:
    wide.fit(x, np.zeros(6, np.int64), epochs=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("integer labels for a regression loss", ShapeError)
def labels_for_huber_inline() -> None:
    robust = Network([InputLayer(4), OutputLayer(2, "none", "huber")], seed=0)
    robust.fit(x, np.zeros(6, np.int64), epochs=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("integer labels for a regression loss", ShapeError)
def labels_of_unknown_rank_inline() -> None:
    wide.forward(x).backward(np.random.default_rng(0).integers(0, 2, 6))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("a validation tuple of the wrong shape", ShapeError)
def validation_named() -> None:
    held_out = (x, y, y)
    wide.fit(x, y, epochs=1, validation_data=held_out)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("a validation tuple of the wrong shape", ArrayTypeError)
def validation_inline() -> None:
    wide.fit(x, y, epochs=1, validation_data=(x,))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("a validation tuple of the wrong shape", ArrayTypeError)
def validation_of_another_dtype_inline() -> None:
    wide.fit(x, y, epochs=1, validation_data=(x, np.zeros((6, 2), np.float32)))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("a callback with the wrong signature", TypeError)
def callback_named() -> None:
    def report(epoch: int, history: History) -> None:
        print(epoch, history)

    wide.fit(x, y, epochs=1, on_epoch=report)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("a callback with the wrong signature", TypeError)
def callback_inline() -> None:
    wide.fit(x, y, epochs=1, on_epoch=lambda: print("done"))  # type: ignore[arg-type, misc]  # pyright: ignore[reportArgumentType]


class Report(Callback):
    """A callback whose method takes too much."""

    def on_epoch(self, run: Run, loss: float) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Prints the loss."""
        print(run.epoch, loss)


@mistake("a callback with the wrong signature", SettingError)
def callback_class_inline() -> None:
    wide.fit(x, y, epochs=1, callbacks=[Report])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


@mistake("one thing for a sequence", SettingError)
def metric_alone_named() -> None:
    name = "r2"
    wide.fit(x, y, epochs=1, metrics=name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("one thing for a sequence", SettingError)
def callback_alone_inline() -> None:
    wide.fit(x, y, epochs=1, callbacks=EarlyStopping("loss"))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


@mistake("a seed that is none", ArrayTypeError)
def seed_named() -> None:
    seed = "0"
    Network([InputLayer(4), OutputLayer(2)], seed=seed)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]


@mistake("a seed that is none", ArrayTypeError)
def seed_inline() -> None:
    wide.layers[1].set_weights("he", seed=0.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@mistake("layers without a list", WiringError)
def layer_named() -> None:
    layer = OutputLayer(2)
    Network(layer)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


@mistake("layers without a list", WiringError)
def layers_inline() -> None:
    Network(InputLayer(4), OutputLayer(2))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


@mistake("a layer list that does not end in an output layer", WiringError)
def no_output_layer_named() -> None:
    layers = [InputLayer(4), HiddenLayer(3, "tanh")]
    Network(layers)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]


@mistake("a layer list that does not end in an output layer", WiringError)
def no_output_layer_inline() -> None:
    Network([InputLayer(4), HiddenLayer(3, "tanh"), HiddenLayer(2)], dtype=np.float32)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
