"""Bad input: what is raised, what the message says, and that nothing was changed."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from tests.oracles.problems import problem
from tests.typednn.building import DTYPES, ann_of, both_ways, gradient_of, network_of, vector_of
from typednn import (
    ArrayTypeError,
    DataError,
    FileFormatError,
    HiddenLayer,
    InputLayer,
    NotReadyError,
    OutputLayer,
    SettingError,
    ShapeError,
    TypednnError,
    UnknownNameError,
    WiringError,
    errors,
    gradient_descent_epoch,
    gradient_descent_threshold,
)

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)

ERRORS = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, TypednnError)]

MADE: dict[type[TypednnError], tuple[Any, ...]] = {
    UnknownNameError: ("loss", "mse", ["MSE", "crossentropy"]),
    errors.MissingExtraError: ("rich", "the command", "cli"),
}
"""Arguments of those that do not take a message."""


def made(kind: type[TypednnError]) -> TypednnError:
    return kind(*MADE.get(kind, ("layer 1: expected this, not that",)))


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_one_of_pythons_as_well(kind: type[TypednnError]) -> None:
    builtin = {
        TypednnError: Exception,
        ArrayTypeError: TypeError,
        NotReadyError: RuntimeError,
        errors.DivergenceError: RuntimeError,
        errors.ProcessError: RuntimeError,
        errors.MissingExtraError: ImportError,
    }.get(kind, ValueError)

    assert issubclass(kind, builtin)
    assert issubclass(FileFormatError, ValueError)
    assert kind.__doc__


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_travel_between_processes(kind: type[TypednnError]) -> None:
    error = made(kind)

    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert str(other) == str(error)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("MES", "MSE"), ("crossentropie", "crossentropy"), ("hinge", None), (None, None), (1, None)],
)
def test_unknown_names_have_neighbours(name: Any, nearest: str | None) -> None:
    message = str(UnknownNameError("loss", name, ["MSE", "bincrossentropy", "crossentropy"]))

    hint = f"did you mean {nearest!r}? " if nearest else ""
    assert message == f"unknown loss {name!r}: {hint}valid names are MSE, bincrossentropy, crossentropy"


def test_a_missing_extra_says_what_to_install() -> None:
    assert str(made(errors.MissingExtraError)) == "the command needs rich: pip install 'typednn[cli]'"


# Layers that cannot be made.

INPUT, HIDDEN, OUTPUT = (cast("Any", kind) for kind in (InputLayer, HiddenLayer, OutputLayer))


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: INPUT(0), SettingError, "InputLayer: length must be a positive integer, not 0"),
        (lambda: HIDDEN(-3), SettingError, "HiddenLayer: length must be a positive integer, not -3"),
        (lambda: OUTPUT(2.0), SettingError, "OutputLayer: length must be a positive integer, not 2.0"),
        (lambda: INPUT("2"), SettingError, "not '2'"),
        (lambda: INPUT(True), SettingError, "not True"),
        (lambda: INPUT(None), SettingError, "not None"),
        (lambda: INPUT(2, "softmax"), UnknownNameError, "unknown activation 'softmax'"),
        (
            lambda: HIDDEN(2, "sigmiod"),
            UnknownNameError,
            "hidden activation 'sigmiod': did you mean 'sigmoid'?",
        ),
        (lambda: HIDDEN(2, "softmax"), UnknownNameError, "valid names are none, sigmoid, relu, tanh"),
        (lambda: HIDDEN(2, None), UnknownNameError, "hidden activation None"),
        (lambda: OUTPUT(2, "Tanh"), UnknownNameError, "output activation 'Tanh': did you mean 'tanh'?"),
        (lambda: OUTPUT(2, "none", "mse"), UnknownNameError, "loss 'mse'"),
        (
            lambda: OUTPUT(2, "softmax", "crossentrophy"),
            UnknownNameError,
            "did you mean 'crossentropy'?",
        ),
        (
            lambda: OUTPUT(2, "MSE"),
            UnknownNameError,
            "valid names are none, sigmoid, relu, tanh, softmax",
        ),
        (lambda: HIDDEN(2, weights="he_normal"), UnknownNameError, "weight initialiser 'he_normal'"),
        (lambda: OUTPUT(2, biases="ones"), UnknownNameError, "bias initialiser 'ones'"),
    ],
)
def test_layers_that_cannot_be_made(make: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        make()
    assert message in str(caught.value)


# The classic door.

FIRST, SECOND, LAST = (
    r"^layer 0, InputLayer\(3, 'none'\): ",
    r"^layer 1, HiddenLayer\(4, 'tanh'\): ",
    r"^layer 2, OutputLayer\(2, 'sigmoid', 'bincrossentropy'\): ",
)
CASE = problem((3, 4, 2), ("none", "tanh", "sigmoid"), "bincrossentropy", 5)
NAN, INFINITE = np.full(3, np.nan), np.array([1.0, np.inf, 2.0])
X, T = CASE.x, CASE.t

CLASSIC: dict[str, tuple[Callable[[list[Any]], object], type[Exception], str]] = {  # pyright: ignore[reportAssignmentType]
    "too short": (
        lambda ann: ann[0].put_values([1.0, 2.0]),
        ShapeError,
        FIRST + "values must hold 3 numbers, not 2",
    ),
    "too long": (
        lambda ann: ann[0].put_values(np.ones(4)),
        ShapeError,
        FIRST + "values must hold 3 numbers, not 4",
    ),
    "a number": (lambda ann: ann[0].put_values(1.0), ShapeError, FIRST + "values must hold 3 numbers, not 1"),
    "width": (
        lambda ann: ann[0].put_values(np.ones((2, 4))),
        ShapeError,
        FIRST + r".*\(n_samples, 3\), not \(2, 4\)",
    ),
    "cube": (lambda ann: ann[0].put_values(np.ones((1, 2, 3))), ShapeError, FIRST + r".*not \(1, 2, 3\)"),
    "no samples": (
        lambda ann: ann[0].put_values(np.ones((0, 3))),
        DataError,
        FIRST + "values has no samples",
    ),
    "nan": (lambda ann: ann[0].put_values(NAN), DataError, FIRST + r"values holds 3 .*values\[0, 0\] = nan"),
    "infinity": (lambda ann: ann[0].put_values(INFINITE), DataError, FIRST + r".*values\[0, 1\] = inf"),
    "objects": (
        lambda ann: ann[0].put_values([1, 2, None]),
        ArrayTypeError,
        FIRST + ".*real numbers, not object",
    ),
    "text": (lambda ann: ann[0].put_values(["1", "2", "3"]), ArrayTypeError, FIRST + ".*not <U1"),
    "complex": (lambda ann: ann[0].put_values(np.ones(3) * 1j), ArrayTypeError, FIRST + ".*not complex128"),
    "ragged": (lambda ann: ann[0].put_values([[1, 2, 3], [4]]), (ShapeError, ArrayTypeError), FIRST),  # type: ignore[dict-item]
    "targets": (
        lambda ann: ann[-1].set_actual([1.0]),
        ShapeError,
        LAST + "actual must hold 2 numbers, not 1",
    ),
    "nan targets": (lambda ann: ann[-1].set_actual([np.nan, 0]), DataError, LAST + r".*actual\[0, 0\] = nan"),
    "above 1": (
        lambda ann: ann[-1].set_actual([0.0, 1.5]),
        DataError,
        LAST + r".*in \[0, 1\], but holds 0 … 1.5",
    ),
    "below 0": (lambda ann: ann[-1].set_actual(np.array([-1, 1])), DataError, LAST + r".*but holds -1 … 1"),
    "W shape": (
        lambda ann: setattr(ann[1], "W", np.ones((3, 4))),
        ShapeError,
        SECOND + r"W .*\(4, 3\), not \(3, 4\)",
    ),
    "Bias shape": (
        lambda ann: setattr(ann[1], "Bias", np.ones((4, 1))),
        ShapeError,
        SECOND + r"Bias .*not \(4, 1\)",
    ),
    "weights": (lambda ann: ann[1].set_weights("xaver"), UnknownNameError, "'xaver': did you mean 'xavier'?"),
    "biases": (lambda ann: ann[1].set_biases("zero"), UnknownNameError, "'zero': did you mean 'zeros'?"),
    "seed": (lambda ann: ann[1].set_weights("he", "1"), ArrayTypeError, "not str"),
    "attached": (
        lambda ann: ann[1].attach_after(InputLayer(9)),
        WiringError,
        r"HiddenLayer\(4, 'tanh'\): is attached",
    ),
    "lengths": (lambda ann: train(ann, X, T[:4]), ShapeError, "^ANN: x has 5 samples, y has 4"),
    "rank": (
        lambda ann: train(ann, X[0], T),
        ShapeError,
        r"^ANN: x must have the shape \(n_samples, 3\), not \(3,\)",
    ),
    "y rank": (
        lambda ann: train(ann, X, T[:, 0]),
        ShapeError,
        r"^ANN: y must have the shape \(n_samples, 2\)",
    ),
    "no data": (lambda ann: train(ann, X[:0], T[:0]), DataError, "^ANN: x has no samples"),
    "nan in x": (lambda ann: train(ann, X * np.nan, T), DataError, r"^ANN: x holds 15 .*x\[0, 0\] = nan"),
    "y range": (lambda ann: train(ann, X, T + 2), DataError, r"^ANN: y must lie in \[0, 1\]"),
    "object x": (lambda ann: train(ann, X.astype(object), T), ArrayTypeError, "^ANN: x .*not object"),
    "ragged x": (lambda ann: train(ann, [[1, 2, 3], [4]], T), (ShapeError, ArrayTypeError), "^ANN: x"),  # type: ignore[dict-item]
    "eta 0": (
        lambda ann: train(ann, X, T, eta=0),
        SettingError,
        "eta must be a positive finite number, not 0",
    ),
    "eta nan": (lambda ann: train(ann, X, T, eta=np.nan), SettingError, "eta .*not nan"),
    "eta text": (lambda ann: train(ann, X, T, eta="0.1"), SettingError, "eta .*not '0.1'"),
    "epochs 0": (
        lambda ann: train(ann, X, T, epochs=0),
        SettingError,
        "epochs must be an integer of 1 or more, not 0",
    ),
    "epochs 1.5": (lambda ann: train(ann, X, T, epochs=1.5), SettingError, "epochs .*not 1.5"),
    "epochs True": (lambda ann: train(ann, X, T, epochs=True), SettingError, "epochs .*not True"),
    "thresh": (lambda ann: threshold(ann, np.nan), SettingError, "thresh must be a finite number, not nan"),
    "max_epochs": (lambda ann: threshold(ann, 0.1, 0), SettingError, "max_epochs .*not 0"),
    "part of a list": (
        lambda ann: train(ann[:-1], X, T),
        WiringError,
        "ANN must hold the attached layers in order",
    ),
    "backwards": (lambda ann: train(ann[::-1], X, T), WiringError, "in order"),
    "no list": (lambda ann: train(None, X, T), WiringError, "ANN must be a list of layers"),
    "empty list": (lambda ann: train([], X, T), WiringError, "ANN must be a list of layers"),
    "no layers": (lambda ann: train([1, 2], X, T), WiringError, "ANN must be a list of layers"),
}


def train(ann: Any, x: Any, y: Any, eta: Any = 0.1, epochs: Any = 1) -> object:
    return gradient_descent_epoch(ann, x, y, eta, epochs)


def threshold(ann: Any, thresh: Any, max_epochs: Any = 5) -> object:
    return gradient_descent_threshold(ann, X, T, 0.1, thresh, max_epochs)


def state_of(ann: list[Any]) -> list[Any]:
    """All numbers that a network shows, to the bit."""
    return [
        vector_of(ann).tobytes(),
        gradient_of(ann).tobytes(),
        *[(layer.pre_activations.tobytes(), layer.activations.tobytes()) for layer in ann],
        *[(layer.dLda.tobytes(), layer.previous, layer.next) for layer in ann[1:]],
        ann[-1].loss(),
    ]


@pytest.mark.parametrize("name", CLASSIC)
@pytest.mark.usefixtures("path")
def test_bad_input_of_the_layer_api(name: str) -> None:
    call, kind, message = CLASSIC[name]
    ann = ann_of(CASE)
    both_ways(ann, X, T)
    before = state_of(ann)

    with pytest.raises(kind, match=message):
        call(ann)

    assert state_of(ann) == before
    for layer in ann[:0:-1]:
        layer.backward()  # which goes on where it was
    assert state_of(ann) == before


@pytest.mark.parametrize("attribute", ["W", "Bias"])
@pytest.mark.parametrize("bad", ["x", None, 1j])
def test_weights_that_are_no_numbers_are_refused(attribute: str, bad: Any) -> None:
    ann = ann_of(CASE)
    before = vector_of(ann).tobytes()
    values = getattr(ann[1], attribute).astype(object) + 1
    values[-1, -1] = bad

    with pytest.raises(ArrayTypeError, match=SECOND + attribute):
        setattr(ann[1], attribute, values)
    assert vector_of(ann).tobytes() == before


def test_too_large_a_sample_for_float32_is_refused() -> None:
    """The sample is finite in float64, and its square too."""
    case = problem((3, 4, 2), ("none", "tanh", "none"), "MSE", 1, np.float32)
    ann = ann_of(case)
    both_ways(ann, case.x, case.t)
    before = state_of(ann)

    for take, numbers in ((ann[0].put_values, [1e100, 1, 1]), (ann[-1].set_actual, [1, 1e50])):
        with pytest.raises(DataError, match=r"^layer \d, .*\(.*not finite"):
            take(np.array(numbers))
        assert state_of(ann) == before


UNATTACHED: list[tuple[Callable[[list[Any]], object], str]] = [
    (
        lambda ann: ann[1].forward(),
        r"HiddenLayer\(2, 'none'\): forward needs the layer before; call attach_after",
    ),
    (lambda ann: ann[1].W, r"HiddenLayer\(2, 'none'\): .* needs the layer before; call attach_after"),
    (
        lambda ann: ann[1].Bias,
        r"HiddenLayer\(2, 'none'\): Bias needs the layer before; call attach_after",
    ),
    (lambda ann: ann[1].set_weights("he"), "set_weights needs the layer before"),
    (lambda ann: setattr(ann[1], "W", np.ones((2, 2))), "W needs the layer before"),
    (
        lambda ann: ann[0].forward(),
        r"layer 0, InputLayer\(2, 'none'\): call put_values\(...\) before forward",
    ),
    (lambda ann: ann[2].backward(), r"OutputLayer\(1, 'none', 'MSE'\): "),
    (lambda ann: ann[2].loss(), r"OutputLayer\(1, 'none', 'MSE'\): "),
    (lambda ann: ann[2].output(), r"OutputLayer\(1, 'none', 'MSE'\): call forward\(\) first"),
    (lambda ann: ann[1].backward(), r"HiddenLayer\(2, 'none'\): "),
    (lambda ann: ann[1].dLdW, r"HiddenLayer\(2, 'none'\): call backward\(\) first"),
]


@pytest.mark.parametrize(("use", "message"), UNATTACHED)
def test_layers_used_before_they_are_attached(use: Callable[[list[Any]], object], message: str) -> None:
    with pytest.raises(NotReadyError, match=message):
        use([InputLayer(2), HiddenLayer(2), OutputLayer(1)])


def test_layers_used_before_they_are_initialised() -> None:
    ann: list[Any] = [InputLayer(2), HiddenLayer(2), OutputLayer(1)]
    ann[1].attach_after(ann[0])
    ann[2].attach_after(ann[1])
    ann[0].put_values([1, 2])
    ann[0].forward()
    message = r"layer 1, HiddenLayer\(2, 'none'\): has no weights yet; call set_weights\(...\) first"

    for use in (ann[1].forward, lambda: ann[1].W, lambda: train(ann, np.ones((1, 2)), np.ones((1, 1)))):
        with pytest.raises(NotReadyError, match=message):
            use()


def test_backward_before_the_targets_and_with_too_few() -> None:
    case = problem((3, 4, 2), ("none", "tanh", "none"), "MSE", 5)
    ann = ann_of(case)
    ann[0].put_values(case.x)
    for layer in ann:
        layer.forward()

    for use in (ann[-1].backward, ann[-1].loss):
        with pytest.raises(NotReadyError, match=r"layer 2, OutputLayer.*call set_actual\(...\) before"):
            use()
    ann[-1].set_actual(case.t[:4])
    for use in (ann[-1].backward, ann[-1].loss):
        with pytest.raises(
            ShapeError, match=r"layer 2, OutputLayer.*set_actual was given 4 samples, put_values 5"
        ):
            use()


# The typed door.

X3, T3 = X[:, :2], T * [np.nan, 1]

TYPED: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "list": (X.tolist(), T, ArrayTypeError, "^Network: x must be a numpy.ndarray, not list"),
    "y list": (X, T.tolist(), ArrayTypeError, "^Network: y must be a numpy.ndarray, not list"),
    "objects": (X.astype(object), T, ArrayTypeError, "^Network: x must hold real numbers, not object"),
    "y objects": (X, T.astype(object), ArrayTypeError, "^Network: y must hold real numbers, not object"),
    "wrong dtype": (X.astype(np.float16), T, ArrayTypeError, "^Network: x must be float64, not float16"),
    "y wrong dtype": (X, T.astype(np.float32), ArrayTypeError, "^Network: y must be float64, not float32"),
    "rank": (X[0], T, ShapeError, r"^Network: x must have the shape \(n_samples, 3\), not \(3,\)"),
    "y rank": (X, T[:, 0], ShapeError, r"^Network: y must have the shape \(n_samples, 2\), not \(5,\)"),
    "width": (X3, T, ShapeError, r"^Network: x must have the shape \(n_samples, 3\), not \(5, 2\)"),
    "y width": (X, X, ShapeError, r"^Network: y must have the shape \(n_samples, 2\), not \(5, 3\)"),
    "lengths": (X, T[:4], ShapeError, "^Network: x has 5 samples, y has 4"),
    "no samples": (X[:0], T[:0], DataError, "^Network: x has no samples"),
    "nan": (X * np.nan, T, DataError, r"^Network: x holds 15 .*x\[0, 0\] = nan"),
    "y nan": (X, T3, DataError, r"^Network: y holds 5 .*y\[0, 0\] = nan"),
    "range": (X, -T - 1, DataError, r"^Network: y must lie in \[0, 1\], but holds -"),
}


@pytest.mark.parametrize("method", ["fit", "loss", "evaluate"])
@pytest.mark.parametrize("name", TYPED)
@pytest.mark.usefixtures("path")
def test_bad_data_of_the_network_api(name: str, method: str) -> None:
    x, y, kind, message = TYPED[name]
    network = network_of(CASE)
    ann = list(network.layers)
    both_ways(ann, X, T)
    before = state_of(ann)
    call = getattr(network, method)

    with pytest.raises(kind, match=message):
        call(x, y)
    if method == "fit":
        with pytest.raises(kind, match=message.replace("^Network", "^validation_data")):
            call(X, T, validation_data=(x, y), batch_size=2)
    assert state_of(ann) == before


@pytest.mark.parametrize("name", [name for name in TYPED if not name.startswith(("y ", "range", "lengths"))])
def test_bad_samples_of_the_network_api(name: str) -> None:
    x, _, kind, message = TYPED[name]
    network = network_of(CASE)
    both_ways(list(network.layers), X, T)
    before = state_of(list(network.layers))

    for call in (network.forward, network.predict):
        with pytest.raises(kind, match=message):
            call(x)
    assert state_of(list(network.layers)) == before


SETTINGS: dict[str, list[Any]] = {
    "epochs": [0, -1, 1.5, "3", True, None, np.float64(2)],
    "batch_size": [0, -1, 2.0, "3", True],
    "learning_rate": [0, -0.1, np.nan, np.inf, "0.1", True],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in SETTINGS.items() for value in values]
)
def test_settings_outside_their_range(name: str, value: Any) -> None:
    network = network_of(CASE)
    settings: dict[str, Any] = {"batch_size": 2, name: value}

    with pytest.raises(
        SettingError, match=rf"{name} must be an? .*, not {value!r}".replace("(", r"\(").replace(")", r"\)")
    ):
        network.fit(X, T, **settings)
    assert network.parameters.tobytes() == CASE.vector.tobytes()


@by_dtype
@pytest.mark.parametrize("labels", [[0, 2], [-1, 0]])
@pytest.mark.usefixtures("path")
def test_labels_out_of_range(labels: list[int], dtype: Any) -> None:
    case = problem((3, 4, 2), ("none", "tanh", "softmax"), "crossentropy", 2, dtype)
    network = network_of(case)

    def by_hand(x: Any, y: Any) -> object:
        return network.forward(x).backward(y)

    def by_epoch(x: Any, y: Any) -> object:
        return train(list(network.layers), x, y)

    calls: list[Callable[[Any, Any], object]] = [
        network.fit,
        network.loss,
        network.evaluate,
        by_hand,
        by_epoch,
    ]
    for call in calls:
        with pytest.raises(DataError, match=rf"labels must be 0 … 1, for 2 outputs; y holds {min(labels)} …"):
            call(case.x, np.array(labels))
    assert network.parameters.tobytes() == case.vector.tobytes()
