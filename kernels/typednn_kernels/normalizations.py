"""The table of normalisations of hidden layers, their settings, and their formulas.

z = W h_prev becomes (z - mean) / sqrt(variance + epsilon), and the pre-activations are a = gain * z + bias.
Layer normalisation can have inner biases, which are added to W h_prev; from a batch they would cancel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

from typednn_kernels.arrays import Values
from typednn_kernels.primitives import sqrt

NormalizationName: TypeAlias = Literal["none", "batch", "layer"]

EPSILON = 1e-3
"""Added to variances by default; the value of Keras."""
MOMENTUM = 0.99
"""What a training step keeps of the running mean and variance by default; the value of Keras."""


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

CODES: dict[str, int] = {row.name: code for code, row in enumerate(NORMALIZATIONS)}
NONE, BATCH, LAYER = CODES["none"], CODES["batch"], CODES["layer"]


FLAGS = {"unbiased", "inner_bias", "center", "scale"}
SETTINGS: tuple[tuple[str, ...], ...] = (
    (),
    ("epsilon", "momentum", "unbiased", "center", "scale"),
    ("epsilon", "inner_bias", "center", "scale"),
)
"""Which settings a normalisation has, by its code."""


class Settings(NamedTuple):
    """A normalisation with its settings.

    Attributes:
        code: of the normalisation.
        epsilon: added to variances.
        momentum: what a training step keeps of the running mean and variance.
        unbiased: whether running variances are those of the population, estimated from the batch: divided by
            one less than the number of samples, if there are several.
        inner_bias: whether biases are added to W h_prev.
        center: whether biases are trained; kernels compute with them in any case.
        scale: whether gains are trained; kernels compute with them in any case.
    """

    code: int
    epsilon: float = EPSILON
    momentum: float = MOMENTUM
    unbiased: bool = False
    inner_bias: bool = False
    center: bool = True
    scale: bool = True


class NormalizationWithSettings(str):
    """The name of a normalisation with settings, such as `batch(epsilon=1e-05, momentum=0.9)`.

    Subclasses are the library's normalisations: their `repr` is the call that makes them.
    """

    __slots__ = ()

    _classes: ClassVar[dict[str, type[NormalizationWithSettings]]] = {}
    """The subclasses, by the names of their normalisations."""
    _kind: ClassVar[NormalizationName] = "none"
    """The normalisation of a subclass."""

    def __init_subclass__(cls, *, kind: NormalizationName) -> None:
        """Makes the class that of a normalisation."""
        cls._kind = kind
        NormalizationWithSettings._classes[kind] = cls

    def __repr__(self) -> str:
        """Returns the call that makes it."""
        return f"{type(self).__name__}({self.partition('(')[2] or ')'}"

    def __reduce__(self) -> tuple[Callable[[str], str], tuple[str]]:
        """Returns how to make it from its name."""
        return name_of, (str(self),)


def named(settings: Settings) -> NormalizationWithSettings:
    """Returns the name of a normalisation with settings; it tells those that are not the default."""
    kind = NORMALIZATIONS[settings.code].name
    default = Settings(settings.code)
    told = [
        f"{name}={value!r}"
        for name, value, usual in zip(Settings._fields, settings, default, strict=True)
        if value != usual
    ]
    name = f"{kind}({', '.join(told)})" if told else kind
    return str.__new__(NormalizationWithSettings._classes.get(kind, NormalizationWithSettings), name)


def settings_of(name: str) -> Settings:
    """Returns the normalisation and the settings that a name tells.

    Raises ValueError if there is no such normalisation, or it has no such settings.
    """
    kind, parenthesis, told = name.partition("(")
    settings = Settings(CODES[kind]) if kind in CODES else None
    if parenthesis:
        pairs = [each.partition("=") for each in told.removesuffix(")").split(", ")]
        given = {key: value for key, _, value in pairs}
        settings = _with_told(settings, given) if told.endswith(")") and len(given) == len(pairs) else None
    if settings is None or (parenthesis and named(settings) != name):
        raise ValueError(f"there is no normalisation {name!r}")
    return settings


def _with_told(settings: Settings | None, told: dict[str, str]) -> Settings | None:
    """Returns settings with values that were told as text, or None if there are no such settings."""
    allowed = SETTINGS[settings.code] if settings else ()
    if settings is None or not set(told) <= set(allowed):
        return None
    try:
        values: dict[str, Any] = {
            key: text == "True" if key in FLAGS else float(text) for key, text in told.items()
        }
    except ValueError:
        return None
    changed = Settings(**(settings._asdict() | values))
    return changed if are_valid(changed) else None


def are_valid(settings: Settings) -> bool:
    """Says whether constants are within their ranges: epsilon is positive, momentum from 0 to 1."""
    return 0 < settings.epsilon < float("inf") and 0 <= settings.momentum <= 1


def name_of(text: str) -> str:
    """Returns the name of a normalisation with settings that a text tells; else the text."""
    try:
        return named(settings_of(text))
    except ValueError:
        return text


def mean_of(first: Values, deviation: Values) -> Values:
    """Computes a mean from one element and the mean deviation from it: exact where all elements are equal."""
    return first + deviation


def inverse_std(variance: Values, epsilon: Values | float) -> Values:
    """Computes 1 / sqrt(variance + epsilon)."""
    return 1 / sqrt(variance + epsilon)


def scaled_and_shifted(z: Values, gain: Values, bias: Values) -> Values:
    """Computes the pre-activations a from the normalised z."""
    return z * gain + bias


def updated_running(average: Values, value: Values, kept: Values | float, moved: Values | float) -> Values:
    """Computes a running average after one more value."""
    return average * kept + value * moved


def derivative_of_z(g: Values, z: Values, mean: Values, mean_product: Values, inv_std: Values) -> Values:
    """Computes dLdz from g = gain * dLda, the normalised z, and the means of g and of g * z.

    Mean and variance depend on z, too, so that the parts of g that are constant or proportional to z cancel.
    Source: Ioffe & Szegedy (2015), arXiv:1502.03167, section 3, simplified.
    """
    return (g - mean - z * mean_product) * inv_std
