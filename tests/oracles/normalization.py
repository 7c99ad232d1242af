"""Normalisation from its definition: one number at a time, in extended precision.

Samples are rows. A group is what mean and variance are taken over: a column for `"batch"`, a row for
`"layer"`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tests.oracles.loops import Number, Numbers, exact


@dataclass(frozen=True)
class Constants:
    """What is added to variances; what running moments keep; whether running variances are unbiased."""

    epsilon: Number
    momentum: Number
    unbiased: bool = False


USUAL = Constants(Number("0.001"), Number("0.99"))


def groups(name: str, z: Numbers) -> list[list[tuple[int, int]]]:
    """The places (sample, unit) of each group."""
    samples, units = z.shape
    if name == "batch":
        return [[(s, i) for s in range(samples)] for i in range(units)]
    return [[(s, i) for i in range(units)] for s in range(samples)]


def mean_and_variance(z: Numbers, group: list[tuple[int, int]]) -> tuple[Number, Number]:
    """Of the numbers of a group; the variance is that of the population."""
    mean = Number(sum(z[place] for place in group) / len(group))
    return mean, Number(sum((z[place] - mean) ** 2 for place in group) / len(group))


@dataclass
class Normalized:
    """z, normalised; the pre-activations; the factor of each group; and what moving averages become."""

    z: Numbers
    a: Numbers
    factors: Numbers
    moving: Numbers


def normalize(
    name: str,
    training: bool,
    z: ArrayLike,
    gain: ArrayLike,
    bias: ArrayLike,
    moving: ArrayLike,
    constants: Constants = USUAL,
) -> Normalized:
    """a[s, i] = gain[i] (z[s, i] - mean) / sqrt(variance + epsilon) + bias[i]; `moving` is (2, n)."""
    given, result, after = exact(z), exact(z), exact(moving)
    factors: list[Number] = []
    for number, group in enumerate(groups(name, given)):
        mean, variance = mean_and_variance(given, group)
        if name == "batch" and training:
            of_population = variance
            if constants.unbiased and len(group) > 1:
                of_population = variance * len(group) / (len(group) - 1)
            kept = constants.momentum
            for row, value in enumerate((mean, of_population)):
                after[row, number] = kept * after[row, number] + (1 - kept) * value
        elif name == "batch":
            mean, variance = after[:, number]
        factors.append(Number(1 / np.sqrt(variance + constants.epsilon)))
        for place in group:
            result[place] = (given[place] - mean) * factors[-1]
    return Normalized(result, result * exact(gain) + exact(bias), exact(factors), after)


def slope_by_z(
    name: str, z: Numbers, gain: ArrayLike, dLda: ArrayLike, constants: Constants = USUAL
) -> Numbers:
    """dLdz, by the Jacobian of each group: what a number changes in all that are normalised with it.

    d((z_i - mean) f) / dz_j = f (delta_ij - 1/m) - f (z_i - mean) f (z_j - mean) f / m, for m numbers, since
    the variance changes by 2 (z_j - mean) / m.
    """
    g, result = exact(dLda) * exact(gain), np.zeros_like(z)
    for group in groups(name, z):
        m = len(group)
        mean, variance = mean_and_variance(z, group)
        f = 1 / np.sqrt(variance + constants.epsilon)
        for i in group:
            for j in group:
                jacobian = f * ((1 if i == j else 0) - Number(1) / m)
                jacobian -= f * (z[i] - mean) * f * (z[j] - mean) * f / m
                result[j] += g[i] * jacobian
    return result
