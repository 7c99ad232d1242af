"""The verdicts of both checkers."""

from __future__ import annotations

import pytest

from tests.typing.checkers import CHECKERS, Verdict, verdict

collect_ignore = ["scripts"]
"""They write files where they run, and are run by `test_scripts`."""


@pytest.fixture(scope="session", params=CHECKERS)
def checked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    """What a checker says about the files here."""
    pytest.importorskip(request.param)
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):  # of pytest-xdist
        folder = folder.parent
    return verdict(request.param, folder)
