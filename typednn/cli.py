"""The command: `typednn demo`, `train`, `predict`, `check` and `warmup`."""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, NoReturn, TextIO, TypeVar, get_args

from typednn_kernels.activations import ActivationName

from typednn.backends import BACKENDS, BackendName, backend, use_backend
from typednn.errors import SettingError, TypednnError, UnknownNameError
from typednn.preprocessing import Task

if TYPE_CHECKING:
    from typednn.demonstration import Demonstration, StepTime
    from typednn.pipelines import Training

N = TypeVar("N", bound=str)

FAILED, WRONG, INTERRUPTED, UNREAD = 1, 2, 130, 141
"""Exit codes: gradients that disagree, wrong usage or input, Ctrl-C, a reader that went away."""

ACTIVATIONS: tuple[ActivationName, ...] = get_args(ActivationName)
TASKS: tuple[Task, ...] = get_args(Task)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code; whatever goes wrong is one line on stderr.

    Args:
        argv: the arguments; by default those of the process.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            options = _parser().parse_args(argv, Options())
            code = options.run(options)
            sys.stdout.flush()
        except KeyboardInterrupt:
            return _complain("interrupted", INTERRUPTED)
        except BrokenPipeError:
            _discard_output()
            return UNREAD
        except TypednnError as error:
            return _complain(str(error), WRONG)
        except OSError as error:
            place = f"{error.filename}: " if error.filename is not None else ""
            return _complain(f"{place}{error.strerror or error}", WRONG)
        except ImportError as error:
            return _complain(f"the backend 'numba' does not work here: {error}", WRONG)
        except MemoryError:
            return _complain("there is not enough memory for this", WRONG)
        except SystemExit as done:  # of --help and --version
            return done.code if isinstance(done.code, int) else 0
    return code


class Options(argparse.Namespace):
    """What the command line says; a command reads what its parser sets."""

    run: Callable[[Options], int]
    epochs: int
    seed: int
    folder: Path
    data: Path
    model: Path
    output: Path | None
    target: str | None
    labels: Path | None
    task: Task | None
    hidden: tuple[int, ...]
    activation: ActivationName
    batch_size: int | None
    learning_rate: float
    held_out: float
    backend: BackendName | None


class Parser(argparse.ArgumentParser):
    """argparse, with errors that `main` shows."""

    def error(self, message: str) -> NoReturn:
        """Raises SettingError."""
        raise SettingError(f"{message} ({self.prog} --help explains)")


