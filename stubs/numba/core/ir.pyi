class Block:
    scope: object
    loc: object
    body: list[object]
    def __init__(self, scope: object, loc: object) -> None: ...

class Expr: ...

class FunctionIR:
    blocks: dict[int, Block]
    def copy(self) -> FunctionIR: ...
