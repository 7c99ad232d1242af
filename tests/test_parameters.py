"""What is passed together is one object: functions of the kernels have few parameters."""

from __future__ import annotations

import ast
from pathlib import Path

import typednn_kernels

KERNELS = Path(str(typednn_kernels.__file__)).parent

MOST = 10
"""Most parameters of a function, besides `self`."""
MANY = 8
FUNCTIONS_WITH_MANY = 25
"""Most functions with more than `MANY` parameters; kernels and formulas that take this number of arrays."""


def parameter_counts() -> dict[str, int]:
    """The number of parameters of each function of the kernels."""
    counts: dict[str, int] = {}
    for source in sorted(KERNELS.rglob("*.py")):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [
                    each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                ]
                where = f"{source.relative_to(KERNELS)}:{node.lineno} {node.name}"
                counts[where] = len(names) - (names[:1] == ["self"])
    return counts


def test_no_function_has_more_than_ten_parameters_and_few_have_more_than_eight() -> None:
    counts = parameter_counts()

    assert [where for where, count in counts.items() if count > MOST] == []
    assert len([where for where, count in counts.items() if count > MANY]) <= FUNCTIONS_WITH_MANY
