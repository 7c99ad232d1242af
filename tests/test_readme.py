"""The documentation agrees with the code: names, links, commands, examples (README.md runs as doctests)."""

from __future__ import annotations

import ast
import contextlib
import doctest
import re
import shlex
import sys
from inspect import signature
from pathlib import Path
from typing import get_args

import pytest
from typednn_kernels import losses
from typednn_kernels.activations import ACTIVATIONS, BUILT_IN, ActivationName, OutputActivationName
from typednn_kernels.losses import LOSSES, LossName, RegressionLossName
from typednn_kernels.normalizations import NORMALIZATIONS, NormalizationName

import typednn
from typednn.cli.main import main
from typednn.initializers import (
    BIAS_INITIALIZERS,
    WEIGHT_INITIALIZERS,
    BiasInitializerName,
    WeightInitializerName,
)
from typednn.training.metrics import METRICS
from typednn.training.optimizers import OPTIMIZERS

ROOT = Path(__file__).parent.parent
README, DOCS = ROOT / "README.md", ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *DOCS.glob("[!bg]*/*.md")])  # without what is built
MAX_README_LINES = 130

NAMES: dict[str, set[str]] = {
    "activations": {row.name for row in ACTIVATIONS[:BUILT_IN]},
    "losses": {row.name for row in LOSSES[: losses.BUILT_IN]},
    "normalisations": {row.name for row in NORMALIZATIONS},
    "weights": {row.name for row in WEIGHT_INITIALIZERS},
    "biases": {row.name for row in BIAS_INITIALIZERS},
}

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@pytest.mark.parametrize("kind", NAMES)
def test_the_documentation_lists_all_names(kind: str) -> None:
    text = (DOCS / "concepts.md").read_text(encoding="utf-8")
    [row] = re.findall(rf"^\| {kind} \|(.*)\|$", text, flags=re.MULTILINE)

    assert set(re.findall("`(.*?)`", row)) == NAMES[kind]


def test_type_checkers_know_all_names() -> None:
    assert set(get_args(OutputActivationName)) == NAMES["activations"]
    assert set(get_args(ActivationName)) == NAMES["activations"] - {"softmax", "log_softmax"}
    assert set(get_args(LossName)) == NAMES["losses"]
    assert set(get_args(RegressionLossName)) == {
        row.name for row in LOSSES[: losses.BUILT_IN] if row.targets == "numbers"
    }
    assert set(get_args(NormalizationName)) == NAMES["normalisations"]
    assert set(get_args(WeightInitializerName)) == NAMES["weights"]
    assert set(get_args(BiasInitializerName)) == NAMES["biases"]


def test_the_readme_is_short_and_leads_to_the_documentation() -> None:
    text = README.read_text(encoding="utf-8")

    assert len(text.splitlines()) <= MAX_README_LINES
    assert "index.md" in re.findall(r"\(docs/(.*?\.md)\)", text)


def test_the_index_leads_to_every_page() -> None:
    reached = set[Path]()
    ahead = [DOCS / "index.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        text = page.read_text(encoding="utf-8")
        trees = re.findall(r"^```{toctree}\n(.*?)```", text, re.MULTILINE | re.DOTALL)
        names = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
        ahead += [page.parent / f"{name}.md" for name in names if not name.startswith("gallery/")]

    assert reached == set(PAGES) - set(ROOT.glob("*.md"))


@by_page
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|\S*(?:figures|gallery)/)(.*?)\)", page.read_text(encoding="utf-8"))

    assert [each for each in targets if not (page.parent / each.partition("#")[0]).exists()] == []


@by_page
def test_linked_names_are_defined_where_the_link_leads(page: Path) -> None:
    links = re.findall(r"\[`([\w.]+)`\]\((\S+\.py)\)", page.read_text(encoding="utf-8"))

    assert [
        link
        for link in links
        if not link[0].endswith(".py") and link[0] not in defined(page.parent / link[1])
    ] == []


def defined(source: Path) -> set[str]:
    """Returns the functions, classes and variables of a module, and the methods, as `Class.method`."""
    names = set[str]()
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef():
                names.add(node.name)
            case ast.ClassDef():
                names |= {node.name, *(f"{node.name}.{each.name}" for each in methods(node))}
            case ast.Assign() | ast.AnnAssign():
                names |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            case _:
                pass
    return names


def methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """Returns the methods of a class."""
    return [each for each in node.body if isinstance(each, ast.FunctionDef)]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.is_relative_to(DOCS)], ids=lambda page: page.stem
)
def test_examples_give_what_they_show(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = re.sub(
        r"^\$ typednn (.*)", r'>>> __command("\1")', page.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    text = text.replace("```", "\n")  # ends what a command prints
    examples = doctest.DocTestParser().get_doctest(text, {"__command": command}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)

    assert runner.run(examples).failed == 0


PROGRAMS = {
    ("interop.md", "torch"),
    ("work/pytorch-gradients.md", "torch"),
    ("work/calls.md", "numba"),
    ("work/processes.md", "optuna"),
    ("work/processes.md", "mpi4py"),
}
"""Pages with a program, which is shown without prompts, and the package that it needs."""


def programs(page: Path) -> list[str]:
    """Returns the programs of a page."""
    blocks: list[str] = re.findall(
        r"^```python\n(.*?)```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [block for block in blocks if not block.startswith(">>>")]


@pytest.mark.parametrize(("page", "package"), sorted(PROGRAMS - {("work/processes.md", "mpi4py")}))
def test_programs_run(page: str, package: str) -> None:  # that for MPI is started by test_mpi.py
    pytest.importorskip(package, reason="the program needs it", exc_type=ImportError)
    [program] = [
        each
        for each in programs(DOCS / page)
        if re.search(rf"^(import|from) {package}\b", each, re.MULTILINE)
    ]

    exec(compile(program, page, "exec"), {})


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.is_relative_to(DOCS)], ids=lambda page: page.stem
)
def test_every_example_is_run(page: Path) -> None:
    run = [name for name, _ in PROGRAMS if DOCS / name == page]

    # `types` shows mistakes, whose messages tests.typing.documents compares
    assert len(programs(page)) == len(run) + (page.name == "types.md" and page.parent == DOCS)
    assert not re.search(r"^ {4}(from|import) ", page.read_text(encoding="utf-8"), re.MULTILINE), (
        "in ```python"
    )


def command(line: str) -> None:
    """Runs the command `typednn` as in a terminal that shows both outputs."""
    with contextlib.redirect_stderr(sys.stdout):
        assert main(shlex.split(line)) == 0


@by_page
def test_commands_name_chapters_of_the_report(page: Path) -> None:
    pytest.importorskip("numba", reason="the report compares both paths", exc_type=ImportError)
    from benchmarks.__main__ import SECTIONS

    named = re.findall(r"--only ([\w,]+)", page.read_text(encoding="utf-8"))

    assert {name for names in named for name in names.split(",")} <= set(SECTIONS)


def test_the_reference_has_every_public_name() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    described = set(re.findall(r"^\.\. (?:auto\w+|py:type):: (\w+)", pages, flags=re.MULTILINE))
    modules = {"interop", "onnx"}

    assert set(typednn.__all__) - modules - described == set()


def test_the_dictionary_has_every_name() -> None:
    text = (DOCS / "work" / "names-of-others.md").read_text(encoding="utf-8")
    ours = "\n".join(re.findall(r"^\| (.*?) \|", text, flags=re.MULTILINE))
    kinds = (typednn.Optimizer, typednn.Schedule, typednn.Callback)
    classes = {
        name
        for name in typednn.__all__
        for thing in [getattr(typednn, name)]
        if isinstance(thing, type) and issubclass(thing, kinds) and thing not in kinds
    }
    named = NAMES["weights"] | NAMES["biases"] | {row.name for row in METRICS}
    arguments = set(signature(typednn.Network.fit).parameters) - {"self", "x", "y"}

    assert {name for name in classes | named | arguments if not re.search(rf"\b{name}\b", ours)} == set()


def test_the_dictionary_has_the_defaults_of_optimizers() -> None:
    text = (DOCS / "work" / "names-of-others.md").read_text(encoding="utf-8")
    written = re.findall(r"^\| `([A-Z]\w+)\((.*?)\)`", text.partition("## Optimisers")[2], re.MULTILINE)
    optimizers = {type(each).__name__: each for each in OPTIMIZERS.values()}
    shown = [(name, re.sub(r"…, |, …", "", given)) for name, given in written if name in optimizers]

    assert {name for name, _ in shown} == set(optimizers)
    for name, given in shown:
        assert eval(f"{name}({given})", dict(vars(typednn))) == optimizers[name]


def test_the_gallery_has_every_formula() -> None:
    text = (DOCS / "reference" / "formulas.md").read_text(encoding="utf-8")
    tables, _, derivatives = text.partition("\n## Derivatives\n")
    described = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", tables, flags=re.MULTILINE))
    rows = [(str(row.name), row.description) for row in ACTIVATIONS[:BUILT_IN]]
    rows += [(str(row.name), row.description) for row in LOSSES[: losses.BUILT_IN]]

    assert described == {name: re.sub(r"\|(.*?)\|", r"abs(\1)", description) for name, description in rows}
    assert set(described) == set(re.findall(r"^\| `(\w+)` \|", derivatives, flags=re.MULTILINE))
