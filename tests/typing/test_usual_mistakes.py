"""Mistakes that users of other libraries make: how many of them each checker reports before they run."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from tests.typing import usual_mistakes
from tests.typing.checkers import Verdict

FUNCTIONS = [
    each
    for each in vars(usual_mistakes).values()
    if inspect.isfunction(each) and each.__module__ == usual_mistakes.__name__
]
SOURCES = [inspect.getsource(each) for each in FUNCTIONS]


def test_most_are_reported() -> None:
    assert len(FUNCTIONS) == 92
    assert sum("# type: ignore[" in source for source in SOURCES) >= 79
    assert sum("# pyright: ignore[" in source for source in SOURCES) >= 80


@pytest.mark.full("a whole run of mypy and pyright, as in make check")
def test_checkers_report_them_with_these_codes(checked: Verdict) -> None:
    assert [each for each in checked.findings if each.file == "usual_mistakes.py"] == []


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_each_raises_when_it_runs(function: Callable[[], object]) -> None:
    with pytest.raises(Exception, match=r"."):
        function()
