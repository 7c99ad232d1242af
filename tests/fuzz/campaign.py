"""Runs a target of the fuzz tests for a time: hypothesis makes the inputs and minimises those that fail."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

REGRESSIONS = Path(__file__).parents[1] / "regressions"
"""Where minimised failures are kept; a test runs each again."""
BATCH = 500
"""The number of inputs after which the clock is looked at."""


@dataclass(frozen=True)
class Target:
    """What is tried.

    Attributes:
        name: how it is asked for.
        inputs: makes inputs, which are JSON values.
        check: raises if an input does harm; it returns what became of the input, in a word.
    """

    name: str
    inputs: SearchStrategy[Any]
    check: Callable[[Any], str]


@dataclass
class Outcome:
    """What a campaign has found."""

    tried: int
    seconds: float
    kinds: dict[str, int]
    failures: list[Path]

    def __str__(self) -> str:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.kinds.items()))
        return f"{self.tried:,} inputs in {self.seconds:.0f} s, {len(self.failures)} failures ({kinds})"


def run(target: Target, first_seed: int, seconds: float, count: int | None = None) -> Outcome:
    """Tries inputs until the time is over, or `count` were tried; minimised failures become files."""
    began = time.monotonic()
    outcome = Outcome(0, 0.0, {}, [])
    number = first_seed
    failed: list[Any] = []
    while time.monotonic() - began < seconds and (count is None or outcome.tried < count):

        @seed(number)
        @settings(
            max_examples=BATCH,
            database=None,
            deadline=None,
            derandomize=False,
            phases=[Phase.generate, Phase.shrink],
            report_multiple_bugs=False,
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
                HealthCheck.filter_too_much,
                HealthCheck.large_base_example,
            ],
        )
        @given(target.inputs)
        def batch(value: Any) -> None:
            outcome.tried += 1
            try:
                kind = target.check(value)
            except Exception:
                failed[:] = [value, traceback.format_exc()]
                raise
            outcome.kinds[kind] = outcome.kinds.get(kind, 0) + 1

        try:
            batch()
        except Exception:  # noqa: BLE001 (it is in the report)
            value, report = failed
            outcome.failures.append(keep(target.name, value))
            print(f"{target.name}, seed {number}: {value!r:.2000}\n{report}", flush=True)
        number += 1
    outcome.seconds = time.monotonic() - began
    return outcome


def keep(name: str, value: Any) -> Path:
    """Writes an input to a file, named by its content."""
    text = json.dumps(value, indent=1)
    path = REGRESSIONS / f"{name}-{sha256(text.encode()).hexdigest()[:12]}.json"
    path.write_text(f"{text}\n", encoding="utf-8")
    return path
