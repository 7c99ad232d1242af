"""Leaves out the empty line that ends an example, which doctest needs before the end of a block."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

END = re.compile(r"\n\n```$", re.MULTILINE)


def without_last_line(app: Sphinx, page: str, source: list[str]) -> None:
    """Ends each block of code with its last line that is not empty."""
    source[0] = END.sub("\n```", source[0])


def setup(app: Sphinx) -> dict[str, object]:
    """Registers the replacement."""
    app.connect("source-read", without_last_line)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
