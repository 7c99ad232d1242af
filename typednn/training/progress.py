"""How long something takes, shown while it runs: a bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from math import inf
from threading import current_thread, main_thread
from time import perf_counter
from typing import Self, TypeAlias

from typednn.errors import MissingExtraError
from typednn.training.history import History

Advance: TypeAlias = Callable[[str], None]
"""Called after each step with what there is to say about it."""

LINES = 10

PATIENCE = 1.0
"""After so many seconds a bar appears."""


def on_terminal() -> bool:
    """Whether the output goes to a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def alone() -> bool:
    """Whether this is the main thread: others leave the terminal to it."""
    return current_thread() is main_thread()


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


class Bar:
    """The progress of `Network.fit`: a bar on a terminal once it has taken a second; elsewhere silence.

    Without rich, and beside another display of rich, there is none.

    Args:
        epochs: how many there are to be.
        length: samples of an epoch, where that is known.
        wanted: whether there is to be a bar.
    """

    epochs: int
    length: int | None
    text: str
    next: float
    stack: ExitStack

    def __init__(self, epochs: int, length: int | None, wanted: bool) -> None:
        self.epochs, self.length, self.text = epochs, length, ""
        self.next = perf_counter() + PATIENCE if wanted and on_terminal() and alone() else inf
        self.stack = ExitStack()
        self.move: Callable[[float], None] | None = None

    def __enter__(self) -> Self:
        """The bar appears when there is something to show."""
        return self

    def __exit__(self, *error: object) -> None:
        """The bar stays where it is."""
        self.stack.close()

    def show(self, epoch: int, samples: int) -> None:
        """So many epochs are over, and so many samples of the next."""
        if self.next < inf and perf_counter() > self.next:
            if self.move is None:
                self.move = self._begin()
            part = samples / self.length if self.length else 0.0
            if self.move is not None:
                self.move(epoch + part)
            self.next = perf_counter() + 0.1 if self.move else inf

    def over(self, history: History) -> None:
        """An epoch is over."""
        if self.next < inf:
            self.text = history.last()
            if self.move is not None and len(history.loss) == self.epochs:
                self.move(self.epochs)

    def _begin(self) -> Callable[[float], None] | None:
        try:
            from rich.errors import LiveError
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        except ImportError:
            return None
        columns = (
            TextColumn("epoch {task.fields[epoch]}/{task.total:.0f}"),
            BarColumn(bar_width=32),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        try:
            bar = self.stack.enter_context(Progress(*columns))
        except LiveError:
            return None
        task = bar.add_task("", total=self.epochs, epoch=0)

        def move(done: float) -> None:
            epoch = min(self.epochs, int(done) + 1)
            bar.update(task, completed=done, description=self.text, epoch=epoch)

        return move


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
