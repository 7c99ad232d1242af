"""numba's pipeline from Python to machine code, without the passes that are not needed here.

Some weak points of numba cost compile time. It looks for closures, `with` and raised errors, of which the
functions here have none. It notes where each variable ends, for reference counts that they do not have, and
optimises each function by itself and the whole module twice, to remove them. It analyses a function again
after each pass, translates an inlined function again, and copies it twice, for each call. All that is left
out by overriding private parts of numba, listed in `private_parts.PIPELINE`; where one has changed, numba's
own pipeline compiles the functions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from importlib import import_module
from importlib.util import find_spec
from typing import Any

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
        "nopython_supported_feature_validation",
        "ir_legalization",
        "annotate_types",
        "dump_parfor_diagnostics",
    }
)
"""Passes for what no function here contains: closures, raised errors, literal types, array expressions, what
numba does not know; and for what is not needed: where variables end, and texts for those who debug numba."""


class Library(JITCodeLibrary):
    """Machine code that LLVM optimises once, as a whole."""

    def _optimize_functions(self, ll_module: ModuleRef) -> None:
        pass

    def _optimize_final_module(self) -> None:
        with PIPELINE:
            manager, builder = self._codegen._module_pass_manager()
            manager.run(self._final_module, builder)
            return
        super()._optimize_final_module()


INLINED_IR: dict[Callable[..., object], FunctionIR] = {}
"""The numba IR of inlined functions before types are inferred, with the functions that they inline."""


class _Copy(Block):
    """A block that is already a copy; numba would copy it twice more, with all variables each time."""

    def __deepcopy__(self, memo: object) -> _Copy:
        return self


def copied(function: FunctionIR) -> FunctionIR:
    """Copies the numba IR of a function; the blocks of the copy share their variables."""
    result = function.copy()
    result.blocks = {}
    known: dict[int, object] = {}
    for label, block in function.blocks.items():
        result.blocks[label] = _Copy(deepcopy(block.scope, known), block.loc)
        result.blocks[label].body = deepcopy(block.body, known)
    return result


class _Inliner(InlineWorker):
    """Replaces calls by copies of the inlined function, which is translated once."""

    def __init__(self, like: InlineWorker) -> None:
        vars(self).update(vars(like))
        self._compiler_pipeline = untyped

    def run_untyped_passes(self, func: Callable[..., object], enable_ssa: bool = False) -> FunctionIR:
        """Returns the numba IR of a function before types are inferred."""
        if func not in INLINED_IR:
            INLINED_IR[func] = super().run_untyped_passes(func, enable_ssa)
        return copied(INLINED_IR[func])


@register_pass(mutates_CFG=True, analysis_only=False)
class _Inlining(InlineInlinables):
    """numba's inlining pass, with an `_Inliner`."""

    _name = "typednn_inlining"

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
class _Lowering(NativeLowering):
    """numba's lowering pass, into a `Library`."""

    _name = "typednn_lowering"

    def run_pass(self, state: StateDict) -> bool:
        """Lowers a function and has LLVM compile it."""
        state.library = Library(state.targetctx.codegen(), state.func_id.func_qualname)
        with DISK_CACHE:
            state.library.enable_object_caching()
        return super().run_pass(state)


def adapted(passes: PassManager) -> PassManager:
    """Removes from a pipeline of numba the passes that find nothing, and replaces two."""
    chosen = [each for each in passes.passes if each[0].name() not in UNUSED]
    instead: dict[type[CompilerPass], type[CompilerPass]] = {
        InlineInlinables: _Inlining,
        NativeLowering: _Lowering,
    }
    passes._ENFORCING = False
    passes.passes = [(instead.get(each, each), description) for each, description in chosen]
    passes.finalize()
    return passes


def untyped(state: StateDict) -> PassManager:
    """Returns the pipeline of an inlined function until types are inferred."""
    return adapted(DefaultPassBuilder.define_untyped_pipeline(state))


def load_without_blas() -> None:
    """Imports numba's functions of arrays, but not SciPy's BLAS, which takes longer and is not called here.

    numba imports it again before it compiles a product of matrices.
    """
    if "numba.np.arraymath" in sys.modules:
        return
    linalg = import_module("numba.np.linalg")
    ensure_blas = getattr(linalg, "ensure_blas", None)
    if ensure_blas is None or find_spec("scipy") is None:
        return
    setattr(linalg, "ensure_blas", lambda: None)  # noqa: B010 (a module has no such type)
    try:
        import_module("numba.np.arraymath")
    finally:
        setattr(linalg, "ensure_blas", ensure_blas)  # noqa: B010


class Pipeline(Compiler):
    """The pipeline of all functions that are compiled by themselves."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        load_without_blas()
        super().__init__(*arguments, **options)

    def define_pipelines(self) -> list[PassManager]:
        """Returns the one pipeline: ours, or numba's own once ours has failed."""
        with PIPELINE:
            if PIPELINE.works:
                return [adapted(DefaultPassBuilder.define_nopython_pipeline(self.state))]
        return super().define_pipelines()
