"""A numba whose private parts have changed costs time, never a result: each part is broken on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.typednn_kernels.compiled._codegen import breaking
from typednn import use_backend

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)
private_parts = import_module("typednn_kernels.compiled._codegen.private_parts")

FEATURES: dict[str, Any] = {
    name: getattr(private_parts, name)
    for name in ("PIPELINE", "DISK_CACHE", "HINTS", "CALLED_LOOPS", "ESSENTIAL")
}
PARTS = [(name, part) for name, feature in FEATURES.items() for part in feature.parts]
Outcome = dict[str, Any]
Ask = Callable[..., Outcome]
VERSIONS = [f"{package} {import_module(package).__version__}" for package in ("numba", "llvmlite")]
KEPT = ("_rebuild", "unserialize_library")
"""What reads machine code that was kept."""
UNCALLED = {
    "caching NullCache.load_overload",
    "caching NullCache.save_overload",
    "codegen JITCPUCodegen",
    "codegen JITCPUCodegen.create_library",
    "codegen JITCodeLibrary._optimize_final_module",
    "codegen JITCodeLibrary._optimize_functions",
    "compiler Compiler.define_pipelines",
    "cgutils alloca_once_value",
    "imputils impl_ret_borrowed",
    "ir Block",
    "llvmlite.ir MDValue.descr",
}
"""What the kernels override, or call only for sums or where something else is lost."""


def is_called(part: str) -> bool:
    return part.split("(", maxsplit=1)[0] not in UNCALLED and ("(" in part or "_rebuild" in part)


QUICK: dict[str, str | None] = {
    name: next((part for part in feature.parts if is_called(part)), None)
    for name, feature in FEATURES.items()
}
"""For the default run: of each feature the first part that is called."""


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Runs cases in processes that are forked from one that has imported numba."""
    if not hasattr(os, "fork"):
        pytest.skip("there is no fork here")
    environment = {name: value for name, value in os.environ.items() if name != "TYPEDNN_BACKEND"}
    with subprocess.Popen(
        [sys.executable, breaking.__file__],
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None

        def run(part: str, how: str, **case: str) -> Outcome:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps({"run": "train", **case, "part": part, "how": how}) + "\n")
            server.stdin.flush()
            outcome: Outcome = json.loads(server.stdout.readline())
            assert "error" not in outcome, outcome["error"]
            return outcome

        yield run
        server.stdin.close()


def expected(run: str = "train") -> list[float]:
    """The numbers on the NumPy path."""
    with use_backend("numpy"):
        numbers: list[float] = getattr(breaking, run)()
    return numbers


def check(outcome: Outcome, says: str, backend: str = "numba", run: str = "train") -> None:
    """Demands the right numbers and one warning, with both versions."""
    np.testing.assert_allclose(outcome["numbers"], expected(run), rtol=1e-12)
    (message,) = outcome["said"]
    assert says in message
    assert all(version in message for version in VERSIONS), message
    assert outcome["backend"] == backend


