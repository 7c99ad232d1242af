"""The exceptions; each message names the place, what was expected, what was found, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable


class TypednnError(Exception):
    """The base class of all errors that this library raises on purpose."""


class UnknownNameError(TypednnError, ValueError):
    """A name is unknown; the message lists the valid names and the one that is probably meant.

    The names of Keras, PyTorch and scikit-learn, in any case, are known as synonyms.

    >>> print(UnknownNameError("loss", "BCEWithLogitsLoss", ["MSE", "bincrossentropy"]))  # doctest: +ELLIPSIS
    unknown loss 'BCEWithLogitsLoss': did you mean 'bincrossentropy' after the activation 'sigmoid'? ...
    """

    def __init__(self, kind: str, name: object, valid: Iterable[str]) -> None:
        from typednn.synonyms import likely_name

        names = list(valid)
        likely = likely_name(kind, name, names)
        hint = f"did you mean {likely[0]!r}{likely[1]}? " if likely else ""
        super().__init__(f"unknown {kind} {name!r}: {hint}valid names are {', '.join(names)}")
        self._arguments = (kind, name, names)

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, object, list[str]]]:
        """Pickles the arguments of the error, which its message does not hold."""
        return UnknownNameError, self._arguments


class ArrayTypeError(TypednnError, TypeError):
    """An argument is not an array, or an array of a wrong dtype."""


class ShapeError(TypednnError, ValueError):
    """An array has a wrong shape."""


class DataError(TypednnError, ValueError):
    """An array has NaN, infinity, labels or targets out of range, or no samples."""


class SettingError(TypednnError, ValueError):
    """A setting is outside its range."""


class FormulaError(TypednnError, ValueError):
    """A user's formula calls a function that formulas cannot call, or has a wrong derivative."""


class WiringError(TypednnError, ValueError):
    """Layers do not form a network, or a layer does not support an operation."""


class NotReadyError(TypednnError, RuntimeError):
    """Something was asked for before it exists, such as a gradient before `backward`."""


class DivergenceError(TypednnError, RuntimeError):
    """A training step's losses, running moments or gradient bound are not finite; the step was not made.

    The network is as it was before the step.

    Attributes:
        epoch: the epoch, counted from 1.
        step: the step in the epoch, counted from 1.
        layer: the index of the layer where the first infinity or NaN arose.
    """

    epoch: int | None
    step: int | None
    layer: int | None

    def __init__(
        self, message: str, epoch: int | None = None, step: int | None = None, layer: int | None = None
    ) -> None:
        super().__init__(message)
        self.epoch, self.step, self.layer = epoch, step, layer


class ProcessError(TypednnError, RuntimeError):
    """Another process of a training has failed, and ended it on all; the message is that of its exception."""


class FileFormatError(TypednnError, ValueError):
    """A file cannot be read: it is missing, truncated, foreign, or of another version."""


class MissingExtraError(TypednnError, ImportError):
    """An optional package is needed and not installed; the message names the extra."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs {package}: pip install 'typednn[{extra}]'")
        self._arguments = (package, purpose, extra)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        """Pickles the arguments of the error, which its message does not hold."""
        return MissingExtraError, self._arguments
