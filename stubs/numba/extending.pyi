from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from llvmlite.ir import IRBuilder, Value
from numba import types
from numba.core.base import BaseContext
from numba.core.datamodel import models as models
from numba.core.typing.templates import AttributeTemplate, Signature

_Type = TypeVar("_Type", bound=types.Type)
_Result = TypeVar("_Result", bound=types.Type)
_Template = TypeVar("_Template", bound=type[AttributeTemplate])

class NativeValue:
    value: Value
    is_error: Value
    cleanup: Callable[[], None] | None
    def __init__(
        self, value: Value, is_error: Value | None = None, cleanup: Callable[[], None] | None = None
    ) -> None: ...

class _Unboxing(Protocol):
    context: BaseContext
    builder: IRBuilder
    def unbox(self, typ: types.Type, obj: Value) -> NativeValue: ...

def infer_getattr(item: _Template) -> _Template: ...
def lower_getattr_generic(
    ty: type[_Type],
) -> Callable[
    [Callable[[BaseContext, IRBuilder, _Type, Value, str], Value]],
    Callable[[BaseContext, IRBuilder, _Type, Value, str], Value],
]: ...
def lower_cast(
    fromty: type[_Type], toty: type[_Result]
) -> Callable[
    [Callable[[BaseContext, IRBuilder, _Type, _Result, Value], Value]],
    Callable[[BaseContext, IRBuilder, _Type, _Result, Value], Value],
]: ...

register_model: Callable[[type[types.Type]], Callable[[type[models.DataModel]], type[models.DataModel]]]

def unbox(
    typeclass: type[_Type],
) -> Callable[
    [Callable[[_Type, Value, _Unboxing], NativeValue]], Callable[[_Type, Value, _Unboxing], NativeValue]
]: ...
def intrinsic(function: Callable[..., tuple[Signature, Callable[..., Value]]], /) -> Callable[..., Any]: ...
def overload(
    func: Callable[..., Any],
    jit_options: Mapping[str, Any] = ...,
    strict: bool = True,
    inline: str = "never",
    prefer_literal: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...
