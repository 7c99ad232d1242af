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
        momentum: the fraction of the running mean and variance that a training step keeps.
        unbiased: whether the running variance follows the unbiased estimate: the variance of a batch of B
            samples times B / (B - 1). A batch is normalised by its own variance in any case.
        center: whether training changes the biases; otherwise they stay 0, or what they are set to.
        scale: whether training changes the gains; otherwise they stay 1, or what they are set to. PyTorch's
            `affine=False` is `center=False, scale=False`.

    Raises:
        SettingError: epsilon is not a positive finite number, momentum is not from 0 to 1, or another
            argument is neither True nor False.
    """

    __slots__ = ()

    def __new__(
        cls,
        epsilon: float = 1e-3,
        momentum: float = 0.99,
        *,
        unbiased: bool = False,
        center: bool = True,
        scale: bool = True,
    ) -> Self:
        check_bool("BatchNorm: unbiased", unbiased)
        return _made(
            cls, epsilon=epsilon, momentum=momentum, unbiased=unbiased, **_trained(cls, center, scale)
        )


class LayerNorm(NormalizationWithSettings, kind="layer"):
    """Layer normalisation with the constants of other libraries; the name "layer" has Keras' epsilon.

    PyTorch's `LayerNorm(n)` after `Linear(m, n)` is `LayerNorm(1e-5, inner_bias=True)`.
    Source: Ba, Kiros & Hinton (2016), arXiv:1607.06450, equation 4.

    Args:
        epsilon: added to variances.
        inner_bias: whether the layer has biases below the normalisation, too: z = W·h_prev + InnerBias.
        center: whether training changes the biases, as in `BatchNorm`.
        scale: whether training changes the gains, as in `BatchNorm`.

    Raises:
        SettingError: epsilon is not a positive finite number, or another argument is neither True nor False.
    """

    __slots__ = ()

    def __new__(
        cls, epsilon: float = 1e-3, *, inner_bias: bool = False, center: bool = True, scale: bool = True
    ) -> Self:
        check_bool("LayerNorm: inner_bias", inner_bias)
        return _made(cls, epsilon=epsilon, inner_bias=inner_bias, **_trained(cls, center, scale))


N = TypeVar("N", bound=NormalizationWithSettings)


def _trained(kind: type[NormalizationWithSettings], center: bool, scale: bool) -> dict[str, bool]:
    """Returns which of biases and gains are trained."""
    check_bool(f"{kind.__name__}: center", center)
    check_bool(f"{kind.__name__}: scale", scale)
    return {"center": center, "scale": scale}


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
