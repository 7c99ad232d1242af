"""When a training ends, and how its learning rate changes, as in scikit-learn."""

from __future__ import annotations

import warnings
from math import inf, nan
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from typednn.network.network import AnyNetwork
from typednn.sklearn.parameters import LearningRate, OptimizerLike, Solver
from typednn.sklearn.passes import Passes
from typednn.training.callbacks import Callback, Run
from typednn.training.samples import CheckedSamples

Real: TypeAlias = np.float32 | np.float64

SMALLEST_RATE = 1e-6
"""An adaptive learning rate that has fallen so low ends the training."""


class Curves(Protocol):
    """What an estimator shows of its training."""

    network_: AnyNetwork
    solver: Solver
    optimizer: OptimizerLike
    learning_rate: LearningRate
    learning_rate_init: float
    power_t: float
    max_iter: int
    tol: float
    early_stopping: bool
    n_iter_no_change: float
    verbose: bool | int
    n_iter_: int
    t_: int
    loss_: float
    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    _no_improvement_count: int

    def _score(self, samples: CheckedSamples[Real]) -> float: ...


class Stopping(Callback):
    """Records losses and scores after each epoch, adapts the learning rate, and stops the training.

    Args:
        estimator: whose attributes are written.
        passes: the passes over the samples, which know how a loss is reported.
        held: the held-out samples, or None.
        incremental: whether this is the one epoch of `partial_fit`.
    """

    estimator: Curves
    passes: Passes
    held: CheckedSamples[Real] | None
    incremental: bool

    def __init__(
        self,
        estimator: Curves,
        passes: Passes,
        held: CheckedSamples[Real] | None,
        *,
        incremental: bool,
    ) -> None:
        self.estimator, self.passes, self.held, self.incremental = estimator, passes, held, incremental
        self._constants = None if held is None else passes.scale.constants(held)
        self._best: NDArray[np.generic] | None = None
        self._ended = False

    def on_epoch(self, run: Run) -> None:
        est, history = self.estimator, run.history
        loss = est.loss_ = history.loss[-1] = self.passes.reported(history.loss[-1])
        est.n_iter_, est.t_ = est.n_iter_ + 1, est.t_ + self.passes.count
        if est.verbose:
            print(f"Iteration {est.n_iter_}, loss = {loss:.8f}")
        if self.held is not None:
            factors = self.held.weights if len(self.held.weights) else None
            raw = history.validation_loss[-1]
            history.validation_loss[-1] = self.passes.scale.report(raw, self._constants, factors)
        if self.held is not None and est.early_stopping:
            self._compare_score(run, est._score(self.held))
        elif est.best_loss_ is not None:
            self._count(improved=not loss > est.best_loss_ - est.tol)
            est.best_loss_ = min(est.best_loss_, loss)
        if self._rate_falls("invscaling"):
            run.learning_rate = est.learning_rate_init / (est.t_ + 1) ** est.power_t
        if est._no_improvement_count > est.n_iter_no_change:
            self._stop_or_slow_down(run)
        if est.n_iter_ == est.max_iter and not self.incremental and not self._ended:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({est.max_iter}) reached and the optimization "
                "hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=9,
            )

    @property
    def epochs_to_come(self) -> float:
        """The number of epochs after which the training may stop or its rate may change, at the earliest."""
        est = self.estimator
        if self.held is not None or self._rate_falls("invscaling"):
            return 1
        return est.n_iter_no_change + 1 - est._no_improvement_count

    def _rate_falls(self, how: str) -> bool:
        est = self.estimator
        return est.solver == "sgd" and est.optimizer is None and est.learning_rate == how

    def _compare_score(self, run: Run, value: float) -> None:
        est = self.estimator
        assert est.validation_scores_ is not None
        assert est.best_validation_score_ is not None
        est.validation_scores_.append(value)
        if est.verbose:
            print(f"Validation score: {value:f}")
        self._count(improved=not value < est.best_validation_score_ + est.tol)
        if value > est.best_validation_score_:
            est.best_validation_score_ = value
            self._best = run.parameters.copy()

    def _count(self, *, improved: bool) -> None:
        est = self.estimator
        est._no_improvement_count = 0 if improved else est._no_improvement_count + 1

    def _stop_or_slow_down(self, run: Run) -> None:
        est = self.estimator
        what = "Validation score" if est.early_stopping else "Training loss"
        epochs = f"{est.n_iter_no_change} consecutive epochs"
        text = f"{what} did not improve more than tol={est.tol:f} for {epochs}."
        adaptive = self._rate_falls("adaptive")
        if adaptive and run.learning_rate > SMALLEST_RATE:
            run.learning_rate /= 5
            est._no_improvement_count = 0
            text += f" Setting learning rate to {run.learning_rate:f}"
        else:
            text += " Learning rate too small." * adaptive + " Stopping."
            self._ended = True
            run.stop()
        if est.verbose:
            print(text)

    def diverged(self) -> bool:
        """Records an epoch that diverged; returns whether the weights of an earlier one are kept."""
        est = self.estimator
        if self._best is None or est.validation_scores_ is None:
            return False
        est.validation_scores_.append(nan)
        return True

    def restore_best(self) -> None:
        """Gives the network the parameters of the best score."""
        if self._best is not None:
            self.estimator.network_._storage.parameters[...] = self._best


def reset(est: Curves) -> None:
    """Sets the attributes that are compared after each epoch."""
    early_stopping = est.early_stopping
    est._no_improvement_count = 0
    est.best_loss_ = None if early_stopping else inf
    est.validation_scores_ = [] if early_stopping else None
    est.best_validation_score_ = -inf if early_stopping else None
