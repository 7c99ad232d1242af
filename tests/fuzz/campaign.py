"""Runs a target of the fuzz tests for a time; inputs that fail are made smaller, and become files."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

REGRESSIONS = Path(__file__).parents[1] / "regressions"
"""Where minimised failures are kept; a test runs each again."""
BATCH = 500
"""The number of inputs of one seed, after which the clock is looked at."""


@dataclass(frozen=True)
class Target:
    """What is tried.

    Attributes:
        name: how it is asked for.
        check: raises if an input does harm; it returns what became of the input, in a word.
        inputs: has hypothesis make inputs, which are JSON values, and minimise them.
        draw: makes inputs where hypothesis would take longer than what is tried; the last element of an input
            is a list, elements of which can be left out.
        files: returns good files, where inputs are files, with which coverage-guided tests begin.
        check_file: as `check`, for a file.
    """

    name: str
    check: Callable[[Any], str]
    inputs: SearchStrategy[Any] | None = None
    draw: Callable[[Random], list[Any]] | None = None
    files: Callable[[], list[bytes]] | None = None
    check_file: Callable[[bytes], str] | None = None


@dataclass
class Outcome:
    """What a campaign has found."""

    tried: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    kinds: dict[str, int] = field(default_factory=dict[str, int])
    failures: list[Path] = field(default_factory=list[Path])

    def __str__(self) -> str:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.kinds.items()))
        return (
            f"{self.tried:,} inputs in {self.seconds:.0f} s, the slowest {self.slowest:.1f} s, "
            f"{len(self.failures)} failures ({kinds})"
        )


def run(target: Target, first_seed: int, seconds: float, count: int | None = None) -> Outcome:
    """Tries inputs until the time is over, or `count` were tried; minimised failures become files."""
    began = time.monotonic()
    outcome = Outcome()
    number = first_seed
    while time.monotonic() - began < seconds and (count is None or outcome.tried < count):
        failed: list[Any] = []

        def check(value: Any, failed: list[Any] = failed) -> None:
            start = time.monotonic()
            outcome.tried += 1
            try:
                kind = target.check(value)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # also a panic of Rust, which is no Exception
                failed[:] = [value, traceback.format_exc()]
                raise AssertionError(target.name) from error
            outcome.kinds[kind] = outcome.kinds.get(kind, 0) + 1
            outcome.slowest = max(outcome.slowest, time.monotonic() - start)

        try:
            if target.draw is not None:
                _drawn(target.draw, check, number)
            else:
                _generated(target.inputs, check, number)
        except Exception:
            if not failed:
                raise
            value, report = failed
            outcome.failures.append(keep(target.name, value))
            print(f"{target.name}, seed {number}: {value!r:.2000}\n{report}", flush=True)
        number += 1
    outcome.seconds = time.monotonic() - began
    return outcome


def _generated(inputs: SearchStrategy[Any] | None, check: Callable[[Any], None], number: int) -> None:
    """Tries inputs that hypothesis makes."""
    assert inputs is not None

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
    @given(inputs)
    def batch(value: Any) -> None:
        check(value)

    batch()


def _drawn(draw: Callable[[Random], list[Any]], check: Callable[[Any], None], number: int) -> None:
    """Tries inputs that are drawn; of one that fails, what does not matter is left out."""
    random = Random(number)
    for _ in range(BATCH):
        value = draw(random)
        try:
            check(value)
        except Exception:
            *start, changes = value
            k = 0
            while k < len(changes):
                fewer = [*changes[:k], *changes[k + 1 :]]
                try:
                    check([*start, fewer])
                except Exception:  # noqa: BLE001 (it need not be the same)
                    changes = fewer
                else:
                    k += 1
            check([*start, changes])  # so that it is the last that failed
            raise


def limit_memory() -> None:
    """Limits the memory of this process, so that sizes beyond it raise MemoryError and do not swap."""
    if os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))


def keep(name: str, value: Any) -> Path:
    """Writes an input to a file, named by its content."""
    text = json.dumps(value, indent=1)
    path = REGRESSIONS / f"{name}-{sha256(text.encode()).hexdigest()[:12]}.json"
    path.write_text(f"{text}\n", encoding="utf-8")
    return path
