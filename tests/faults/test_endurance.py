"""Long runs do not grow; `endurance` by hand makes them fifty times as long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PATHS


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.full("20,000 predictions, 2,000 networks, 400 trainings")
@pytest.mark.parametrize("backend", PATHS)
def test_long_runs(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TYPEDNN_BACKEND", backend)
    command = [sys.executable, "-m", "tests.faults.endurance", "0.02"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.strip().endswith(backend)
