from numba.core.typing.templates import Signature
from numba.types import Type

class BaseContext:
    def resolve_function_type(
        self, func: Type, args: tuple[Type, ...], kws: dict[str, Type]
    ) -> Signature | None: ...

class Context(BaseContext): ...
