"""The optimisers: how `Network.fit` changes the parameters, given their gradient.

`network.fit(x, y, optimizer=Adam(learning_rate=1e-3))`. Names and meanings are those of Keras 3, other
choices are said. An optimiser is a value: what it remembers of a training belongs to the training, and its
arithmetic is a row of the table in `typednn_kernels.update_rules`.

All take these keywords:

- `weight_decay`: each step takes so many times the learning rate from every parameter, as a share of it,
  before the rule is applied (decoupled: Loshchilov & Hutter 2019, "Decoupled weight decay regularization").
- `clip_norm`: a gradient of the whole network with a larger norm is shortened to this one (Keras calls it
  `global_clipnorm`; Pascanu et al. 2013, "On the difficulty of training recurrent neural networks",
  algorithm 1).
- `clip_value`: after that, each number of the gradient is clipped to [-clip_value, clip_value].

The gradient that is clipped includes that of the layers' L1 and L2 penalties. Below, g is the clipped
gradient, w a parameter, α the learning rate, t the step, counted from 1.

>>> Adam(learning_rate=0.01)
Adam(learning_rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-08)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import field, fields, replace
from math import inf
from typing import TypeAlias

import numpy as np
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.update_rules import RuleName, coefficient_rows

from typednn import names
from typednn.errors import SettingError
from typednn.names import OptimizerName
from typednn.records import Record
from typednn.training.schedules import Rates, Schedule, Steps
from typednn.validation.settings import check_bool, check_fraction, check_nonnegative

Column: TypeAlias = float | Vector[np.float64]
"""A coefficient of some steps: a number for all, or one for each."""


class Optimizer(Record, ABC, kw_only=True):
    """What all optimisers have in common: the keywords of `typednn.training.optimizers`."""

    learning_rate: float | Schedule
    weight_decay: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None

    def __post_init__(self) -> None:
        """Checks the settings."""
        if not isinstance(self.learning_rate, Schedule):
            check_fraction("learning_rate", self.learning_rate)
        check_nonnegative("weight_decay", self.weight_decay)
        for name in ("clip_norm", "clip_value"):
            if getattr(self, name) is not None:
                check_fraction(name, getattr(self, name))
        self._check()

    def __repr__(self) -> str:
        """As it was constructed; of the common keywords, those that are not at their default."""
        own = sorted(fields(self), key=lambda each: each.kw_only is True)
        shown = [each.name for each in own if not each.kw_only or getattr(self, each.name) != each.default]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    @property
    @abstractmethod
    def rule(self) -> RuleName:
        """The row in the table of update rules."""

    @property
    def first_states(self) -> tuple[float, ...]:
        """What the rule remembers of every parameter before the first step."""
        return ()

    def coefficients(self, first: int, rates: Rates, dtype: np.dtype[F]) -> Matrix[F]:
        """What the kernels take, for some steps from step `first` on, counted from 1."""
        columns = self._columns(np.arange(first, first + len(rates), dtype=np.float64), rates)
        own = np.empty((len(rates), len(columns)))
        for place, column in enumerate(columns):
            own[:, place] = column
        return coefficient_rows(
            own,
            dtype,
            decay=self.weight_decay * rates,
            clip_value=self.clip_value or inf,
            clip_norm=self.clip_norm or inf,
        )

    @abstractmethod
    def _check(self) -> None:
        """Checks what only this optimiser has."""

    @abstractmethod
    def _columns(self, t: Steps, rates: Rates) -> tuple[Column, ...]:
        """The coefficients of the rule at steps t."""


class SGD(Optimizer):
    """Gradient descent: w ← w - α g.

    With momentum: v ← momentum · v - α g, w ← w + v (Polyak 1964); with Nesterov's, w ← w + momentum · v -
    α g with the new v (Sutskever et al. 2013, "On the importance of initialization and momentum in deep
    learning", in the form of Bengio et al. 2012).

    Args:
        learning_rate: α, a number or a schedule.
        momentum: from 0 to below 1.
        nesterov: whether the momentum is Nesterov's.

    Raises:
        SettingError: a number outside its range.
    """

    learning_rate: float | Schedule = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    @property
    def rule(self) -> RuleName:
        return "sgd" if self.momentum == 0 else "nesterov" if self.nesterov else "momentum"

    @property
    def first_states(self) -> tuple[float, ...]:
        return () if self.momentum == 0 else (0.0,)

    def _check(self) -> None:
        check_nonnegative("momentum", self.momentum, 1)
        check_bool("nesterov", self.nesterov)

    def _columns(self, t: Steps, rates: Rates) -> tuple[Column, ...]:
        return (rates,) if self.momentum == 0 else (rates, self.momentum)


class RMSprop(Optimizer):
    """v ← rho · v + (1 - rho) g², w ← w - α g / √(v + epsilon).

    Tieleman & Hinton 2012, lecture 6.5 of "Neural networks for machine learning". Centred, the square of the
    mean of g, taken in the same way, is subtracted from v (Graves 2013, "Generating sequences with recurrent
    neural networks", equations 38 to 41). With momentum: u ← momentum · u + the step, w ← w - u. As in
    Keras, epsilon stands below the root; PyTorch adds it to the root.

    Args:
        learning_rate: α, a number or a schedule.
        rho: from 0 to below 1: how much of the mean square is kept.
        momentum: from 0 to below 1.
        epsilon: keeps steps finite where the gradient is 0.
        centered: whether the gradient's variance is estimated instead of its mean square.

    Raises:
        SettingError: a number outside its range.
    """

    learning_rate: float | Schedule = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    @property
    def rule(self) -> RuleName:
        return "rmsprop_momentum" if self.centered or self.momentum else "rmsprop"

    @property
    def first_states(self) -> tuple[float, ...]:
        return (0.0, 0.0, 0.0) if self.centered or self.momentum else (0.0,)

    def _check(self) -> None:
        check_nonnegative("rho", self.rho, 1)
        check_nonnegative("momentum", self.momentum, 1)
        check_nonnegative("epsilon", self.epsilon)
        check_bool("centered", self.centered)

    def _columns(self, t: Steps, rates: Rates) -> tuple[Column, ...]:
        columns: tuple[Column, ...] = (rates, 1 - self.rho, self.epsilon)
        return (*columns, self.momentum, float(self.centered)) if len(self.first_states) > 1 else columns


class Adagrad(Optimizer):
    """s ← s + g², w ← w - α g / √(s + epsilon).

    Duchi, Hazan & Singer 2011, "Adaptive subgradient methods", figure 1. As in Keras, epsilon stands below
    the root, and s starts above 0.

    Args:
        learning_rate: α, a number or a schedule.
        initial_accumulator_value: s before the first step.
        epsilon: keeps steps finite where the gradient is 0.

    Raises:
        SettingError: a number outside its range.
    """

    learning_rate: float | Schedule = 0.001
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    @property
    def rule(self) -> RuleName:
        return "adagrad"

    @property
    def first_states(self) -> tuple[float, ...]:
        return (self.initial_accumulator_value,)

    def _check(self) -> None:
        check_nonnegative("initial_accumulator_value", self.initial_accumulator_value)
        check_nonnegative("epsilon", self.epsilon)

    def _columns(self, t: Steps, rates: Rates) -> tuple[Column, ...]:
        return rates, self.epsilon


class Adam(Optimizer):
    """m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², w ← w - α m̂ / (√v̂ + epsilon).

    m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ) are without the bias of their start at 0. Kingma & Ba 2015,
    "Adam", algorithm 1. Keras uses the other form of its section 2, in which epsilon is added before v is
    corrected.

    Args:
        learning_rate: α, a number or a schedule.
        beta_1, beta_2: β₁ and β₂, from 0 to below 1: how much of the means is kept.
        epsilon: keeps steps finite where the gradient is 0.

    Raises:
        SettingError: a number outside its range.
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    @property
    def rule(self) -> RuleName:
        return "adam"

    @property
    def first_states(self) -> tuple[float, ...]:
        return 0.0, 0.0

    def _check(self) -> None:
        check_nonnegative("beta_1", self.beta_1, 1)
        check_nonnegative("beta_2", self.beta_2, 1)
        check_nonnegative("epsilon", self.epsilon)

    def _columns(self, t: Steps, rates: Rates) -> tuple[Column, ...]:
        root = np.sqrt(1 - self.beta_2**t)
        rate = rates * root / (1 - self.beta_1**t)
        return rate, 1 - self.beta_1, 1 - self.beta_2, self.epsilon * root


class AdamW(Adam):
    """`Adam` with weight decay: w ← (1 - α · weight_decay) w before each step.

    Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2. The arguments are those
    of `Adam`; `weight_decay` is 0.004 by default, as in Keras.

    Raises:
        SettingError: a number outside its range.
    """

    weight_decay: float = field(default=0.004, kw_only=True)


class Nadam(Adam):
    """`Adam` with Nesterov's momentum, which goes one step further than the mean of the gradient.

    Dozat 2016, "Incorporating Nesterov momentum into Adam", algorithm 2, with the schedule of β₁ in Keras:
    μ = β₁ (1 - 0.96ᵗ / 2) for step t, so that m̂ = μ' m / (1 - Π μ') + (1 - μ) g / (1 - Π μ), where μ' is
    that of the next step. The arguments are those of `Adam`.

    Raises:
        SettingError: a number outside its range.
    """

    @property
    def rule(self) -> RuleName:
        return "nadam"

    def _columns(self, t: Steps, rates: Rates) -> tuple[Column, ...]:
        now, following = self._momentum(t), self._momentum(t + 1)
        product = self.beta_1**t * _product_of_warm_up(t)
        root = np.sqrt(1 - self.beta_2**t)
        rate_of_mean = rates * root * following / (1 - product * following)
        rate_of_gradient = rates * root * (1 - now) / (1 - product)
        return rate_of_mean, rate_of_gradient, 1 - self.beta_1, 1 - self.beta_2, self.epsilon * root

    def _momentum(self, t: Steps) -> Steps:
        return self.beta_1 * (1 - 0.5 * 0.96**t)


class Rprop(Optimizer):
    """Each parameter goes down its slope by a step of its own, which depends on signs alone.

    The step grows by a factor while the sign of the gradient stays, and shrinks when it changes; then the
    parameter waits once. Igel & Hüsken 2003, "Empirical evaluation of the improved Rprop learning
    algorithms", iRprop⁻; settings and defaults are those of PyTorch. Meant for batches of all samples.

    Args:
        learning_rate: the first step; a schedule changes nothing later, and is refused.
        etas: the factors by which steps shrink and grow.
        step_sizes: the smallest and the largest step.

    Raises:
        SettingError: a number outside its range.
    """

    learning_rate: float = 0.01
    etas: tuple[float, float] = (0.5, 1.2)
    step_sizes: tuple[float, float] = (1e-6, 50.0)

    @property
    def rule(self) -> RuleName:
        return "rprop"

    @property
    def first_states(self) -> tuple[float, ...]:
        return 0.0, self.learning_rate

    def _check(self) -> None:
        if isinstance(self.learning_rate, Schedule):
            raise SettingError(
                "learning_rate of Rprop is its first step and must be a number, not a schedule"
            )
        (decrease, increase), (smallest, largest) = self.etas, self.step_sizes
        for value in (*self.etas, *self.step_sizes):
            check_fraction("each number of etas and step_sizes", value)
        if not decrease < 1 < increase:
            raise SettingError(f"etas must be a number below and one above 1, not {self.etas}")
        if smallest > largest:
            raise SettingError(f"step_sizes must be the smallest and the largest, not {self.step_sizes}")

    def _columns(self, t: Steps, rates: Rates) -> tuple[Column, ...]:
        return *self.etas, *self.step_sizes


class Lion(Optimizer):
    """w ← w - α sign(β₁ m + (1 - β₁) g), m ← β₂ m + (1 - β₂) g.

    Chen et al. 2023, "Symbolic discovery of optimization algorithms", program 1. Learning rates are three
    to ten times smaller than those for Adam.

    Args:
        learning_rate: α, a number or a schedule.
        beta_1, beta_2: β₁ and β₂, from 0 to below 1.

    Raises:
        SettingError: a number outside its range.
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.99

    @property
    def rule(self) -> RuleName:
        return "lion"

    @property
    def first_states(self) -> tuple[float, ...]:
        return (0.0,)

    def _check(self) -> None:
        check_nonnegative("beta_1", self.beta_1, 1)
        check_nonnegative("beta_2", self.beta_2, 1)

    def _columns(self, t: Steps, rates: Rates) -> tuple[Column, ...]:
        return rates, 1 - self.beta_1, 1 - self.beta_2


OPTIMIZERS: dict[OptimizerName, Optimizer] = {
    "sgd": SGD(),
    "rmsprop": RMSprop(),
    "adagrad": Adagrad(),
    "adam": Adam(),
    "adamw": AdamW(),
    "nadam": Nadam(),
    "rprop": Rprop(),
    "lion": Lion(),
}
"""By name, with their usual settings."""


def chosen(optimizer: Optimizer | OptimizerName | None, learning_rate: float | Schedule | None) -> Optimizer:
    """The optimizer that `fit` is given, or the one that it names, with that learning rate if there is one.

    Raises:
        SettingError: something else, or a learning rate beside an optimizer.
        UnknownNameError: there is none of that name.
    """
    if optimizer is None or isinstance(optimizer, str):
        usual = OPTIMIZERS["sgd" if optimizer is None else names.optimizer(optimizer)]
        return usual if learning_rate is None else replace(usual, learning_rate=learning_rate)
    if learning_rate is not None:
        raise SettingError(
            "fit takes a learning_rate beside the name of an optimizer, not beside an optimizer: "
            f"{type(optimizer).__name__}(learning_rate={learning_rate!r}) holds both"
        )
    if not isinstance(optimizer, Optimizer):
        raise SettingError(f"optimizer must be one of typednn's, such as Adam(), not {optimizer!r}")
    return optimizer


WARM_UP = 1024
"""After so many steps 1 - 0.96ᵗ / 2 is 1 in float64."""


def _product_of_warm_up(t: Steps) -> Steps:
    """The product of 1 - 0.96ⁱ / 2 over i from 1 to t."""
    products: Vector[np.float64] = np.empty(WARM_UP)
    np.cumprod(1 - 0.5 * 0.96 ** np.arange(1, WARM_UP + 1, dtype=np.float64), out=products)
    return products[np.minimum(t, WARM_UP).astype(np.intp) - 1]
