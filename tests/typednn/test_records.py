"""Classes of settings, beside the frozen dataclasses that they stand for."""

from __future__ import annotations

import inspect
import pickle
from copy import copy, deepcopy
from dataclasses import FrozenInstanceError, asdict, dataclass, fields, replace
from itertools import product
from typing import Any

import pytest

import typednn
from typednn.records import Record

CLASSES = [
    each
    for each in (getattr(typednn, name) for name in typednn.__all__)
    if inspect.isclass(each) and issubclass(each, Record) and not inspect.isabstract(each)
]
EXAMPLES: dict[str, object] = {
    "loss": 0.5,
    "accuracy": 0.75,
    "r2": None,
    "initial_learning_rate": 0.5,
    "max_learning_rate": 0.5,
    "decay_steps": 10,
    "first_decay_steps": 10,
    "decay_rate": 0.5,
    "total_steps": 10,
    "boundaries": (10,),
    "values": (0.5, 0.1),
    "metrics": {"mae": 0.5},
    "objective": 0.5,
    "iterations": 3,
    "evaluations": 4,
    "success": True,
    "message": "",
    "checks": (),
    "dtype": "float64",
}
by_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


class Own(Record):
    """Two numbers."""

    a: int
    b: float = 0.5


@dataclass(frozen=True)
class Reference:
    a: int
    b: float = 0.5


class Other(Own):
    """Another class, with the same fields."""


def made(kind: Any) -> Any:
    return kind(**{name: EXAMPLES[name] for name in EXAMPLES.keys() & {each.name for each in fields(kind)}})


def test_there_are_settings() -> None:
    assert len(CLASSES) > 14


def test_they_are_constructed_and_shown_as_a_frozen_dataclass() -> None:
    expected = [Reference(1), Reference(1, 2.0), Reference(b=2.0, a=1)]

    computed = [Own(1), Own(1, 2.0), Own(b=2.0, a=1)]

    assert [repr(each) for each in computed] == [repr(each).replace("Reference", "Own") for each in expected]
    assert [asdict(each) for each in computed] == [asdict(each) for each in expected]
    assert inspect.signature(Own) == inspect.signature(Reference)
    assert Own.__match_args__ == Reference.__match_args__


@pytest.mark.parametrize("arguments", [((), {}), ((1,), {"c": 2}), ((1,), {"a": 1}), ((1, 2, 3), {})])
def test_wrong_arguments_are_refused(arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
    args, kwargs = arguments
    with pytest.raises(TypeError):
        Reference(*args, **kwargs)

    with pytest.raises(TypeError, match="Own: "):
        Own(*args, **kwargs)


def test_equal_are_those_of_one_class_with_equal_fields() -> None:
    pairs = list(product([(1, 0.5), (1, 0.25), (2, 0.5)], repeat=2))

    assert [Own(*x) == Own(*y) for x, y in pairs] == [Reference(*x) == Reference(*y) for x, y in pairs]
    assert len({Own(*x) for x, _ in pairs}) == 3
    assert Own(1) != Other(1)
    assert Own(1) != (1, 0.5)


@pytest.mark.parametrize("name", ["a", "b"])
def test_they_never_change(name: str) -> None:
    settings = Own(1)

    with pytest.raises(FrozenInstanceError, match=name):
        setattr(settings, name, 3)
    with pytest.raises(FrozenInstanceError, match=name):
        delattr(settings, name)

    assert settings == Own(1)


@by_class
def test_those_of_the_library_are_copied_replaced_and_pickled(kind: Any) -> None:
    settings = made(kind)
    copies = [copy(settings), deepcopy(settings), replace(settings), pickle.loads(pickle.dumps(settings))]

    assert copies == [settings] * 4
    assert {hash(each) for each in copies} == {hash(settings)}
