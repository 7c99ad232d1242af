"""An error names what was expected and what came, and often the remedy; it changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from typednn import HiddenLayer, InputLayer, Network, OutputLayer, ShapeError, UnknownNameError


def test_a_name_that_is_nearly_right() -> None:
    name: Any = "rleu"  # type checkers know the names

    with pytest.raises(UnknownNameError) as caught:
        HiddenLayer(4, name)

    assert str(caught.value).startswith("unknown hidden activation 'rleu': did you mean 'relu'?")


def test_samples_that_do_not_fit() -> None:
    network = Network([InputLayer(2), HiddenLayer(4, "relu"), OutputLayer(1)], seed=0)
    before = network.parameters.copy()

    with pytest.raises(ShapeError) as caught:
        network.fit(np.zeros((4, 3)), np.zeros((4, 1)), epochs=1)

    assert str(caught.value) == "Network: x must have the shape (n_samples, 2), not (4, 3)"
    assert network.parameters.tobytes() == before.tobytes()
