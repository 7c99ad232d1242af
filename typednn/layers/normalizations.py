"""Normalisations with settings, by the names that other libraries have.

A normalisation with settings is a string, its name, so that it goes wherever the name of a normalisation
goes, into model files too.

>>> from typednn import HiddenLayer
>>> HiddenLayer(8, "relu", normalization=BatchNorm(epsilon=1e-5, momentum=0.9))
HiddenLayer(8, 'relu', normalization=BatchNorm(epsilon=1e-05, momentum=0.9))
>>> LayerNorm(1e-5) == "layer(epsilon=1e-05)", BatchNorm() == "batch"
(True, True)
"""

from __future__ import annotations

from typing import Any, Self, TypeVar, cast

from typednn_kernels.normalizations import (
    CODES,
    FLAGS,
    NormalizationWithSettings,
    Settings,
    are_valid,
    named,
)

from typednn.errors import SettingError
from typednn.validation.settings import check_bool, is_number

__all__ = ["BatchNorm", "LayerNorm", "NormalizationWithSettings"]


class BatchNorm(NormalizationWithSettings, kind="batch"):
    """Batch normalisation with the constants of other libraries; the name "batch" has those of Keras.

    PyTorch's `BatchNorm1d(n)` is `BatchNorm(epsilon=1e-5, momentum=0.9, unbiased=True)`: its momentum of 0.1
    is what a step changes, not what it keeps.
    Source: Ioffe & Szegedy (2015), arXiv:1502.03167, algorithm 1.

    Args:
        epsilon: added to variances.
        momentum: what a training step keeps of the running mean and variance.
        unbiased: whether the running variance is estimated for the population: that of a batch of B samples
            times B / (B - 1). A batch is normalised by its own variance in any case.

    Raises:
        SettingError: epsilon is not a positive finite number, momentum is not from 0 to 1, or unbiased is
            neither True nor False.
    """

    __slots__ = ()

    def __new__(cls, epsilon: float = 1e-3, momentum: float = 0.99, *, unbiased: bool = False) -> Self:
        check_bool("BatchNorm: unbiased", unbiased)
        return _made(cls, epsilon=epsilon, momentum=momentum, unbiased=unbiased)


class LayerNorm(NormalizationWithSettings, kind="layer"):
    """Layer normalisation with the constants of other libraries; the name "layer" has Keras' epsilon.

    PyTorch's `LayerNorm(n)` after `Linear(m, n)` is `LayerNorm(1e-5, inner_bias=True)`.
    Source: Ba, Kiros & Hinton (2016), arXiv:1607.06450, equation 4.

    Args:
        epsilon: added to variances.
        inner_bias: whether the layer has biases below the normalisation, too: z = W·h_prev + InnerBias.

    Raises:
        SettingError: epsilon is not a positive finite number, or inner_bias is neither True nor False.
    """

    __slots__ = ()

    def __new__(cls, epsilon: float = 1e-3, *, inner_bias: bool = False) -> Self:
        check_bool("LayerNorm: inner_bias", inner_bias)
        return _made(cls, epsilon=epsilon, inner_bias=inner_bias)


N = TypeVar("N", bound=NormalizationWithSettings)


def _made(kind: type[N], **settings: float) -> N:
    for name, value in settings.items():
        if name not in FLAGS and not is_number(value):
            raise SettingError(f"{kind.__name__}: {name} must be a finite number, not {value!r}")
    numbers: dict[str, Any] = {
        name: bool(value) if name in FLAGS else float(value) for name, value in settings.items()
    }
    chosen = Settings(**(Settings(CODES[kind._kind])._asdict() | numbers))
    if not are_valid(chosen):
        given = ", ".join(f"{name}={value!r}" for name, value in numbers.items())
        raise SettingError(
            f"{kind.__name__}: needs a positive epsilon, and a momentum from 0 to 1, not {given}"
        )
    return cast("N", named(chosen))
