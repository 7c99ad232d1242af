"""Calls of everything public with arguments of every kind.

A call returns, or raises an error of this library, TypeError or ValueError with a message that names the
argument, and then nothing is changed. A training that fails leaves the network as after its last step.
"""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false
# Lambdas have no types, and what is called is anything.

from __future__ import annotations

import contextlib
import inspect
import signal
import tempfile
import warnings
from collections.abc import Callable, Generator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

import typednn
from tests.fuzz.campaign import Target
from typednn import HiddenLayer, InputLayer, Network, OutputLayer, TypednnError
from typednn.errors import MissingExtraError, UnknownNameError

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz"))
X, Y = np.linspace(-1, 1, 12).reshape(6, 2), np.arange(6) % 2
LEFT_OUT = {
    *("Callback", "Evaluation", "ForwardPass", "GradientReport", "Gradients", "Layer", "LayerGradients"),
    *("Minimum", "Optimizer", "Predictor", "Run", "Schedule", "MissingExtraError", "UnknownNameError"),
    *("History", "DivergenceError", "CustomActivation", "CustomLoss", "register_activation", "register_loss"),
}
"""What users do not construct, and what changes the tables of the process."""
TRAINING = {"fit", "fit_batches", "minimize", "gradient_descent_epoch", "gradient_descent_threshold"}
FILES = {"save", "load", "Checkpoint", "fit"}
METHODS = ("forward", "predict", "loss", "evaluate", "fit", "fit_batches", "astype")
LAYER_METHODS = ("put_values", "set_actual", "set_weights", "set_biases", "attach_after")
SETTINGS = ("W", "Bias", "Gain", "trainable", "dropout", "l1", "l2", "training", "length", "actname")


def subclass() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.matrix(X)


def same(value: Any) -> Any:
    return value


def method(name: str, mine: Network[Any]) -> Any:
    return getattr(mine, name)


def method_of_layer(k: int, name: str, mine: Network[Any]) -> Any:
    return getattr(mine.layers[k], name)


def function(what: Any, _network: Network[Any]) -> Any:
    return what


def read_only() -> Any:
    array = X.copy()
    array.setflags(write=False)
    return array


