"""Our stubs of numba and llvmlite: true, no more than the kernels use, and in no public signature."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typednn_kernels

import typednn
from tests.typing.checkers import ROOT

STUBS = ROOT / "stubs"
COMPILERS = ("numba", "llvmlite")
LIBRARY, KERNELS = (Path(str(package.__file__)).parent for package in (typednn, typednn_kernels))
INSIDE = [
    KERNELS / "compiled" / each for each in ("_codegen", "linalg", "parallel", "network/specialized.py")
]
"""The modules that speak with the compiler; what is public in them is so for each other."""

SOURCES = (*LIBRARY.rglob("*.py"), *KERNELS.rglob("*.py"))
SIGNED = [each for each in SOURCES if not any(each.is_relative_to(inside) for inside in INSIDE)]


def test_stubtest_says_nothing_that_is_not_written_down() -> None:
    pytest.importorskip("mypy")
    for each in COMPILERS:
        pytest.importorskip(each, exc_type=ImportError)
    allowed = ["--ignore-missing-stub", "--concise", "--allowlist", str(STUBS / "stubtest.allowlist")]

    run = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", *COMPILERS, *allowed],
        env={**os.environ, "MYPYPATH": str(STUBS)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.stdout + run.stderr).strip() == "", run.stdout + run.stderr


def test_every_allowance_has_a_reason() -> None:
    paragraphs = (STUBS / "stubtest.allowlist").read_text(encoding="utf-8").strip().split("\n\n")

    assert len(paragraphs) > 1
    for paragraph in paragraphs:
        assert paragraph.startswith("# "), paragraph


@pytest.mark.parametrize(
    "stub",
    [each for name in COMPILERS for each in sorted((STUBS / name).rglob("*.pyi"))],
    ids=lambda stub: str(stub.relative_to(STUBS)),
)
def test_stubs_hold_what_the_kernels_use_and_no_more(stub: Path) -> None:
    kernels = "\n".join(each.read_text(encoding="utf-8") for each in KERNELS.rglob("*.py"))
    used = set(re.findall(r"\w+", kernels))
    used |= {name for each in STUBS.rglob("*.pyi") for name in signed(ast.parse(each.read_text("utf-8")))}

    assert {name for name in defined(stub) if not name.startswith("_")} - used == set()


def defined(stub: Path) -> Iterator[str]:
    """The names that a stub defines: functions, classes, their methods and attributes."""
    for node in ast.walk(ast.parse(stub.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


@pytest.mark.parametrize("source", SIGNED, ids=lambda source: f"{source.parent.name}.{source.stem}")
def test_no_public_signature_names_the_compiler(source: Path) -> None:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    borrowed = {
        alias.asname or alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if str(node.module if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0] in COMPILERS
    }

    assert borrowed & set(signed(tree)) == set()


def signed(tree: ast.Module) -> Iterator[str]:
    """The names in annotations and base classes."""
    for node in ast.walk(tree):
        parts: list[ast.expr | None] = []
        if isinstance(node, ast.FunctionDef):
            arguments = node.args
            every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
            parts = [node.returns, *(each.annotation for each in every)]
        elif isinstance(node, ast.ClassDef):
            parts = [*node.bases]
        elif isinstance(node, ast.AnnAssign):
            parts = [node.annotation]
        for part in parts:
            if part is not None:
                yield from (each.id for each in ast.walk(part) if isinstance(each, ast.Name))
