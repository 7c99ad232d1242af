"""Checks that each link within the built site leads to a page and a place in it: `make docs` runs it."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

SITE = Path(__file__).parent / "build"


class Page(HTMLParser):
    """The links of a page, and the places that links can lead to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.places: set[str] = {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes a link or a place."""
        found = dict(attrs)
        for name in ("href", "src"):
            self.links.add(found.get(name) or "")
        self.places |= {found.get("id") or "", found.get("name") or ""}


def main() -> int:
    """Prints the links that lead nowhere; returns the number of them."""
    pages = {path: Page(path) for path in sorted(SITE.rglob("*.html"))}
    broken = 0
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name in {"genindex.html", "search.html"}:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists() or (target in pages and parts.fragment not in pages[target].places):
                print(f"{path.relative_to(SITE)}: {link} leads nowhere")
                broken += 1
    return broken


if __name__ == "__main__":
    sys.exit(min(main(), 1))
