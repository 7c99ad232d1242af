"""Every public name has a type test in `every_name`, and is of the type that it names there."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import typednn
from tests.typing import every_name, promises
from tests.typing.checkers import Verdict
from typednn import HiddenLayer, InputLayer, Network, OutputLayer, names
from typednn.data.columns import BooleanColumn, NumberColumn
from typednn.data.preprocessing import Preprocessing
from typednn.data.targets import Classes
from typednn.layers import Layer

FUNCTIONS = [
    each
    for each in vars(every_name).values()
    if inspect.isfunction(each) and each.__module__ == every_name.__name__
]


OPTIMIZERS = ("SGD", "RMSprop", "Adagrad", "Adam", "AdamW", "Nadam", "Rprop", "Lion")
DECAYS = ("Step", "Exponential", "InverseTime")


def owners(thing: Any) -> list[type]:
    """The classes of this library that a public class takes its members from."""
    return [kind for kind in thing.__mro__ if kind.__module__.startswith("typednn")]


@cache
def members(kind: type) -> set[str]:
    """The public members that a class defines: methods, properties, fields, and what `__init__` sets."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    found = {name for name in vars(kind) if not name.startswith("_")} | set(inspect.get_annotations(kind))
    stored = (each for each in ast.walk(tree) if isinstance(each, ast.Attribute))
    found |= {each.attr for each in stored if isinstance(each.ctx, ast.Store) and is_self(each.value)}
    return {name for name in found if not name.startswith("_")}


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def member(kind: type, name: str) -> str:
    """A member by the public class that defines it, or inherits it from a private one."""
    owner = next(each for each in owners(kind) if name in members(each))
    return f"{(kind if owner.__name__.startswith('_') else owner).__name__}.{name}"


def demanded() -> set[str]:
    """Every public name, and every public member by the class that defines it."""
    found = {*typednn.__all__, *typednn.interop.__all__, *typednn.onnx.__all__}
    found |= {f"names.{name}" for name in vars(names) if is_table(name)}
    for name in typednn.__all__:
        thing = getattr(typednn, name)
        if inspect.isclass(thing):
            found |= {member(thing, name) for each in owners(thing) for name in members(each)}
    return found


def is_table(name: str) -> bool:
    return isinstance(getattr(names, name), names.Names)


def mentioned() -> set[str]:
    """What the functions of `every_name` mention: names, and members of their arguments."""
    found: set[str] = set()
    for function in FUNCTIONS:
        kinds = {name: class_of(each) for name, each in signature(function).items()}
        body = ast.parse(textwrap.dedent(inspect.getsource(function)))
        for node in ast.walk(body):
            if isinstance(node, ast.Name):
                found.add(node.id)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                name, kind = node.value.id, kinds.get(node.value.id)
                if name == "names":
                    found.add(f"names.{node.attr}")
                elif kind is not None and owners(kind):
                    found.add(member(kind, node.attr))
    return found


def signature(function: Callable[..., object]) -> dict[str, Any]:
    return inspect.get_annotations(function, eval_str=True)


def class_of(declared: Any) -> type:
    return getattr(declared, "__origin__", declared) or type(None)


def chain() -> list[Any]:
    """Attached layers after a forward and a backward pass."""
    hidden = HiddenLayer(3, "tanh", normalization="batch")
    ann: list[Layer[np.float64]] = [InputLayer(2), hidden, OutputLayer(1)]
    for before, layer in pairwise(ann):
        layer.attach_after(before)
        layer.set_weights("xavier", seed=0)
    ann[0].put_values([0.0, 1.0])
    ann[2].set_actual([1.0])
    for layer in ann:
        layer.forward()
    for layer in reversed(ann):
        layer.backward()
    return ann


def classifier() -> Network[np.float32]:
    layers = [InputLayer(2), HiddenLayer(3, "relu"), OutputLayer(2, "softmax", "crossentropy")]
    return Network(layers, dtype=np.float32, seed=0)


def model() -> typednn.Model:
    """Predicts classes from a column of numbers and one of words."""
    columns = NumberColumn("a", 1.0, 2.0), BooleanColumn("b", ("x", "y"))
    return typednn.Model(classifier(), Preprocessing(columns, Classes(("no", "yes"))))


class Watch(typednn.Callback):
    """Keeps the run that it sees."""

    def on_end(self, run: typednn.Run) -> None:
        self.run = run


def run_of(network: Network[np.float64], norms: typednn.GradientNorms) -> typednn.Run:
    """A training after its last epoch."""
    watch = Watch()
    network.fit(np.zeros((3, 2)), np.ones((3, 1)), epochs=1, callbacks=[norms, watch])
    return watch.run


