"""The benchmark suites in short: all candidates compute the same, and nothing is timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITES = sorted(path.name for path in (ROOT / "benchmarks" / "suites").glob("bench_*.py"))


@pytest.mark.full("a process that imports all peers, for each suite")
@pytest.mark.parametrize("suite", SUITES)
def test_candidates_agree(suite: str) -> None:
    pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is not installed")
    command = [sys.executable, "-m", "pytest", f"benchmarks/suites/{suite}", "-m", "short", "-q"]
    options = ["--benchmark-disable", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_losses_of_users_are_left_out_of_the_elementwise_cases() -> None:
    code = """
from typednn import register_loss
register_loss("theirs", lambda y, t: (y - t) * (y - t), lambda y, t: 2 * (y - t))
from benchmarks.cases import elementwise
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
