"""The bar of `fit`: on a terminal, after a while; elsewhere silence."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.oracles.problems import problem
from tests.typednn.building import network_of
from typednn.plotting import progress

CASE = problem((3, 4, 2), ("none", "tanh", "none"), "MSE", 11)


def train(**settings: Any) -> None:
    network_of(CASE).fit(CASE.x, CASE.t, epochs=3, validation_data=(CASE.x, CASE.t), **settings)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    monkeypatch.setattr(progress, "DELAY_S", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.usefixtures("terminal")
def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    train()

    shown = capsys.readouterr().out
    assert "epoch 3/3" in shown
    assert "validation loss" in shown


def test_silence_elsewhere(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY_S", 0.0)
    train()

    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("terminal")
def test_silence_where_it_is_wanted_or_soon_over_or_rich_is_missing_or_busy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(progress, "DELAY_S", 60.0)
        train()
    with monkeypatch.context() as patch:
        for name in ("rich", "rich.errors", "rich.progress"):
            patch.setitem(sys.modules, name, None)
        train()
    assert capsys.readouterr() == ("", "")

    console = pytest.importorskip("rich.console")
    with console.Console(quiet=True).status("another display"):
        train()
