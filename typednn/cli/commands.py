"""The commands `typednn demo`, `check` and `warmup`: what each does and prints."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING, get_args

import numpy as np
from typednn_kernels.activations import ActivationName, OutputActivationName
from typednn_kernels.arrays import Matrix
from typednn_kernels.losses import LossName

from typednn.backends import backend, use_backend
from typednn.cli.options import Options
from typednn.cli.output import say
from typednn.errors import MissingExtraError
from typednn.files.model_json import DtypeName
from typednn.gradient_checking import GradientReport, gradcheck
from typednn.layers import HiddenLayer, InputLayer, Layer, OutputLayer
from typednn.network.network import Network
from typednn.plotting.progress import progress, waiting
from typednn.tables import aligned

if TYPE_CHECKING:
    from typednn.cli.demo import StepTime

FAILED = 1
"""The exit code of a command that finds wrong gradients."""

HIDDEN: tuple[ActivationName, ...] = get_args(ActivationName)
OUTPUTS: tuple[OutputActivationName, ...] = get_args(OutputActivationName)
LOSSES: tuple[LossName, ...] = get_args(LossName)
DTYPES: tuple[DtypeName, ...] = get_args(DtypeName)

PICTURE = "digits.png"
HIDDEN_LAYER = "in a hidden layer"
"""The heading of the column for hidden activations; the other columns are for output activations."""


def demo(options: Options) -> int:
    """Trains a network to read scanned digits, checks its gradients, and times and plots the training."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "the picture of the demo", "cli")
    from typednn.cli.demo import demonstrate, new_network, scanned_digits, step_times
    from typednn.cli.demo_plots import demonstration_png
    from typednn.formats.atomic import write_file

    digits = scanned_digits()
    options.folder.mkdir(parents=True, exist_ok=True)
    say(
        f"{digits.scans:,} scanned digits to learn from, with copies of each, moved or turned a little;",
        f"{len(digits.held_y)} other scans are held out.\n",
        f"{new_network(options.seed).summary()}\n",
    )
    if backend() == "numba":
        with waiting("compiling, which takes a while the first time"):
            from typednn_kernels.compiled.entry_points import prepare

            prepare(np.dtype(np.float32))
    with progress("epoch", options.epochs) as advance:
        shown = demonstrate(
            digits,
            options.epochs,
            options.seed,
            lambda curves: advance(
                f"loss {curves.loss[-1]:.4f}, held out {curves.held_loss[-1]:.4f}, "
                f"read rightly {100 * curves.held_accuracy[-1]:.1f} %"
            ),
        )
    count = len(digits.held_y)
    right = f"{100 * shown.accuracy:.1f} % ({count - shown.wrong} of {count})"
    say(f"\nOf the held-out digits {right} are read rightly.")
    with waiting("checking gradients"):
        report = shown.check_gradients()
    say(f"\nThe gradients of the trained network:\n{report}\n")
    with waiting("timing"):
        times = step_times(digits)
    say(*_timings(times))
    place = options.folder / PICTURE
    with waiting("drawing"):
        write_file(place, demonstration_png(shown))
    say(f"\nLearning curves, weights and digits are drawn in {place}")
    return 0 if report.passed else FAILED


def check(options: Options) -> int:
    """Compares the gradients of every pair of activations, loss and dtype with central differences."""
    with nullcontext() if options.backend is None else use_backend(options.backend):
        return _check_all()


def warmup(_options: Options) -> int:
    """Compiles all kernels ahead of time."""
    began = perf_counter()
    with use_backend("numba"), waiting("compiling"):
        from typednn_kernels.compiled._codegen.jit import CACHE
        from typednn_kernels.compiled.warmup import warm_up

        warm_up()
    say(
        f"ready for float32 and float64 after {perf_counter() - began:.1f} s; "
        + (f"the machine code is in {CACHE}" if CACHE else "but nothing could be written, so it is not kept")
    )
    return 0


def _check_all() -> int:
    say(
        f"typednn {version_of('typednn')}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"numba {version_of('numba')}; the backend is {backend()}.\n",
        "The largest deviation of a gradient from central differences, from the other path, or of a training "
        "step from it; 1 is the tolerance.\n",
    )
    reports: list[GradientReport] = []
    lines: list[str] = []
    with waiting("checking gradients"):
        for dtype in DTYPES:
            rows: list[tuple[str, ...]] = [(dtype, HIDDEN_LAYER, *LOSSES)]
            for output in OUTPUTS:
                inside = [_report(dtype, name, "none", "MSE") for name in HIDDEN if name == output]
                outside = [_report(dtype, "tanh", output, loss) for loss in LOSSES]
                rows.append((output, _worst(inside[0]) if inside else "", *map(_worst, outside)))
                reports += inside + outside
            lines += [*aligned(rows), ""]
    failures = [f"\n{report}" for report in reports if not report.passed]
    verdict = (
        f"{len(failures)} of {len(reports)} networks have WRONG gradients"
        if failures
        else f"all gradients of {len(reports)} networks agree"
    )
    say(*lines, verdict, *failures)
    return FAILED if failures else 0


def _report(
    dtype: DtypeName,
    hidden: ActivationName,
    output: OutputActivationName,
    loss: LossName,
) -> GradientReport:
    random = np.random.default_rng(0)
    x: Matrix[np.float64] = random.normal(size=(5, 3))
    y: Matrix[np.float64] = random.dirichlet(np.ones(3), 5)
    layers = _layers(hidden, output, loss)
    if dtype == "float64":
        return gradcheck(Network(layers, np.float64, 0), x, y)
    return gradcheck(Network(layers, np.float32, 0), x.astype(np.float32), y.astype(np.float32))


def _worst(report: GradientReport) -> str:
    deviations = [
        each
        for one in report.checks
        for each in (one.numpy, one.numba, one.paths, one.steps)
        if each is not None
    ]
    return f"{max(deviations):.2g}" if report.passed else f"WRONG {max(deviations):.2g}"


def _layers(hidden: ActivationName, output: OutputActivationName, loss: LossName) -> list[Layer[np.float64]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # every pair is checked, also those that cannot tell classes apart
        # With an activation of the input layer, no loop is compiled for each of these networks alone.
        return [InputLayer(3, "tanh"), HiddenLayer(4, hidden), OutputLayer(3, output, loss)]


def _timings(times: Sequence[StepTime]) -> list[str]:
    rows: list[tuple[str, ...]] = []
    for time in times:
        name = "one sample" if time.batch_size == 1 else f"a batch of {time.batch_size}"
        row: tuple[str, ...] = (name, f"{time.numpy:.3g} µs")
        if time.numba is not None:
            row += (f"{time.numba:.3g} µs", f"{time.numpy / time.numba:.1f} times faster")
        rows.append(row)
    heads = ("a training step with", "numpy", "numba", "")
    lines = aligned([heads[: len(rows[0])], *rows])
    return lines if len(rows[0]) > 2 else [*lines, "Only the NumPy path was timed: numba is not in use."]


def version_of(package: str) -> str:
    """Returns the version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
