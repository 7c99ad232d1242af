"""Activations with parameters, by the names and with the constants that other libraries have.

An activation with parameters is a string, its name, so that it goes wherever the name of an activation goes,
into model files too. Users register families of their own by `register_activation_family`.

>>> from typednn import HiddenLayer
>>> HiddenLayer(8, LeakyReLU(0.01))
HiddenLayer(8, LeakyReLU(0.01))
>>> LeakyReLU(0.01) == "leaky_relu(0.01)", LeakyReLU(0.01).parameters
(True, {'alpha': 0.01})
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self, TypeVar, cast

from typednn_kernels.activation_families import FAMILIES, ActivationFamily, ParametricActivation, named

from typednn.errors import SettingError
from typednn.validation.settings import is_number

__all__ = ["CELU", "ELU", "HardSigmoid", "HardTanh", "LeakyReLU", "ParametricActivation", "Softplus"]


class LeakyReLU(ParametricActivation, family="leaky_relu"):
    """a above 0, alpha · a below; its derivative at 0 is alpha.

    PyTorch and JAX have 0.01 by default, Keras' layer 0.3, and the name "leaky_relu" has 0.2, as Keras' has.
    Source: Maas, Hannun & Ng (2013), Rectifier nonlinearities improve neural network acoustic models.

    Raises:
        SettingError: alpha is not a finite number.
    """

    __slots__ = ()

    def __new__(cls, alpha: float = 0.01) -> Self:
        return _made(cls, alpha=alpha)


class ELU(ParametricActivation, family="elu"):
    """a above 0, alpha · (exp(a) - 1) below; the name "elu" has alpha 1.

    Source: Clevert, Unterthiner & Hochreiter (2016), arXiv:1511.07289, eq. 15.

    Raises:
        SettingError: alpha is not a finite number of 0 or more.
    """

    __slots__ = ()

    def __new__(cls, alpha: float = 1.0) -> Self:
        return _made(cls, alpha=alpha)


class CELU(ParametricActivation, family="celu"):
    """a above 0, alpha · (exp(a / alpha) - 1) below, whose derivative is continuous for any alpha.

    Source: Barron (2017), arXiv:1704.07483, eq. 2.

    Raises:
        SettingError: alpha is not a positive finite number.
    """

    __slots__ = ()

    def __new__(cls, alpha: float = 1.0) -> Self:
        return _made(cls, alpha=alpha)


class Softplus(ParametricActivation, family="softplus"):
    """log(1 + exp(beta · a)) / beta; the name "softplus" has beta 1.

    It is PyTorch's without the threshold, above which PyTorch returns a. Losses with a logarithm clip outputs
    of `Softplus`; they compute those of "softplus" from pre-activations.

    Raises:
        SettingError: beta is not a positive finite number.
    """

    __slots__ = ()

    def __new__(cls, beta: float = 1.0) -> Self:
        return _made(cls, beta=beta)


class HardTanh(ParametricActivation, family="hard_tanh"):
    """a, within two numbers; its derivative at them is 0. The name "hard_tanh" has -1 and 1.

    Raises:
        SettingError: the numbers are not finite, or lowest is not below highest.
    """

    __slots__ = ()

    def __new__(cls, lowest: float = -1.0, highest: float = 1.0) -> Self:
        return _made(cls, lowest=lowest, highest=highest)


class HardSigmoid(ParametricActivation, family="hard_sigmoid"):
    """alpha · a + beta, within 0 and 1; its derivative at 0 and 1 is 0.

    The defaults are those of the operator HardSigmoid of ONNX; the name "hard_sigmoid" has 1/6 and 1/2.

    Raises:
        SettingError: a parameter is not a finite number.
    """

    __slots__ = ()

    def __new__(cls, alpha: float = 0.2, beta: float = 0.5) -> Self:
        return _made(cls, alpha=alpha, beta=beta)


P = TypeVar("P", bound=ParametricActivation)


def _made(kind: type[P], **parameters: float) -> P:
    return cast("P", named_with(FAMILIES[kind._family], parameters))


def named_with(family: ActivationFamily, parameters: Mapping[str, float]) -> ParametricActivation:
    """Returns the name of an activation of a family.

    Raises:
        SettingError: a parameter is not a finite number, or not one for the family.
    """
    kind = ParametricActivation._classes.get(family.name)
    what = family.name if kind is None else kind.__name__
    for name, number in parameters.items():
        if not is_number(number):
            raise SettingError(f"{what}: {name} must be a finite number, not {number!r}")
    numbers = tuple(map(float, parameters.values()))
    if not family.accepts(numbers):
        given = ", ".join(f"{name}={number:g}" for name, number in parameters.items())
        raise SettingError(f"{what}: needs {family.requirement}, not {given}")
    return named(family, numbers)
