"""Callbacks that pass the curves of a training on: to CSV, Python's logging, tensorboard, MLflow, W&B.

Each imports its package when a training begins.

>>> import logging
>>> from typednn import InputLayer, Network, OutputLayer
>>> import numpy as np
>>> x = np.array([[0.0], [1.0]])
>>> network = Network([InputLayer(1), OutputLayer(1)], seed=0)
>>> history = network.fit(x, x, epochs=2, callbacks=[LogEpochs(logging.getLogger("training"))])
"""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from pathlib import Path
from typing import Protocol, TextIO, cast

from typednn.errors import MissingExtraError, SettingError
from typednn.formats.atomic import PathLike
from typednn.training.callbacks import Callback, Run
from typednn.validation.settings import check_count, check_path


class EpochLogger(Callback):
    """A callback that passes on the last values of all curves after each epoch; a subclass says where to."""

    def on_epoch(self, run: Run) -> None:
        """Passes the last values on."""
        values = {name: curve[-1] for name, curve in run.history.curves().items()}
        self.write(run.epoch, values | {"learning_rate": run.learning_rate})

    @abstractmethod
    def write(self, epoch: int, values: dict[str, float]) -> None:
        """Writes the values of an epoch, by the name of the curve."""


class LogEpochs(EpochLogger):
    """Logs a line for each epoch by Python's `logging`.

    Args:
        logger: the logger; by default `typednn`.
        level: the level of the lines.

    Raises:
        SettingError: the logger is none of `logging`, or the level is no integer of 0 or more.
    """

    logger: logging.Logger
    level: int

    def __init__(self, logger: logging.Logger | None = None, level: int = logging.INFO) -> None:
        self.logger = logging.getLogger("typednn") if logger is None else logger
        self.level = level
        self._check_settings()

    def _check_settings(self) -> None:
        if not isinstance(self.logger, logging.Logger | logging.LoggerAdapter):
            raise SettingError(
                f"LogEpochs: logger must be one of Python's, such as logging.getLogger('typednn'), not "
                f"{self.logger!r}"
            )
        check_count("LogEpochs: level", self.level, 0)

    def on_begin(self, run: Run) -> None:
        """Checks the settings, which may have been assigned.

        Raises:
            SettingError: as when it is made.
        """
        self._check_settings()

    def write(self, epoch: int, values: dict[str, float]) -> None:
        """Logs the values of an epoch."""
        self.logger.log(
            int(self.level), "epoch %d: %s", epoch, ", ".join(f"{k} {v:.6g}" for k, v in values.items())
        )


class CSVLogger(EpochLogger):
    """Writes a CSV file with a row for each epoch; each row is on the disk when its epoch ends.

    Args:
        path: the file, which is replaced when the first epoch ends.

    Raises:
        OSError: the file cannot be written.
    """

    path: Path

    def __init__(self, path: PathLike) -> None:
        check_path("CSVLogger: path", path)
        self.path = Path(path)
        self._file: TextIO | None = None

    def on_begin(self, run: Run) -> None:
        """Checks that the file can be written; until an epoch ends, it keeps what it holds."""
        check_path("CSVLogger: path", self.path)
        self.path = Path(self.path)
        with self.path.open("a", encoding="utf-8"):
            self._file = None

    def write(self, epoch: int, values: dict[str, float]) -> None:
        """Writes the row of an epoch, before the first one the names."""
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8", newline="")
            self._file.write(f"epoch,{','.join(values)}\n")
        self._file.write(f"{epoch},{','.join(map(repr, values.values()))}\n")
        self._file.flush()

    def on_end(self, run: Run) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def on_exception(self, run: Run, error: BaseException) -> None:
        """Closes the file."""
        self.on_end(run)


class _SummaryWriter(Protocol):
    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...
    def close(self) -> None: ...


class TensorboardLogger(EpochLogger):
    """Writes event files for tensorboard, by the package tensorboardX or PyTorch's `torch.utils.tensorboard`.

    Args:
        folder: the folder of the event files.

    Raises:
        SettingError: the folder is no path.
    """

    folder: str

    def __init__(self, folder: PathLike) -> None:
        check_path("TensorboardLogger: folder", folder)
        self.folder = os.fspath(folder)
        self._writer: _SummaryWriter | None = None

    def on_begin(self, run: Run) -> None:
        """Opens the event file.

        Raises:
            SettingError: a folder that is no path was assigned.
            MissingExtraError: neither package is installed.
        """
        check_path("TensorboardLogger: folder", self.folder)
        from importlib import import_module

        for module in ("tensorboardX", "torch.utils.tensorboard"):
            try:
                writer = import_module(module).SummaryWriter
            except ImportError:
                continue
            self._writer = cast("_SummaryWriter", writer(os.fspath(self.folder)))
            return
        raise MissingExtraError("tensorboardX", "the logger of tensorboard", "loggers")

    def write(self, epoch: int, values: dict[str, float]) -> None:
        """Writes the values of an epoch."""
        for name, value in values.items():
            if self._writer is not None:
                self._writer.add_scalar(name, value, epoch)

    def on_end(self, run: Run) -> None:
        """Closes the event file."""
        if self._writer is not None:
            self._writer.close()

    def on_exception(self, run: Run, error: BaseException) -> None:
        """Closes the event file."""
        self.on_end(run)


class _Metrics(Protocol):
    def log_metrics(self, metrics: dict[str, float], step: int) -> None: ...


class MLflowLogger(EpochLogger):
    """Logs metrics to the active run of MLflow, which starts one where there is none."""

    _mlflow: _Metrics

    def on_begin(self, run: Run) -> None:
        """Imports MLflow.

        Raises:
            MissingExtraError: it is not installed.
        """
        self._mlflow = cast("_Metrics", _imported("mlflow", "the logger of MLflow"))

    def write(self, epoch: int, values: dict[str, float]) -> None:
        """Logs the values of an epoch."""
        self._mlflow.log_metrics(values, step=epoch)


class _WandbRun(Protocol):
    def log(self, data: dict[str, float]) -> None: ...


class WandbLogger(EpochLogger):
    """Logs to the run of Weights & Biases that `wandb.init` has started.

    The epoch is logged beside the curves, as `epoch`: the steps of W&B count all that a run logs, so that a
    second training of the run follows the first.
    """

    _run: _WandbRun

    def on_begin(self, run: Run) -> None:
        """Imports wandb, and takes its run.

        Raises:
            MissingExtraError: it is not installed.
            SettingError: there is no run.
        """
        started = getattr(_imported("wandb", "the logger of Weights & Biases"), "run", None)
        if started is None:
            raise SettingError("WandbLogger: there is no run to log to; wandb.init(...) starts one")
        self._run = cast("_WandbRun", started)

    def write(self, epoch: int, values: dict[str, float]) -> None:
        """Logs the values of an epoch."""
        self._run.log(values | {"epoch": epoch})


def _imported(package: str, purpose: str) -> object:
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError:
        raise MissingExtraError(package, purpose, "loggers") from None
