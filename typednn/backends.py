"""Which kernels run: compiled by numba, or plain NumPy."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from threading import RLock
from types import TracebackType
from typing import TypeAlias

import numpy as np
from typednn_kernels import plain
from typednn_kernels.interface import Kernels

from typednn import names
from typednn.names import BackendName

KernelsFor: TypeAlias = Callable[[np.dtype[np.floating]], Kernels]

_active: KernelsFor | None = None
_name: BackendName = "numpy"
_switching = RLock()
_failures: list[Exception] = []
"""Why compiled kernels do not work in this process, if they do not."""
_warned: list[bool] = []


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
        ImportError: if numba is asked for and does not work; the backend stays as it was.

    >>> with use_backend("numpy"):
    ...     print(backend())
    numpy
    """

    def __init__(self, name: BackendName) -> None:
        wanted = names.backend(name)
        if wanted == "numba" and isinstance(compiled := _compiled(), Exception):
            raise ImportError(_message(compiled)) from compiled
        self.previous: BackendName = backend()
        _activate(wanted)

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
    if _wanted() == "numba" and not isinstance(compiled := _compiled(), Exception):
        found["numba"] = compiled(dtype)
    return found


def _wanted() -> BackendName:
    return names.backend(os.environ.get("TYPEDNN_BACKEND") or "numba")


def _plain(_dtype: np.dtype[np.floating]) -> Kernels:
    return plain


def _say_that_it_compiles(_kernel: str) -> None:
    """On a terminal or in a notebook somebody wonders what takes so long."""
    from typednn_kernels.compiled._codegen.cache import on_compile

    on_compile.clear()
    if sys.stderr.isatty() or "ipykernel" in sys.modules:
        print(
            "typednn compiles for this machine, once; that takes some seconds …", file=sys.stderr, flush=True
        )


def _activate(name: BackendName) -> KernelsFor:
    """Switches to the kernels of a name; where numba does not work, to NumPy's, with a warning."""
    global _active, _name
    compiled = _compiled() if name == "numba" else None
    with _switching:
        if compiled is None or isinstance(compiled, Exception):
            _active, _name = _plain, "numpy"
        else:
            _active, _name = compiled, name
        for dtype, each in list(_running.items()):
            each.kernels = _active(dtype)
        chosen = _active
    if isinstance(compiled, Exception):
        _warn(compiled)
    return chosen


def _compiled() -> KernelsFor | Exception:
    """Returns the kernels that numba compiles, or what importing or compiling them raised."""
    if not _failures:
        try:
            from typednn_kernels.compiled._codegen.cache import on_compile
            from typednn_kernels.compiled._codegen.private_parts import on_failure
            from typednn_kernels.compiled.entry_points import kernels_for
        except Exception as error:  # noqa: BLE001 (a release of numba may raise anything)
            _failures.append(error)
        else:
            on_compile[:], on_failure[:] = [_say_that_it_compiles], [_after_failure]
            return kernels_for
    return _failures[0]


def _after_failure(error: Exception) -> Kernels:
    """Switches to NumPy for the rest of the process, since a kernel cannot be compiled."""
    _failures.append(error)
    _activate("numpy")
    _warn(_failures[0])
    return plain


def _warn(error: Exception) -> None:
    if not _warned:
        _warned.append(True)
        warnings.warn(_message(error), stacklevel=5)


def _message(error: Exception) -> str:
    from typednn_kernels.compiler_versions import compiler_versions, first_line

    return (
        "typednn runs on NumPy alone, because numba does not work: "
        f"{first_line(error)} ({compiler_versions()})"
    )
