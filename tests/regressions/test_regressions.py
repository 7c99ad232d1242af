"""Inputs that once did harm; the fuzz tests have found and minimised them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

FILES = sorted(Path(__file__).parent.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=[each.stem for each in FILES])
def test_inputs(path: Path) -> None:
    target = TARGETS[path.stem.rpartition("-")[0]]

    target.check(json.loads(path.read_text(encoding="utf-8")))
