"""The parsed arguments of a command."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from typednn.names import BackendName


class Options(argparse.Namespace):
    """The parsed arguments; each command reads those that its parser sets."""

    run: Callable[[Options], int]
    epochs: int
    seed: int
    folder: Path
    data: Path
    model: Path
    file: Path
    output: Path | None
    config: Path | None
    report: Path | None
    cv: int | None
    trials: int
    json: bool
    proba: bool
    keep: tuple[str, ...]
    shell: str
    backend: BackendName | None
