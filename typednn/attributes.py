"""Attributes that a class knows: to set another raises AttributeError, which says the nearest that there is.

A misspelt attribute would be kept, shown and saved, and change nothing.

>>> from typednn import EarlyStopping
>>> EarlyStopping("loss").patiense = 3
Traceback (most recent call last):
...
AttributeError: EarlyStopping has no attribute 'patiense': did you mean 'patience'?
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator
from inspect import isfunction, isroutine
from typing import TYPE_CHECKING

_NAMES = "_names_that_can_be_set"
"""The attribute of a class that keeps its names."""


class _Every:
    """All names: those that a class of a user can have."""

    def __contains__(self, name: object) -> bool:
        return True


class KnownAttributes:
    """A class whose objects have the public attributes that its body states, and no others.

    These are its properties, and the names that are annotated there. A class that users derive from it works
    as any class of Python does.
    """

    __slots__ = ()

    if not TYPE_CHECKING:  # with it, type checkers would let every name pass

        def __setattr__(self, name: str, value: object) -> None:
            """Sets an attribute.

            Raises:
                AttributeError: the class has none of this name, or only a method or constant.
            """
            kind = type(self)
            if name[:1] != "_" and name not in (kind.__dict__.get(_NAMES) or _names(kind)):
                _refuse(kind, name, value)
            super().__setattr__(name, value)


def no_attribute(kind: type[object], name: str) -> str:
    """Says that objects of a class have no such attribute, and which is probably meant."""
    from typednn.synonyms import likely_name

    said = f"{kind.__name__} has no attribute {name!r}"
    if takers := list(_takers(kind, name)):
        return f"{said}; it is an argument of {' and '.join(takers)}"
    public = {each for each in _stated(kind) if each[0] != "_" and not isroutine(getattr(kind, each, None))}
    likely = likely_name("attribute", name, sorted(public))
    return f"{said}: did you mean {likely[0]!r}?" if likely else said


def _names(kind: type[object]) -> Container[str]:
    """Returns the names that can be set without a further look; it finds them once for each class."""
    names: Container[str] = _Every()
    module = kind.__module__
    if module.partition(".")[0] == "typednn" and getattr(sys.modules[module], kind.__name__, None) is kind:
        names = frozenset(
            each
            for each, annotation in _stated(kind).items()
            if not annotation.startswith("ClassVar") and not isroutine(getattr(kind, each, None))
        )
    setattr(kind, _NAMES, names)
    return names


def _stated(kind: type[object]) -> dict[str, str]:
    """Returns the names that the bodies of a class and its bases state, with their annotations."""
    stated: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        stated |= {name: stated.get(name, "") for name in vars(base)}
        stated |= {name: str(each) for name, each in getattr(base, "__annotations__", {}).items()}
    return stated


def _refuse(kind: type[object], name: str, value: object) -> None:
    """Raises AttributeError, unless the name is that of a method, which a function replaces."""
    if isroutine(getattr(kind, name, None)):
        if not callable(value):
            raise AttributeError(f"{kind.__name__}: {name} is a method, and cannot be set to {value!r}")
    elif name in _stated(kind):
        raise AttributeError(f"{kind.__name__}: {name} is read-only")
    else:
        raise AttributeError(no_attribute(kind, name))


def _takers(kind: type[object], name: str) -> Iterator[str]:
    """Yields the class, if its constructor takes an argument of this name, and the methods that do."""
    for method in ("__init__", *sorted(each for each in _stated(kind) if each[0] != "_")):
        function = getattr(kind, method, None)
        if isfunction(function):
            code = function.__code__
            if name in code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]:
                yield kind.__name__ if method == "__init__" else method
