"""Loggers: what they pass on to files and packages, which are stood in for by modules of one function."""

from __future__ import annotations

import csv
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest

from typednn import (
    Callback,
    InputLayer,
    MissingExtraError,
    Network,
    OutputLayer,
    Run,
    SettingError,
    use_backend,
)
from typednn.training.loggers import CSVLogger, LogEpochs, MLflowLogger, TensorboardLogger, WandbLogger


def trained(*callbacks: Any) -> Any:
    x = np.array([[0.0], [1.0], [2.0]])
    with use_backend("numpy"):
        network = Network([InputLayer(1), OutputLayer(1)], seed=0)
        return network.fit(x, x, epochs=3, learning_rate=0.1, validation_data=(x, x), callbacks=callbacks)


def module(name: str, **functions: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(functions)
    return made


def test_csv(tmp_path: Path) -> None:
    history = trained(CSVLogger(tmp_path / "log.csv"))

    rows = list(csv.DictReader((tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()))
    assert list(rows[0]) == ["epoch", "loss", "validation_loss", "learning_rate"]
    assert [float(row["validation_loss"]) for row in rows] == history.validation_loss
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]


def test_a_training_that_does_not_begin_keeps_the_csv_of_the_last(tmp_path: Path) -> None:
    class Refused(Callback):
        def on_begin(self, run: Run) -> None:
            raise SettingError(f"not {run.epochs} epochs")

    logger = CSVLogger(tmp_path / "log.csv")
    trained(logger)
    before = (tmp_path / "log.csv").read_bytes()
    with pytest.raises(SettingError):
        trained(logger, Refused())
    assert (tmp_path / "log.csv").read_bytes() == before
    trained(logger)
    assert (tmp_path / "log.csv").read_bytes() == before
    with pytest.raises(OSError, match="none"):
        trained(CSVLogger(tmp_path / "none" / "log.csv"))


def test_logging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "typednn"):
        history = trained(LogEpochs())

    assert [record.levelname for record in caplog.records] == ["INFO"] * 3
    assert caplog.messages[0].startswith(f"epoch 1: loss {history.loss[0]:.6g}, validation_loss ")


def test_tensorboard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            calls.append(folder)

        def add_scalar(self, *values: Any) -> None:
            calls.append(values)

        def close(self) -> None:
            calls.append("closed")

    monkeypatch.setitem(sys.modules, "tensorboardX", module("tensorboardX", SummaryWriter=SummaryWriter))

    history = trained(TensorboardLogger(tmp_path))

    assert (calls[0], calls[-1]) == (str(tmp_path), "closed")
    assert ("loss", history.loss[1], 2) in calls
    assert ("learning_rate", 0.1, 3) in calls


def test_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[Any] = []

    def log(values: Any, step: int) -> None:
        logged.append((step, values["loss"]))

    monkeypatch.setitem(sys.modules, "mlflow", module("mlflow", log_metrics=log))

    losses: list[float] = trained(MLflowLogger()).loss

    assert logged == list(enumerate(losses, start=1))


def test_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of wandb 0.31: values that are logged with a step that the run has had are dropped."""
    logged: list[Any] = []

    def log(values: Any) -> None:
        logged.append((values["epoch"], values["loss"]))

    run = module("run", log=log)
    monkeypatch.setitem(sys.modules, "wandb", module("wandb", run=run))

    losses = [*trained(WandbLogger()).loss, *trained(WandbLogger()).loss]

    count = len(losses) // 2
    assert logged == list(zip([*range(1, count + 1)] * 2, losses, strict=True))


def test_wandb_without_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", module("wandb", run=None))

    with pytest.raises(SettingError, match=r"no run to log to; wandb\.init\(\.\.\.\) starts one"):
        trained(WandbLogger())


def test_event_files_of_tensorboard(tmp_path: Path) -> None:
    """Reads what tensorboardX has written: records of length, checksum, event, checksum."""
    pytest.importorskip("tensorboardX")
    from importlib import import_module

    event_of: Any = import_module("tensorboardX.proto.event_pb2").Event

    history = trained(TensorboardLogger(tmp_path))

    [path] = tmp_path.iterdir()
    content, at, found = path.read_bytes(), 0, dict[tuple[str, int], float]()
    while at < len(content):
        size = int.from_bytes(content[at : at + 8], "little")
        event = event_of.FromString(content[at + 12 : at + 12 + size])
        found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
        at += 16 + size
    assert [found["loss", k] for k in range(1, len(history.loss) + 1)] == pytest.approx(
        history.loss, rel=1e-6
    )


@pytest.mark.parametrize(
    ("logger", "package"),
    [(TensorboardLogger("x"), "tensorboardX"), (MLflowLogger(), "mlflow"), (WandbLogger(), "wandb")],
)
def test_missing_packages(logger: Any, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch.utils.tensorboard", package):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(MissingExtraError, match=rf"needs {package}: pip install 'typednn\[loggers\]'"):
        trained(logger)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogEpochs(cast("Any", "x")), r"^LogEpochs: logger must be one of Python's.* not 'x'$"),
        (lambda: LogEpochs(None, cast("Any", "y")), r"^LogEpochs: level must be an integer .* not 'y'$"),
        (lambda: TensorboardLogger(cast("Any", 3)), r"^TensorboardLogger: folder must be a path, not int$"),
    ],
)
def test_arguments_of_another_type(make: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make()


@pytest.mark.parametrize(
    ("logger", "name", "value"),
    [
        (LogEpochs(), "logger", None),
        (LogEpochs(), "level", "INFO"),
        (TensorboardLogger("runs"), "folder", 3),
    ],
)
def test_assigned_settings_are_checked_before_the_first_step(logger: Any, name: str, value: Any) -> None:
    setattr(logger, name, value)
    with pytest.raises(SettingError, match=f"{type(logger).__name__}: {name} must be"):
        trained(logger)
