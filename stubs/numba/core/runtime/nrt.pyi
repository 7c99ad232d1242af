from numba.core.base import BaseContext

class _Runtime:
    def initialize(self, ctx: BaseContext) -> None: ...
