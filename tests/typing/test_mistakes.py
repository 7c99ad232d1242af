"""Mistakes: both checkers report each with the codes that stand beside it, and it raises when it runs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import pytest

from tests.typing.checkers import Verdict
from tests.typing.mistakes import MISTAKES

KINDS = {
    *("an unknown activation", "an unknown loss", "an unknown normalisation"),
    *("an unknown initialiser", "an unknown optimiser", "an unknown metric"),
    "a missing argument",
    "a list for an array",
    *("float32 into a float64 network", "float64 into a float32 network"),
    "one dimension where two are needed",
    "softmax in a hidden layer",
    "a forward pass before the network is built",
    "a gradient before backward",
    "integer labels for a regression loss",
    "a validation tuple of the wrong shape",
    "a callback with the wrong signature",
    *("one thing for a sequence", "a seed that is none", "layers without a list"),
    "a layer list that does not end in an output layer",
}
MESSAGES = {
    "a list for an array": r"must be a numpy.ndarray, not list",
    "float32 into a float64 network": r"must be float64, not float32",
    "float64 into a float32 network": r"must be float32, not float64",
    "one dimension where two are needed": r"must have the shape \(n_samples, \d\), not \(\d,\)",
    "integer labels for a regression loss": r"not \(6,\); labels are for crossentropy, kl_divergence, nll",
}
"""What is said of arrays at run time: the rank and dtype that were expected, and those that came."""

CASES = [
    pytest.param(function, raised, MESSAGES.get(kind, "."), id=function.__name__)
    for kind, made in MISTAKES.items()
    for function, raised in made
]
FUNCTIONS = [function for made in MISTAKES.values() for function, _ in made]


def test_every_kind_of_mistake_is_made() -> None:
    assert set(MISTAKES) == KINDS


@pytest.mark.parametrize("form", ["named", "inline"])
@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_is_made_in_both_forms(kind: str, form: str) -> None:
    assert [function for function, _ in MISTAKES[kind] if function.__name__.endswith(form)]


@pytest.mark.full("a whole run of mypy and pyright, as in make check")
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_checkers_report_it_with_these_codes(function: Callable[[], object], checked: Verdict) -> None:
    lines, first = inspect.getsourcelines(function)
    source = "".join(lines)

    for pattern in (r"# type: ignore\[[\w\-, ]+\]", r"# pyright: ignore\[\w+(, \w+)*\]"):
        assert len(re.findall(pattern, source)) == 1, source
    unexpected = [
        each
        for each in checked.findings
        if each.file == "mistakes.py" and first <= each.line < first + len(lines)
    ]
    assert unexpected == []  # another code, or one of those that is not reported


@pytest.mark.parametrize(("function", "raised", "message"), CASES)
def test_it_raises_when_it_runs(
    function: Callable[[], object], raised: type[Exception], message: str
) -> None:
    with pytest.raises(raised, match=message):
        function()
