"""The command: what it prints, what it writes, and one line for whatever goes wrong."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from typednn_kernels.activations import ActivationName, OutputActivationName
from typednn_kernels.losses import LossName

import typednn
from tests.conftest import PATHS, compiling_only, kernels_of
from typednn import HiddenLayer, InputLayer, Network, OutputLayer, use_backend
from typednn.cli import commands, tables
from typednn.cli.main import main
from typednn.files.models import save
from typednn.formats.atomic import write_file

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

SOURCES = Path(str(typednn.__file__)).parent.parent
OUTPUTS, HIDDEN = get_args(OutputActivationName), get_args(ActivationName)
COMMAND = [sys.executable, "-W", "error", "-m", "typednn"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Each test runs in a folder of its own, on the NumPy path."""
    monkeypatch.chdir(tmp_path)
    with use_backend("numpy"):
        yield tmp_path


def environment() -> dict[str, str]:
    import typednn_kernels

    paths = [str(SOURCES), str(Path(str(typednn_kernels.__file__)).parent.parent)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "TYPEDNN_BACKEND": "numpy"}


def flowers(samples: int = 120, seed: int = 0) -> str:
    """Three kinds, told apart by two of three columns."""
    random = np.random.default_rng(seed)
    kinds = random.integers(0, 3, samples)
    x = random.normal(size=(samples, 3)) + np.c_[3 * kinds, -3 * kinds, 0 * kinds]
    lines = [
        f"{a},{b},{c},{('rose', 'lily', 'iris')[kind]}" for (a, b, c), kind in zip(x, kinds, strict=True)
    ]
    return "\n".join(["long,wide,noise,kind", *lines]) + "\n"


def idx(array: Any) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + bytes(array.tobytes())


def numbers_after(word: str, text: str) -> list[float]:
    """The numbers in the line that begins with a word."""
    line = next(line for line in text.splitlines() if line.split(" ")[0] == word)
    return [float(each) for each in line.replace("%", "").split()[1:]]


def test_alone_it_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    output = capsys.readouterr().out
    for command in ("demo", "train", "tune", "predict", "evaluate", "show", "check", "warmup", "completion"):
        assert f"\n    {command}" in output


@pytest.mark.parametrize(
    "command", [[], ["demo"], ["train"], ["tune"], ["predict"], ["evaluate"], ["show"], ["check"], ["warmup"]]
)
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: typednn")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("typednn ")


def test_train_and_predict(capsys: pytest.CaptureFixture[str]) -> None:
    Path("flowers.csv").write_text(flowers(), encoding="utf-8")
    Path("others.csv").write_text(flowers(60, seed=1), encoding="utf-8")

    assert main(["train", "flowers.csv", "--epochs", "100", "--hidden", "8,4", "--activation", "tanh"]) == 0
    output = capsys.readouterr().out
    assert "flowers.csv: 120 samples of 3 features" in output
    assert "classification of kind, 3 classes: iris, lily, rose" in output
    assert "1      HiddenLayer  8      tanh        32" in output
    assert "epoch 1/100  loss" in output
    accuracy, baseline = numbers_after("accuracy", output)
    assert accuracy > 80 > 50 > baseline
    loss, usual = numbers_after("loss", output)
    assert loss < 0.5 < usual

    assert main(["predict", "model.safetensors", "others.csv"]) == 0
    names, *lines = capsys.readouterr().out.splitlines()
    assert names == "kind,probability"
    truth = [line.rsplit(",", 1)[1] for line in flowers(60, seed=1).splitlines()[1:]]
    assert np.mean([line.split(",")[0] == kind for line, kind in zip(lines, truth, strict=True)]) > 0.85


def test_predictions_go_to_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("flowers.csv").write_text(flowers(), encoding="utf-8")
    assert main(["train", "flowers.csv", "--epochs", "2", "--output", "m"]) == 0
    capsys.readouterr()

    assert main(["predict", "m", "flowers.csv", "--output", "p.csv"]) == 0

    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "120 predictions are in p.csv\n"
    assert len(Path("p.csv").read_text(encoding="utf-8").splitlines()) == 121


