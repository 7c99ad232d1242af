"""How a history prints itself, and what it holds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from typednn import DataError, History, UnknownNameError

HISTORY = History(
    [0.5, 0.25, 0.125],
    [1.0, 2.0, 4.0],
    {"accuracy": [0.1, 0.2, 0.3], "f1": [0.25, 0.5, 1.0]},
    {"accuracy": [0.0, 0.5, 0.25], "f1": [0.125, 0.5, 1.0]},
)


def test_table() -> None:
    assert str(HISTORY).splitlines() == [
        "       training                  validation",
        "epoch  loss      accuracy  f1    loss        accuracy  f1",
        "1      0.5       0.1       0.25  1           0         0.125",
        "2      0.25      0.2       0.5   2           0.5       0.5",
        "3      0.125     0.3       1     4           0.25      1",
    ]
    assert str(History([1.5])).splitlines() == ["epoch  loss", "1      1.5"]
    assert str(History()) == "no epoch yet"


@pytest.mark.parametrize("epochs", [1, 2, 11, 12, 13, 24, 1000, 12345])
def test_some_epochs_stand_for_many(epochs: int) -> None:
    lines = str(History([k / 2 for k in range(epochs)])).splitlines()
    shown = [int(line.split()[0]) for line in lines[1:]]
    gaps = {b - a for a, b in pairwise(shown)}

    assert len(shown) == min(12, epochs)
    assert (shown[0], shown[-1]) == (1, epochs)
    assert len(gaps) <= 2
    assert lines[-1].split()[1] == f"{(epochs - 1) / 2:.4g}"


def test_last() -> None:
    assert History([0.5], [0.25]).last() == "loss 0.5, validation loss 0.25"


def test_curves() -> None:
    assert History.of(HISTORY.curves()) == HISTORY
    assert HISTORY.curve("validation_f1") == [0.125, 0.5, 1.0]
    with pytest.raises(UnknownNameError, match="unknown curve of this history 'r2'"):
        HISTORY.curve("r2")
    for curves in ({"loss": [1.0], "f1": []}, {"lost": [1.0]}, {"validation_": [1.0]}):
        given: Any = curves
        with pytest.raises(DataError):
            History.of(given)
