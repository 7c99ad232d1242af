"""What the default run leaves out of a table: no pair, no value, no test; and `--full` leaves out nothing."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest

from tests.oracles.problems import PAIRS
from tests.sizes import one_of_each

pytest_plugins = ["pytester"]

CASES = [
    {"output": output, "loss": loss, "dtype": dtype, "samples": samples, "path": path}
    for (output, loss), dtype, samples, path in product(PAIRS, ("f4", "f8"), (1, 7), ("numpy", "numba"))
]


def test_each_pair_occurs_once() -> None:
    kept = [CASES[index] for index in one_of_each(CASES, ["output", "loss"])]

    assert [(case["output"], case["loss"]) for case in kept] == PAIRS


@pytest.mark.parametrize("name", ["dtype", "samples", "path"])
def test_values_of_the_other_parameters_alternate(name: str) -> None:
    kept = [CASES[index] for index in one_of_each(CASES, ["output", "loss"])]

    counts = Counter(case[name] for case in kept)
    assert len(counts) == 2
    assert min(counts.values()) >= len(PAIRS) // 2 - 2
    for column, value in (("output", "softmax"), ("output", "sigmoid"), ("loss", "focal"), ("loss", "MSE")):
        assert len({case[name] for case in kept if case[column] == value}) == 2


def test_all_combinations_of_the_other_parameters_occur() -> None:
    kept = [CASES[index] for index in one_of_each(CASES, ["output", "loss"])]

    assert len({(case["dtype"], case["samples"], case["path"]) for case in kept}) == 8


@pytest.mark.parametrize("count", range(1, 9))
def test_every_value_occurs_however_few_combinations_there_are(count: int) -> None:
    cases = [{"a": a, "b": [b]} for a, b in product(range(2), range(count))]

    kept = one_of_each(cases, ["a"])

    assert len(kept) == max(2, count)
    assert {str(cases[index]["b"]) for index in kept} == {f"[{b}]" for b in range(count)}


TABLE = """
    import pytest

    @pytest.mark.once_per("a", "b")
    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    @pytest.mark.parametrize("b", [0, 1])
    @pytest.mark.parametrize("a", [0, 1])
    def test_table(a, b, dtype):
        pass

    @pytest.mark.full("takes long")
    def test_slow():
        pass

    @pytest.mark.parametrize("c", [0, pytest.param(1, marks=pytest.mark.full("as 0"))])
    def test_c(c):
        pass
"""


@pytest.mark.parametrize(
    ("arguments", "passed", "deselected"),
    [([], 5, 6), (["--full"], 11, 0), (["test_it.py::test_slow"], 1, 0), (["test_it.py::test_table"], 8, 0)],
)
def test_the_hooks(arguments: list[str], passed: int, deselected: int, pytester: pytest.Pytester) -> None:
    hooks = "pytest_addoption, pytest_collection_modifyitems, pytest_terminal_summary"
    pytester.makeconftest(f"from tests.conftest import {hooks}")
    pytester.makeini("[pytest]\nmarkers =\n    once_per\n    full\n")
    pytester.makepyfile(test_it=TABLE)

    result = pytester.runpytest(*arguments)

    result.assert_outcomes(passed=passed, deselected=deselected)
    said = "5 of 11 cases; the rest: make test-all" in result.stdout.str()
    assert said == (deselected > 0)
