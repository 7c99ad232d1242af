"""Functions that write networks are given something else: a path, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from typednn import WiringError, interop, onnx

WRITERS: dict[str, Callable[[Any], object]] = {
    "to_c": interop.to_c,
    "to_keras": interop.to_keras,
    "to_torch": interop.to_torch,
    "to_state_dict": interop.to_state_dict,
    "to_sklearn": interop.to_sklearn,
    "onnx.save": lambda network: onnx.save(network, "model.onnx"),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("wrong", ["model.onnx", None])
def test_what_is_no_network(name: str, wrong: object) -> None:
    with pytest.raises(WiringError, match=f"{name}: network must be a Network, not {type(wrong).__name__}"):
        WRITERS[name](wrong)