HOSTILE: list[Callable[[], Any]] = [
    *(partial(same, each) for each in (None, True, -1, 0, 1, 3, 1 << 31, 1 << 63, 1 << 70)),
    *(partial(same, each) for each in (0.5, 1.0, -0.0, -1e-300, 1e308, float("nan"))),
    *(partial(same, each) for each in (float("inf"), 1j, "", "relu", "\ud800", "a" * 300, b"x")),
    *(list, dict, set, object, lambda: [None], lambda: {"a": 1}, lambda: {0: -1.0}, lambda: iter(())),
    *(lambda: int, lambda: np.float32, lambda: print, lambda: range(3), lambda: [[1, 2], [3]], lambda: "mse"),
    *(lambda: np.float64(np.nan), lambda: np.int8(3), lambda: np.array(3), lambda: np.zeros(0)),
    *(lambda: np.zeros((0, 2)), lambda: np.zeros((6, 0)), lambda: X.astype(np.float32), lambda: X * np.nan),
    *(
        lambda: np.full((6, 2), np.inf),
        lambda: X.astype(complex),
        lambda: X.astype(object),
        lambda: X.astype(str),
    ),
    *(lambda: X[::-1], lambda: np.asfortranarray(X), lambda: X.astype(">f8"), read_only, subclass),
    *(lambda: np.ma.masked_array(X, X > 0), lambda: np.broadcast_to(X[:1], (1 << 16, 2)), lambda: Y),
    *(lambda: Y - 3, lambda: Y.astype(float), lambda: Y.reshape(-1, 1), lambda: np.zeros((6, 2, 1))),
    *(lambda: np.zeros(6, "M8[s]"), lambda: np.zeros(6, "V8")),
    *(
        lambda: np.zeros(6, [("a", float)]),
        lambda: np.array([1 << 70] * 6),
        lambda: (X, Y),
        lambda: (X, None),
    ),
    *(lambda: [(X, Y), None], lambda: (X, Y, Y), lambda: np.random.default_rng(0), lambda: [print]),
    *(lambda: network(), lambda: InputLayer(2), lambda: OutputLayer(2), typednn.Adam),  # noqa: PLW0108 (defined below)
    *(lambda: typednn.CosineDecay(0.1, 10), typednn.EarlyStopping, lambda: FOLDER / "no" / "x"),
    lambda: FOLDER,
]
GOOD: dict[str, list[Callable[[], Any]]] = {
    "x": [lambda: X],
    "y": [lambda: Y, lambda: np.eye(2)[Y]],
    "values": [lambda: X, lambda: X[0]],
    "actual": [lambda: np.eye(2)[Y], lambda: np.array([0.0, 1.0])],
    "layers": [lambda: [InputLayer(2), OutputLayer(2)]],
    "length": [lambda: 3],
    "network": [lambda: network()],  # noqa: PLW0108 (it is defined below)
    "path": [lambda: FOLDER / "file", lambda: str(FOLDER / "model")],
    "dtype": [lambda: np.float32],
    "jobs": [lambda: [int]],
    "ANN": [lambda: list(network().layers)],
    "batches": [lambda: [(X, Y)]],
    "epochs": [lambda: 1],
    "max_epochs": [lambda: 2],
    "eta": [lambda: 0.1],
    "thresh": [lambda: 1e9],
    "max_iterations": [lambda: 1],
    "layer": [lambda: InputLayer(2)],
    "name": [lambda: "numpy"],
    "count": [lambda: 1],
    "progress": [lambda: False],
    "boundaries": [lambda: [1, 2]],
    "decay_steps": [lambda: 5],
    "first_decay_steps": [lambda: 5],
    "total_steps": [lambda: 5],
}
"""Arguments that are right, by the name of the parameter; others are 0.1, which is right for most."""


def network() -> Network[Any]:
    layers: list[Any] = [InputLayer(2), HiddenLayer(3, "tanh", normalization="batch", dropout=0.25)]
    return Network([*layers, OutputLayer(2, "softmax", "crossentropy")], seed=0)


def state_of(network: Network[Any]) -> tuple[bytes, str, str]:
    settings = [(layer.trainable, layer.dropout) for layer in network.layers[1:]]
    random = str(network._random.bit_generator.state)
    return network._storage.parameters.tobytes(), f"{network!r}{settings}", random


@cache
def callables() -> list[tuple[str, Callable[[Network[Any]], Callable[..., Any]], list[inspect.Parameter]]]:
    """The name of each callable, a function that returns it for a network, and its parameters."""
    found: list[tuple[str, Callable[[Network[Any]], Callable[..., Any]]]] = []
    for name in typednn.__all__:
        what = getattr(typednn, name)
        public = inspect.isfunction(what) or inspect.isclass(what)
        if public and name not in LEFT_OUT and not (inspect.isclass(what) and issubclass(what, Exception)):
            found.append((name, partial(function, what)))
    found += [(name, partial(method, name)) for name in METHODS]
    for k in range(3):
        for name in LAYER_METHODS:
            found.append((name, partial(method_of_layer, k, name)))
        for name in SETTINGS:

            def setter(k: int, name: str, network: Network[Any]) -> Callable[[Any], None]:
                def assign(values: Any) -> None:
                    setattr(network.layers[k], name, values)

                return assign

            found.append((f"{name} =", partial(setter, k, name)))
    found.append(("predictor", lambda network: network.predictor().__call__))
    found.append(("backward", lambda network: network.forward(X).backward))
    found.append(("ForwardPass.loss", lambda network: network.forward(X).loss))
    result: list[Any] = []
    for name, of in found:
        with contextlib.suppress(ValueError, TypeError):
            parameters = list(inspect.signature(of(network())).parameters.values())
            result.append((name, of, parameters))
    return result


