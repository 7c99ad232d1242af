"""Which kernels run: compiled by numba, or plain NumPy."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from threading import RLock
from types import TracebackType

import numpy as np
from typednn_kernels import plain
from typednn_kernels.interface import Kernels

from typednn import names
from typednn.names import BackendName

_active: Callable[[np.dtype[np.floating]], Kernels] | None = None
_name: BackendName = "numpy"
_switching = RLock()


class Running:
    """What runs for arrays of a dtype.

    Attributes:
        kernels: those that run now; a switch to others changes it. They are chosen when first asked for.
    """

    kernels: Kernels

    def __init__(self, dtype: np.dtype[np.floating]) -> None:
        self.dtype = dtype

    def __getattr__(self, name: str) -> Kernels:
        """Chooses the kernels."""
        if name != "kernels":
            raise AttributeError(name)
        with _switching:
            self.kernels = (_active or _activate(_wanted()))(self.dtype)
        return self.kernels


_running: dict[np.dtype[np.floating], Running] = {}


def running(dtype: np.dtype[np.floating]) -> Running:
    """What runs for arrays of a dtype, now and after a switch to other kernels."""
    return _running.get(dtype) or _running.setdefault(dtype, Running(dtype))


def kernels(dtype: np.dtype[np.floating]) -> Kernels:
    """The kernels that run now, for arrays of a dtype; compiled ones are imported when first asked for."""
    return running(dtype).kernels


def backend() -> BackendName:
    """The name of the kernels that run: `"numba"` or `"numpy"`.

    `TYPEDNN_BACKEND` sets it for a process; without it numba is used where it works.
    """
    if _active is None:
        _activate(_wanted())
    return _name


class use_backend:
    """Switches to other kernels, for the rest of the program or for a `with` block.

    Both kinds work on the same arrays, so a network can go on on the other path. The switch holds for
    the whole process, all its threads included.

    Raises:
        UnknownNameError: for any other name.
        ImportError: if numba is asked for and cannot be imported; the backend stays as it was.

    >>> with use_backend("numpy"):
    ...     print(backend())
    numpy
    """

    def __init__(self, name: BackendName) -> None:
        self.previous: BackendName = backend()
        _activate(names.backend(name), strict=True)

    def __enter__(self) -> None:
        """The switch is made when the object is."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Switches back."""
        _activate(self.previous)


def implementations(dtype: np.dtype[np.floating]) -> dict[BackendName, Kernels]:
    """All kernels that work here, for arrays of a dtype; NumPy's alone where TYPEDNN_BACKEND says so."""
    found: dict[BackendName, Kernels] = {"numpy": plain}
    if _wanted() == "numpy":
        return found
    try:
        from typednn_kernels.compiled.entry_points import kernels_for
    except ImportError:
        return found
    found["numba"] = kernels_for(dtype)
    return found


def _wanted() -> BackendName:
    return names.backend(os.environ.get("TYPEDNN_BACKEND") or "numba")


def _plain(_dtype: np.dtype[np.floating]) -> Kernels:
    return plain


def _say_that_it_compiles(_kernel: str) -> None:
    """On a terminal somebody wonders what takes so long."""
    from typednn_kernels.compiled._codegen.cache import on_compile

    on_compile.clear()
    if sys.stderr.isatty():
        print(
            "typednn compiles for this machine, once; that takes some seconds …", file=sys.stderr, flush=True
        )


def _activate(name: BackendName, *, strict: bool = False) -> Callable[[np.dtype[np.floating]], Kernels]:
    global _active, _name
    chosen, found = _implementation(name, strict)
    with _switching:
        _active, _name = chosen, found
        for dtype, each in list(_running.items()):
            each.kernels = chosen(dtype)
    return chosen


def _implementation(
    name: BackendName, strict: bool
) -> tuple[Callable[[np.dtype[np.floating]], Kernels], BackendName]:
    if name == "numba":
        try:
            from typednn_kernels.compiled.entry_points import kernels_for
        except ImportError as error:
            if strict:
                raise
            warnings.warn(f"typednn runs on NumPy alone, because numba does not work: {error}", stacklevel=5)
        else:
            from typednn_kernels.compiled._codegen.cache import on_compile

            on_compile[:] = [_say_that_it_compiles]
            return kernels_for, name
    return _plain, "numpy"
