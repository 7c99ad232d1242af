"""The command `typednn export`: a model that was trained becomes a file that predicts elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import typednn.onnx
from typednn import HiddenLayer, InputLayer, Network, OutputLayer, use_backend
from typednn.cli.main import main
from typednn.data.preprocessing import Classes, Preprocessing, Scale
from typednn.files.models import load_model, save


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    with use_backend("numpy"):
        network = Network(
            [InputLayer(2), HiddenLayer(3, "relu"), OutputLayer(2, "softmax")], np.float32, seed=0
        )
        scale = Scale(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
        save(network, "model.safetensors", preprocessing=Preprocessing(scale, Classes(("no", "yes"))))
        yield tmp_path


def test_a_model_becomes_an_onnx_file(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'typednn[onnx]'")

    assert main(["export", "model.safetensors", "model.onnx"]) == 0

    assert capsys.readouterr().out == "model.safetensors is written as model.onnx, with its preprocessing\n"
    x = np.array([[1.0, 5.0]])
    expected = load_model("model.safetensors").predict(x)
    assert (typednn.onnx.load_model("model.onnx").predict(x) == expected).all()


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
