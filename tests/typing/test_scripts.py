"""Scripts as users write them: without errors and Any for a type checker, and doing what their types say."""

from __future__ import annotations

import runpy
import typing
from pathlib import Path

import pytest

from tests.typing import promises
from tests.typing.checkers import HERE, Verdict

SCRIPTS = sorted((HERE / "scripts").glob("*.py"))
BESIDE_OURS = {"data_from_elsewhere.py", "estimators.py", "usual_uses.py"}
"""Those that take expressions of NumPy which it types as Any, on purpose."""

by_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)


@pytest.mark.full("a whole run of mypy and pyright, as in make check")
@by_script
def test_a_script_has_no_type_errors(script: Path, checked: Verdict) -> None:
    assert [each for each in checked.findings if each.file == script.name] == []


@pytest.mark.full("a whole run of mypy and pyright, as in make check")
@by_script
def test_a_script_has_no_expressions_of_type_any(script: Path, checked: Verdict) -> None:
    if checked.anys and script.name not in BESIDE_OURS:
        assert checked.anys[script.name] == 0


@by_script
@pytest.mark.filterwarnings("default:::pandas")
def test_a_script_runs_and_its_types_hold(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "pandas" in script.read_text(encoding="utf-8"):
        pytest.importorskip("pandas")
        pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(typing, "assert_type", promises.assert_type)

    runpy.run_path(str(script))
