"""The optimisers: how a training step changes the parameters, given their gradient.

`network.fit(x, y, optimizer=Adam(learning_rate=1e-3))`. Names and meanings follow Keras 3 unless a docstring
says otherwise. An optimiser is immutable and has settings: `rule` names the row of the table in
`typednn_kernels.update_rules` that says what it computes, remembers and corrects. The state belongs to the
training.

All optimisers take these keywords:

- `weight_decay`: multiplies every parameter by 1 - α · weight_decay before the rule is applied (Loshchilov &
  Hutter 2019, "Decoupled weight decay regularization").
- `clip_norm`: scales the gradient of the whole network down to this norm where it is larger (Pascanu et al.
  2013, "On the difficulty of training recurrent neural networks", algorithm 1; Keras' `global_clipnorm`).
- `clip_value`: then clips each element of the gradient to [-clip_value, clip_value].

The gradient that is clipped includes the gradient of the layers' L1 and L2 penalties. In the formulas, g is
the clipped gradient, w a parameter, α the learning rate, and t the step, counted from 1.

>>> Adam(learning_rate=0.01)
Adam(learning_rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-08)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import field, fields, replace
from math import inf

import numpy as np
from typednn_kernels.arrays import F, Matrix
from typednn_kernels.update_rules import (
    CODES,
    RULES,
    Column,
    RuleName,
    UpdateRule,
    coefficient_rows,
    settings_of,
)

from typednn import names
from typednn.errors import SettingError
from typednn.names import OptimizerName
from typednn.records import Record
from typednn.training.schedules import Rates, Schedule, StepNumbers
from typednn.validation.settings import check_bool, check_nonnegative, check_positive


class Optimizer(Record, ABC, kw_only=True):
    """The base class of optimisers, with the keywords that all of them take; see the module."""

    learning_rate: float | Schedule
    weight_decay: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            SettingError: a number is outside its range.
        """
        if not isinstance(self.learning_rate, Schedule):
            check_positive("learning_rate", self.learning_rate)
        check_nonnegative("weight_decay", self.weight_decay)
        for name in ("clip_norm", "clip_value"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        self._check()

    def __repr__(self) -> str:
        """Returns the expression that constructs the optimiser, without common keywords at their default."""
        own = sorted(fields(self), key=lambda each: each.kw_only is True)
        shown = [each.name for each in own if not each.kw_only or getattr(self, each.name) != each.default]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    @property
    @abstractmethod
    def rule(self) -> RuleName:
        """The name of the update rule, a row of `typednn_kernels.update_rules`."""

    @property
    def first_states(self) -> tuple[float, ...]:
        """The values of the rule's state vectors before the first step."""
        return tuple(
            float(getattr(self, first)) if isinstance(first, str) else first
            for first in self._row.first_states
        )

    @property
    def _divisor_floor(self) -> float:
        """What a step adds to its divisors at least, so that they are not 0; infinity where it has none."""
        floor = self._row.divisor_floor
        return floor(**settings_of(floor, self))

    @property
    def _row(self) -> UpdateRule:
        """The update rule."""
        return RULES[CODES[self.rule]]

    def coefficients(self, first: int, rates: Rates, dtype: np.dtype[F]) -> Matrix[F]:
        """Computes the coefficients that the kernels read, for the steps from `first` on, counted from 1."""
        columns = self._columns(np.arange(first, first + len(rates), dtype=np.float64), rates)
        own = np.empty((len(rates), len(columns)))
        for place, column in enumerate(columns):
            own[:, place] = column
        return coefficient_rows(
            own,
            dtype,
            decay=self.weight_decay * rates,
            clip_value=min(self.clip_value or inf, self._row.largest_element(dtype)),
            clip_norm=self.clip_norm or inf,
        )

    @abstractmethod
    def _check(self) -> None:
        """Checks the settings that only this optimiser has."""

    def _columns(self, t: StepNumbers, rates: Rates) -> tuple[Column, ...]:
        """Computes the coefficients of the rule at steps t `(n,)`, given their learning rates."""
        columns = self._row.columns
        return columns(t, rates, **settings_of(columns, self))


class SGD(Optimizer):
    """Stochastic gradient descent: w ← w - α g.

    With momentum it is v ← momentum · v - α g, w ← w + v (Polyak 1964). With Nesterov's momentum it is
    w ← w + momentum · v - α g, with the new v (Nesterov 1983; Sutskever et al. 2013, "On the importance of
    initialization and momentum in deep learning", in the form of Bengio et al. 2012).

    Args:
        learning_rate: α, a number or a schedule.
        momentum: the fraction of the previous step that is added, at least 0 and below 1.
        nesterov: whether the momentum is Nesterov's.

    Raises:
        SettingError: a number is outside its range.

    >>> SGD(0.1, momentum=0.9, nesterov=True)
    SGD(learning_rate=0.1, momentum=0.9, nesterov=True)
    """

    learning_rate: float | Schedule = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    @property
    def rule(self) -> RuleName:
        return "sgd" if self.momentum == 0 else "nesterov" if self.nesterov else "momentum"

    def _check(self) -> None:
        check_nonnegative("momentum", self.momentum, 1)
        check_bool("nesterov", self.nesterov)


class RMSprop(Optimizer):
    """RMSprop: v ← rho · v + (1 - rho) g², w ← w - α g / √(v + epsilon).

    Tieleman & Hinton 2012, "Neural networks for machine learning", lecture 6.5. If centred, the square of the
    running mean of g is subtracted from v (Graves 2013, "Generating sequences with recurrent neural
    networks", equations 38 to 41). With momentum it is u ← momentum · u + α g / √(v + epsilon), w ← w - u. As
    in Keras, epsilon is added under the root; PyTorch adds it to the root.

    Args:
        learning_rate: α, a number or a schedule.
        rho: the decay rate of the mean square, at least 0 and below 1.
        momentum: the fraction of the previous step that is added, at least 0 and below 1.
        epsilon: keeps steps finite where the gradient is 0.
        centered: whether to divide by an estimate of the gradient's variance instead of its mean square.

    Raises:
        SettingError: a number is outside its range.

    >>> RMSprop(0.01, momentum=0.5)
    RMSprop(learning_rate=0.01, rho=0.9, momentum=0.5, epsilon=1e-07, centered=False)
    """

    learning_rate: float | Schedule = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    @property
    def rule(self) -> RuleName:
        return "rmsprop_momentum" if self.centered or self.momentum else "rmsprop"

    def _check(self) -> None:
        check_nonnegative("rho", self.rho, 1)
        check_nonnegative("momentum", self.momentum, 1)
        check_nonnegative("epsilon", self.epsilon)
        check_bool("centered", self.centered)


class Adagrad(Optimizer):
    """Adagrad: s ← s + g², w ← w - α g / √(s + epsilon).

    Duchi, Hazan & Singer 2011, "Adaptive subgradient methods for online learning and stochastic
    optimization", figure 1. As in Keras, epsilon is added under the root, and s starts above 0.

    Args:
        learning_rate: α, a number or a schedule.
        initial_accumulator_value: s before the first step.
        epsilon: keeps steps finite where the gradient is 0.

    Raises:
        SettingError: a number is outside its range.

    >>> Adagrad(0.1)
    Adagrad(learning_rate=0.1, initial_accumulator_value=0.1, epsilon=1e-07)
    """

    learning_rate: float | Schedule = 0.001
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    @property
    def rule(self) -> RuleName:
        return "adagrad"

    def _check(self) -> None:
        check_nonnegative("initial_accumulator_value", self.initial_accumulator_value)
        check_nonnegative("epsilon", self.epsilon)


class Adam(Optimizer):
    """Adam: m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², w ← w - α m̂ / (√v̂ + epsilon).

    m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ) correct the bias of moments that start at 0. Kingma & Ba 2015,
    "Adam: a method for stochastic optimization", algorithm 1. Keras uses the form at the end of its section
    2, in which epsilon is added before v is corrected.

    Args:
        learning_rate: α, a number or a schedule.
        beta_1: β₁, the decay rate of the first moment, at least 0 and below 1.
        beta_2: β₂, the decay rate of the second moment, at least 0 and below 1.
        epsilon: keeps steps finite where the gradient is 0.

    Raises:
        SettingError: a number is outside its range.

    >>> Adam(learning_rate=0.01, weight_decay=0.1)
    Adam(learning_rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-08, weight_decay=0.1)
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    @property
    def rule(self) -> RuleName:
        return "adam"

    def _check(self) -> None:
        check_nonnegative("beta_1", self.beta_1, 1)
        check_nonnegative("beta_2", self.beta_2, 1)
        check_nonnegative("epsilon", self.epsilon)


class AdamW(Adam):
    """AdamW: `Adam` with decoupled weight decay, w ← (1 - α · weight_decay) w before each step.

    Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2. The arguments are those
    of `Adam`; `weight_decay` is 0.004 by default, as in Keras.

    Raises:
        SettingError: a number is outside its range.

    >>> AdamW(weight_decay=0.01)
    AdamW(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-08, weight_decay=0.01)
    """

    weight_decay: float = field(default=0.004, kw_only=True)


class Nadam(Adam):
    """Nadam: `Adam` with Nesterov's momentum, m̂ = μ' m / (1 - Π μ') + (1 - μ) g / (1 - Π μ).

    Dozat 2016, "Incorporating Nesterov momentum into Adam", algorithm 2, with Keras' schedule of the
    momentum: μ = β₁ (1 - 0.96ᵗ / 2) at step t, and μ' is that of the next step. Products run over all steps
    so far. The arguments are those of `Adam`.

    Raises:
        SettingError: a number is outside its range.

    >>> Nadam(0.01, clip_norm=1.0)
    Nadam(learning_rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-08, clip_norm=1.0)
    """

    @property
    def rule(self) -> RuleName:
        return "nadam"


class Rprop(Optimizer):
    """Rprop: w ← w - Δ sign(g), with a step size Δ for each parameter that depends on signs alone.

    Δ grows by a factor while the sign of g stays. When it changes, Δ shrinks and the parameter keeps its
    value for one step. Riedmiller & Braun 1993, "A direct adaptive method for faster backpropagation
    learning", in the variant iRprop⁻ of Igel & Hüsken 2003, "Empirical evaluation of the improved Rprop
    learning algorithms"; settings and defaults are those of PyTorch. It is meant for steps with all samples.

    Args:
        learning_rate: the first step size; it must be a number, since a schedule would have no effect.
        etas: the factors by which step sizes shrink and grow.
        step_sizes: the smallest and the largest step size.

    Raises:
        SettingError: a number is outside its range.

    >>> import numpy as np
    >>> from typednn import InputLayer, Network, OutputLayer
    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> network = Network([InputLayer(1), OutputLayer(1)], seed=0)
    >>> history = network.fit(x, 3 - x, epochs=100, optimizer=Rprop())  # 3 samples, so a step has them all
    >>> network.parameters.round(2)
    array([-1.,  3.])
    """

    learning_rate: float = 0.01
    etas: tuple[float, float] = (0.5, 1.2)
    step_sizes: tuple[float, float] = (1e-6, 50.0)

    @property
    def rule(self) -> RuleName:
        return "rprop"

    def _check(self) -> None:
        if isinstance(self.learning_rate, Schedule):
            raise SettingError(
                "learning_rate of Rprop is its first step and must be a number, not a schedule"
            )
        for name, pair in (("etas", self.etas), ("step_sizes", self.step_sizes)):
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise SettingError(f"{name} must be a tuple of two numbers, not {pair!r}")
        (decrease, increase), (smallest, largest) = self.etas, self.step_sizes
        for value in (*self.etas, *self.step_sizes):
            check_positive("each number of etas and step_sizes", value)
        if not decrease < 1 < increase:
            raise SettingError(f"etas must be a number below and one above 1, not {self.etas}")
        if smallest > largest:
            raise SettingError(f"step_sizes must be the smallest and the largest, not {self.step_sizes}")


class Lion(Optimizer):
    """Lion: w ← w - α sign(β₁ m + (1 - β₁) g), m ← β₂ m + (1 - β₂) g.

    Chen et al. 2023, "Symbolic discovery of optimization algorithms", program 1. Suitable learning rates are
    three to ten times smaller than for Adam.

    Args:
        learning_rate: α, a number or a schedule.
        beta_1: β₁, the weight of the momentum in the step, at least 0 and below 1.
        beta_2: β₂, the weight of the momentum in its own update, at least 0 and below 1.

    Raises:
        SettingError: a number is outside its range.

    >>> Lion(1e-4)
    Lion(learning_rate=0.0001, beta_1=0.9, beta_2=0.99)
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.99

    @property
    def rule(self) -> RuleName:
        return "lion"

    def _check(self) -> None:
        check_nonnegative("beta_1", self.beta_1, 1)
        check_nonnegative("beta_2", self.beta_2, 1)


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
"""The optimisers that names stand for, with their default settings."""


def resolve_optimizer(
    optimizer: Optimizer | OptimizerName | None, learning_rate: float | Schedule | None
) -> Optimizer:
    """Returns the optimiser that the arguments of `fit` stand for, by default `SGD()`.

    Raises:
        SettingError: the optimiser is something else, or a learning rate is given beside an optimiser.
        UnknownNameError: there is no optimiser of that name.
    """
    if optimizer is None or isinstance(optimizer, str):
        default = OPTIMIZERS["sgd" if optimizer is None else names.optimizer(optimizer)]
        return default if learning_rate is None else replace(default, learning_rate=learning_rate)
    if learning_rate is not None:
        raise SettingError(
            "fit takes a learning_rate beside the name of an optimizer, not beside an optimizer: "
            f"{type(optimizer).__name__}(learning_rate={learning_rate!r}) holds both"
        )
    if not isinstance(optimizer, Optimizer):
        raise SettingError(f"optimizer must be one of typednn's, such as Adam(), not {optimizer!r}")
    return optimizer
