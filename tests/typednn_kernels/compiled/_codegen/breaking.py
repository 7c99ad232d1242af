"""A numba in which a private part is missing, takes other parameters or raises, for typednn alone.

Run as a program, it reads a line of JSON for each case, trains a network in a forked child in which the part
is broken, and prints what came of it.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

HOW = ("absent", "changed", "raising")
touched: list[str] = []
"""The broken parts that typednn has asked for."""


def asked_by_us() -> bool:
    """Whether the caller of a broken part is typednn; numba itself gets what it knows."""
    return str(sys._getframe(2).f_globals.get("__name__")).startswith("typednn")


class Broken:
    """What takes the place of a part of a class or module."""

    def __init__(self, name: str, original: object, how: str) -> None:
        self.name, self.original, self.how = name, original, how

    def __get__(self, owner: object, kind: Any = None) -> object:
        """Binds a method, unless typednn asks for what it must not find."""
        if self.how == "absent" and asked_by_us():
            touched.append(self.name)
            raise AttributeError(f"there is no {self.name}")
        bind = getattr(type(self.original), "__get__", None)
        found = bind(self.original, owner, kind) if bind is not None else self.original
        if self.how == "absent" or isinstance(self.original, property):
            return found
        return self.wrapped(found)

    def wrapped(self, found: Any) -> Callable[..., object]:
        """A function that typednn cannot call as it is used to."""

        def call(*arguments: object, **named: object) -> object:
            if asked_by_us():
                touched.append(self.name)
                raise (TypeError if self.how == "changed" else RuntimeError)(
                    f"{self.name} is not what it was"
                )
            return found(*arguments, **named)

        signature = inspect.signature(found)
        if self.how == "changed":
            new = inspect.Parameter("new", inspect.Parameter.POSITIONAL_OR_KEYWORD)
            old = [each.replace(default=inspect.Parameter.empty) for each in signature.parameters.values()]
            old = [each for each in old if each.kind == inspect.Parameter.POSITIONAL_OR_KEYWORD]
            signature = inspect.Signature([new, *old])
        vars(call)["__signature__"] = signature
        return call


@contextmanager
def broken(part: str, how: str) -> Generator[None]:
    """Breaks a part, written as in `private_parts`."""
    module_name, _, rest = part.partition(" ")
    module = import_module(module_name if "." in module_name else f"numba.core.{module_name}")
    *path, name = rest.partition("(")[0].split(".")
    owner: Any = module
    for each in path:
        owner = getattr(owner, each)
    if isinstance(owner, ModuleType):
        original = vars(owner)[name]
        stand_in = Broken(name, staticmethod(original) if callable(original) else original, how)
        before = owner.__class__

        class Changed(ModuleType):
            def __getattribute__(self, asked: str) -> object:
                if asked == name and asked_by_us():
                    return stand_in.__get__(self) if how != "absent" else missing()
                return super().__getattribute__(asked)

        def missing() -> object:
            touched.append(name)
            raise AttributeError(f"there is no {name}")

        owner.__class__ = Changed
        yield
        owner.__class__ = before
        return
    own = name in vars(owner)
    original = inspect.getattr_static(owner, name)
    setattr(owner, name, Broken(name, original, how))
    yield
    if own:
        setattr(owner, name, original)
    else:
        delattr(owner, name)


def train() -> list[float]:
    """The parameters of a tiny network after two epochs, one sample at a time."""
    import numpy as np

    import typednn

    layers: list[Any] = [typednn.InputLayer(2), typednn.HiddenLayer(2, "sigmoid"), typednn.OutputLayer(1)]
    network = typednn.Network(layers, seed=0)
    x, y = np.array([[0, 1], [1, 0], [1, 1.0]]), np.array([[1], [0], [1.0]])
    network.fit(x, y, epochs=2, batch_size=1)
    return [float(each) for layer in network.layers[1:] for each in (*layer.W.ravel(), *layer.Bias.ravel())]


def call_kernels() -> list[float]:
    """What two kernels compute that are soon compiled: one calls a loop by address, one a function."""
    import numpy as np
    from typednn_kernels.activations import CODES

    from typednn.backends import kernels

    a = np.array([[-1, 0, 0.5], [2, 3, 4]])
    derivative, sample = np.empty_like(a), np.zeros((1, 6))
    kernels(a.dtype).activation_derivative(CODES["mish"], a, a, derivative)
    kernels(a.dtype).try_copy_sample(a.ravel(), -10.0, 10.0, sample)
    return [*map(float, derivative.ravel()), *map(float, sample.ravel())]


def outcome(case: dict[str, Any]) -> dict[str, Any]:
    """The numbers, the warnings and the backend of a case, and whether typednn has met the break."""
    os.environ["TYPEDNN_CACHE_DIR"] = case.get("cache", os.devnull)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(case.get("before", ""), {})
        with broken(case["part"], case["how"]):
            numbers = globals()[case["run"]]()
        import typednn

        said = [str(each.message) for each in caught]
        return {"numbers": numbers, "said": said, "backend": typednn.backend(), "touched": bool(touched)}


def main() -> None:
    """Answers one line with another; each case has a process of its own, forked when numba is there."""

    import typednn

    assert typednn.__name__ not in sys.argv
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            try:
                answer = outcome(json.loads(line))
            except BaseException:  # noqa: BLE001 (the test shows it)
                answer = {"error": traceback.format_exc()}
            with os.fdopen(writer, "w") as file:
                file.write(json.dumps(answer))
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as file:
            print(file.read() or json.dumps({"error": "the process ended"}), flush=True)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
