"""Turns links to files of the repository outside `docs/` into text: the site does not contain them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>\.\./[^)#]+)(?:#[^)]*)?\)")


def unlink_outside(app: Sphinx, page: str, source: list[str]) -> None:
    """Replaces the links of a page that lead out of the folder of the documentation."""
    folder = Path(app.srcdir, page).parent

    def text_of(link: re.Match[str]) -> str:
        inside = (folder / link["target"]).resolve().is_relative_to(Path(app.srcdir).resolve())
        return link[0] if inside else link["text"]

    source[0] = LINK.sub(text_of, source[0])


def setup(app: Sphinx) -> dict[str, object]:
    """Registers the replacement."""
    app.connect("source-read", unlink_outside)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
