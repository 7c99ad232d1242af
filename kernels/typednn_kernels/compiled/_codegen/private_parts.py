"""Undocumented parts of numba and llvmlite that are used here, and what happens without them.

A release may rename, change or remove any of it. Parts that can be missed are left out then: `PIPELINE`,
`DISK_CACHE`, `HINTS`, `CALLED_LOOPS` and `CALLS_OF_USERS` list them and say what is lost. `ESSENTIAL` lists
the parts without which nothing can be compiled; the library then runs on NumPy.

Each part is looked up when this module is imported, with its parameters where these are passed or
overridden. What changes in other ways fails when the first function is compiled, which is then compiled again
without it (`noinline.compile_for`).
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from importlib import import_module
from types import TracebackType
from typing import NoReturn

from typednn_kernels.compiler_versions import compiler_versions, first_line
from typednn_kernels.interface import Kernels


class Feature:
    """A group of private numba parts that is used or given up as a whole.

    Args:
        without: what happens without them, for the warning.
        parts: a line for each: its module, by default of `numba.core`, its name there and, where they matter,
            its parameters.

    Attributes:
        error: why the feature is not used, or None.
    """

    def __init__(self, without: str, parts: str) -> None:
        self.without: str = without
        self.parts: tuple[str, ...] = tuple(line.strip() for line in parts.strip().splitlines())
        self.error: Exception | None = None
        for part in self.parts:
            with self:
                _look_up(part)

    @property
    def works(self) -> bool:
        """Whether the feature is used."""
        return self.error is None

    def __enter__(self) -> None:
        """Begins a block that uses the feature."""

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        """Ends the block: an exception in it is suppressed, and the feature is given up."""
        if isinstance(error, Exception):
            self.lose(error)
        return isinstance(error, Exception)

    def lose(self, error: Exception) -> None:
        """Gives up the feature from now on."""
        self.error = self.error or error


def _look_up(part: str) -> None:
    module, _, rest = part.partition(" ")
    path, _, parameters = rest.partition("(")
    found: object = import_module(module if "." in module else f"numba.core.{module}")
    for name in path.split("."):
        found = getattr(found, name)
    if parameters:
        expected = [each.strip() for each in parameters.rstrip(")").split(",")]
        assert callable(found)
        signature = inspect.signature(found)
        names, more = list(signature.parameters), list(signature.parameters.values())[len(expected) :]
        any_number = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
        required = any(each.default is each.empty and each.kind not in any_number for each in more)
        if names[: len(expected)] != expected or required:
            raise TypeError(f"{module}.{path} takes {signature} and not ({parameters}")


PIPELINE = Feature(
    "compiling takes longer",
    """
    compiler Compiler.define_pipelines(self)
    compiler DefaultPassBuilder.define_untyped_pipeline(state)
    compiler DefaultPassBuilder.define_nopython_pipeline(state)
    compiler_machinery register_pass(mutates_CFG, analysis_only)
    compiler_machinery PassManager.finalize(self)
    compiler_machinery PassManager._ENFORCING
    inline_closurecall InlineWorker.run_untyped_passes(self, func, enable_ssa)
    untyped_passes InlineInlinables._do_work(self, state, work_list, block, i, expr, inline_worker)
    typed_passes NativeLowering.run_pass(self, state)
    codegen JITCodeLibrary._optimize_functions(self, ll_module)
    codegen JITCodeLibrary._optimize_final_module(self)
    codegen JITCPUCodegen._module_pass_manager(self)
    ir Block(scope, loc)
    ir FunctionIR.copy(self)
    """,
)
"""numba's compiler with fewer passes: it translates and optimises each function once, and counts nothing."""

DISK_CACHE = Feature(
    "machine code is not kept on disk",
    """
    caching NullCache.load_overload(self, sig, target_context)
    caching NullCache.save_overload(self, sig, cres)
    serialize dumps(obj)
    compiler CompileResult._rebuild
    compiler CompileResult._reduce(self)
    codegen JITCPUCodegen.magic_tuple(self)
    codegen JITCPUCodegen.unserialize_library(self, serialized)
    codegen JITCodeLibrary.enable_object_caching(self)
    codegen JITCodeLibrary.serialize_using_object_code(self)
    """,
)
"""Machine code on disk, in the place of numba's cache."""

