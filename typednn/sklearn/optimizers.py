"""The optimiser that the parameters of an estimator stand for."""

from __future__ import annotations

from typednn_kernels.update_rules import Column

from typednn.sklearn.parameters import OptimizerLike, Solver
from typednn.training.optimizers import SGD, Adam, Optimizer, resolve_optimizer
from typednn.training.schedules import Rates, Schedule, StepNumbers


class EpsilonHatAdam(Adam):
    """Adam as scikit-learn and Keras have it: epsilon is added before the second moment is corrected.

    Kingma & Ba 2015, "Adam: a method for stochastic optimization", the form at the end of section 2.
    """

    @property
    def _divisor_floor(self) -> float:
        return self.epsilon

    def _columns(self, t: StepNumbers, rates: Rates) -> tuple[Column, ...]:
        rate, *decays, _ = super()._columns(t, rates)
        return rate, *decays, self.epsilon


def optimizer_of(
    optimizer: OptimizerLike,
    solver: Solver,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> Optimizer:
    """Returns the optimiser: the given one, that of a name, or the solver's, whose rate may be a schedule.

    Raises:
        SettingError, UnknownNameError: the optimiser is none of the library's.
    """
    if isinstance(optimizer, str):
        return resolve_optimizer(optimizer, learning_rate)
    if optimizer is not None and not isinstance(optimizer, Schedule):
        return optimizer
    rate = learning_rate if optimizer is None else optimizer
    if solver == "adam":
        return EpsilonHatAdam(rate, beta_1, beta_2, epsilon)
    return SGD(rate, momentum, nesterov and momentum > 0)
