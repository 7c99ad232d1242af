"""The command `typednn`: its arguments, its exit codes, and its one-line error messages."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from pathlib import Path
from typing import NoReturn, Protocol, TextIO, TypeVar, get_args, runtime_checkable

from typednn import names
from typednn.cli import commands
from typednn.cli.commands import Options
from typednn.cli.demo import EPOCHS
from typednn.cli.export import export
from typednn.cli.train import RATES, Settings
from typednn.data.preprocessing import Task
from typednn.errors import SettingError, TypednnError, UnknownNameError
from typednn.names import Names
from typednn.training.trainer import BATCH_SIZE

WRONG, INTERRUPTED, UNREAD = 2, 130, 141
"""Exit codes for wrong usage or input, Ctrl-C, and a closed output pipe."""

TASKS: Names[Task] = Names("task", lambda: get_args(Task))

N = TypeVar("N", bound=str)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code; an error prints one line on stderr.

    Args:
        argv: the arguments; by default those of the process.
    """
    try:
        return _run(argv)
    except SystemExit as finished:  # --help and --version
        return finished.code if isinstance(finished.code, int) else 0
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _discard_output()
        return UNREAD
    except (TypednnError, OSError, ImportError, MemoryError) as error:
        return _complain(_sentence(error), WRONG)


def _run(argv: Sequence[str] | None) -> int:
    _tolerate(sys.stdout)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        options = _parser().parse_args(argv, Options())
        code = options.run(options)
    sys.stdout.flush()
    return code


class Parser(argparse.ArgumentParser):
    """An argument parser that raises the library's errors."""

    def error(self, message: str) -> NoReturn:
        """Raises SettingError."""
        raise SettingError(f"{message}; {self.prog} --help tells more")


def _parser() -> Parser:
    parser = Parser(prog="typednn", description="Feed-forward networks that one can read, run and trust.")
    parser.set_defaults(run=partial(_help, parser))
    parser.add_argument("--version", action="version", version=f"typednn {commands.version_of('typednn')}")
    added = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(run: Callable[[Options], int], text: str) -> Parser:
        subparser = added.add_parser(run.__name__, help=text, description=f"{text[0].upper()}{text[1:]}.")
        subparser.set_defaults(run=run)
        return subparser

    _add_demo(command(commands.demo, "learn to read scanned digits, check gradients, time both paths"))
    _add_train(command(commands.train, "learn from a CSV, .npz or IDX file and save the model"))
    predict = command(commands.predict, "predict with a saved model, as CSV")
    predict.add_argument("model", type=Path, metavar="MODEL", help="what train has saved")
    predict.add_argument("data", type=Path, metavar="DATA", help="samples; targets in it are passed over")
    predict.add_argument("--output", type=Path, metavar="FILE", help="default: the standard output")
    exported = command(export, "write a saved model as an ONNX file or as C")
    exported.add_argument("model", type=Path, metavar="MODEL", help="what train has saved")
    exported.add_argument("file", type=Path, metavar="FILE", help="the file to write: *.onnx or *.c")
    check = command(commands.check, "compare all gradients with central differences on this machine")
    check.add_argument("--backend", type=partial(_name, names.backend), help=" or ".join(names.backend))
    command(commands.warmup, "compile everything ahead of time")
    return parser


def _add_demo(demo: Parser) -> None:
    add = demo.add_argument
    add("--output", dest="folder", type=Path, default=Path("demo"), metavar="FOLDER", help="default: demo")
    add("--epochs", type=partial(_whole, 1), default=EPOCHS, metavar="N", help=f"default: {EPOCHS}")
    add("--seed", type=partial(_whole, 0), default=0, metavar="N", help="of weights and order; default: 0")


def _add_train(train: Parser) -> None:
    usual = Settings()
    add = train.add_argument
    add("data", type=Path, metavar="DATA", help="a CSV file, an .npz file with x and y, or MNIST's images")
    add("--target", metavar="COLUMN", help="the column to learn; default: the last")
    add("--labels", type=Path, metavar="FILE", help="the labels of IDX images; default: found beside them")
    add("--task", type=partial(_name, TASKS), help=f"{' or '.join(TASKS)}; default: by the target")
    add(
        "--hidden",
        type=_lengths,
        default=usual.hidden,
        metavar="N,N",
        help="units of the hidden layers, such as 64,32, or none; default: 64",
    )
    add(
        "--activation",
        type=partial(_name, names.activation),
        default=usual.activation,
        help=f"of the hidden layers: {', '.join(names.activation)}; default: {usual.activation}",
    )
    add(
        "--epochs",
        type=partial(_whole, 1),
        default=usual.epochs,
        metavar="N",
        help=f"default: {usual.epochs}",
    )
    add("--batch-size", type=partial(_whole, 1), metavar="N", help=f"default: {BATCH_SIZE}")
    rates = ", ".join(f"{rate:g} for {task}" for task, rate in RATES.items())
    add("--learning-rate", type=partial(_number, float("inf")), metavar="X", help=f"default: {rates}")
    add(
        "--seed", type=partial(_whole, 0), default=0, metavar="N", help="of split, weights, order; default: 0"
    )
    add(
        "--held-out",
        type=partial(_number, 1.0),
        default=usual.held_out,
        metavar="X",
        help=f"the fraction of samples to measure with; default: {usual.held_out}",
    )
    add("--output", type=Path, metavar="FILE", help="default: model.safetensors")


def _help(parser: Parser, _options: Options) -> int:
    parser.print_help()
    return 0


def _whole(lowest: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = lowest - 1
    if number < lowest:
        raise argparse.ArgumentTypeError(f"must be a whole number of {lowest} or more, not {text!r}")
    return number


def _number(limit: float, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (0 < number < limit):
        wanted = f"between 0 and {limit:g}" if isfinite(limit) else "above 0"
        raise argparse.ArgumentTypeError(f"must be a number {wanted}, not {text!r}")
    return number


def _lengths(text: str) -> tuple[int, ...]:
    return () if text == "none" else tuple(_whole(1, part) for part in text.split(","))


def _name(valid: Names[N], text: str) -> N:
    try:
        return valid(text)
    except UnknownNameError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _complain(message: str, code: int) -> int:
    print(f"typednn: {' '.join(message.splitlines())}", file=sys.stderr)
    return code


def _sentence(error: Exception) -> str:
    if isinstance(error, TypednnError):
        return str(error)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"{place}{error.strerror or error}"
    if isinstance(error, ImportError):
        return f"the backend 'numba' does not work here: {error}"
    return "there is not enough memory for this"


@runtime_checkable
class _Encodes(Protocol):
    def reconfigure(self, *, errors: str) -> None: ...


def _tolerate(stream: TextIO) -> None:
    """Lets a stream escape characters that its encoding lacks."""
    if isinstance(stream, _Encodes):
        stream.reconfigure(errors="backslashreplace")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"typednn: {message}", file=file or sys.stderr)


def _discard_output() -> None:
    """Redirects stdout to the null device, so that Python reports no broken pipe when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