HINTS = Feature(
    "loops run more slowly",
    """
    llvmlite.ir MDValue.descr(self, buf)
    llvmlite.ir Module.add_metadata(self, operands)
    """,
)
"""What LLVM is told about loops: that their steps are independent, and which vectors to use."""

CALLED_LOOPS = Feature(
    "loops over formulas run in NumPy, and tiny networks have no loop of their own",
    """
    codegen JITCPUCodegen(module_name)
    codegen JITCPUCodegen.create_library(self, name)
    codegen JITCodeLibrary.create_ir_module(self, name)
    codegen JITCodeLibrary.add_ir_module(self, ir_module)
    """,
)
"""Functions written in LLVM, compiled when they are first needed, and called by address."""

CALLS_OF_USERS = Feature(
    "compiled code of users cannot call typednn",
    "base BaseContext.add_dynamic_addr(self, builder, intaddr, info)",
)
"""Addresses in machine code that numba must not keep on disk."""

ESSENTIAL = Feature(
    "typednn runs on NumPy alone",
    """
    base BaseContext.cast(self, builder, val, fromty, toty)
    base BaseContext.get_constant(self, ty, val)
    base BaseContext.get_data_type(self, ty)
    base BaseContext.get_dummy_value(self)
    base BaseContext.get_value_type(self, ty)
    callconv CPUCallConv.call_function(self, builder, callee, resty, argtys, args)
    callconv CPUCallConv.get_function_type(self, restype, argtypes)
    cgutils alloca_once(builder, ty, size)
    cgutils alloca_once_value(builder, value)
    cgutils for_range(builder, count, start)
    cgutils get_or_insert_function(module, fnty, name)
    cgutils unpack_tuple(builder, tup)
    codegen JITCodeLibrary.get_pointer_to_function(self, name)
    compiler_lock global_compiler_lock
    cpu CPUContext.call_conv
    cpu CPUContext.codegen(self)
    dispatcher Dispatcher.compile(self, sig)
    imputils impl_ret_borrowed(ctx, builder, retty, ret)
    funcdesc FunctionDescriptor.llvm_func_name
    registry CPUTarget.target_context
    registry cpu_target
    numba.core.typing.templates AttributeTemplate
    """,
)
"""How machine code is written, called and found: what numba's own extensions are written with."""

FEATURES = (PIPELINE, DISK_CACHE, HINTS, CALLED_LOOPS)

if ESSENTIAL.error is not None:
    raise ImportError(first_line(ESSENTIAL.error)) from ESSENTIAL.error

_reported: list[bool] = []


def report() -> None:
    """Warns once in a process if any feature is lost."""
    lost = [each for each in FEATURES if not each.works]
    if not lost or _reported:
        return
    _reported.append(True)
    consequences, causes = ("; ".join(dict.fromkeys(each)) for each in zip(*map(_texts, lost), strict=True))
    message = f"numba does not fit typednn: {consequences} ({causes}; {compiler_versions()})"
    warnings.warn(message, stacklevel=2)


def _texts(lost: Feature) -> tuple[str, str]:
    assert lost.error is not None
    return lost.without, first_line(lost.error)


def _raise(error: Exception) -> NoReturn:
    raise error


on_compiled: list[Callable[[str], None]] = []
"""Called with the name of a kernel when it is there, with all that it calls."""

on_failure: list[Callable[[Exception], Kernels]] = [_raise]
"""The last is called with the error when a kernel cannot be compiled; it returns kernels to run instead."""


def kernels_after(error: Exception) -> Kernels:
    """Returns the kernels to run instead of one that cannot be compiled.

    Raises the error where `on_failure` knows none.
    """
    return on_failure[-1](error)
