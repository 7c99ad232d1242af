"""Both paths take the arguments that the interface names, in its order."""

from __future__ import annotations

import inspect

import pytest
from typednn_kernels.interface import Kernels

from tests.conftest import PATHS, kernels_of

NAMES = [name for name in vars(Kernels) if not name.startswith("_")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", PATHS)
def test_arguments(path: str, name: str) -> None:
    wanted = list(inspect.signature(getattr(Kernels, name)).parameters)[1:]
    kernel = getattr(kernels_of(path), name)

    assert list(inspect.signature(getattr(kernel, "py_func", kernel)).parameters) == wanted


@pytest.mark.parametrize("path", PATHS)
def test_a_path_exports_the_kernels_and_no_more(path: str) -> None:
    assert sorted(kernels_of(path).__all__) == sorted(NAMES)
