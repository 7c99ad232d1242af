"""The command that measures tuning thresholds: its table, and the values that its processes use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)

from benchmarks.tuning.command import crossing, tune
from benchmarks.tuning.thresholds import MEASUREMENTS, UNTIMED
from benchmarks.tuning.values import change_values, tree_values

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "kernels"), str(ROOT)])}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_each_threshold_is_measured_or_said_to_be_untimed() -> None:
    named = [each.name for each in MEASUREMENTS] + list(UNTIMED)
    assert sorted(named) == sorted(tree_values())


def test_ways_change_thresholds_that_exist() -> None:
    for each in MEASUREMENTS:
        for way in each.ways.values():
            assert way.values.keys() <= tree_values().keys()


@pytest.mark.parametrize(
    ("gains", "place"),
    [([-1, -1, 1, 1], 2), ([1, 1], 0), ([-1, -1], 2), ([-1, 0.1, -1, 1], 3), ([-1, 1, -0.1, 1], 1)],
)
def test_crossing(gains: Sequence[float], place: int) -> None:
    assert crossing(gains) == place


@pytest.mark.full("compiles kernels for both ways of a threshold, and times them")
def test_a_table_of_what_was_measured() -> None:
    done = run("-m", "benchmarks", "tune", "--quick", "--only", "GRAIN_ELEMENTS")
    assert done.returncode == 0, done.stderr
    *_, row = done.stdout.splitlines()
    _, name, value, measured, unit, _ = (cell.strip() for cell in row.split("|"))
    assert (name, value, unit) == ("GRAIN_ELEMENTS", "65,536", "elements")
    assert float(measured.strip("<> ").replace(",", "")) > 0


def test_names_that_are_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        tune(["--only", "WORKER_IDLE_TIMEOUT_S"])
    message = "'WORKER_IDLE_TIMEOUT_S' is not measured; these are: GRAIN_ELEMENTS, "
    assert message in capsys.readouterr().err
    with pytest.raises(KeyError, match="GRAIN"):
        change_values({"GRAIN": 1})


CHANGED = """
from benchmarks.tuning.values import change_values
change_values({changed})
from typednn_kernels.compiled._codegen.cache import digest
from typednn_kernels.compiled.ops import activation
print(activation.GRAIN_ELEMENTS, digest.source_digest())
"""


def test_changed_values_reach_the_kernels_and_have_machine_code_of_their_own() -> None:
    outputs = [run("-c", CHANGED.format(changed=each)).stdout for each in ({}, {"GRAIN_ELEMENTS": 7})]
    (value, digest), (changed, other) = map(str.split, outputs)
    assert (value, changed) == ("65536", "7")
    assert digest != other
