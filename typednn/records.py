"""Records: frozen dataclasses that cost little to import.

For each class `@dataclass(frozen=True)` compiles six methods, which takes a millisecond; records share them.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field
from inspect import Parameter, Signature, signature
from typing import ClassVar, dataclass_transform


class _OfFields:
    """The signature of a class of records, where `inspect` asks for it; its objects have none."""

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
    """A dataclass that never changes, and is equal to one of the same class with equal fields.

    Fields may have defaults, but not factories of them.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[object]]]
    __match_args__: ClassVar[tuple[str, ...]]
    __signature__: ClassVar[_OfFields] = _OfFields()
    _defaults: ClassVar[dict[str, object]]
    _required: ClassVar[set[str]]

    def __init_subclass__(cls, *, kw_only: bool = False) -> None:
        """Makes a dataclass of the class."""
        super().__init_subclass__()
        dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
        cls._defaults = {each.name: each.default for each in cls.__dataclass_fields__.values()}
        cls._required = {name for name, default in cls._defaults.items() if default is MISSING}

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Takes the fields, in their order or by name.

        Raises:
            TypeError: one is missing, there is none of that name, or it is given twice.
        """
        given = {**dict(zip(self.__match_args__, args, strict=False)), **kwargs}
        values = {**self._defaults, **given}
        once, known = len(given) == len(args) + len(kwargs), len(values) == len(self._defaults)
        if not (once and known and self._required <= given.keys()):
            self._refuse(args, kwargs)
        vars(self).update(values)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Checks the fields."""

    def __setattr__(self, name: str, value: object) -> None:
        """Refuses to change.

        Raises:
            FrozenInstanceError: always.
        """
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        """Refuses to change.

        Raises:
            FrozenInstanceError: always.
        """
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        """Whether it is of the same class, with equal fields."""
        return vars(self) == vars(other) if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        """That of the fields."""
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        """As it was constructed."""
        shown = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({shown})"

    def _refuse(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        try:
            signature(type(self)).bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
