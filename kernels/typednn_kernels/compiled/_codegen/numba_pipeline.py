"""What numba does between Python and machine code, and what it leaves out for kernels.

Kernels contain neither closures nor `with`, count no references, and are parts of many others. So passes that
look for the former find nothing, those that remove the counts are in vain, and what numba makes of a kernel
before it knows types need be made once only.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from llvmlite.binding import ModuleRef
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, DefaultPassBuilder, StateDict
from numba.core.compiler_machinery import CompilerPass, PassManager, register_pass
from numba.core.inline_closurecall import InlineWorker
from numba.core.ir import Block, Expr, FunctionIR
from numba.core.typed_passes import NativeLowering
from numba.core.untyped_passes import InlineInlinables

from typednn_kernels.compiled._codegen.private_parts import DISK_CACHE, PIPELINE

UNUSED = frozenset(
    {
        "with_lifting",
        "inline_closure_likes",
        "Rewrite dynamic raises",
        "make_function_op_code_to_jit_function",
        "find_literally",
        "literal_unroll",
        "LiteralPropagation",
        "nopython_rewrites",
    }
)
"""Passes for what kernels do not contain: closures, raised errors, literal types, whole-array expressions."""


class Library(JITCodeLibrary):
    """Machine code that LLVM optimises once, as a whole.

    numba has each function optimised before, and the whole module twice, to find reference counts.
    """

    def _optimize_functions(self, ll_module: ModuleRef) -> None:
        pass

    def _optimize_final_module(self) -> None:
        with PIPELINE:
            manager, builder = self._codegen._module_pass_manager()
            manager.run(self._final_module, builder)
            return
        super()._optimize_final_module()


KERNELS: dict[Callable[..., object], FunctionIR] = {}
"""What kernels are before numba knows types, with the kernels that they call in place."""


class _Copy(Block):
    """A block of a kernel that is copied; numba would copy it again, twice, with all variables each time."""

    def __deepcopy__(self, memo: object) -> _Copy:
        return self


def copied(kernel: FunctionIR) -> FunctionIR:
    """A copy of a kernel, whose blocks share their variables."""
    result = kernel.copy()
    result.blocks = {}
    known: dict[int, object] = {}
    for label, block in kernel.blocks.items():
        result.blocks[label] = _Copy(deepcopy(block.scope, known), block.loc)
        result.blocks[label].body = deepcopy(block.body, known)
    return result


class _Inliner(InlineWorker):
    """Puts kernels in the place of their calls, each a copy of what is made once."""

    def __init__(self, like: InlineWorker) -> None:
        vars(self).update(vars(like))
        self._compiler_pipeline = untyped

    def run_untyped_passes(self, func: Callable[..., object], enable_ssa: bool = False) -> FunctionIR:
        """What a kernel is before numba knows types."""
        if func not in KERNELS:
            KERNELS[func] = super().run_untyped_passes(func, enable_ssa)
        return copied(KERNELS[func])


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelInlining(InlineInlinables):
    """numba's inlining, by an `_Inliner`."""

    _name = "kernel_inlining"

    def _do_work(
        self,
        state: StateDict,
        work_list: list[tuple[int, Block]],
        block: Block,
        i: int,
        expr: Expr,
        inline_worker: InlineWorker,
    ) -> bool:
        return super()._do_work(state, work_list, block, i, expr, _Inliner(inline_worker))


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(NativeLowering):
    """numba's lowering to LLVM, into a `Library`."""

    _name = "kernel_lowering"

    def run_pass(self, state: StateDict) -> bool:
        """Lowers a function and has LLVM compile it."""
        state.library = Library(state.targetctx.codegen(), state.func_id.func_qualname)
        with DISK_CACHE:
            state.library.enable_object_caching()
        return super().run_pass(state)


def adapted(passes: PassManager) -> PassManager:
    """A pipeline of numba without the passes that have nothing to do for kernels, and with those for them."""
    chosen = [each for each in passes.passes if each[0].name() not in UNUSED]
    instead: dict[type[CompilerPass], type[CompilerPass]] = {
        InlineInlinables: _KernelInlining,
        NativeLowering: _KernelLowering,
    }
    passes.passes = [(instead.get(each, each), description) for each, description in chosen]
    passes.finalize()
    return passes


def untyped(state: StateDict) -> PassManager:
    """The pipeline of a kernel until numba knows types."""
    return adapted(DefaultPassBuilder.define_untyped_pipeline(state))


class Pipeline(Compiler):
    """How numba compiles entries, routines and reductions."""

    def define_pipelines(self) -> list[PassManager]:
        """Returns the one pipeline: ours, or numba's own once ours has failed."""
        with PIPELINE:
            if PIPELINE.works:
                return [adapted(DefaultPassBuilder.define_nopython_pipeline(self.state))]
        return super().define_pipelines()
