"""`python -m tests.exported_accuracy`: how far exported networks are from `predict`, as docs/interop.md says.

In float32, for each activation × normalisation × output at each opset, ONNX Runtime; for some outputs, C. In
eps of the largest output, and of `magnitude`: the largest output, or sum of what an output is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import typednn.onnx
from tests.typednn.interop.test_c99 import compiled, outputs_of
from tests.typednn.onnx.test_writer import (
    ACTIVATIONS,
    NORMALIZATIONS,
    OPSETS,
    OUTPUTS,
    magnitude,
    network_with,
    runtime,
    samples,
)
from typednn import HiddenLayer, InputLayer, OutputLayer, use_backend
from typednn.interop import to_c

EPS = float(np.finfo(np.float32).eps)
IN_C = ("none", "gelu")
"""The outputs of which C is compiled."""


def in_onnx(network: Any, x: Any, folder: Path) -> Iterator[Any]:
    """Yields the outputs of ONNX Runtime at each opset."""
    for opset in OPSETS:
        typednn.onnx.save(network, folder / "model.onnx", opset=opset)
        yield runtime.InferenceSession(str(folder / "model.onnx")).run(None, {"x": x})[0]


def in_c(network: Any, x: Any, folder: Path) -> Iterator[Any]:
    """Yields the outputs of C."""
    with TemporaryDirectory(dir=folder) as own:  # a library of each, since loaded ones are kept
        yield outputs_of(compiled(to_c(network), Path(own)), x, network.layers[-1].length)


def report(name: str, outputs: tuple[Any, ...], export: Callable[[Any, Any, Path], Iterator[Any]]) -> None:
    """Prints the largest differences, and which networks differ by more than 4 eps of the largest output."""
    x = samples(np.float32)
    by_output: list[float] = []
    by_magnitude: list[float] = []
    with TemporaryDirectory() as folder:
        for activation, normalization, output in product(ACTIVATIONS, NORMALIZATIONS, outputs):
            hidden = HiddenLayer(7, activation, normalization=normalization, dropout=0.25)
            network = network_with([InputLayer(5), hidden, OutputLayer(3, output)], np.float32)
            y = network.predict(x)
            off = max(float(abs(found - y).max()) for found in export(network, x, Path(folder))) / EPS
            by_output.append(off / float(abs(y).max()))
            by_magnitude.append(off / float(magnitude(network, x)))
            if by_output[-1] > 4:
                exact = network.astype(np.float64).predict(x.astype(np.float64))
                own = float(abs(y - exact).max()) / EPS / float(abs(y).max())
                print(f"  {activation}, {normalization}, {output}: {by_output[-1]:.1f} (predict: {own:.1f})")
    print(f"{name}: {len(by_output)} networks, {max(by_output):.1f} eps of the largest output,", end=" ")
    print(f"{max(by_magnitude):.1f} eps of the magnitude; {sum(off > 4 for off in by_output)} above 4 eps")


def main() -> None:
    """Prints what is found of both paths."""
    for backend in ("numpy", "numba"):
        with use_backend(backend):
            report(f"ONNX Runtime, {backend}", OUTPUTS, in_onnx)
            report(f"C, {backend}", IN_C, in_c)


if __name__ == "__main__":
    main()
