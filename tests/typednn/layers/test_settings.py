"""What a layer says of itself is what is computed: settings are read-only or take effect at the next step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.oracles.problems import problem
from tests.typednn.building import DTYPES, gradient_of, new_network
from typednn import (
    SGD,
    Callback,
    HiddenLayer,
    InputLayer,
    Network,
    NormalizationLayer,
    NotReadyError,
    OutputLayer,
    Run,
    SettingError,
    Steps,
    WiringError,
)

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
both_paths = pytest.mark.usefixtures("path")

CASE = problem((3, 8, 2), ("none", "tanh", "softmax"), "crossentropy", 12)


def layers(**settings: Any) -> list[Any]:
    return [
        InputLayer(3, "tanh"),
        HiddenLayer(8, "tanh", **settings),
        OutputLayer(2, "softmax", "crossentropy"),
    ]


@pytest.mark.parametrize("attached", [False, True])
def test_what_was_chosen_when_a_layer_was_made_is_read_only(attached: bool) -> None:
    """`length` was writable, and kernels read and wrote beyond their arrays."""
    made = layers(normalization="batch")
    if attached:
        Network(made, seed=0)
    shown = [repr(layer) for layer in made]

    for layer in made:
        for name, value in {"length": 5, "actname": "relu", "normalization": "layer"}.items():
            message = (
                rf"^layer \d, \w+Layer\(.*: {name} is read-only, .* a new layer can have {name}={value!r}"
            )
            with pytest.raises(AttributeError, match=message):
                setattr(layer, name, value)
        for name in ("previous", "next"):
            with pytest.raises(AttributeError):
                setattr(layer, name, None)
    with pytest.raises(AttributeError, match=r"OutputLayer\(.*: lossfnname is read-only"):
        made[-1].lossfnname = "MSE"

    assert [repr(layer) for layer in made] == shown


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("dropout", 1.0), ("dropout", -0.1), ("dropout", "0.5"), ("l1", -1.0), ("l2", np.nan), ("l2", None)],
)
def test_a_wrong_setting_is_refused_and_changes_nothing(name: str, wrong: Any) -> None:
    layer = Network(layers(dropout=0.25, l1=0.5, l2=0.75), seed=0).layers[1]
    before = repr(layer)

    with pytest.raises(SettingError, match=rf"layer 1, HiddenLayer\(.*\): {name} must be a .*number"):
        setattr(layer, name, wrong)

    assert repr(layer) == before


def test_only_hidden_layers_drop_units() -> None:
    first, _, last = layers()

    for layer in (first, last):
        assert layer.dropout == 0
        with pytest.raises(WiringError, match=r"Layer\(.*\): has no dropout; hidden layers have"):
            layer.dropout = 0.5
        assert layer.dropout == 0


@pytest.mark.parametrize("name", ["l1", "l2"])
def test_only_layers_with_weights_have_penalties(name: str) -> None:
    """A layer that normalises showed a penalty which nothing was added for, and no file kept."""
    network = Network([InputLayer(3), NormalizationLayer(3), OutputLayer(2)], seed=0)
    for layer in (network.layers[0], network.layers[1], InputLayer(3), NormalizationLayer(3)):
        before = repr(layer)
        assert getattr(layer, name) == 0
        with pytest.raises(WiringError, match=rf"has no weights, which {name} is a penalty on"):
            setattr(layer, name, 0.5)
        assert (getattr(layer, name), repr(layer)) == (0, before)


@pytest.mark.parametrize(
    "name",
    sorted({name for kind in (OutputLayer, HiddenLayer, InputLayer) for name in dir(kind) if name[0] != "_"}),
)
def test_every_layer_has_every_name(name: str) -> None:
    """In a plain list a layer may be of each kind; what its kind lacks is a WiringError that says so."""
    for layer in (*layers(normalization="batch"), NormalizationLayer(3)):
        try:
            getattr(layer, name)
        except (WiringError, NotReadyError) as error:
            assert str(error).startswith(("layer 0, ", repr(layer)))  # noqa: PT017 (others do not raise)


class Change(Callback):
    """Sets an attribute of the hidden layer after the first epoch."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, value

    def on_epoch(self, run: Run) -> None:
        if run.epoch == 1:
            setattr(run.layers[1], self.name, self.value)


