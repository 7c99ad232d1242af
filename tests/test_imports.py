"""Imports point one way: down the lists in the README; only a few folders know numba and LLVM."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import typednn_kernels

import typednn

ROOT = Path(__file__).parents[1]
LIBRARY, KERNELS = (Path(str(package.__file__)).parent for package in (typednn, typednn_kernels))
COMPILED = KERNELS / "compiled"
CODEGEN = (COMPILED / "_codegen", COMPILED / "_codegen" / "cache", COMPILED / "_codegen" / "in_python")
SOURCES = sorted([*LIBRARY.rglob("*.py"), *KERNELS.rglob("*.py")])

MAX_MODULES = 15
"""Most modules that may lie directly in one folder."""
AT_IMPORT = {"numpy", "typing_extensions", "typednn", "typednn_kernels"}
"""Packages that a module outside `compiled/` may import when it is imported itself."""
COMPILER = {
    "numba": [*CODEGEN, COMPILED / "parallel"],
    "llvmlite": [*CODEGEN, COMPILED / "parallel", COMPILED / "linalg", COMPILED / "network"],
}
"""The folders whose modules may import numba, and LLVM."""


def name_of(source: Path) -> str:
    """The dotted name of a module or package."""
    base = LIBRARY if source.is_relative_to(LIBRARY) else KERNELS
    parts = source.relative_to(base.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(source): source for source in SOURCES}


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The modules, or names in modules, that import statements name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their package"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def parsed(source: Path) -> ast.AST:
    """The syntax tree of a module."""
    return ast.parse(source.read_text(encoding="utf-8"))


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when a module is imported: not those in functions, or for type checkers."""
    for child in ast.iter_child_nodes(node):
        checking = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not checking and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_import(child)


def packages(modules: Iterator[str]) -> set[str]:
    """The top-level packages of modules."""
    return {module.split(".")[0] for module in modules}


@cache
def packages_in(source: Path) -> set[str]:
    """The top-level packages that a module imports: at import, in functions, for type checkers."""
    return packages(imported(ast.walk(parsed(source))))


def arrows(source: Path) -> set[str]:
    """The modules of both packages that a module imports: at import, in functions, for type checkers."""
    found: set[str] = set()
    for name in imported(ast.walk(parsed(source))):
        known = name
        while known and known not in MODULES:
            known = known.rpartition(".")[0]
        if known:
            found.add(known)
    return found - {name_of(source)}


def floors(readme: str) -> dict[str, list[list[str]]]:
    """The rows of names below each folder that the README lists, from the top down.

    >>> floors("```text\\ntypednn/\\n  cli/  the command\\n  errors records  leaves\\n```")
    {'typednn': [['cli'], ['errors', 'records']]}
    """
    listed: dict[str, list[list[str]]] = {}
    for block in re.findall(r"```text\n(.*?)```", readme, re.DOTALL):
        rows: list[list[str]] = []
        for line in block.splitlines():
            if re.fullmatch(r"(typednn|kernels/typednn_kernels)(/\w+)*/", line):
                rows = listed[line.strip("/").removeprefix("kernels/").replace("/", ".")] = []
            elif row := re.match(r"  (\w+/?(?: \w+/?)*)(?:  |$)", line):
                rows.append([each.strip("/") for each in row[1].split()])
    return listed


FLOORS = floors((ROOT / "README.md").read_text(encoding="utf-8"))


def floor_of(name: str, package: str) -> int:
    """The row of a package's list on which a module lies; -1 for the package itself."""
    first = name.removeprefix(package).lstrip(".").split(".")[0]
    if first in {"", "__main__"}:
        return -1
    return next(i for i, row in enumerate(FLOORS[package]) if first in row)


def test_the_readme_lists_each_folder_and_module_once() -> None:
    assert set(FLOORS) == {"typednn", "typednn_kernels", "typednn_kernels.compiled"}
    for package, rows in FLOORS.items():
        below = {name for name in MODULES if name.startswith(f"{package}.")}
        direct = {name.removeprefix(f"{package}.").split(".")[0] for name in below} - {"__main__"}
        assert sorted(each for row in rows for each in row) == sorted(direct)


@pytest.mark.parametrize("package", FLOORS)
def test_imports_point_down_the_list(package: str) -> None:
    up = [
        f"{name} imports {target}"
        for name, source in MODULES.items()
        if name.startswith(f"{package}.")
        for target in arrows(source)
        if target.startswith(f"{package}.") and floor_of(target, package) < floor_of(name, package)
    ]

    assert up == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: arrows(source) for name, source in MODULES.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")

    assert set(order) == set(MODULES)


@pytest.mark.parametrize("folder", sorted({source.parent for source in SOURCES}), ids=lambda each: each.name)
def test_folders_are_small_and_say_what_they_are_for(folder: Path) -> None:
    assert len([each for each in folder.glob("*.py") if each.name != "__init__.py"]) <= MAX_MODULES
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert re.match(r"[^\n]+[.?]", docstring), "the first line of __init__.py says what the folder is for"


def test_kernels_know_nothing_of_layers() -> None:
    kernels = [source for source in SOURCES if source.is_relative_to(KERNELS)]

    assert [name_of(source) for source in kernels if "typednn" in packages_in(source)] == []


@pytest.mark.parametrize("compiler", COMPILER)
def test_few_folders_import_the_compiler(compiler: str) -> None:
    importing = [source for source in SOURCES if compiler in packages_in(source)]

    assert [name_of(source) for source in importing if source.parent not in COMPILER[compiler]] == []


def outside_compiled() -> dict[str, set[str]]:
    """What each module outside `compiled/` imports when it is imported itself, by its name."""
    return {
        name_of(source): set(imported(at_import(parsed(source))))
        for source in SOURCES
        if not source.is_relative_to(COMPILED)
    }


def test_compiled_kernels_are_imported_when_they_are_needed() -> None:
    found = {
        name: module
        for name, modules in outside_compiled().items()
        for module in modules
        if module.startswith("typednn_kernels.compiled")
    }

    assert found == {}


def test_optional_packages_are_imported_where_they_are_used() -> None:
    allowed = AT_IMPORT | set(sys.stdlib_module_names)
    found: dict[str, set[str]] = {}
    for name, modules in outside_compiled().items():
        own = {"sklearn"} if name.startswith("typednn.sklearn") else set[str]()  # imported when asked for
        if optional := packages(iter(modules)) - allowed - own:
            found[name] = optional

    assert found == {}


def test_nothing_is_executed_or_unpickled() -> None:
    found: dict[str, set[str]] = {}
    for source in SOURCES:
        calls = {
            node.func.id
            for node in ast.walk(parsed(source))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        modules = packages_in(source)
        if source == COMPILED / "_codegen" / "cache" / "files.py":
            modules = modules - {"pickle"}  # by numba, for itself
        bad = ({"pickle", "marshal", "shelve", "dill", "joblib"} & modules) | (
            {"eval", "exec", "compile", "__import__"} & calls
        )
        if bad:
            found[name_of(source)] = bad

    assert found == {}
