"""Progress of something that takes time: a bar on a terminal, a few plain lines elsewhere."""

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

Advance: TypeAlias = Callable[[str], None]
"""Called after each step with a text about it."""

MAX_LINES = 10
"""The number of lines that are printed where there is no terminal."""

DELAY_S = 1.0
"""How long `fit` or `in_parallel` runs before its bar appears."""


def on_terminal() -> bool:
    """Tells whether the output goes to a terminal that can move its cursor, or to a notebook."""
    return (sys.stdout.isatty() and os.environ.get("TERM") != "dumb") or in_notebook()


def in_notebook() -> bool:
    """Tells whether this is a Jupyter notebook in which rich can show a bar, as it can by ipywidgets."""
    if "ipykernel" not in sys.modules:
        return False
    from importlib.util import find_spec

    return find_spec("ipywidgets") is not None and find_spec("rich") is not None


def in_main_thread() -> bool:
    """Tells whether this is the main thread, the only one that shows a bar."""
    return current_thread() is main_thread()


@contextmanager
def progress(unit: str, steps: int) -> Generator[Advance]:
    """Shows the progress of a number of steps.

    Args:
        unit: the name of a step, such as "epoch".
        steps: the number of steps.

    Yields:
        The function to call after each step.

    Raises:
        MissingExtraError: the output is a terminal, and rich is not installed.
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
        if done in {1, steps} or done * MAX_LINES // steps > (done - 1) * MAX_LINES // steps:
            print(f"{unit} {done}/{steps}  {text}", flush=True)

    yield print_some


class Bar:
    """The progress bar of `Network.fit` and `in_parallel`: on a terminal, after a second, and nowhere else.

    There is none where rich is not installed or has another live display.

    Args:
        epochs: the number of epochs, or of other units.
        length: the number of samples of an epoch, if it is known.
        wanted: whether there may be a bar.
        unit: the name of what is counted.

    Attributes:
        may_appear: whether there may be one, now or later.
    """

    epochs: int
    length: int | None
    unit: str
    text: str
    next_update: float
    stack: ExitStack

    def __init__(self, epochs: int, length: int | None, wanted: bool, unit: str = "epoch") -> None:
        self.epochs, self.length, self.unit, self.text = epochs, length, unit, ""
        self.may_appear: bool = wanted and on_terminal() and in_main_thread()
        self.next_update = perf_counter() + DELAY_S if self.may_appear else inf
        self.stack = ExitStack()
        self.move_to: Callable[[float], None] | None = None

    def __enter__(self) -> Self:
        """Returns the bar, which appears later."""
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the bar; its last state remains on the terminal."""
        self.stack.close()

    def show(self, epoch: int, samples: int) -> None:
        """Shows that `epoch` epochs and `samples` samples of the next have been trained."""
        if self.next_update < inf and perf_counter() > self.next_update:
            if self.move_to is None:
                self.move_to = self._begin()
            part = samples / self.length if self.length else 0.0
            if self.move_to is not None:
                self.move_to(epoch + part)
            self.next_update = perf_counter() + 0.1 if self.move_to else inf

    def show_epoch(self, epoch: int, text: Callable[[], str]) -> None:
        """Shows that `epoch` epochs have been trained, and from now on a text about the last."""
        if self.next_update < inf:
            self.text = text()
            if self.move_to is not None and epoch == self.epochs:
                self.move_to(self.epochs)

    def _begin(self) -> Callable[[float], None] | None:
        try:
            from rich.errors import LiveError
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        except ImportError:
            return None
        columns = (
            TextColumn(f"{self.unit} {{task.fields[epoch]}}/{{task.total:.0f}}"),
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

        def move_to(done: float) -> None:
            epoch = min(self.epochs, int(done) + 1)
            bar.update(task, completed=done, description=self.text, epoch=epoch)

        return move_to


def waiting(text: str) -> AbstractContextManager[object]:
    """Shows on a terminal that something of unknown duration is running.

    Raises:
        MissingExtraError: the output is a terminal, and rich is not installed.
    """
    if not on_terminal():
        return nullcontext()
    try:
        from rich.console import Console
    except ImportError:
        raise MissingExtraError("rich", "the progress bar", "cli") from None
    return Console().status(text)
