"""The names of Keras, PyTorch and scikit-learn: the hint is the name that means the same here, or none."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from typednn import (
    ActivationName,
    Adam,
    Checkpoint,
    EarlyStopping,
    HiddenLayer,
    History,
    LossName,
    OutputActivationName,
    OutputLayer,
    Steps,
    UnknownNameError,
    names,
)
from typednn.initializers import BIAS_INITIALIZERS, WEIGHT_INITIALIZERS
from typednn.names import Names
from typednn.synonyms import SYNONYMS

HINTS: dict[str, dict[str, str | None]] = {
    "hidden_activation": {
        **dict.fromkeys(("linear", "Linear", "identity", "Identity", "None"), "none"),
        "logistic": "sigmoid",
        **dict.fromkeys(("swish", "Swish", "SiLU"), "silu"),
        **dict.fromkeys(("ReLU", "RELU", "Relu"), "relu"),
        **dict.fromkeys(("LeakyReLU", "leakyrelu", "leaky-relu"), "leaky_relu"),
        "GELU": "gelu",
        "Hardtanh": "hard_tanh",
        "HardSigmoid": "hard_sigmoid",
        "tanH": "tanh",
        **dict.fromkeys(("ReLU6", "relu_6"), "relu6"),
        **dict.fromkeys(("Hardswish", "HardSwish"), "hard_swish"),
        "gelu_new": "gelu_tanh",
        **dict.fromkeys(("softmax", "LogSigmoid", "PReLU", "Tanhshrink", "Hardshrink", "sparse_plus"), None),
    },
    "output_activation": {"Softmax": "softmax", "LogSoftmax": "log_softmax", "logits": None, "logit": None},
    "loss": {
        **dict.fromkeys(("mse", "MSELoss", "mean_squared_error", "squared_error"), "MSE"),
        **dict.fromkeys(("MAE", "L1Loss", "mean_absolute_error"), "mae"),
        **dict.fromkeys(("SmoothL1Loss", "HuberLoss", "Huber"), "huber"),
        **dict.fromkeys(
            ("bce", "BCE", "BCELoss", "binary_crossentropy", "binary_cross_entropy"), "bincrossentropy"
        ),
        **dict.fromkeys(("categorical_crossentropy", "SparseCategoricalCrossentropy"), "crossentropy"),
        **dict.fromkeys(("sparse_categorical_crossentropy", "log_loss", "cross_entropy"), "crossentropy"),
        **dict.fromkeys(("KLDivLoss", "KLDivergence", "kld"), "kl_divergence"),
        "PoissonNLLLoss": "poisson",
        "LogCosh": "log_cosh",
        "BinaryFocalCrossentropy": "focal",
        **dict.fromkeys(("squared_hinge", "mape", "msle", "modified_huber"), None),
    },
    "metric": {
        **dict.fromkeys(("acc", "Acc", "categorical_accuracy", "binary_accuracy"), "accuracy"),
        **dict.fromkeys(("MSE", "mean_squared_error", "neg_mean_squared_error"), "mse"),
        "f1_score": "f1",
        "roc_auc": "auc",
        "AUC": "auc",
        "r2_score": "r2",
        "R2Score": "r2",
        "top_k_categorical_accuracy": "top_5_accuracy",
        "rmse": None,
        **dict.fromkeys(("precision", "balanced_accuracy", "pr_auc", "max_error"), None),
        "top_1_accuracy": "accuracy",
    },
    "weight_initializer": {
        **dict.fromkeys(("glorot_normal", "GlorotNormal", "xavier_normal_", "xavier_normal"), "xavier"),
        **dict.fromkeys(("xavier_uniform", "xavier_uniform_", "GlorotUniform"), "glorot_uniform"),
        **dict.fromkeys(("he_normal", "HeNormal", "kaiming_normal_", "kaiming"), "he"),
        **dict.fromkeys(("kaiming_uniform", "kaiming_uniform_", "HeUniform"), "he_uniform"),
        "lecun_normal": "lecun",
        "random_normal": "normal_random",
        "RandomUniform": "uniform_random",
        "ones": "one",
        "Zeros": "zeros",
        "orthogonal_": "orthogonal",
        "identity": None,
    },
    "bias_initializer": {"zeros_": "zeros", "ones": None, "Constant": "constant"},
    "optimizer": {
        "Adam": "adam",
        "ADAM": "adam",
        "AdamW": "adamw",
        "RMSProp": "rmsprop",
        "RMSprop": "rmsprop",
        "SGD": "sgd",
        "NAdam": "nadam",
        "Adagrad": "adagrad",
        "Rprop": "rprop",
        **dict.fromkeys(("adamax", "Adadelta", "RAdam", "ASGD", "Muon", "lamb"), None),
    },
    "normalization": {
        **dict.fromkeys(("BatchNorm1d", "batch_normalization"), "batch"),
        "LayerNorm": "layer",
        "instance": None,
    },
    "minimizer": {"lbfgs": "L-BFGS-B", "l-bfgs-b": "L-BFGS-B", "newton_cg": "Newton-CG"},
    "backend": {"Numba": "numba", "NumPy": "numpy"},
}
CASES = [(table, theirs, ours) for table, hints in HINTS.items() for theirs, ours in hints.items()]


OURS: dict[str, tuple[Any, ...]] = {
    "hidden_activation": get_args(ActivationName),
    "output_activation": get_args(OutputActivationName),
    "loss": get_args(LossName),
}
"""The names without those that other tests have registered, of which swish is one."""


def table_of(name: str) -> Names[Any]:
    table: Names[Any] = getattr(names, name)
    return Names(table.kind, lambda: OURS.get(name, table.known))


def message(table: Any, name: str) -> str:
    with pytest.raises(UnknownNameError) as caught:
        table(name)
    return str(caught.value)


@pytest.mark.parametrize(("table", "theirs", "ours"), CASES)
def test_their_name_is_answered_with_ours(table: str, theirs: str, ours: str | None) -> None:
    said = message(table_of(table), theirs)

    assert f"{theirs!r}: did you mean {ours!r}? " in said if ours else "did you mean" not in said


@pytest.mark.parametrize(
    ("theirs", "hint"),
    [
        ("BCEWithLogitsLoss", "did you mean 'bincrossentropy' after the activation 'sigmoid'? "),
        ("CrossEntropyLoss", "did you mean 'crossentropy' after the activation 'softmax'? "),
        ("NLLLoss", "did you mean 'nll' after the activation 'log_softmax'? "),
    ],
)
def test_losses_that_take_logits_there_need_an_activation_here(theirs: str, hint: str) -> None:
    assert hint in message(table_of("loss"), theirs)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        *(("val_loss", "validation_loss"), ("val_acc", "validation_accuracy"), ("acc", "accuracy")),
        *(("val_accuracy", "validation_accuracy"), ("train_loss", "loss"), ("Loss", "loss")),
    ],
)
def test_curves_of_a_history(theirs: str, ours: str) -> None:
    metrics: Any = {"accuracy": [1.0]}

    said = message(History([0.5], [0.5], metrics, metrics).curve, theirs)

    assert f"did you mean {ours!r}? " in said


def test_every_synonym_is_a_name_of_ours() -> None:
    curves = ["loss", *names.metric.known]
    valid = {
        "activation": names.output_activation.known,
        "loss": names.loss.known,
        "metric": names.metric.known,
        "history": [*curves, *(f"validation_{name}" for name in curves)],
        "initialiser": [row.name for row in (*WEIGHT_INITIALIZERS, *BIAS_INITIALIZERS)],
        "normalisation": names.normalization.known,
        "optimizer": names.optimizer.known,
        "minimizer": names.minimizer.known,
        "attribute": [
            *(each for kind in (HiddenLayer, OutputLayer, EarlyStopping, Steps) for each in dir(kind)),
            *(*Adam.__match_args__, *EarlyStopping.__annotations__, *Checkpoint.__annotations__),
        ],
    }

    for kind, synonyms in SYNONYMS.items():
        assert {ours.partition(" ")[0] for ours in synonyms.values()} - {"", *valid[kind]} == set()
