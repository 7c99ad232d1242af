"""Which kernels run: compiled by numba, or plain NumPy."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from threading import RLock, Thread, current_thread, main_thread
from time import monotonic
from types import TracebackType
from typing import TypeAlias, cast

import numpy as np
from typednn_kernels.interface import Kernels

from typednn import names
from typednn.attributes import KnownAttributes
from typednn.names import BackendName

KernelsFor: TypeAlias = Callable[[np.dtype[np.floating]], Kernels]

_active: KernelsFor | None = None
_name: BackendName = "numpy"
_switching = RLock()
_failures: list[Exception] = []
"""Why compiled kernels do not work in this process, if they do not."""
_warned: list[bool] = []


def _unlock() -> None:
    """Makes a new lock in a forked child: another thread of its parent may have held the old one."""
    global _switching  # noqa: PLW0603 (a lock cannot be reset)
    _switching = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


class Running:
    """Holds the kernels that run for arrays of a dtype.

    Attributes:
        kernels: those that run now; a switch to others changes it. They are chosen when first asked for.
    """

    def __init__(self, dtype: np.dtype[np.floating]) -> None:
        self.dtype = dtype
        self.kernels: Kernels = cast("Kernels", _Unchosen(self))

    def choose(self) -> Kernels:
        """Sets and returns the kernels that run now."""
        with _switching:
            self.kernels = (_active or _activate(_wanted()))(self.dtype)
        return self.kernels


class _Unchosen:
    """Stands for kernels until one is asked for. Each call of a layer reads `Running.kernels`.

    A plain attribute takes CPython less time than one that a class computes when it is missing.
    """

    def __init__(self, running: Running) -> None:
        self._running = running

    def __getattr__(self, name: str) -> object:
        return getattr(self._running.choose(), name)


_running: dict[np.dtype[np.floating], Running] = {}


def running(dtype: np.dtype[np.floating]) -> Running:
    """Returns the holder of the kernels for a dtype, which a switch to other kernels changes."""
    return _running.get(dtype) or _running.setdefault(dtype, Running(dtype))


def kernels(dtype: np.dtype[np.floating]) -> Kernels:
    """The kernels that run now, for arrays of a dtype; compiled ones are imported when first asked for."""
    holder = running(dtype)
    return holder.choose() if isinstance(holder.kernels, _Unchosen) else holder.kernels


def backend() -> BackendName:
    """The name of the kernels that run: `"numba"` or `"numpy"`.

    `TYPEDNN_BACKEND` sets it for a process; without it numba is used where it works.

    >>> with use_backend("numpy"):
    ...     backend()
    'numpy'
    """
    if _active is None:
        _activate(_wanted())
    return _name


class use_backend(KnownAttributes):
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

    previous: BackendName

    def __init__(self, name: BackendName) -> None:
        wanted = names.backend(name)
        if wanted == "numba":
            require_numba()
        self.previous = backend()
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
    found: dict[BackendName, Kernels] = {"numpy": _plain(dtype)}
    if _wanted() == "numba" and not isinstance(compiled := _compiled(), Exception):
        found["numba"] = compiled(dtype)
    return found


def require_numba() -> None:
    """Raises ImportError if numba does not work."""
    compiled = _compiled()
    if isinstance(compiled, Exception):
        raise ImportError(_message(compiled)) from compiled  # noqa: TRY004 (it is no wrong argument)


def _wanted() -> BackendName:
    return names.backend(os.environ.get("TYPEDNN_BACKEND") or "numba")


def _plain(_dtype: np.dtype[np.floating]) -> Kernels:
    from typednn_kernels import plain

    return plain


SAY_AFTER_S = 1.0
"""Seconds of compiling after which the user is told."""


class _CompileTime:
    """Measures how long this process compiles; says so once, after a second, and logs each kernel."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.spent = 0.0
        self.said = False

    def begin(self, _function: str) -> None:
        """Notes that a function will be compiled."""
        now = monotonic()
        self.began = now if self.began is None else self.began
        if not self.said and self.spent + now - self.began >= SAY_AFTER_S:
            self.said = True
            _log("compiling for this machine, once; that takes some seconds")
            if sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel"):  # or a notebook
                message = "typednn compiles for this machine, once; that takes some seconds …"
                print(message, file=sys.stderr, flush=True)

    def end(self, kernel: str) -> None:
        """Notes that a kernel and all that it calls is compiled."""
        if self.began is not None:
            seconds, self.began = monotonic() - self.began, None
            self.spent += seconds
            _log(f"compiled {kernel} in {seconds:.1f} s")


def _log(message: str) -> None:
    import logging

    logging.getLogger("typednn").info(message)


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
            return _imported()
        except Exception as error:  # noqa: BLE001 (a release of numba may raise anything)
            _failures.append(error)
    return _failures[0]


_found: list[KernelsFor] = []


def _imported() -> KernelsFor:
    """Returns the kernels that numba compiles; they are imported in a thread, to the end.

    Ctrl-C interrupts the main thread, which raises KeyboardInterrupt when the import has ended: one that ends
    in the middle cannot be repeated.
    """
    if not _found:
        errors: list[BaseException] = []

        def load() -> None:
            try:
                _found.append(_import())
            except BaseException as error:  # noqa: BLE001 (raised again below)
                errors.append(error)

        if current_thread() is main_thread():
            thread = Thread(target=load, name="typednn imports numba")
            try:
                thread.start()
                thread.join()
            except RuntimeError:  # there is no thread to be had
                load()
            finally:
                if thread.ident is not None:
                    thread.join()
        else:
            load()
        if errors:
            raise errors[0]
    return _found[0]


def _import() -> KernelsFor:
    from typednn_kernels.compiled._codegen.cache.files import on_compile
    from typednn_kernels.compiled._codegen.private_parts import on_compiled, on_failure
    from typednn_kernels.compiled.entry_points import kernels_for

    time = _CompileTime()
    on_compile[:], on_compiled[:], on_failure[:] = [time.begin], [time.end], [_after_failure]
    return kernels_for


def _after_failure(error: Exception) -> Kernels:
    """Switches to NumPy for the rest of the process, since a kernel cannot be compiled."""
    _failures.append(error)
    kernels_for = _activate("numpy")
    _warn(_failures[0])
    return kernels_for(np.dtype(np.float64))


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
