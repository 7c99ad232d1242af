"""The README's section on types is what mypy says today."""

from __future__ import annotations

import pytest

from tests.typing import readme


@pytest.mark.full("a run of mypy")
def test_the_readme_shows_what_mypy_says() -> None:
    pytest.importorskip("mypy")
    section = readme.section()

    assert section in readme.README.read_text(encoding="utf-8"), (
        "python -m tests.typing.readme writes it anew"
    )
    assert section.count("  [") == 3
