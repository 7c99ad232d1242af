"""Imports point one way: typednn to typednn_kernels, and a few modules of it to numba and LLVM."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import typednn_kernels

import typednn

LIBRARY, KERNELS = (Path(str(package.__file__)).parent for package in (typednn, typednn_kernels))
SOURCES = sorted([*LIBRARY.rglob("*.py"), *KERNELS.rglob("*.py")])
AT_IMPORT = {"numpy", "typing_extensions", "typednn", "typednn_kernels"}
"""What may be imported when a module is; all else is imported where it is used."""

COMPILED = KERNELS / "compiled"
JIT = COMPILED / "jit.py"


def names_of(source: Path) -> str:
    return str(source.relative_to(LIBRARY.parent if source.is_relative_to(LIBRARY) else KERNELS.parent))


by_source = pytest.mark.parametrize("source", SOURCES, ids=names_of)


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The modules that import statements name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their package"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def anywhere(source: Path) -> set[str]:
    return set(imported(ast.walk(ast.parse(source.read_text(encoding="utf-8")))))


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when a module is imported: all but those in functions and for type checkers."""
    for child in ast.iter_child_nodes(node):
        checking = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not checking and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_import(child)


def packages(modules: set[str]) -> set[str]:
    return {module.split(".")[0] for module in modules}


def test_there_are_sources() -> None:
    assert len(SOURCES) > 25
    assert JIT in SOURCES


@by_source
def test_kernels_know_nothing_of_layers(source: Path) -> None:
    if source.is_relative_to(KERNELS):
        assert "typednn" not in packages(anywhere(source))


@by_source
def test_few_modules_import_the_compiler(source: Path) -> None:
    both = {"numba", "llvmlite"}
    expected = {"jit.py": {"numba"}, "packing.py": {"llvmlite"}, "symbols.py": {"llvmlite"}}
    expected |= {each: {"llvmlite"} for each in ("small_layers.py", "tiny_networks.py", "vectors.py")}
    numba_too = (
        "addresses.py",
        "boards.py",
        "cache.py",
        "loops.py",
        "pipeline.py",
        "products.py",
        "routines.py",
        "rows.py",
        "teams.py",
        "threads.py",
        "views.py",
        "workers.py",
    )
    expected |= dict.fromkeys(numba_too, both)

    computed = {"numba", "llvmlite"} & packages(anywhere(source))

    assert computed == (expected.get(source.name, set()) if source.parent == COMPILED else set())


@by_source
def test_compiled_kernels_are_imported_when_they_are_needed(source: Path) -> None:
    if not source.is_relative_to(COMPILED):
        statements = at_import(ast.parse(source.read_text(encoding="utf-8")))
        assert not any(module.startswith("typednn_kernels.compiled") for module in imported(statements))


@by_source
def test_optional_packages_are_imported_where_they_are_used(source: Path) -> None:
    import sys

    if not source.is_relative_to(COMPILED):
        found = packages(set(imported(at_import(ast.parse(source.read_text(encoding="utf-8"))))))
        assert found - AT_IMPORT - set(sys.stdlib_module_names) == set()


@by_source
def test_nothing_is_executed_or_unpickled(source: Path) -> None:
    modules = packages(anywhere(source))
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    machine_code = (
        {"pickle"} if source == COMPILED / "cache.py" else set[str]()
    )  # written by numba for itself
    assert not ({"pickle", "marshal", "shelve", "dill", "joblib"} & modules) - machine_code
    assert not {"eval", "exec", "compile", "__import__"} & calls
