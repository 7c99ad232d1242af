"""Names from configuration: what is known passes, and what is not gets the message of the layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from typednn import (
    HiddenLayer,
    InputLayer,
    Network,
    OutputLayer,
    UnknownNameError,
    minimize,
    names,
    register_activation,
    register_loss,
    use_backend,
)
from typednn.formulas import maximum, where
from typednn.names import Names

TABLES: dict[str, Names[Any]] = {
    name: table for name, table in vars(names).items() if isinstance(table, Names)
}

new_input, new_hidden, new_output, switched, minimizing = (
    cast("Callable[..., object]", each)
    for each in (InputLayer, HiddenLayer, OutputLayer, use_backend, minimize)
)


def attached_network() -> Any:
    return Network([InputLayer(1), OutputLayer(1)], seed=0)


def attached() -> Any:
    return attached_network().layers[1]


def fit(*data: Any, **settings: Any) -> None:
    attached_network().fit(*data, **settings)


USES: dict[str, Callable[[str], object]] = {
    "activation": lambda name: new_input(1, name),
    "hidden_activation": lambda name: new_hidden(1, name),
    "output_activation": lambda name: new_output(1, name),
    "loss": lambda name: new_output(1, "none", name),
    "normalization": lambda name: new_hidden(1, normalization=name),
    "weight_initializer": lambda name: attached().set_weights(name),
    "bias_initializer": lambda name: attached().set_biases(name),
    "optimizer": lambda name: fit(np.zeros((2, 1)), np.zeros((2, 1)), optimizer=name),
    "metric": lambda name: fit(np.zeros((2, 1)), np.zeros((2, 1)), metrics=[name]),
    "minimizer": lambda name: minimizing(attached_network(), np.zeros((2, 1)), np.zeros((2, 1)), name),
    "backend": switched,
}
"""Where the library takes a name of each table."""


def test_every_table_is_used() -> None:
    assert set(USES) == set(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_known_names_pass(table: str) -> None:
    assert [TABLES[table](name) for name in TABLES[table].known] == list(TABLES[table])


def test_registered_names_pass() -> None:
    bent = register_activation("bent twice", lambda a: maximum(a, 2 * a), lambda a, y: where(a > 0, 2, 1))
    doubled = register_loss("doubled", lambda y, t: 2 * (y - t) * (y - t), lambda y, t: 4 * (y - t))

    for table in (names.activation, names.hidden_activation, names.output_activation):
        assert table(str(bent)) == bent == table.known[-1]
    assert names.loss(str(doubled)) == doubled == names.loss.known[-1]


@pytest.mark.parametrize("unknown", ["", "sigmiod", "NONE", "crossentropie", "numpyy"])
@pytest.mark.parametrize("table", TABLES)
def test_unknown_names_get_the_message_of_their_use(table: str, unknown: str) -> None:
    with pytest.raises(UnknownNameError) as used:
        USES[table](unknown)
    with pytest.raises(UnknownNameError) as parsed:
        TABLES[table](unknown)

    assert str(parsed.value) == str(used.value)
    assert repr(unknown) in str(parsed.value)
