"""Each target of the fuzz tests for a moment; `make fuzz` gives each a minute."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from tests.conftest import compiling_only
from tests.fuzz.campaign import run
from tests.fuzz.targets import TARGETS
from typednn.backends import use_backend


@pytest.mark.filterwarnings("default::RuntimeWarning")
@pytest.mark.parametrize("name", TARGETS)
def test_targets(name: str) -> None:
    with use_backend("numpy"):
        outcome = run(TARGETS[name], 20, 60, 300)

    assert outcome.tried >= 300
    assert not outcome.failures, outcome


@pytest.mark.full("a minute of calls")
@compiling_only
def test_calls_of_compiled_kernels() -> None:
    with use_backend("numba"):
        outcome = run(TARGETS["calls"], 21, 600, 5000)

    assert not outcome.failures, outcome


def test_a_failure_is_found_and_minimised(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from hypothesis import strategies as st

    from tests.fuzz import campaign

    monkeypatch.setattr(campaign, "REGRESSIONS", tmp_path)

    def check(value: list[int]) -> str:
        assert sum(value) < 1000
        return "fine"

    outcome = run(campaign.Target("sums", check, inputs=st.lists(st.integers(0, 700))), 0, 20, 1)

    (path,) = outcome.failures
    assert sum(map(int, path.read_text().strip("[]\n").split(","))) == 1000


def test_a_drawn_failure_is_found_and_made_smaller(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.fuzz import campaign

    monkeypatch.setattr(campaign, "REGRESSIONS", tmp_path)

    def check(value: list[Any]) -> str:
        assert {3, 5} - set(value[1])
        return "fine"

    def draw(random: Random) -> list[Any]:
        return [7, [random.randrange(8) for _ in range(6)]]

    outcome = campaign.run(campaign.Target("sets", check, draw=draw), 0, 20, 1)

    (path,) = outcome.failures
    which, kept = json.loads(path.read_text())
    assert (which, sorted(kept)) == (7, [3, 5])
