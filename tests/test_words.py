"""Code and documents use the words of the glossary: CONTRIBUTING has the table of those that are out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
GLOSSARY = ROOT / "CONTRIBUTING.md"
TABLE = re.compile(r"^\| not \| use instead \|\n\|---\|---\|\n((?:\|.*\|\n)+)", re.MULTILINE)
SOURCES = sorted(
    [
        *(path for folder in ("typednn", "kernels", "benchmarks") for path in (ROOT / folder).rglob("*.py")),
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs").glob("[!bg]*/*.md"),
    ]
)
LITERAL = re.compile(r"^```.*?^```|^    .*?$|`[^`]*`", re.DOTALL | re.MULTILINE)


NAME_OF_PYTORCH = '"negative_slope"'
"""A setting of an activation in PyTorch and Keras."""


class Entry(NamedTuple):
    """A word that is out: in any case and inside identifiers, or exactly as written."""

    word: str
    exact: bool
    instead: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """What finds it, also across a line break."""
        words = r"[\s#]+".join(map(re.escape, self.word.split()))
        return re.compile(rf"\b{words}\b", 0 if self.exact else re.IGNORECASE)


def glossary() -> list[Entry]:
    """Reads the table of CONTRIBUTING."""
    [rows] = TABLE.findall(GLOSSARY.read_text(encoding="utf-8"))
    cells = [row.strip("|").split("|") for row in rows.splitlines()]
    return [
        Entry(word.strip().strip("`"), word.strip().startswith("`"), instead.strip())
        for words, instead in cells
        for word in words.split(",")
    ]


def uses(source: Path, text: str, entries: list[Entry]) -> list[str]:
    """Returns file and line of each word that is out, with the words to use instead."""
    text = text.replace(NAME_OF_PYTORCH, "")
    if source.suffix == ".md":
        text = LITERAL.sub(blank, TABLE.sub(blank, text))
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).replace("_", " ")
    return [
        f"{source.relative_to(ROOT)}:{line}: {entry.word!r}: use {entry.instead}"
        for entry in entries
        for searched in [text if entry.exact else parts]
        for line in sorted({searched.count("\n", 0, m.start()) + 1 for m in entry.pattern.finditer(searched)})
    ]


def blank(found: re.Match[str]) -> str:
    """Returns as many lines without words."""
    return "\n" * found[0].count("\n")


def test_the_glossary_is_read() -> None:
    entries = {entry.word: entry for entry in glossary()}

    assert entries["slope"] == ("slope", False, "derivative")
    assert entries["Chain"].exact
    assert len(entries) > 40


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# the number of\n# threads", 0),
        ("# so\n# many threads", 1),
        ("lossSlope = slope_of(x)", 1),
        ("itertools.chain(x)", 0),
        ("piecewise, descent", 0),
        ("A Chain", 1),
    ],
)
def test_words_are_found(text: str, found: int) -> None:
    assert len(uses(ROOT / "module.py", text, glossary())) == found


def test_words_are_those_of_the_glossary() -> None:
    words = glossary()
    found = [each for source in SOURCES for each in uses(source, source.read_text(encoding="utf-8"), words)]

    assert not found, "\n" + "\n".join(found)
