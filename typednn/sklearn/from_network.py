"""Estimators that train a network which the user builds."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from copy import deepcopy
from typing import Any, TypeAlias, cast

import numpy as np

from typednn.errors import SettingError, TypednnError
from typednn.network.network import AnyNetwork, Network
from typednn.sklearn.estimator import Estimator
from typednn.sklearn.parameters import Build
from typednn.sklearn.state import build_of, build_state

Real: TypeAlias = np.float32 | np.float64


class NetworkBase(Estimator):
    """What estimators of any network do: build it, or take a trained one."""

    build: Build

    @abstractmethod
    def _output_count(self) -> int:
        """Returns the number of classes or outputs, which `build` is given."""

    @abstractmethod
    def _fits(self, outputs: int, activation: str) -> bool:
        """Tells whether a network with this number of outputs, and this activation, fits the targets."""

    def _new_network(self, inputs: int, dtype: type[Real], random: np.random.RandomState) -> AnyNetwork:
        built = self.build(inputs, self._output_count()) if callable(self.build) else deepcopy(self.build)
        layers = cast("Any", built.layers if isinstance(built, Network) else built)
        network: AnyNetwork = Network(layers, dtype, int(random.randint(2**31)))
        found = network.layers[0].length, network.layers[-1].length
        if found[0] != inputs or not self._fits(found[1], network.layers[-1].actname):
            raise SettingError(
                f"build: the network has {found[0]} inputs and {found[1]} outputs; the data have {inputs} "
                f"features and {self._output_count()} classes or outputs"
            )
        return network

    def __getstate__(self) -> dict[str, object]:
        """Returns the state; layers or a network that the user gave as plain arrays, too."""
        state = super().__getstate__()
        if self.build is getattr(self, "network_", None):
            state["build"] = state["network_"]
        elif not callable(self.build):
            with suppress(TypednnError, AttributeError, TypeError):  # `fit` says what is wrong
                state["build"] = build_state(self.build)
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        """Makes the layers or the network again."""
        super().__setstate__(state)
        if isinstance(state["build"], dict):
            same = state["build"] is state.get("network_")
            self.build = self.network_ if same else build_of(cast("dict[str, object]", state["build"]))

    def _adopt(self, network: AnyNetwork) -> None:
        """Becomes a fitted estimator with a trained network."""
        self.n_features_in_: int = network.layers[0].length
        self._begin(network)


def check_network(network: object) -> None:
    """Checks that an estimator can be made of something.

    Raises:
        TypeError: it is not a network.
    """
    if not isinstance(network, Network):
        hint = ": give its network_" if hasattr(network, "network_") else ""
        raise TypeError(f"from_network takes a Network, not {type(network).__name__}{hint}")
