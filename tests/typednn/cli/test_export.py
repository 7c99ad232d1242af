"""The command `typednn export`: a model that was trained becomes a file that predicts elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import typednn.onnx
from typednn import HiddenLayer, InputLayer, Network, OutputLayer, use_backend
from typednn.cli.main import main
from typednn.data.columns import NumberColumn
from typednn.data.model import Model
from typednn.data.preprocessing import Preprocessing
from typednn.data.targets import Classes
from typednn.files.models import load, save


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    with use_backend("numpy"):
        network = Network(
            [InputLayer(2), HiddenLayer(3, "relu"), OutputLayer(2, "softmax")], np.float32, seed=0
        )
        columns = (NumberColumn("a", 1.0, 3.0), NumberColumn("b", 2.0, 4.0))
        save(Model(network, Preprocessing(columns, Classes(("no", "yes")))), "model.safetensors")
        yield tmp_path


def test_a_model_becomes_an_onnx_file(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'typednn[onnx]'")

    assert main(["export", "model.safetensors", "model.onnx"]) == 0

    assert capsys.readouterr().out == "model.safetensors is written as model.onnx, with its preprocessing\n"
    x = np.array([[1.0, 5.0]])
    expected = load("model.safetensors", Model).predict(x)
    assert (typednn.onnx.load("model.onnx", Model).predict(x) == expected).all()


def test_a_model_becomes_a_file_of_c() -> None:
    assert main(["export", "model.safetensors", "model.C"]) == 0

    text = Path("model.C").read_text(encoding="ascii")
    assert "void model_predict(const double *features, float *outputs)" in text


def test_other_endings_and_missing_models_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "model.safetensors", "model.pt"]) == 2
    assert "argument FILE: model.pt must end with .onnx or .c" in capsys.readouterr().err
    assert main(["export", "none.safetensors", "model.c"]) == 2
    assert "there is no such file" in capsys.readouterr().err
    assert not Path("model.c").exists()
