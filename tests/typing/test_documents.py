"""The documentation shows what mypy reports today."""

from __future__ import annotations

import pytest

from tests.typing import documents

pytest.importorskip("mypy")


@pytest.mark.full("a run of mypy")
def test_the_page_on_types_shows_the_messages_of_mypy() -> None:
    text = documents.TYPES.read_text(encoding="utf-8")

    assert documents.with_messages(text) == text, "`python -m tests.typing.documents` writes it again"
    assert text.count("  [") == 3


@pytest.mark.full("a run of mypy")
def test_the_readme_names_the_codes_of_mypy() -> None:
    rows = documents.readme_rows()
    statements = "".join(f"{statement}\n" for statement, _ in rows)

    errors = documents.errors_of(documents.README_PROGRAM + statements)

    first = documents.README_PROGRAM.count("\n") + 1
    assert [line for line, _ in errors] == list(range(first, first + len(rows)))
    assert [message.rpartition("  [")[2] for _, message in errors] == [f"{code}]" for _, code in rows]
    assert len(rows) >= 4