@pytest.fixture(scope="module")
def filled(ask: Ask, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the machine code of what the cases run, made with nothing broken."""
    folder = tmp_path_factory.mktemp("filled")
    for run in ("train", "call_kernels"):
        outcome = ask("ir Loc", "absent", run=run, cache=str(folder))
        assert (outcome["said"], outcome["backend"]) == ([], "numba")
    return folder


@pytest.mark.parametrize(("name", "part"), PARTS)
@pytest.mark.parametrize("how", ["absent", "changed"])
def test_what_is_missing_or_takes_other_parameters_is_seen_at_the_import(
    name: str, part: str, how: str
) -> None:
    if how == "changed" and "(" not in part:
        pytest.skip("the kernels pass it no parameters")

    intact = private_parts.Feature("", part)
    with breaking.broken(part, how):
        spoiled = private_parts.Feature("", part)

    assert intact.works
    assert not spoiled.works
    assert part.partition("(")[0].split(".")[-1].split()[-1] in str(spoiled.error)


@pytest.mark.parametrize("name", ["PIPELINE", "DISK_CACHE", "HINTS"])
def test_a_feature_that_is_lost_at_the_import(name: str, ask: Ask) -> None:
    feature = FEATURES[name]

    check(ask(feature.parts[0], "absent"), feature.without)


def test_loops_that_cannot_be_called(ask: Ask) -> None:
    feature = FEATURES["CALLED_LOOPS"]

    check(ask(feature.parts[1], "absent", run="call_kernels"), feature.without, run="call_kernels")


@pytest.mark.parametrize("part", FEATURES["ESSENTIAL"].parts)
def test_without_an_essential_part_numpy_runs(part: str, ask: Ask) -> None:
    check(ask(part, "absent"), "typednn runs on NumPy alone, because numba does not work", "numpy")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        pytest.param(name, part, marks=() if QUICK[name] == part else pytest.mark.full("as the first"))
        for name, part in PARTS
    ],
)
def test_a_part_that_raises(name: str, part: str, ask: Ask, filled: Path, tmp_path: Path) -> None:
    if not is_called(part):
        pytest.skip("it is not called")
    cache = str(filled if any(each in part for each in KEPT) else tmp_path)

    outcome = ask(part, "raising", run="call_kernels", cache=cache)

    assert outcome["touched"]
    if name == "ESSENTIAL":
        check(outcome, "numba", outcome["backend"], "call_kernels")
    else:
        check(outcome, FEATURES[name].without, run="call_kernels")


OPTION = """
from numba.core import options
known = options.TargetOptions.parse_as_flags.__func__
def parse_as_flags(cls, flags, given):
    if {name!r} in given:
        raise KeyError("unrecognised option {name}")
    return known(cls, flags, given)
options.TargetOptions.parse_as_flags = classmethod(parse_as_flags)
"""
DECORATOR = """
import numba
known = numba.njit
def njit(*functions, **options):
    if {name!r} in options:
        raise TypeError("njit takes no {name}")
    return known(*functions, **options)
numba.njit = njit
"""


@pytest.mark.once_per("name")
@pytest.mark.parametrize("before", [OPTION, DECORATOR])
@pytest.mark.parametrize(
    "name", ["_nrt", "forceinline", "no_cfunc_wrapper", "no_cpython_wrapper", "pipeline_class"]
)
def test_an_option_that_numba_no_longer_knows(name: str, before: str, ask: Ask) -> None:
    if before == OPTION and name == "pipeline_class":
        pytest.skip("numba takes it from the options at the decorator")

    outcome = ask("ir Loc", "absent", run="call_kernels", before=before.format(name=name))

    check(outcome, FEATURES["PIPELINE"].without, run="call_kernels")


def test_a_cache_that_dispatchers_keep_elsewhere(ask: Ask) -> None:
    before = """
from numba.core import caching, dispatcher
known = dispatcher.Dispatcher.__init__
def init(self, *arguments, **named):
    known(self, *arguments, **named)
    self._kept = caching.NullCache()
dispatcher.Dispatcher.__init__ = init
dispatcher.Dispatcher._cache = property(lambda self: self._kept, lambda self, cache: None)
"""
    outcome = ask("ir Loc", "absent", run="call_kernels", before=before)

    check(outcome, FEATURES["DISK_CACHE"].without, run="call_kernels")


@pytest.mark.parametrize("after", [0, pytest.param(1, marks=pytest.mark.full("as after four")), 4])
def test_a_compiler_that_fails_leaves_the_rest_to_numpy(after: int, ask: Ask) -> None:
    """After some functions, too: kernels of both paths work on the same arrays."""
    before = f"""
from numba.core import dispatcher
known, count = dispatcher.Dispatcher.compile, []
def compile(self, sig):
    count.append(sig)
    if len(count) > {after}:
        raise NotImplementedError("too late")
    return known(self, sig)
dispatcher.Dispatcher.compile = compile
"""
    for run in ("call_kernels", "train"):
        outcome = ask("ir Loc", "absent", run=run, before=before)

        if run == "call_kernels" or not after:
            check(outcome, "typednn runs on NumPy alone, because numba does not work: too late", "numpy", run)
        np.testing.assert_allclose(outcome["numbers"], expected(run), rtol=1e-12)