def _parser() -> Parser:
    from typednn.demonstration import EPOCHS
    from typednn.pipelines import Settings

    usual = Settings()
    parser = Parser(prog="typednn", description="Feed-forward networks that one can read, run and trust.")
    parser.set_defaults(run=partial(_help, parser))
    parser.add_argument("--version", action="version", version=f"typednn {_version('typednn')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, run: Callable[[Options], int], text: str) -> Parser:
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(run=run)
        return added

    demo = command("demo", _demo, "learn to read scanned digits, check all gradients, time both paths")
    demo.add_argument(
        "--output", dest="folder", type=Path, default=Path("demo"), metavar="FOLDER", help="default: demo"
    )
    demo.add_argument("--epochs", type=partial(_whole, 1), default=EPOCHS, metavar="N", help=f"default: {EPOCHS}")
    demo.add_argument("--seed", type=partial(_whole, 0), default=0, metavar="N", help="of weights and order")

    train = command("train", _train, "learn from a CSV, .npz or IDX file and save the model")
    train.add_argument("data", type=Path, metavar="DATA", help="CSV, .npz with x and y, or MNIST's images")
    train.add_argument("--target", metavar="COLUMN", help="the column to learn; default: the last")
    train.add_argument("--labels", type=Path, metavar="FILE", help="the labels of IDX images; default: beside them")
    train.add_argument("--task", type=partial(_name, "task", TASKS), help="default: what the target looks like")
    train.add_argument(
        "--hidden",
        type=_lengths,
        default=usual.hidden,
        metavar="N,N,…",
        help="lengths of the hidden layers, or none; default: 64",
    )
    train.add_argument(
        "--activation",
        type=partial(_name, "activation", ACTIVATIONS),
        default=usual.activation,
        help=f"of the hidden layers: {', '.join(ACTIVATIONS)}; default: {usual.activation}",
    )
    train.add_argument("--epochs", type=partial(_whole, 1), default=usual.epochs, metavar="N", help="default: 50")
    train.add_argument("--batch-size", type=partial(_whole, 1), metavar="N", help="default: 32")
    train.add_argument("--learning-rate", type=_rate, default=usual.learning_rate, metavar="X")
    train.add_argument("--seed", type=partial(_whole, 0), default=0, metavar="N", help="of split, weights, order")
    train.add_argument("--held-out", type=_share, default=usual.held_out, metavar="X", help="default: 0.2")
    train.add_argument(
        "--output", type=Path, default=Path("model.safetensors"), help="default: model.safetensors"
    )

    predict = command("predict", _predict, "predict with a saved model, as CSV")
    predict.add_argument("model", type=Path, metavar="MODEL", help="what train has saved")
    predict.add_argument("data", type=Path, metavar="DATA", help="samples; targets in it are passed over")
    predict.add_argument("--output", type=Path, metavar="FILE", help="default: the standard output")

    check = command("check", _check, "compare all gradients with finite differences on this machine")
    check.add_argument("--backend", type=partial(_name, "backend", BACKENDS), help="numba or numpy; default: both")
    command("warmup", _warmup, "compile everything ahead of time")
    return parser


def _help(parser: Parser, _options: Options) -> int:
    parser.print_help()
    return 0


def _demo(options: Options) -> int:
    _require("matplotlib", "matplotlib", "the picture of the demo")
    _require("scikit-learn", "sklearn", "the demo, for its scanned digits,")
    from typednn.demonstration import demonstrate, new_network, scanned_digits, step_times
    from typednn.model_files import write_file
    from typednn.plots import demonstration_png
    from typednn.progress import progress, waiting

    digits = scanned_digits()
    options.folder.mkdir(parents=True, exist_ok=True)
    print(
        f"{digits.scans:,} scanned digits to learn from, each also moved by a pixel up, down, left and right;\n"
        f"{len(digits.held_y)} others held out\n\n{new_network(options.seed).summary()}\n",
        flush=True,
    )
    if backend() == "numba":
        with waiting("compiling, the first time on this machine"):
            _compile(np.float32)
    with progress("epoch", options.epochs) as advance:
        shown = demonstrate(
            digits,
            options.epochs,
            options.seed,
            lambda curves: advance(
                f"loss {curves.loss[-1]:.4f}, held out {curves.held_loss[-1]:.4f}, "
                f"accuracy {100 * curves.held_accuracy[-1]:.1f} %"
            ),
        )
    print(
        f"\nHeld-out digits read rightly: {100 * shown.accuracy:.1f} % "
        f"({len(shown.read) - shown.wrong} of {len(shown.read)})\n",
        flush=True,
    )
    with waiting("checking the gradients"):
        report = shown.check_gradients()
    print(f"Gradients of the trained network\n{report}\n", flush=True)
    with waiting("timing"):
        times = step_times(digits)
    print("\n".join(_timing_lines(times)), flush=True)
    place = options.folder / "digits.png"
    with waiting("drawing"):
        write_file(place, demonstration_png(shown))
    print(f"\nThe picture is in {place}")
    return 0 if report.passed else FAILED


def _timing_lines(times: Sequence[StepTime]) -> list[str]:
    def cells(time: StepTime) -> tuple[str, ...]:
        name = "one sample" if time.batch_size == 1 else f"a batch of {time.batch_size}"
        if time.numba is None:
            return name, f"{time.numpy:.3g} µs"
        return name, f"{time.numpy:.3g} µs", f"{time.numba:.3g} µs", f"{time.numpy / time.numba:.1f} times faster"

    paths = ("numpy",) if times[0].numba is None else ("numpy", "numba", "")
    lines = _aligned([("Time per training step", *paths), *map(cells, times)])
    return lines if len(paths) > 1 else [*lines, "only the NumPy path was timed, since numba is not in use"]


def _train(options: Options) -> int:
    from typednn.data_files import read_dataset
    from typednn.model_files import save
    from typednn.pipelines import Settings, train
    from typednn.preprocessing import Classes
    from typednn.progress import progress

    output = options.output or Path("model.safetensors")
    if not output.resolve().parent.is_dir():
        raise SettingError(f"--output {output}: there is no folder {output.parent}")
    dataset = read_dataset(options.data, target=options.target, labels=options.labels)
    settings = Settings(
        options.task,
        options.hidden,
        options.activation,
        options.epochs,
        options.batch_size,
        options.learning_rate,
        options.seed,
        options.held_out,
    )
    print(f"{options.data}: {len(dataset.x):,} samples of {dataset.x.shape[1]:,} features", flush=True)
    with progress("epoch", options.epochs) as advance:
        training = train(
            dataset,
            settings,
            lambda history: advance(
                f"loss {history.loss[-1]:.4f}, held out {history.validation_loss[-1]:.4f}"
            ),
        )
    known = training.model.preprocessing
    save(training.model.network, output, preprocessing=known)
    classes = known.target.names if known and isinstance(known.target, Classes) else ()
    what = f"{len(classes)} classes ({_shortened(classes)})" if classes else "numbers"
    print(f"\n{training.model.network.summary()}\n\nlearnt: {what} of {dataset.target_name or 'y'}")
    print("\n".join(_metric_lines(training)))
    print(f"\nThe model is in {output}; typednn predict {output} DATA uses it")
    return 0


def _metric_lines(training: Training) -> list[str]:
    baseline = "class frequencies" if training.task == "classification" else "mean of the others"
    rows = [(f"{training.held_out:,} held-out samples", "network", baseline)]
    for metric in training.metrics:
        percent = metric.name == "accuracy"
        rows.append(
            (metric.name, *(f"{100 * x:.1f} %" if percent else f"{x:.4g}" for x in (metric.value, metric.baseline)))
        )
    return _aligned(rows)


def _predict(options: Options) -> int:
    from typednn.data_files import read_samples
    from typednn.model_files import load_model, write_file
    from typednn.pipelines import predictions

    model = load_model(options.model)
    known = model.preprocessing
    x = read_samples(
        options.data,
        model.network.layers[0].length,
        known.feature_names if known else None,
        known.target_name if known else None,
    )
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(predictions(model, x))
    if options.output is None:
        sys.stdout.write(table.getvalue())
    else:
        write_file(options.output, table.getvalue().encode())
        print(f"{len(x):,} predictions are in {options.output}", file=sys.stderr)
    return 0
