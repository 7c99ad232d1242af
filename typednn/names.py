"""Names as they come from configuration: checked, and then known to a type checker.

>>> from typednn import HiddenLayer, names
>>> text: str = "tanh"  # from a file, say
>>> HiddenLayer(8, names.hidden_activation(text))
HiddenLayer(8, 'tanh')
>>> list(names.loss)
['MSE', 'bincrossentropy', 'crossentropy']
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar, get_args

from typednn_kernels.activations import ActivationName, OutputActivationName
from typednn_kernels.losses import LossName

from typednn.errors import UnknownNameError
from typednn.initializers import BiasInitializerName, WeightInitializerName

BackendName: TypeAlias = Literal["numba", "numpy"]

MetricName: TypeAlias = Literal[
    "accuracy", "top_3_accuracy", "top_5_accuracy", "f1", "auc", "mse", "mae", "r2"
]

OptimizerName: TypeAlias = Literal["sgd", "rmsprop", "adagrad", "adam", "adamw", "nadam", "rprop", "lion"]

SlopeMethodName: TypeAlias = Literal["L-BFGS-B", "BFGS", "CG", "Newton-CG", "TNC", "SLSQP", "trust-constr"]
ValueMethodName: TypeAlias = Literal["Nelder-Mead", "Powell", "COBYLA", "COBYQA"]
MinimizerName: TypeAlias = Literal[SlopeMethodName, ValueMethodName]
"""SciPy's minimisers: those that use the gradient, and those that do not. Those that need second derivatives
are not among them."""

N = TypeVar("N", bound=str)


@dataclass(frozen=True, slots=True)
class Names(Generic[N]):
    """The names of one kind.

    Attributes:
        kind: what messages call it.
        known: the names there are.
    """

    kind: str
    known: tuple[N, ...]

    def __call__(self, name: str) -> N:
        """The name.

        Raises:
            UnknownNameError: with the names there are.
        """
        for known in self.known:
            if name == known:
                return known
        raise UnknownNameError(self.kind, name, self.known)

    def __iter__(self) -> Iterator[N]:
        """All of them."""
        return iter(self.known)


activation: Names[ActivationName] = Names("activation", get_args(ActivationName))
hidden_activation: Names[ActivationName] = Names("hidden activation", get_args(ActivationName))
output_activation: Names[OutputActivationName] = Names("output activation", get_args(OutputActivationName))
loss: Names[LossName] = Names("loss", get_args(LossName))
weight_initializer: Names[WeightInitializerName] = Names(
    "weight initialiser", get_args(WeightInitializerName)
)
bias_initializer: Names[BiasInitializerName] = Names("bias initialiser", get_args(BiasInitializerName))
optimizer: Names[OptimizerName] = Names("optimizer", get_args(OptimizerName))
metric: Names[MetricName] = Names("metric", get_args(MetricName))
minimizer: Names[MinimizerName] = Names("minimizer", get_args(MinimizerName))
backend: Names[BackendName] = Names("backend", get_args(BackendName))
