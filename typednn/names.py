"""Checks names that come from configuration, so that a type checker knows them afterwards.

>>> from typednn import HiddenLayer, names
>>> text: str = "tanh"  # from a file, say
>>> HiddenLayer(8, names.hidden_activation(text))
HiddenLayer(8, 'tanh')
>>> list(names.backend)
['numba', 'numpy']
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, Literal, TypeAlias, TypeVar, get_args

from typednn_kernels.activation_families import ParametricActivation, name_of
from typednn_kernels.activations import (
    ACTIVATIONS,
    ActivationName,
    CustomActivation,
    OutputActivationName,
    elementwise_names,
)
from typednn_kernels.losses import LOSSES, CustomLoss, LossName
from typednn_kernels.normalizations import NormalizationName, NormalizationWithSettings
from typednn_kernels.normalizations import name_of as normalization_of

from typednn.attributes import KnownAttributes
from typednn.errors import UnknownNameError
from typednn.initializers import BiasInitializerName, WeightInitializerName

__all__ = [
    "ActivationName",
    "BackendName",
    "BiasInitializerName",
    "CustomActivation",
    "CustomLoss",
    "GradientMethodName",
    "LossName",
    "MetricName",
    "MinimizerName",
    "Names",
    "NormalizationName",
    "OptimizerName",
    "OutputActivationName",
    "ValueMethodName",
    "WeightInitializerName",
    "activation",
    "backend",
    "bias_initializer",
    "hidden_activation",
    "loss",
    "metric",
    "minimizer",
    "normalization",
    "optimizer",
    "output_activation",
    "weight_initializer",
]

BackendName: TypeAlias = Literal["numba", "numpy"]

MetricName: TypeAlias = Literal[
    "accuracy", "top_3_accuracy", "top_5_accuracy", "f1", "auc", "mse", "mae", "r2"
]

OptimizerName: TypeAlias = Literal["sgd", "rmsprop", "adagrad", "adam", "adamw", "nadam", "rprop", "lion"]

GradientMethodName: TypeAlias = Literal["L-BFGS-B", "BFGS", "CG", "Newton-CG", "TNC", "SLSQP", "trust-constr"]
ValueMethodName: TypeAlias = Literal["Nelder-Mead", "Powell", "COBYLA", "COBYQA"]
MinimizerName: TypeAlias = Literal[GradientMethodName, ValueMethodName]
"""SciPy's minimisers that use the gradient, or none; those that need second derivatives are left out."""

N = TypeVar("N", bound=str)


class Names(KnownAttributes, Generic[N]):
    """The names of one kind; calling it with a string checks that it is one of them.

    Attributes:
        kind: the word for the kind in error messages.
    """

    kind: str

    def __init__(
        self, kind: str, valid: Callable[[], tuple[N, ...]], made: Callable[[str], N | None] = lambda _: None
    ) -> None:
        self.kind, self._valid, self._made = kind, valid, made

    @property
    def known(self) -> tuple[N, ...]:
        """All names; those that users have registered come last."""
        return self._valid()

    def __call__(self, name: str) -> N:
        """Returns the name.

        Raises:
            UnknownNameError: there is no such name; the message lists those there are.
        """
        found = self.find(name)
        if found is None:
            raise UnknownNameError(self.kind, name, self.known)
        return found

    def find(self, name: object) -> N | None:
        """Returns the name, or None if there is no such name."""
        if not isinstance(name, str):
            return None
        known = (valid for valid in self.known if name == valid)
        return next(known, self._made(name))

    def __iter__(self) -> Iterator[N]:
        """Iterates over all names."""
        return iter(self.known)


def _activations() -> tuple[OutputActivationName | CustomActivation, ...]:
    return tuple(row.name for row in ACTIVATIONS)


def _with_parameters(name: str) -> CustomActivation | None:
    made = name_of(name)
    return made if isinstance(made, ParametricActivation) else None


def _with_settings(name: str) -> NormalizationWithSettings | None:
    made = normalization_of(name)
    return made if isinstance(made, NormalizationWithSettings) and "(" in made else None


def _losses() -> tuple[LossName | CustomLoss, ...]:
    return tuple(row.name for row in LOSSES)


activation: Names[ActivationName | CustomActivation] = Names(
    "activation", elementwise_names, _with_parameters
)
hidden_activation: Names[ActivationName | CustomActivation] = Names(
    "hidden activation", elementwise_names, _with_parameters
)
output_activation: Names[OutputActivationName | CustomActivation] = Names(
    "output activation", _activations, _with_parameters
)
loss: Names[LossName | CustomLoss] = Names("loss", _losses)
normalization: Names[NormalizationName | NormalizationWithSettings] = Names(
    "normalisation", lambda: get_args(NormalizationName), _with_settings
)
weight_initializer: Names[WeightInitializerName] = Names(
    "weight initialiser", lambda: get_args(WeightInitializerName)
)
bias_initializer: Names[BiasInitializerName] = Names(
    "bias initialiser", lambda: get_args(BiasInitializerName)
)
optimizer: Names[OptimizerName] = Names("optimizer", lambda: get_args(OptimizerName))
metric: Names[MetricName] = Names("metric", lambda: get_args(MetricName))
minimizer: Names[MinimizerName] = Names("minimizer", lambda: get_args(MinimizerName))
backend: Names[BackendName] = Names("backend", lambda: get_args(BackendName))
