"""The commands that documents, hooks and CI name exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
NAMING = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", ".ci/run")),
    *(ROOT / name for name in (".pre-commit-config.yaml", ".github/workflows/ci.yml")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs").glob("[!bg]*/*.md")),  # without what is built
]
by_file = pytest.mark.parametrize("path", NAMING, ids=lambda path: path.name)


@by_file
def test_each_make_target_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"(?:^|`|run: |    |== )make ([a-z][\w-]*)", text, re.MULTILINE)
    matrix = re.findall(r"target: \[([^\]]*)\]", text)

    assert {*named, *(each.strip() for row in matrix for each in row.split(","))} <= TARGETS


@by_file
def test_each_module_and_script_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for module in re.findall(r"python -m ((?:tests|benchmarks|typednn|typednn_kernels)[\w.]*)", text):
        at = ROOT / ("kernels" if module.startswith("typednn_kernels") else ".") / Path(*module.split("."))
        assert at.with_suffix(".py").exists() or (at / "__init__.py").exists() or at.is_dir(), module
    for tool in set(re.findall(r"\.venv/bin/([\w-]+)", text)):
        assert tool in {"pip", "pre-commit", "python", *tools()}, tool


def tools() -> set[str]:
    """The names of the programs that `.venv` has: those of the extra `check`, and the project's own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = project["optional-dependencies"]["check"] + project["optional-dependencies"]["test"]
    return {*project["scripts"], *(re.split(r"[\[<>=]", each)[0] for each in needed)}


def test_extras_and_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for needed in extras.values():
        names = [re.split(r"[\[<>=;]", each)[0] for each in needed]
        assert len(names) == len(set(names)), "a package is listed twice"
        for own in re.findall(r"typednn\[([^\]]*)\]", " ".join(needed)):
            assert set(own.split(",")) <= set(extras)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {project['version']}\n" in citation