@by_dtype
@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize(
    ("first", "name", "value"),
    [
        ({}, "dropout", 0.5),
        ({"dropout": 0.5}, "dropout", 0.0),
        ({"normalization": "batch", "dropout": 0.5}, "dropout", 0.25),
        ({}, "trainable", False),
        ({"normalization": "batch"}, "trainable", False),
        ({}, "l1", 0.125),
        ({"l2": 0.5}, "l2", 0.0),
    ],
)
@both_paths
def test_a_setting_takes_effect_in_a_running_training(
    first: dict[str, Any], name: str, value: Any, batch_size: int, dtype: Any
) -> None:
    """It gives the bits of two trainings, the second of which began with the setting."""
    x, t = CASE.x.astype(dtype), CASE.t.astype(dtype)

    def trained(between: bool) -> tuple[Any, bytes]:
        network = new_network(layers(**first), dtype, 5)
        settings: dict[str, Any] = {"batch_size": batch_size, "learning_rate": 0.25, "shuffle": False}
        if between:
            steps = Steps(network, SGD(settings.pop("learning_rate")))
            network.fit(x, t, epochs=1, optimizer=steps, **settings)
            without = network.copy()
            setattr(network.layers[1], name, value)
            network.fit(x, t, epochs=2, optimizer=steps, **settings)
            without.fit(x, t, epochs=2, **settings)
            return network, without.parameters.tobytes()
        network.fit(x, t, epochs=3, callbacks=[Change(name, value)], **settings)
        return network, b""

    reference, without = trained(between=True)
    computed, _ = trained(between=False)

    assert computed.parameters.tobytes() == reference.parameters.tobytes()
    assert computed.parameters.tobytes() != without
    assert getattr(computed.layers[1], name) == value


@by_dtype
@both_paths
def test_dropout_takes_effect_at_the_next_forward_pass(dtype: Any) -> None:
    network = new_network(layers(), dtype)
    first, hidden, last = network.layers
    first.training = True
    first.put_values(CASE.x.astype(dtype))
    last.set_actual(CASE.t.astype(dtype))
    for layer in network.layers:
        layer.forward()
    whole = hidden.activations.copy()
    assert whole.all()

    hidden.dropout = 0.5
    with pytest.raises(NotReadyError, match=r"call forward\(\)"):
        last.backward()
    assert hidden.dhda.all()  # of the pass before
    for layer in network.layers:
        layer.forward()

    dropped = hidden.activations
    assert 0.25 < (dropped == 0).mean() < 0.75
    np.testing.assert_array_equal(dropped, np.where(dropped == 0, 0, 2 * whole))
    hidden.dropout = 0.0
    for layer in network.layers:
        layer.forward()
    assert hidden.activations.tolist() == whole.tolist()


@by_dtype
@pytest.mark.parametrize("normalization", ["none", "batch"])
@both_paths
def test_a_pass_keeps_the_settings_that_it_began_with(normalization: str, dtype: Any) -> None:
    x, t = CASE.x.astype(dtype), CASE.t.astype(dtype)
    network = new_network(layers(dropout=0.5, normalization=normalization), dtype)
    twin = network.copy()
    reference = twin.forward(x, training=True).backward(t)

    forward = network.forward(x, training=True)
    network.layers[1].dropout, network.layers[1].trainable = 0.0, False
    computed = forward.backward(t)

    assert computed.vector.tobytes() == reference.vector.tobytes()
    assert gradient_of(list(network.layers)).tobytes() == gradient_of(list(twin.layers)).tobytes()


@pytest.mark.parametrize(
    "written",
    [
        "InputLayer(3, 'tanh')",
        "HiddenLayer(3, 'tanh')",
        "HiddenLayer(3, 'tanh', normalization='layer', dropout=0.5, weights='he', biases='zeros', l1=0.1)",
        "HiddenLayer(3, 'none', weights='orthogonal')",
        "OutputLayer(2, 'softmax', 'crossentropy')",
        "OutputLayer(2, 'none', 'MSE', biases='constant', l2=0.2)",
    ],
)
def test_repr_is_the_expression_that_constructs_the_layer(written: str) -> None:
    scope = {kind.__name__: kind for kind in (InputLayer, HiddenLayer, OutputLayer)}
    assert repr(eval(written, dict(scope))) == written