def test_what_scripts_read(capsys: pytest.CaptureFixture[str]) -> None:
    Path("flowers.csv").write_text(flowers(), encoding="utf-8")
    assert main(["train", "flowers.csv", "--epochs", "5", "--json", "--cv", "3"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["task"] == "classification"
    assert trained["features"] == ["long", "wide", "noise"]
    assert trained["held_out"]["samples"] == 24
    assert len(trained["folds"]) == 3

    assert main(["evaluate", "model.safetensors", "flowers.csv", "--json"]) == 0
    measures = json.loads(capsys.readouterr().out)
    assert set(measures["classes"]) == {"rose", "lily", "iris"}
    assert np.sum(measures["confusion"]) == 120

    assert main(["predict", "model.safetensors", "flowers.csv", "--json", "--proba", "--keep", "noise"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert list(rows[0]) == [
        "noise",
        "kind",
        *(f"probability of {name}" for name in ("iris", "lily", "rose")),
    ]
    assert sum(value for key, value in rows[0].items() if "probability" in key) == pytest.approx(1, abs=2e-4)

    assert main(["show", "model.safetensors", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["training"]["measures"]["accuracy"] == trained["held_out"]["accuracy"]
    assert [layer["length"] for layer in shown["layers"]] == [3, 64, 3]


def test_the_settings_beside_the_model_give_the_same_model() -> None:
    Path("flowers.csv").write_text(flowers(), encoding="utf-8")
    options = ["--epochs", "3", "--hidden", "4,3", "--dropout", "0.1", "--drop", "noise"]
    assert main(["train", "flowers.csv", *options, "-o", "a.safetensors"]) == 0
    assert main(["train", "flowers.csv", "--config", "a.toml", "-o", "b.safetensors"]) == 0

    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()
    assert Path("a.toml").read_text(encoding="utf-8") == Path("b.toml").read_text(encoding="utf-8")


def test_a_file_of_settings_is_rewritten_only_if_they_change() -> None:
    Path("flowers.csv").write_text(flowers(30), encoding="utf-8")
    Path("model.toml").write_text("# mine\nepochs = 2\nhidden = [4]\n", encoding="utf-8")
    assert main(["train", "flowers.csv", "--config", "model.toml"]) == 0
    assert Path("model.toml").read_text(encoding="utf-8").startswith("# mine")

    assert main(["train", "flowers.csv", "--config", "model.toml", "--epochs", "1"]) == 0
    assert "epochs = 1\n" in Path("model.toml").read_text(encoding="utf-8")


def test_evaluate_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    Path("flowers.csv").write_text(flowers(), encoding="utf-8")
    assert main(["train", "flowers.csv", "--epochs", "40", "--report", "train.html"]) == 0
    capsys.readouterr()

    assert main(["evaluate", "model.safetensors", "flowers.csv", "--report", "evaluate.html"]) == 0
    output = capsys.readouterr().out
    for part in ("precision", "true \\ predicted", "calibration error", "flowers.csv: 120 samples"):
        assert part in output
    assert main(["show", "model.safetensors"]) == 0
    output = capsys.readouterr().out
    for part in ("long    number", "HiddenLayer", "trained with 96 samples", "epochs = 40", "accuracy"):
        assert part in output
    for report in ("train.html", "evaluate.html"):
        page = Path(report).read_text(encoding="utf-8")
        assert page.count("<svg") >= 3
        assert not re.search(r"(src|href)=|@import|url\(", page)
        for part in ("Confusion matrix", "Importance", "precision", "loss"):
            assert part in page


def test_a_report_of_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    Path("line.csv").write_text(
        "a,b\n" + "".join(f"{k % 13},{3 * (k % 13) + 0.5}\n" for k in range(99)), encoding="utf-8"
    )

    assert main(["train", "line.csv", "--report", "r.html", "--epochs", "30"]) == 0
    assert main(["evaluate", "model.safetensors", "line.csv"]) == 0

    assert "quantiles of prediction minus truth" in capsys.readouterr().out
    assert "predicted - true" in Path("r.html").read_text(encoding="utf-8")


def test_tune(capsys: pytest.CaptureFixture[str]) -> None:
    Path("flowers.csv").write_text(flowers(60), encoding="utf-8")

    assert main(["tune", "flowers.csv", "--trials", "2", "--epochs", "3"]) == 0
    assert "The best settings are in model.toml" in capsys.readouterr().out
    assert main(["tune", "flowers.csv", "--trials", "2", "--epochs", "3", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["trials"]) == 2
    assert main(["train", "flowers.csv", "--config", "model.toml"]) == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed")

    assert main(["completion", shell]) == 0

    assert "evaluate" in capsys.readouterr().out


def test_columns_that_are_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    """An id column and an empty target were refused."""
    Path("flowers.csv").write_text(flowers(), encoding="utf-8")
    assert main(["train", "flowers.csv", "--epochs", "3"]) == 0
    lines = flowers().splitlines()
    numbered = ["id," + lines[0], *(f"{k},{line.rpartition(',')[0]}," for k, line in enumerate(lines[1:]))]
    Path("more.csv").write_text("\n".join(numbered), encoding="utf-8")
    capsys.readouterr()

    assert main(["predict", "model.safetensors", "flowers.csv"]) == 0
    expected = capsys.readouterr().out
    assert main(["predict", "model.safetensors", "more.csv"]) == 0

    assert capsys.readouterr().out == expected


def test_regression_is_told_by_the_target(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(size=(200, 2))
    np.savez("data.npz", x=x, y=1000 + 50 * x[:, 0])

    assert main(["train", "data.npz", "--hidden", "none", "--epochs", "50", "--learning-rate", "0.05"]) == 0
    output = capsys.readouterr().out
    assert "regression, numbers" in output
    r2, baseline = numbers_after("R2", output)
    assert r2 > 0.99 > 0.1 > baseline
    error, usual = numbers_after("MAE", output)
    assert error < 3 < 20 < usual

    assert main(["predict", "model.safetensors", "data.npz"]) == 0
    names, *lines = capsys.readouterr().out.splitlines()
    assert names == "prediction"
    assert abs(np.array(lines, float) - 1000 - 50 * x[:, 0]).max() < 20


def test_the_target_and_the_task_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{k % 2},{k},{k % 3}" for k in range(60)]
    Path("data.csv").write_text("\n".join(["first,b,c", *rows]), encoding="utf-8")

    assert main(["train", "data.csv", "--target", "first", "--epochs", "2", "--held-out", "0.5"]) == 0
    output = capsys.readouterr().out
    assert "classification of first, 2 classes: 0, 1" in output
    assert "of 30 held-out samples" in output
    assert main(["train", "data.csv", "--task", "regression", "--epochs", "2", "--batch-size", "48"]) == 0
    assert "regression of c" in capsys.readouterr().out


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_files(packed: bool, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 100).astype(np.uint8)
    images = random.integers(0, 60, (100, 4, 4)).astype(np.uint8)
    images[:, :2] += 150 * labels[:, None, None]
    for name, array in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)):
        content = idx(array)
        Path(f"{name}.gz" if packed else name).write_bytes(gzip.compress(content) if packed else content)
    file = "train-images-idx3-ubyte" + ".gz" * packed

    assert main(["train", file, "--epochs", "10"]) == 0
    output = capsys.readouterr().out
    assert "100 samples of 16 features" in output
    assert numbers_after("accuracy", output)[0] > 95

    assert main(["predict", "model.safetensors", file]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert (
        np.mean([line.split(",")[0] == str(label) for line, label in zip(lines, labels, strict=True)]) > 0.95
    )


def test_the_seed_decides() -> None:
    Path("flowers.csv").write_text(flowers(), encoding="utf-8")
    models: list[bytes] = []
    for seed in ("1", "1", "2"):
        assert main(["train", "flowers.csv", "--epochs", "3", "--seed", seed]) == 0
        models.append(Path("model.safetensors").read_bytes())

    assert models[0] == models[1]
    assert models[0] != models[2]


def test_demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.setattr("typednn.cli.demo.ROUND_SECONDS", 0.001)

    assert main(["demo", "--output", "here/and there", "--epochs", "2"]) == 0

    output = capsys.readouterr()
    assert output.err == ""
    for part in (
        "1,438 scanned digits",
        "1      HiddenLayer  128    relu        8,320",
        "epoch 2/2  loss",
        "% (",
        "all gradients agree",
        "one sample",
        "a batch of 32",
        "Only the NumPy path was timed: numba is not in use.",
        f"drawn in {Path('here/and there/digits.png')}",
    ):
        assert part in output.out
    assert Path("here/and there/digits.png").read_bytes().startswith(b"\x89PNG")


with_numba = pytest.mark.skipif("numba" not in PATHS, reason="TYPEDNN_BACKEND is numpy")


@with_numba
def test_demo_times_both_paths(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    kernels_of("numba")
    monkeypatch.setattr("typednn.cli.demo.ROUND_SECONDS", 0.001)

    def picture(_: object) -> bytes:
        return b"picture"

    monkeypatch.setattr("typednn.cli.demo_plots.demonstration_png", picture)

    with use_backend("numba"):
        assert main(["demo", "--epochs", "1"]) == 0

    output = capsys.readouterr().out
    assert "a training step with" in output
    assert output.count("times faster") == 2
    assert Path("demo/digits.png").read_bytes() == b"picture"


@pytest.mark.parametrize(
    "losses",
    [("MSE", "hinge"), pytest.param(commands.LOSSES, marks=pytest.mark.full("500 networks"))],
    ids=len,
)
def test_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], losses: tuple[LossName, ...]
) -> None:
    monkeypatch.setattr(commands, "LOSSES", losses)

    assert main(["check", "--backend", "numpy"]) == 0

    output = capsys.readouterr().out
    assert f"NumPy {np.__version__}, " in output
    assert "the backend is numpy" in output
    assert f"all gradients of {2 * (len(losses) * len(OUTPUTS) + len(HIDDEN))} networks agree" in output
    names = {*get_args(OutputActivationName)}
    rows = [line.split() for line in output.splitlines() if line.split(" ")[0] in names]
    assert len(rows) == 2 * len(names)
    for name, *numbers in rows:
        has_derivative = name not in {"softmax", "log_softmax"}
        assert len(numbers) == len(losses) + has_derivative
        assert max(map(float, numbers)) < 1


def test_check_fails_where_a_gradient_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from typednn_kernels import plain

    right: Callable[..., None] = plain.backward

    def wrong(*arrays: Any) -> None:
        right(*arrays)
        arrays[-1][3] *= 1.001
        arrays[-1][3] += 1e-3

    monkeypatch.setattr(plain, "backward", wrong)
    monkeypatch.setattr(commands, "LOSSES", ("MSE",))

    assert main(["check"]) == 1

    output = capsys.readouterr().out
    assert "WRONG" in output
    assert f"of {2 * (len(OUTPUTS) + len(HIDDEN))} networks have WRONG gradients" in output
    assert "GRADIENTS DISAGREE" in output


@pytest.mark.full("it compiles all")
@compiling_only
def test_warmup(capsys: pytest.CaptureFixture[str]) -> None:
    kernels_of("numba")
    assert main(["warmup"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("ready for float32 and float64 after ")
    folder = Path(output.strip().split("the machine code is in ")[1])
    assert any(folder.iterdir())
    assert typednn.backend() == "numpy"


def saved_model(name: str = "model.safetensors") -> str:
    network = Network([InputLayer(3), HiddenLayer(2, "tanh"), OutputLayer(1)], np.float64, 0)
    save(network, name)
    return name


def data_files() -> None:
    Path("data.csv").write_text("a,b,c\n1,2,3\n4,5,6.5\n7,8,9\n", encoding="utf-8")
    Path("slope.csv").write_text("".join(f"{k},{k * k % 7},{k / 2}\n" for k in range(40)), encoding="utf-8")
    Path("flowers.csv").write_text(flowers(30), encoding="utf-8")
    Path("gap.csv").write_text("a,b\n1,2\n3,\n", encoding="utf-8")
    Path("a.toml").write_text("epohcs = 3\n", encoding="utf-8")
    Path("b.toml").write_text("dropout = 3\n", encoding="utf-8")
    Path("file").write_text("", encoding="utf-8")
    saved_model("m")


WRONG: dict[str, tuple[list[str], str]] = {
    "unknown command": (["trian"], "there is no command 'trian': did you mean train?"),
    "unknown option": (["check", "--loud"], "there is no option --loud"),
    "misspelt option": (["train", "x", "--epohcs", "3"], "no option --epohcs: did you mean --epochs?"),
    "one argument too many": (["show", "m", "n"], "unexpected argument 'n'"),
    "no such config": (["train", "flowers.csv", "--config", "no.toml"], "no.toml: there is no such file"),
    "unknown setting": (
        ["train", "flowers.csv", "--config", "a.toml"],
        "setting 'epohcs': did you mean 'epochs'",
    ),
    "wrong setting": (
        ["train", "flowers.csv", "--config", "b.toml"],
        "b.toml: dropout must be a number between",
    ),
    "no TOML": (["train", "flowers.csv", "--config", "gap.csv"], "gap.csv: expected TOML"),
    "delimiter": (["train", "x", "--delimiter", "::"], "must be one character, tab, space"),
    "decimal sign": (["train", "x", "--decimal", "x"], "must be point or comma, not 'x'"),
    "folds": (["train", "flowers.csv", "--cv", "99"], "2 to 30 folds for 30 samples, not 99"),
    "column to keep": (["predict", "m", "data.csv", "--keep", "d"], "unknown column of data.csv 'd'"),
    "evaluate a network": (["evaluate", "m", "data.csv"], "found a network alone"),
    "no data": (["train"], "the following arguments are required: DATA"),
    "epochs of text": (
        ["train", "x", "--epochs", "many"],
        "--epochs: must be a whole number of 1 or more, not 'many'",
    ),
    "no epochs": (["demo", "--epochs", "0"], "--epochs: must be a whole number of 1 or more, not '0'"),
    "negative seed": (["demo", "--seed", "-1"], "--seed: must be a whole number of 0 or more, not '-1'"),
    "rate 0": (["train", "x", "--learning-rate", "0"], "--learning-rate: must be a number above 0, not '0'"),
    "rate nan": (
        ["train", "x", "--learning-rate", "nan"],
        "--learning-rate: must be a number above 0, not 'nan'",
    ),
    "rate inf": (
        ["train", "x", "--learning-rate", "inf"],
        "--learning-rate: must be a number above 0, not 'inf'",
    ),
    "share 1": (["train", "x", "--held-out", "1"], "--held-out: must be a number between 0 and 1, not '1'"),
    "hidden 0": (["train", "x", "--hidden", "8,0"], "--hidden: must be a whole number of 1 or more, not '0'"),
    "activation": (["train", "x", "--activation", "rleu"], "unknown activation 'rleu': did you mean 'relu'?"),
    "task": (["train", "x", "--task", "regresion"], "unknown task 'regresion': did you mean 'regression'?"),
    "backend": (["check", "--backend", "cuda"], "unknown backend 'cuda': valid names are numba, numpy"),
    "no such file": (["train", "nothing.csv"], "nothing.csv: there is no such file"),
    "a folder": (["train", "."], "is not a file"),
    "a gap": (["train", "gap.csv"], "gap.csv, line 3: the target 'b' has no value ('')"),
    "unknown column": (["train", "flowers.csv", "--target", "knid"], "did you mean 'kind'?"),
    "text regression": (
        ["train", "flowers.csv", "--task", "regression"],
        "the target 'kind' is text ('iris')",
    ),
    "no batch": (
        ["train", "flowers.csv", "--batch-size", "0"],
        "argument --batch-size: must be a whole number of 1 or more, not '0'",
    ),
    "divergence": (["train", "slope.csv", "--optimizer", "sgd", "--learning-rate", "1e9"], "diverged"),
    "few samples": (["train", "data.csv"], "two held-out samples or more"),
    "no output folder": (["train", "flowers.csv", "--output", "no/m"], "--output: there is no folder no"),
    "output is a folder": (["train", "flowers.csv", "--output", "."], "is not a file"),
    "demo in a file": (["demo", "--output", "file"], "file: File exists"),
    "labels with CSV": (["train", "flowers.csv", "--labels", "m"], "go with IDX files; this is csv"),
    "no such model": (["predict", "nothing", "data.csv"], "nothing: there is no such file"),
    "no model": (["predict", "flowers.csv", "flowers.csv"], "flowers.csv: expected a safetensors file"),
    "other width": (["predict", "m", "gap.csv"], "gap.csv: expected 3 columns of features"),
    "no samples to predict for": (["predict", "m", "nothing.csv"], "nothing.csv: there is no such file"),
    "predictions into nowhere": (
        ["predict", "m", "data.csv", "--output", "no/p"],
        "No such file or directory",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = WRONG[name]
    data_files()

    assert main(arguments) == 2

    error = capsys.readouterr().err
    assert error.startswith("typednn: ")
    assert error.count("\n") == 1
    assert error.endswith("\n")
    assert message in error


def test_a_failed_training_leaves_the_model_as_it_was() -> None:
    data_files()
    before = Path("m").read_bytes()

    assert main(["train", "slope.csv", "--optimizer", "sgd", "--learning-rate", "1e9", "--output", "m"]) == 2

    assert Path("m").read_bytes() == before
    assert not list(Path().glob(".*"))


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("polars", ["train", "flowers.csv"]),
        ("shtab", ["completion", "bash"]),
        ("matplotlib", ["demo"]),
        ("sklearn.datasets", ["demo"]),
    ],
)
def test_missing_extras(
    module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data_files()
    monkeypatch.setitem(sys.modules, module, None)

    assert main(arguments) == 2

    extra = "tables" if module == "polars" else "cli"
    assert capsys.readouterr().err.endswith(f"pip install 'typednn[{extra}]'\n")


def test_rich_is_an_extra_of_terminals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data_files()
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    assert main(["train", "flowers.csv", "--epochs", "1"]) == 0

    monkeypatch.setattr("typednn.plotting.progress.on_terminal", lambda: True)
    assert main(["train", "flowers.csv", "--epochs", "1"]) == 2
    assert "the progress bar needs rich: pip install 'typednn[cli]'" in capsys.readouterr().err


def test_a_bar_on_terminals(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich", reason="rich is not installed")
    data_files()
    monkeypatch.setattr("typednn.plotting.progress.on_terminal", lambda: True)

    assert main(["train", "flowers.csv", "--epochs", "3"]) == 0

    output = capsys.readouterr().out
    assert "3/3" in output
    assert "epoch 3/3  loss" not in output


@pytest.mark.parametrize("arguments", [["warmup"], ["check", "--backend", "numba"]])
def test_numba_that_does_not_work(arguments: list[str]) -> None:
    start = "import sys; sys.modules['numba'] = None; from typednn.cli.main import main"
    code = f"{start}; sys.exit(main({arguments}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment() | {"TYPEDNN_BACKEND": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("typednn: the backend 'numba' does not work here: ")
    assert done.stderr.count("\n") == 1


def raising(error: BaseException) -> Callable[[Any], int]:
    def run(_: Any) -> int:
        raise error

    run.__name__ = "check"
    return run


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "typednn: interrupted\n"),
        (MemoryError(), 2, "typednn: there is not enough memory for this\n"),
        (PermissionError(13, "Permission denied", "there"), 2, "typednn: there: Permission denied\n"),
        (OSError("strange"), 2, "typednn: strange\n"),
        (ImportError("no llvmlite"), 2, "typednn: the backend 'numba' does not work here: no llvmlite\n"),
        (typednn.DataError("one\ntwo"), 2, "typednn: one two\n"),
    ],
)
def test_exit_codes(
    error: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(commands, "check", raising(error))

    assert main(["check"]) == code
    assert capsys.readouterr().err == message


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "check", raising(AssertionError("a defect")))
    with pytest.raises(AssertionError, match="a defect"):
        main(["check"])


def test_warnings_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def check(_: Any) -> int:
        warnings.warn("numba does not work", stacklevel=1)
        return 0

    monkeypatch.setattr(commands, "check", check)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["check"]) == 0
    assert capsys.readouterr().err == "typednn: numba does not work\n"


def test_python_m_and_a_reader_that_goes_away() -> None:
    saved_model()
    np.savez("data.npz", x=np.ones((2_000, 3)))
    with subprocess.Popen(
        [*COMMAND, "predict", "model.safetensors", "data.npz"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c() -> None:
    Path("flowers.csv").write_text(flowers(), encoding="utf-8")
    with subprocess.Popen(
        [*COMMAND, "train", "flowers.csv", "--epochs", "10000000", "--patience", "0"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (background jobs ignore it)
    ) as process:
        try:
            assert process.stdout is not None
            assert any("epoch 1/" in line for line in iter(process.stdout.readline, ""))
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert errors == "typednn: interrupted\n"
    assert process.returncode == 130
    assert not Path("model.safetensors").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_that_end_the_process_leave_no_draft(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, drafts = getattr(signal, name), list[Path]()

    def parts() -> Iterator[bytes]:
        yield b"content"
        drafts.extend(tmp_path.iterdir())
        os.kill(os.getpid(), number)
        yield b"more"

    def show(_: object) -> int:
        write_file(tmp_path / "file", parts())
        return 0

    before = signal.signal(number, signal.SIG_DFL)
    try:
        monkeypatch.setattr(tables, "show", show)
        assert main(["show", "model"]) == 128 + number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert len(drafts) == 1
    assert list(tmp_path.iterdir()) == []


def test_heavy_packages_are_imported_when_they_are_needed() -> None:
    heavy = {"matplotlib", "polars", "sklearn", "rich", "numba", "llvmlite", "scipy", "safetensors", "torch"}
    code = f"import sys, typednn.cli.main; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
