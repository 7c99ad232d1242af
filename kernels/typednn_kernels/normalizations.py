"""The normalisations of hidden layers: one row each.

z = W h_prev becomes (z - mean) / sqrt(variance + EPSILON), and the pre-activations gain * z + bias.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from typednn_kernels.arrays import Values
from typednn_kernels.primitives import sqrt

NormalizationName: TypeAlias = Literal["none", "batch", "layer"]

EPSILON = 1e-3
"""Added to variances: Keras' value."""
MOMENTUM = 0.99
"""What stays of moving means and variances at a training step: Keras' value."""


class Normalization(NamedTuple):
    """What mean and variance are taken over: along `axis` of z `(B, n)`, 0 over samples and 1 over units.

    Those over samples depend on the batch. Their moving averages take their place where nothing is trained.
    """

    name: NormalizationName
    axis: Literal[0, 1] | None
    description: str


NORMALIZATIONS = (
    Normalization("none", None, "none: the pre-activations are z + bias"),
    Normalization(
        "batch", 0, "of each unit over the samples of a batch (Ioffe and Szegedy 2015, arXiv:1502.03167)"
    ),
    Normalization(
        "layer", 1, "of each sample over the units of the layer (Ba, Kiros and Hinton 2016, arXiv:1607.06450)"
    ),
)
"""The table; a row's place is its code in kernels and layouts."""

CODES = {row.name: code for code, row in enumerate(NORMALIZATIONS)}
NONE, BATCH, LAYER = CODES["none"], CODES["batch"], CODES["layer"]


def mean_of(first: Values, deviation: Values) -> Values:
    """A mean, from one of the numbers and their mean deviation from it: exact where all are the same."""
    return first + deviation


def inverse_std(variance: Values) -> Values:
    """What differences from the mean are multiplied by."""
    return 1 / sqrt(variance + EPSILON)


def scaled_and_shifted(z: Values, gain: Values, bias: Values) -> Values:
    """The pre-activations."""
    return z * gain + bias


def updated_running(average: Values, value: Values) -> Values:
    """A moving average after one more value."""
    return average * MOMENTUM + value * (1 - MOMENTUM)


def derivative_of_z(g: Values, z: Values, mean: Values, mean_product: Values, factor: Values) -> Values:
    """dLdz from g, the loss by the normalised z, from its mean, and from the mean of g * z.

    Mean and variance depend on z, too: what of g is constant, or goes along with z, changes nothing.
    """
    return (g - mean - z * mean_product) * factor
