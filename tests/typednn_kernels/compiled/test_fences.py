"""No kernel reads or writes beyond an array: see `fences`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import compiling_only

pytestmark = [compiling_only, pytest.mark.skipif(os.name != "posix", reason="mprotect of POSIX")]


@pytest.mark.parametrize("networks", [8, pytest.param(500, marks=pytest.mark.full("two minutes"))])
def test_arrays_between_forbidden_pages(networks: int) -> None:
    command = [sys.executable, "-m", "tests.typednn_kernels.compiled.fences", str(networks), "0"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f"{networks} networks between forbidden pages")
