"""What can go wrong, and what the message says: where, what was expected, what came, what to do."""

from __future__ import annotations

from collections.abc import Iterable


class TypednnError(Exception):
    """Any error that this library raises on purpose."""


class UnknownNameError(TypednnError, ValueError):
    """A name that is in no table."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        import difflib

        names = list(known)
        nearest = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        super().__init__(f"unknown {kind} {name!r}: {hint}valid names are {', '.join(names)}")
        self._arguments = (kind, name, names)

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, object, list[str]]]:
        """Errors travel between processes."""
        return UnknownNameError, self._arguments


class ArrayTypeError(TypednnError, TypeError):
    """Something that is not an array, or an array of a wrong dtype."""


class ShapeError(TypednnError, ValueError):
    """An array of a wrong rank or length."""


class DataError(TypednnError, ValueError):
    """Numbers that cannot be used: NaN, infinity, labels or targets out of range, no samples."""


class SettingError(TypednnError, ValueError):
    """A setting outside its range."""


class FormulaError(TypednnError, ValueError):
    """A formula of a user that cannot be used: it has other words than formulas have, or a wrong slope."""


class WiringError(TypednnError, ValueError):
    """Layers that do not form a network."""


class NotReadyError(TypednnError, RuntimeError):
    """Something that was asked for before it exists: a gradient before `backward`, say."""


class DivergenceError(TypednnError, RuntimeError):
    """A training step that is not finite: it was not made, the network is as it was before it.

    Attributes:
        epoch, step: which one, counted from 1.
        layer: the place in the network of the layer where the first infinity or NaN arose.
    """

    epoch: int | None
    step: int | None
    layer: int | None

    def __init__(
        self, message: str, epoch: int | None = None, step: int | None = None, layer: int | None = None
    ) -> None:
        super().__init__(message)
        self.epoch, self.step, self.layer = epoch, step, layer


class FileFormatError(TypednnError, ValueError):
    """A file that cannot be read: missing, truncated, foreign, or of another version."""


class MissingExtraError(TypednnError, ImportError):
    """A package of an extra is needed and not installed."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs {package}: pip install 'typednn[{extra}]'")
        self._arguments = (package, purpose, extra)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        """Errors travel between processes."""
        return MissingExtraError, self._arguments
