"""The command `typednn`: its arguments, its exit codes, and its one-line error messages."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import current_thread, main_thread
from typing import Protocol, TextIO, runtime_checkable

from typednn import names
from typednn.cli import commands, searches, tables
from typednn.cli.demo import EPOCHS
from typednn.cli.export import export
from typednn.cli.options import Options
from typednn.cli.output import say
from typednn.cli.parsing import Parser
from typednn.cli.settings import COLUMNS, TRAINING, add_dialect, add_options, name, several, whole
from typednn.errors import MissingExtraError, TypednnError

WRONG, INTERRUPTED, UNREAD = 2, 130, 141
"""Exit codes for wrong usage or input, Ctrl-C, and a closed output pipe."""

ENDING = ("SIGTERM", "SIGHUP")
"""Signals that ask a process to end."""

SHELLS = ("bash", "zsh", "tcsh")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code; an error prints one line on stderr.

    Args:
        argv: the arguments; by default those of the process.
    """
    try:
        with _ended_by_signals():
            return _run(argv)
    except SystemExit as finished:  # --help, --version, and signals
        return finished.code if isinstance(finished.code, int) else 0
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _discard_output()
        return UNREAD
    except (TypednnError, OSError, ImportError, MemoryError) as error:
        return _complain(_sentence(error), WRONG)


@contextmanager
def _ended_by_signals() -> Generator[None]:
    """Has signals that would end the process raise SystemExit, so that drafts of files are removed."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    numbers = [int(getattr(signal, each)) for each in ENDING if hasattr(signal, each)]
    changed = [each for each in numbers if signal.getsignal(each) is signal.SIG_DFL]
    if current_thread() is not main_thread():
        changed.clear()
    for number in changed:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _run(argv: Sequence[str] | None) -> int:
    _tolerate(sys.stdout)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        options = _parser().parse_args(argv, Options())
        code = options.run(options)
    sys.stdout.flush()
    return code


def _parser() -> Parser:
    parser = Parser(
        prog="typednn",
        description="Feed-forward networks that one can read, run and trust.",
        epilog="Exit codes: 0 done, 1 wrong gradients, 2 wrong usage or input, 130 Ctrl-C, 141 closed pipe.",
    )
    parser.set_defaults(run=partial(_help, parser))
    parser.add_argument("--version", action="version", version=f"typednn {commands.version_of('typednn')}")
    added = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(run: Callable[[Options], int], text: str) -> Parser:
        subparser = added.add_parser(run.__name__, help=text, description=f"{text[0].upper()}{text[1:]}.")
        subparser.set_defaults(run=run)
        return subparser

    _add_demo(command(commands.demo, "learn to read scanned digits, check gradients, time both paths"))
    _add_train(command(tables.train, "learn from a table and save the model"))
    _add_tune(command(searches.tune, "search for settings at random, by cross-validation"))
    _add_predict(command(tables.predict, "predict with a saved model, as CSV"))
    evaluate = command(tables.evaluate, "measure a saved model with samples whose targets are known")
    _add_model_and_data(evaluate, "samples and their targets")
    add_options(evaluate, "columns", (row for row in COLUMNS if row.name in {"target", "labels"}))
    evaluate.add_argument("--report", type=Path, metavar="FILE", help="an HTML report, which opens offline")
    _add_json(evaluate)
    show = command(tables.show, "show what a model file holds")
    show.add_argument("model", type=Path, metavar="MODEL", help="what train or save has saved")
    _add_json(show)
    exported = command(export, "write a saved model as an ONNX file or as C")
    exported.add_argument("model", type=Path, metavar="MODEL", help="what train or save has saved")
    exported.add_argument("file", type=Path, metavar="FILE", help="the file to write: *.onnx or *.c")
    check = command(commands.check, "compare all gradients with central differences on this machine")
    check.add_argument("--backend", type=name(names.backend), help=" or ".join(names.backend))
    command(commands.warmup, "compile everything ahead of time")
    completion = command(_completion("completion", parser), "print the completion of a shell, to be sourced")
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help=" or ".join(SHELLS))
    return parser


def _completion(name: str, parser: Parser) -> Callable[[Options], int]:
    """Returns the command that prints the completion of a shell for the parser."""

    def run(options: Options) -> int:
        try:
            from shtab import complete
        except ImportError:
            raise MissingExtraError("shtab", "shell completion", "cli") from None
        say(complete(parser, options.shell))
        return 0

    run.__name__ = name
    return run


def _add_demo(demo: Parser) -> None:
    add = demo.add_argument
    add("--output", dest="folder", type=Path, default=Path("demo"), metavar="FOLDER", help="default: demo")
    add("--epochs", type=whole(1), default=EPOCHS, metavar="N", help=f"default: {EPOCHS}")
    add("--seed", type=whole(0), default=0, metavar="N", help="of weights and order; default: 0")


def _add_data(parser: Parser, text: str) -> None:
    parser.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help=f"{text}: CSV (also gz, zip), Parquet, Arrow, .npz, .npy, IDX images, or - for standard input",
    )
    add_dialect(parser)


def _add_model_and_data(parser: Parser, text: str) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="what train has saved")
    _add_data(parser, text)


def _add_settings(parser: Parser) -> None:
    add_options(parser, "columns", COLUMNS)
    add_options(parser, "training", TRAINING)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML with any of these options; options here come first"
    )


def _add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def _add_train(train: Parser) -> None:
    _add_data(train, "samples and their targets")
    _add_settings(train)
    add = train.add_argument
    add("--cv", type=whole(2), metavar="K", help="measure by cross-validation with K folds, too")
    add("-o", "--output", type=Path, metavar="FILE", help="default: model.safetensors")
    add("--report", type=Path, metavar="FILE", help="an HTML report, which opens offline")
    _add_json(train)


def _add_tune(tune: Parser) -> None:
    _add_data(tune, "samples and their targets")
    _add_settings(tune)
    add = tune.add_argument
    add("--trials", type=whole(1), default=20, metavar="N", help="default: 20")
    add("-o", "--output", type=Path, metavar="FILE", help="the best settings as TOML; default: model.toml")
    _add_json(tune)


def _add_predict(predict: Parser) -> None:
    _add_model_and_data(predict, "samples; targets and further columns are passed over")
    add = predict.add_argument
    add("-o", "--output", type=Path, metavar="FILE", help="default: the standard output")
    add("--proba", action="store_true", help="the probability of every class")
    add(
        "--keep",
        type=several(str),
        default=(),
        metavar="COLUMNS",
        help="columns of DATA to pass through, between commas",
    )
    _add_json(predict)


def _help(parser: Parser, _options: Options) -> int:
    parser.print_help()
    return 0


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
