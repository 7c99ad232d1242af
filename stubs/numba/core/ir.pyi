from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

class Loc: ...

class Var:
    name: str

class Const:
    value: object
    loc: Loc
    def __init__(self, value: object, loc: Loc) -> None: ...

class Global:
    value: object
    loc: Loc

class FreeVar:
    value: object
    loc: Loc

class Expr:
    op: str
    fn: Callable[..., object]
    rhs: Var

class Assign:
    value: object
    target: Var

class Block:
    def find_insts(self, kind: type[T]) -> Iterator[T]: ...

class FunctionIR:
    blocks: dict[int, Block]