def arguments(parameters: list[inspect.Parameter], choices: list[list[Any]]) -> dict[str, Any]:
    """Makes arguments: each choice is one for a parameter; those that are required are good by default."""
    required = [each for each in parameters if each.default is inspect.Parameter.empty]
    chosen = {each.name: GOOD.get(each.name, [lambda: 0.1])[0]() for each in required}
    for place, hostile, which in choices:
        if parameters:
            name = parameters[place % len(parameters)].name
            good = GOOD.get(name, [lambda: 0.1])
            chosen[name] = (HOSTILE[which % len(HOSTILE)] if hostile else good[which % len(good)])()
    return {
        each.name: chosen[each.name]
        for each in parameters
        if each.name in chosen and each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}
    }


@contextlib.contextmanager
def limits() -> Generator[None]:
    """Restores the number of threads and the backend."""
    threads, backend = typednn.threads(), typednn.backend()
    try:
        yield
    finally:
        typednn.use_threads(threads)
        typednn.use_backend(backend)


ARMED: list[bool] = []
"""Whether a call is to be interrupted; until it ends."""


@contextlib.contextmanager
def interrupted(name: str) -> Generator[None]:
    """Interrupts what may be asked to take for ever, as Ctrl-C does."""
    if name not in {*TRAINING, "gradcheck"} or not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)  # again, where a callback of the collector swallows one
    ARMED.append(True)
    try:
        yield
    finally:
        ARMED.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)


def interrupt(_number: int, _frame: object) -> None:
    if ARMED:
        raise KeyboardInterrupt


if hasattr(signal, "SIGALRM"):
    signal.signal(signal.SIGALRM, interrupt)


def check(value: list[Any]) -> str:
    which: int = value[0]
    choices: list[list[Any]] = value[1]
    name, of, parameters = callables()[which % len(callables())]
    given = arguments(parameters, choices)
    mine = network()
    call = of(mine)
    before = state_of(mine)
    with limits(), contextlib.chdir(FOLDER), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            with interrupted(name):
                result: Any = call(**given)
            if inspect.isgenerator(result):
                result.close()
        except MissingExtraError:
            return "without an extra"
        except KeyboardInterrupt:
            kind = "interrupted"
        except MemoryError:
            kind = "beyond memory"
        except OSError:
            if name not in FILES:
                raise
            kind = "no such file"
        except (TypednnError, TypeError, ValueError, AttributeError) as error:
            check_message(error, name, given, parameters)
            kind = "refused"
        else:
            return "done"
    if name not in TRAINING and not (name == "set_weights" and "seed" in given):
        assert state_of(mine) == before, f"{name} has changed the network"
    assert np.isfinite(mine.predict(X)).all() or name in TRAINING
    return kind


def check_message(
    error: Exception, name: str, given: dict[str, Any], parameters: list[inspect.Parameter]
) -> None:
    """Demands that a message names an argument, or the object that was called."""
    message = str(error)
    message.encode(errors="surrogatepass")
    assert not isinstance(error, AttributeError) or "read-only" in message, (name, message)
    words = [*given, *(each.name for each in parameters), name.split()[0].split(".")[-1], "layer"]  # noqa: PLC0207
    words += [str(each) for each in given.values() if isinstance(each, str | Path | int | float)]
    words += [repr(each) for each in given.values() if not isinstance(each, np.ndarray)] + ["batch "]
    words += ["threads"] if name == "use_threads" else []
    if isinstance(error, UnknownNameError) or "on_epoch" in given:
        return  # the kind of name is in the message; what a function of the user raises is the user's
    assert any(word in message for word in words), (name, type(error).__name__, message)
    assert len(message) < 3000, len(message)


def inputs() -> st.SearchStrategy[list[Any]]:
    choice = st.tuples(st.integers(0, 20), st.booleans(), st.integers(0, len(HOSTILE) - 1)).map(list)
    return st.tuples(st.integers(0, len(callables()) - 1), st.lists(choice, min_size=1, max_size=4)).map(list)


CALLS = Target("calls", check, inputs=st.deferred(inputs))
