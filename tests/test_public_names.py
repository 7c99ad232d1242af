"""What `from typednn import *` gives, and that all of it is documented."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest

import typednn
from typednn import errors, names

EXPECTED = {
    *("InputLayer", "HiddenLayer", "OutputLayer", "gradient_descent_epoch", "gradient_descent_threshold"),
    *("Network", "ForwardPass", "Gradients", "LayerGradients", "Evaluation", "History"),
    *("gradcheck", "GradientReport", "backend", "use_backend", "save", "load"),
    *(
        name
        for name, each in vars(errors).items()
        if inspect.isclass(each) and issubclass(each, errors.TypednnError)
    ),
}


ALIASES = {
    *("ActivationName", "OutputActivationName", "LossName", "NormalizationName", "CustomActivation"),
    *("CustomLoss", "WeightInitializerName", "BiasInitializerName", "OptimizerName", "MetricName"),
    *("CurveName", "MinimizerName", "BackendName", "Seed", "AnyNetwork", "AnyLayer"),
}
"""Types for annotations, which have neither a name nor a docstring at run time."""
OBJECTS = [name for name in typednn.__all__ if name not in ALIASES]


def members() -> Iterator[tuple[str, Any]]:
    """Every public name, and every public method and property of the classes among them."""
    for name in OBJECTS:
        thing = getattr(typednn, name)
        yield name, thing
        if inspect.isclass(thing):
            for attribute in sorted({each for kind in thing.__mro__ for each in vars(kind)}):
                owner = next(kind for kind in thing.__mro__ if attribute in vars(kind))
                if not attribute.startswith("_") and owner.__module__.startswith("typednn"):
                    value = inspect.getattr_static(thing, attribute)
                    if callable(value) or isinstance(value, property):
                        yield f"{name}.{attribute}", value


def test_star_import_gives_exactly_the_public_names() -> None:
    namespace: dict[str, object] = {}
    exec("from typednn import *", namespace)
    del namespace["__builtins__"]

    assert sorted(namespace) == sorted(typednn.__all__)
    assert len(set(typednn.__all__)) == len(typednn.__all__)


def test_the_names_are_those_that_are_promised() -> None:
    assert EXPECTED - set(typednn.__all__) == set()


def test_all_names_are_listed_before_they_are_used() -> None:
    asked = "import typednn; print(*dir(typednn))"
    listed = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout

    assert set(typednn.__all__) - set(listed.split()) == set()


def test_rarely_used_names_are_imported_when_they_are_asked_for() -> None:
    asked = """
import sys, typednn
rarely = {"custom", "files.checkpoints", "files.models", "gradient_checking", "minimizers"}
before = {each for each in rarely if f"typednn.{each}" in sys.modules}
assert all(getattr(typednn, each) is sys.modules[f"typednn.{each}"] for each in rarely if "." not in each)
assert typednn.load is typednn.files.models.load
assert typednn.Checkpoint is typednn.files.checkpoints.Checkpoint
print(*before)
"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


def test_other_names_are_none() -> None:
    with pytest.raises(AttributeError, match="'typednn' has no attribute 'Netwerk'") as found:
        getattr(typednn, "Netwerk")  # noqa: B009
    with pytest.raises(ImportError, match="Netwerk"):
        exec("from typednn import Netwerk")
    assert (found.value.name, found.value.obj) == ("Netwerk", typednn)


def test_types_for_annotations_are_public() -> None:
    assert ALIASES - set(typednn.__all__) == set()
    assert get_args(typednn.AnyNetwork)[0] == np.float32 | np.float64
    for name in get_args(typednn.LossName):
        assert names.loss(name) == name


@pytest.mark.parametrize("name", OBJECTS)
def test_names_come_from_typednn(name: str) -> None:
    thing = getattr(typednn, name)

    assert thing.__module__.startswith("typednn")
    assert thing.__name__ == name


@pytest.mark.parametrize(("name", "thing"), [pytest.param(name, thing, id=name) for name, thing in members()])
def test_every_public_name_is_documented(name: str, thing: Any) -> None:
    documentation = inspect.getdoc(thing)

    assert documentation, name
    assert documentation.splitlines()[0].rstrip().endswith((".", "?", ":")), documentation.splitlines()[0]


@pytest.mark.parametrize(
    ("name", "thing"), [pytest.param(name, thing, id=name) for name, thing in members() if callable(thing)]
)
def test_every_argument_is_typed(name: str, thing: Any) -> None:
    try:
        signature = inspect.signature(thing)
    except ValueError:  # exceptions take what BaseException takes
        return
    for parameter in signature.parameters.values():
        generic = parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
        assert parameter.name == "self" or generic or parameter.annotation is not parameter.empty, (
            name,
            parameter,
        )
