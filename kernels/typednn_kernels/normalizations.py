"""The table of normalisations of hidden layers, and their formulas.

z = W h_prev becomes (z - mean) / sqrt(variance + EPSILON), and the pre-activations are a = gain * z + bias.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from typednn_kernels.arrays import Values
from typednn_kernels.primitives import sqrt

NormalizationName: TypeAlias = Literal["none", "batch", "layer"]

EPSILON = 1e-3
"""Added to variances; the value of Keras."""
MOMENTUM = 0.99
"""What a training step keeps of the running mean and variance; the value of Keras."""


class Normalization(NamedTuple):
    """A normalisation by mean and variance along an axis of z (B, n): 0 over samples, 1 over units.

    Mean and variance over samples depend on the batch; inference uses their running averages instead.
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
"""The place of a row is its code in kernels and layouts."""

CODES = {row.name: code for code, row in enumerate(NORMALIZATIONS)}
NONE, BATCH, LAYER = CODES["none"], CODES["batch"], CODES["layer"]


def mean_of(first: Values, deviation: Values) -> Values:
    """Computes a mean from one element and the mean deviation from it: exact where all elements are equal."""
    return first + deviation


def inverse_std(variance: Values) -> Values:
    """Computes 1 / sqrt(variance + EPSILON)."""
    return 1 / sqrt(variance + EPSILON)


def scaled_and_shifted(z: Values, gain: Values, bias: Values) -> Values:
    """Computes the pre-activations a from the normalised z."""
    return z * gain + bias


def updated_running(average: Values, value: Values) -> Values:
    """Computes a running average after one more value."""
    return average * MOMENTUM + value * (1 - MOMENTUM)


def derivative_of_z(g: Values, z: Values, mean: Values, mean_product: Values, inv_std: Values) -> Values:
    """Computes dLdz from g = gain * dLda, the normalised z, and the means of g and of g * z.

    Mean and variance depend on z, too, so that the parts of g that are constant or proportional to z cancel.
    Source: Ioffe & Szegedy (2015), arXiv:1502.03167, section 3, simplified.
    """
    return (g - mean - z * mean_product) * inv_std
