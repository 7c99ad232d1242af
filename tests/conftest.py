"""Both paths for every test that asks for one, a cache of machine code that is not the user's, and --full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from tests.sizes import one_of_each

EXAMPLES = {"rotation": 20, "full": 40}
"""The number of examples that hypothesis draws for a case, in the default run and with `--full`."""
for profile, examples in EXAMPLES.items():
    settings.register_profile(
        profile,
        deadline=None,  # the first call compiles
        derandomize=True,
        max_examples=examples,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )

PATHS = ("numpy",) if os.environ.get("TYPEDNN_BACKEND") == "numpy" else ("numpy", "numba")
collect_ignore = [] if "numba" in PATHS else ["typednn_kernels/compiled", "benchmarks"]
"""Where NumPy alone is under test, nothing is compiled, and nothing compared with what is."""
COMPILING = "numba" in PATHS and os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"
"""Where NUMBA_DISABLE_JIT=1 has Python run the kernels, to debug them, there are no threads of theirs."""
compiling_only = pytest.mark.skipif(not COMPILING, reason="nothing is compiled")


def pytest_configure(config: pytest.Config) -> None:
    """Keeps machine code between runs, in pytest's cache folder unless TYPEDNN_CACHE_DIR names another.

    Kernels that Python runs warn of overflow, unlike machine code.
    """
    whole = config.getoption("full") or config.getoption("every_case")
    settings.load_profile("full" if whole else "rotation")
    if "TYPEDNN_CACHE_DIR" not in os.environ:
        folder = Path(config.rootpath, str(config.getini("cache_dir")), "typednn")
        os.environ["TYPEDNN_CACHE_DIR"] = str(folder)
    if "numba" in PATHS and not COMPILING:
        config.addinivalue_line("filterwarnings", "ignore:.* encountered in:RuntimeWarning")


CASES = pytest.StashKey[tuple[int, int]]()
"""How many cases run, and how many there are."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--full` and `--every-case`."""
    parser.addoption("--full", action="store_true", help="run what CI runs; without it, a rotation")
    parser.addoption("--every-case", action="store_true", help="run all products, for hours")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Thins tables marked `once_per` and leaves out what is marked `full`; what is named (`::`) runs.

    With `--full`, tables whose mark says `in_full` are thinned to one case for each combination of those.
    """
    full = bool(config.getoption("full"))
    if config.getoption("every_case") or any("::" in each for each in config.args):
        return
    out = set[pytest.Item]() if full else {item for item in items if item.get_closest_marker("full")}
    tables: dict[str, list[pytest.Function]] = {}
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("once_per") and item not in out:
            tables.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for table in tables.values():
        [mark] = table[0].iter_markers("once_per")
        names = mark.kwargs.get("in_full") if full else mark.args
        if names is None:
            continue
        kept = one_of_each([item.callspec.params for item in table], names)
        out.update(set(table) - {table[index] for index in kept})
    config.hook.pytest_deselected(items=list(out))
    config.stash[CASES] = (len(items) - len(out), len(items))
    items[:] = [item for item in items if item not in out]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hands the counts of a process of pytest-xdist over."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["cases"] = session.config.stash.get(CASES, None)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes the counts of a process of pytest-xdist; all have the same."""
    counts = getattr(node, "workeroutput", {}).get("cases")
    if counts is not None:
        node.config.stash[CASES] = tuple(counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says what is left out."""
    run, there = config.stash.get(CASES, (0, 0))
    if run < there:
        rest = "pytest --every-case" if config.getoption("full") else "make test-all (pytest --full)"
        terminalreporter.write_line(f"{run} of {there} cases; the rest: {rest}")


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a backend, which is active while the test runs."""
    from typednn.backends import use_backend

    kernels_of(request.param)
    with use_backend(request.param):
        yield request.param


@pytest.fixture(params=PATHS)
def kernels(request: pytest.FixtureRequest) -> Any:
    """The kernels of a path."""
    return kernels_of(request.param)


def kernels_of(path: str) -> Any:
    """The kernels of a path; without numba the test is skipped."""
    if path == "numpy":
        return import_module("typednn_kernels.plain")
    pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
    return ENTRY_POINTS


class EntryPoints:
    """The compiled kernels as the library calls them: for the dtype of the arrays that come.

    An entry that is called itself would be compiled anew for arrays that are read-only.
    """

    def __getattr__(self, name: str) -> Any:
        """A kernel, or what else the package has."""
        if name.startswith("__") and name != "__all__":  # what Python asks of any object, also without numba
            raise AttributeError(name)
        there = getattr(import_module("typednn_kernels.compiled"), name)
        if name.startswith("_"):
            return there
        kernels_for = import_module("typednn_kernels.compiled.entry_points").kernels_for

        @wraps(getattr(there, "py_func", there))
        def call(*arguments: Any) -> Any:
            arrays: list[NDArray[Any]] = [each for each in arguments if isinstance(each, np.ndarray)]
            dtype = next(each.dtype for each in arrays if each.dtype.kind == "f")
            return getattr(kernels_for(dtype), name)(*arguments)

        return call


ENTRY_POINTS = EntryPoints()
