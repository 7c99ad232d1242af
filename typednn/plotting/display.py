"""What Jupyter and rich show of networks, layers, histories and reports: tables, and curves as inline SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

CELL = "padding:2px 10px;text-align:left;box-shadow:0 1px #e3e8ec"


class TableBlock(NamedTuple):
    """A table: a caption, the heads of the columns, and rows."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


class PictureBlock(NamedTuple):
    """A picture as SVG text; where only text can be shown it is left out."""

    svg: str


class Display:
    """A class that Jupyter shows as HTML and rich as tables; a subclass says what is shown."""

    __slots__ = ()

    def _blocks(self) -> Iterator[TableBlock | PictureBlock]:
        """Yields what is shown, from top to bottom."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """Returns what Jupyter shows."""
        return "".join(map(html_of, self._blocks()))

    def __rich__(self) -> object:
        """Returns what rich shows."""
        from rich.console import Group
        from rich.markup import escape as plain
        from rich.table import Table

        tables: list[Table] = []
        for block in self._blocks():
            if isinstance(block, TableBlock):
                table = Table(title=plain(block.caption) or None, title_justify="left")
                for head in block.heads:
                    table.add_column(plain(head))
                for row in block.rows:
                    table.add_row(*map(plain, row))
                tables.append(table)
        return Group(*tables)


def html_of(block: TableBlock | PictureBlock) -> str:
    """Returns a block as HTML."""
    from html import escape

    if isinstance(block, PictureBlock):
        return f'<div style="display:inline-block;margin:4px;vertical-align:top">{block.svg}</div>'
    caption = f'<div style="margin-top:10px"><b>{escape(block.caption)}</b></div>' if block.caption else ""
    head = "".join(f'<th style="{CELL}">{escape(each)}</th>' for each in block.heads)
    rows = "".join(
        "<tr>" + "".join(f'<td style="{CELL}">{escape(each)}</td>' for each in row) + "</tr>"
        for row in block.rows
    )
    return (
        f'<div style="margin:4px 0">{caption}<table cellspacing="0">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
