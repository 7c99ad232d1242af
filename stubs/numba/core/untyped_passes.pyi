from numba.core.compiler import StateDict
from numba.core.compiler_machinery import CompilerPass
from numba.core.inline_closurecall import InlineWorker
from numba.core.ir import Block, Expr

class InlineInlinables(CompilerPass):
    def run_pass(self, state: StateDict) -> bool: ...
    def _do_work(
        self,
        state: StateDict,
        work_list: list[tuple[int, Block]],
        block: Block,
        i: int,
        expr: Expr,
        inline_worker: InlineWorker,
    ) -> bool: ...
