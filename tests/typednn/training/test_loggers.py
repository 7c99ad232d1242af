"""Loggers: what they pass on to files and packages, which are stood in for by modules of one function."""

from __future__ import annotations

import csv
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from typednn import InputLayer, MissingExtraError, Network, OutputLayer, use_backend
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


def test_mlflow_and_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[Any] = []

    def log(values: Any, step: int) -> None:
        logged.append((step, values["loss"]))

    monkeypatch.setitem(sys.modules, "mlflow", module("mlflow", log_metrics=log))
    monkeypatch.setitem(sys.modules, "wandb", module("wandb", log=log))

    loggers: list[Any] = [MLflowLogger(), WandbLogger()]
    for logger in loggers:
        logged.clear()
        losses: list[float] = trained(logger).loss
        assert logged == list(enumerate(losses, start=1))


@pytest.mark.parametrize(
    ("logger", "package"),
    [(TensorboardLogger("x"), "tensorboardX"), (MLflowLogger(), "mlflow"), (WandbLogger(), "wandb")],
)
def test_missing_packages(logger: Any, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch.utils.tensorboard", package):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(MissingExtraError, match=rf"needs {package}: pip install 'typednn\[loggers\]'"):
        trained(logger)
