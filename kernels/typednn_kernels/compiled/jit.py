"""How functions are compiled, and where machine code is kept: the one module that imports numba.

- `kernel`: a loop that keeps the order of additions.
- `reduction`: a loop whose sums may be reordered, so that LLVM vectorises them.
- `formula`: a scalar formula in which numbers like `1` and `0.5` take the dtype of the arguments, as
  they do in NumPy (NEP 50). numba alone would make them float64, and float32 formulas with them.
- `means`: the compiled meaning of a function of `typednn_kernels.elementary`.

Machine code is kept in a folder named after a digest of every kernel source, numba's version and the
compile options in force: a change to any of them starts an empty folder, so old code is never run.
numba itself adds the CPU to the key. Where no folder can be written, code is compiled for the process.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
from llvmlite import ir as llvm
from numba import types
from numba.core import config, ir
from numba.core.compiler import Compiler, CompilerBase, DefaultPassBuilder, StateDict
from numba.core.compiler_machinery import FunctionPass, PassManager, register_pass
from numba.core.untyped_passes import IRProcessing
from numba.extending import intrinsic, overload
from numba.misc.appdirs import AppDirs
from typing_extensions import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

SOURCES = Path(__file__).resolve().parent.parent
EXACT = {"contract"}
REORDERED = {"contract", "reassoc"}


def source_digest() -> str:
    """What the machine code depends on beside the CPU, in 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for source in sorted(SOURCES.rglob("*.py")):
        digest.update(source.relative_to(SOURCES).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    options = sorted((name, value) for name, value in os.environ.items() if name.startswith("NUMBA_"))
    digest.update(repr((numba.__version__, np.__version__, platform.python_version(), options)).encode())
    return digest.hexdigest()[:16]


def cache_folder() -> Path | None:
    """The folder for machine code, made if need be; None where nothing can be written.

    `TYPEDNN_CACHE_DIR` sets its parent; by default it is the user's cache folder of the platform.
    """
    parent = os.environ.get("TYPEDNN_CACHE_DIR") or AppDirs("typednn", False).user_cache_dir
    folder = Path(parent) / source_digest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    return folder


CACHE = cache_folder()


@register_pass(mutates_CFG=False, analysis_only=False)
class WeakNumbers(FunctionPass):
    """Gives the numbers written in a formula the dtype of its arguments; exponents stay integers."""

    _name = "typednn_weak_numbers"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: StateDict) -> bool:
        """Replaces the constants of the untyped representation."""
        dtype = next((each for each in state.args if isinstance(each, types.Float)), None)
        if dtype is None:
            return False
        cast = np.float32 if dtype == types.float32 else np.float64
        assignments = [
            each for block in state.func_ir.blocks.values() for each in block.find_insts(ir.Assign)
        ]
        exponents = {
            each.value.rhs.name
            for each in assignments
            if isinstance(each.value, ir.Expr)
            and each.value.op == "binop"
            and each.value.fn.__name__ == "pow"
        }
        for each in assignments:
            number = each.value
            if isinstance(number, ir.Const | ir.Global | ir.FreeVar) and (
                type(number.value) is float
                or (type(number.value) is int and each.target.name not in exponents)
            ):
                each.value = ir.Const(cast(number.value), number.loc)
        return True


class FormulaCompiler(CompilerBase):
    """numba's compiler with `WeakNumbers` before type inference."""

    def define_pipelines(self) -> list[PassManager]:
        """The passes, in order."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(WeakNumbers, IRProcessing)
        passes.finalize()
        return [passes]


def compiled(
    function: Callable[P, R], *, fastmath: set[str], cache: bool = False, weak_numbers: bool = False
) -> Callable[P, R]:
    """The function, compiled for the dtypes of a call at its first call with them."""
    folder, config.CACHE_DIR = config.CACHE_DIR, str(CACHE or "")
    try:
        dispatcher: Callable[P, R] = numba.njit(
            cache=cache and CACHE is not None,
            error_model="numpy",
            fastmath=fastmath,
            nogil=True,
            pipeline_class=FormulaCompiler if weak_numbers else Compiler,
        )(function)
    finally:
        config.CACHE_DIR = folder
    return dispatcher


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function that kernels call; sums keep their order."""
    return compiled(function, fastmath=EXACT)


def reduction(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function that kernels call; sums may be reordered, which vectorises them."""
    return compiled(function, fastmath=REORDERED)


def formula(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a scalar formula in which written numbers take the dtype of the arguments."""
    return compiled(function, fastmath=EXACT, weak_numbers=True)


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """Compiles a function that Python calls, and keeps its machine code on disk."""
    return compiled(function, fastmath=EXACT, cache=True)


def means(elementary: Callable[P, R]) -> Callable[[Callable[P, Callable[P, R]]], None]:
    """Registers the compiled meaning of an elementary function.

    The decorated function gets the argument types and returns the Python function to compile for them.
    """
    options = {"fastmath": EXACT, "error_model": "numpy"}

    def register(choose: Callable[P, Callable[P, R]]) -> None:
        overload(elementary, jit_options=options)(choose)

    return register


def is_float32(argument: object) -> bool:
    """Whether an argument type, as `means` hands it over, is float32."""
    return argument == types.float32


def _reinterpretation(source: types.Type, target: types.Type, shape: llvm.Type) -> Callable[..., object]:
    def typer(_context: object, value: types.Type) -> tuple[object, object] | None:
        if value != source:
            return None

        def generate(_target: object, builder: llvm.IRBuilder, _signature: object, args: list[llvm.Value]) -> llvm.Value:
            return builder.bitcast(args[0], shape)

        return target(source), generate

    return intrinsic(typer)


float32_of_bits = _reinterpretation(types.int32, types.float32, llvm.FloatType())
float64_of_bits = _reinterpretation(types.int64, types.float64, llvm.DoubleType())
bits_of_float32 = _reinterpretation(types.float32, types.int32, llvm.IntType(32))
bits_of_float64 = _reinterpretation(types.float64, types.int64, llvm.IntType(64))
"""The same bits read as another type; for kernels, which alone can call them."""
