"""Records: frozen dataclasses that are fast to import.

`@dataclass(frozen=True)` compiles six methods for each class, which takes a millisecond; records share
theirs.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field
from inspect import Parameter, Signature, signature
from typing import ClassVar, dataclass_transform

from typednn.attributes import no_attribute


class _OfFields:
    """A descriptor that gives `inspect` the signature of a class of records; their objects have none."""

    def __get__(self, instance: Record | None, kind: type[Record]) -> Signature:
        if instance is not None:
            raise AttributeError
        parameters = [
            Parameter(
                each.name,
                Parameter.KEYWORD_ONLY if each.kw_only else Parameter.POSITIONAL_OR_KEYWORD,
                default=Parameter.empty if each.default is MISSING else each.default,
                annotation=each.type,
            )
            for each in kind.__dataclass_fields__.values()
        ]
        return Signature(sorted(parameters, key=lambda each: each.kind), return_annotation=None)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Record:
    """An immutable dataclass, equal to another of the same class with equal fields.

    Fields may have defaults, but no default factories.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[object]]]
    __match_args__: ClassVar[tuple[str, ...]]
    __signature__: ClassVar[_OfFields] = _OfFields()
    _defaults: ClassVar[dict[str, object]]
    _required: ClassVar[set[str]]

    def __init_subclass__(cls, *, kw_only: bool = False) -> None:
        """Registers the fields of the class."""
        super().__init_subclass__()
        dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
        cls._defaults = {each.name: each.default for each in cls.__dataclass_fields__.values()}
        cls._required = {name for name, default in cls._defaults.items() if default is MISSING}

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Sets the fields, in their order or by name.

        Raises:
            TypeError: a field is missing, unknown, or given twice.
        """
        arguments = {**dict(zip(self.__match_args__, args, strict=False)), **kwargs}
        values = {**self._defaults, **arguments}
        once, known = len(arguments) == len(args) + len(kwargs), len(values) == len(self._defaults)
        if not (once and known and self._required <= arguments.keys()):
            self._raise_binding_error(args, kwargs)
        vars(self).update(values)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Checks the fields."""

    def __setattr__(self, name: str, value: object) -> None:
        """Raises FrozenInstanceError, or AttributeError where there is no such field."""
        if name not in self._defaults:
            raise AttributeError(no_attribute(type(self), name))
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        """Raises FrozenInstanceError."""
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        """Tells whether the other is of the same class and has equal fields."""
        return vars(self) == vars(other) if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        """Returns the hash of the fields."""
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        """Returns the expression that constructs the record."""
        shown = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({shown})"

    def _raise_binding_error(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        try:
            signature(type(self)).bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
