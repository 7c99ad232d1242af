"""Without the package of another library, one sentence names the extra."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import typednn.onnx
from typednn import InputLayer, MissingExtraError, Network, OutputLayer
from typednn.interop import keras, pytorch, scikit_learn, to_keras, to_sklearn, to_torch


def absent(_name: str) -> None:
    """What `find_spec` returns for a package that is not installed."""


@pytest.mark.parametrize(
    ("module", "convert", "message"),
    [
        (pytorch, to_torch, r"to_torch needs PyTorch: pip install 'typednn\[torch\]'"),
        (keras, to_keras, r"to_keras needs Keras: pip install 'typednn\[keras\]'"),
        (scikit_learn, to_sklearn, r"to_sklearn needs scikit-learn: pip install 'typednn\[metrics\]'"),
    ],
)
def test_a_library_that_is_not_installed(
    module: Any, convert: Callable[[Any], object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", absent)

    with pytest.raises(MissingExtraError, match=message):
        convert(Network([InputLayer(2), OutputLayer(1)]))


def test_onnx_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", absent)

    with pytest.raises(MissingExtraError, match=r"ONNX files needs onnx: pip install 'typednn\[onnx\]'"):
        typednn.onnx.save(Network([InputLayer(2), OutputLayer(1)]), tmp_path / "model.onnx")
    with pytest.raises(MissingExtraError, match=r"pip install 'typednn\[onnx\]'"):
        typednn.onnx.load(tmp_path / "model.onnx")
