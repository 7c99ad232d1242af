"""How long something takes, shown while it runs: a bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeAlias

from typednn.errors import MissingExtraError

Advance: TypeAlias = Callable[[str], None]
"""Called after each step with what there is to say about it."""

LINES = 10


def on_terminal() -> bool:
    """Whether the output goes to a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def progress(unit: str, steps: int) -> Generator[Advance]:
    """Shows the progress of so many steps; `unit` is what one of them is called.

    Raises:
        MissingExtraError: rich is not installed, and the output is a terminal.
    """
    if on_terminal():
        try:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        except ImportError:
            raise MissingExtraError("rich", "the progress bar", "cli") from None
        columns = (
            TextColumn(unit),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns) as bar:
            task = bar.add_task("", total=steps)
            yield lambda text: bar.update(task, advance=1, description=text)
        return
    done = 0

    def print_some(text: str) -> None:
        nonlocal done
        done += 1
        if done in {1, steps} or done * LINES // steps > (done - 1) * LINES // steps:
            print(f"{unit} {done}/{steps}  {text}", flush=True)

    yield print_some


def waiting(text: str) -> AbstractContextManager[object]:
    """Shows on a terminal that something of unknown length is going on.

    Raises:
        MissingExtraError: rich is not installed, and the output is a terminal.
    """
    if not on_terminal():
        return nullcontext()
    try:
        from rich.console import Console
    except ImportError:
        raise MissingExtraError("rich", "the progress bar", "cli") from None
    return Console().status(text)
