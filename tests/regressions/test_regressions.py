"""Inputs that once did harm; the fuzz tests have found and minimised them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

FILES = sorted(each for each in Path(__file__).parent.glob("*-*") if each.is_file())
"""Inputs as JSON, and files as they are, which atheris names after their target and `crash`."""


@pytest.mark.parametrize("path", FILES, ids=[each.stem for each in FILES])
def test_inputs(path: Path) -> None:
    target = TARGETS[path.stem.partition("-")[0]]
    if path.suffix == ".json":
        target.check(json.loads(path.read_text(encoding="utf-8")))
    else:
        assert target.check_file is not None
        target.check_file(path.read_bytes())
