"""The README's tables against the code's. Its examples run as doctests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from typednn_kernels import losses
from typednn_kernels.activations import ACTIVATIONS, BUILT_IN, ActivationName, OutputActivationName
from typednn_kernels.losses import LOSSES, LossName, RegressionLossName
from typednn_kernels.normalizations import NORMALIZATIONS, NormalizationName

from typednn.initializers import (
    BIAS_INITIALIZERS,
    WEIGHT_INITIALIZERS,
    BiasInitializerName,
    WeightInitializerName,
)

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")

NAMES = {
    "activations": {row.name for row in ACTIVATIONS[:BUILT_IN]},
    "losses": {row.name for row in LOSSES[: losses.BUILT_IN]},
    "normalisations": {row.name for row in NORMALIZATIONS},
    "weights": {row.name for row in WEIGHT_INITIALIZERS},
    "biases": {row.name for row in BIAS_INITIALIZERS},
}


@pytest.mark.parametrize("kind", NAMES)
def test_the_readme_lists_all_names(kind: str) -> None:
    [row] = re.findall(rf"^\| {kind} \|(.*)\|$", README, flags=re.MULTILINE)

    assert set(re.findall("`(.*?)`", row)) == NAMES[kind]


def test_type_checkers_know_all_names() -> None:
    assert set(get_args(OutputActivationName)) == NAMES["activations"]
    assert set(get_args(ActivationName)) == NAMES["activations"] - {"softmax"}
    assert set(get_args(LossName)) == NAMES["losses"]
    assert set(get_args(RegressionLossName)) == {
        row.name for row in LOSSES[: losses.BUILT_IN] if row.targets == "numbers"
    }
    assert set(get_args(NormalizationName)) == NAMES["normalisations"]
    assert set(get_args(WeightInitializerName)) == NAMES["weights"]
    assert set(get_args(BiasInitializerName)) == NAMES["biases"]