def arguments(function: Callable[..., object], folder: Path) -> Iterator[Any]:
    """For each argument of a function something of its type."""
    ann, network = chain(), classifier()
    regressor = Network([InputLayer(2), HiddenLayer(3), OutputLayer(1)], seed=0)
    x, labels = np.zeros((3, 2), np.float32), np.array([0, 1, 1])
    forward = network.forward(x)
    norms = typednn.GradientNorms()
    made: dict[str, Any] = {
        "InputLayer": ann[0],
        "HiddenLayer": ann[1],
        "NormalizationLayer": typednn.NormalizationLayer(2),
        "OutputLayer": ann[2],
        "TrainableLayer": ann[1],
        "list": ann,
        "Network": network,
        "ForwardPass": regressor.forward(np.zeros((3, 2))),
        "Gradients": forward.backward(labels),
        "InputGradients": regressor.forward(np.zeros((3, 2))).backward(np.ones((3, 1)), inputs=True),
        "LayerGradients": forward.backward(labels)[network.layers[1]],
        "Model": model(),
        "Predictor": network.predictor(),
        "Steps": typednn.Steps(network, typednn.Adam()),
        "Evaluation": network.evaluate(x, labels),
        "History": network.fit(x, labels, epochs=1, metrics=["accuracy"], validation_data=(x, labels)),
        "GradientReport": typednn.gradcheck(network, x, labels),
        "ParametricActivation": typednn.LeakyReLU(0.01),
        "NormalizationWithSettings": typednn.BatchNorm(0.01),
        "use_backend": typednn.use_backend(typednn.backend()),
        "use_threads": typednn.use_threads(typednn.threads()),
        "Path": folder / "network.safetensors",
        "Names": names.loss,
        "Optimizer": typednn.SGD(),
        **{kind: getattr(typednn, kind)() for kind in OPTIMIZERS},
        "Schedule": typednn.ReduceOnPlateau(0.1),
        **{
            kind: getattr(typednn, kind)(0.1, 10)
            for kind in ("CosineDecay", "CosineDecayRestarts", "OneCycle")
        },
        **{f"{kind}Decay": getattr(typednn, f"{kind}Decay")(0.1, 10, 0.5) for kind in DECAYS},
        "PiecewiseConstantDecay": typednn.PiecewiseConstantDecay([10], [0.1, 0.01]),
        "ReduceOnPlateau": typednn.ReduceOnPlateau(0.1),
        "Callback": typednn.Callback(),
        "EarlyStopping": typednn.EarlyStopping("loss"),
        "Checkpoint": typednn.Checkpoint(folder / "checkpoint.safetensors", resume=True),
        "Minimum": typednn.minimize(network, x, labels, max_iterations=1),
        "DivergenceError": typednn.DivergenceError("where: what", 1, 2, 0),
        "Run": run_of(regressor, norms),
        "GradientNorms": norms,
    }
    places = {"first": 0, "middle": 1, "last": 2}
    if function in {
        every_name.derivatives,
        every_name.regressor,
        every_name.saving_and_loading,
        every_name.onnx_files,
        every_name.models_of_other_libraries,
        every_name.network_of_either_dtype,
    }:
        made["Network"] = regressor
    if function is every_name.inner_biases:
        hidden = HiddenLayer(3, normalization=typednn.LayerNorm(inner_bias=True))
        inside = Network([InputLayer(2), hidden, OutputLayer(1)], seed=0)
        inside.forward(np.zeros((3, 2))).backward(np.ones((3, 1)))
        made["HiddenLayer"] = made["Layer"] = inside.layers[1]
    if function is every_name.running_moments:
        made["Layer"] = Network(
            [InputLayer(2), HiddenLayer(3, normalization="batch"), OutputLayer(1)]
        ).layers[1]
    if function is every_name.loss_of_any:
        made["Layer"] = regressor.layers[-1]
    if function is every_name.attached:
        made["InputLayer"], made["TrainableLayer"] = InputLayer(2), HiddenLayer(2)
    for name, declared in signature(function).items():
        if name != "return":
            yield ann[places[name]] if name in places else made[class_of(declared).__name__]


def test_every_public_name_has_a_type_test() -> None:
    assert demanded() - mentioned() == set()


def test_the_demand_sees_members() -> None:
    expected = {"Network.fit", "Layer.actname", "TrainableLayer.dLdW", "Gradients.vector", "History.loss"}

    assert expected <= demanded()


@pytest.mark.full("a whole run of mypy and pyright, as in make check")
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_checkers_agree(function: Callable[..., object], checked: Verdict) -> None:
    lines, first = inspect.getsourcelines(function)

    assert [
        each
        for each in checked.findings
        if each.file == "every_name.py" and first <= each.line < first + len(lines)
    ] == []


@pytest.mark.full("a whole run of mypy and pyright, as in make check")
def test_checkers_find_nothing_else(checked: Verdict) -> None:
    assert checked.findings == []


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_types_hold_when_it_runs(
    function: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(every_name, "assert_type", promises.assert_type)

    function(*arguments(function, tmp_path))


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        (np.zeros((2, 2), np.float32), np.ndarray[tuple[int, int], np.dtype[np.float64]]),
        (np.zeros(2), np.ndarray[tuple[int, int], np.dtype[np.float64]]),
        (np.broadcast_to(np.zeros(2), (2, 2)), np.ndarray[tuple[int, int], np.dtype[np.float64]]),
        (classifier(), Network[np.float64]),
        ([1.0, 2], list[float]),
        ("relu", names.Names),
        ((1, 2), tuple[int, int, int]),
        (None, float | str),
    ],
)
def test_broken_promises_are_seen(value: Any, declared: Any) -> None:
    assert not promises.conforms(value, declared)
