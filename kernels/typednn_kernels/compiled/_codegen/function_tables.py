"""Tables of loops that are called by address, and how functions written in LLVM are compiled and kept.

The loop over a formula, the library's or a user's, is compiled when it is first needed, and called: a layer
costs one indirect call. Addresses differ from process to process. So they lie in tables in memory, by code,
and the machine code, which is kept on disk, knows the symbols of the tables. At first each address is that of
a function that has a thread call Python, which compiles the loop, stores its address in place of the first,
and calls it. In the main thread Ctrl-C could raise KeyboardInterrupt before the first line of Python: ctypes
would drop it, and nothing would be computed.
"""

# pyright: reportUnknownLambdaType=false
# Formulas written as lambdas have no types.

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir as llvm
from llvmlite.binding import add_symbol
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray

from typednn_kernels.arrays import Values
from typednn_kernels.compiled._codegen.cache.files import CacheFile
from typednn_kernels.compiled._codegen.in_python.twins import JIT_DISABLED, TypedIntrinsic
from typednn_kernels.compiled._codegen.ir_loops import Formula, Operand, unpack_operands, write_loop
from typednn_kernels.compiled._codegen.ir_types import (
    INDEX,
    NULL,
    POINTER,
    call_in_thread,
    call_pointer,
    field_pointer,
    internal_function,
    stored,
    struct_fields,
)
from typednn_kernels.compiled._codegen.jit import CACHE
from typednn_kernels.compiled._codegen.private_parts import CALLED_LOOPS, DISK_CACHE, PIPELINE, report
from typednn_kernels.compiled._codegen.small_stacks import deliver_again, with_large_stack
from typednn_kernels.tracing import TracedFormula

if TYPE_CHECKING:
    from numba.core.base import BaseContext
    from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
    from numba.core.typing.templates import Signature

CAPACITY = 1024
"""Number of codes in a table."""

TABLES: list[FunctionTable] = []

SCALAR_TYPES: dict[np.dtype[np.floating], tuple[type[ctypes.c_float | ctypes.c_double], llvm.Type]] = {
    np.dtype(np.float32): (ctypes.c_float, llvm.FloatType()),
    np.dtype(np.float64): (ctypes.c_double, llvm.DoubleType()),
}
EXPORTED_NAME = "written"
"""The name of a function that is called by address, in its library."""

MAX_FILES = 128
"""Number of files that are kept for tiny networks, and for each table: the last used."""

LIBRARIES: list[object] = []
"""What keeps machine code in memory."""


def address_of_compiled(name: str, key: object, write: Callable[[llvm.Module], None]) -> int:
    """Returns the address of the function that `write` writes in a module, or that is read from disk.

    Its name there is `EXPORTED_NAME`. The address is 0 where the function cannot be compiled.
    """

    def compiled() -> int:
        with CALLED_LOOPS, global_compiler_lock:
            library = _library(name, key, write, cpu_target.target_context.codegen)
            LIBRARIES.append(library)
            return library.get_pointer_to_function(EXPORTED_NAME)
        return 0

    return with_large_stack(compiled)


class CalledFunction:
    """A function written in LLVM, as `address_of_compiled` returns, whose memory is freed with this object.

    Attributes:
        address: where it is.
    """

    def __init__(self, name: str, key: object, write: Callable[[llvm.Module], None]) -> None:
        from numba.core.codegen import JITCPUCodegen

        self.library: JITCodeLibrary = _library(name, key, write, lambda: JITCPUCodegen(name))
        self.address: int = self.library.get_pointer_to_function(EXPORTED_NAME)

    @classmethod
    def compiled(cls, name: str, key: object, write: Callable[[llvm.Module], None]) -> CalledFunction | None:
        """Returns the function, or None where it cannot be compiled."""

        def made() -> CalledFunction | None:
            with CALLED_LOOPS, global_compiler_lock:
                return cls(name, key, write)
            return None

        return with_large_stack(made)


def _library(
    name: str,
    key: object,
    write: Callable[[llvm.Module], None],
    codegen: Callable[[], JITCPUCodegen],
) -> JITCodeLibrary:
    """Returns the machine code in memory of what `codegen` returns."""
    common = cpu_target.target_context.codegen()
    file = CacheFile(CACHE, name, key, common, kept=MAX_FILES)
    with file.claimed():
        with DISK_CACHE:
            if (kept := file.read()) is not None:
                return codegen().unserialize_library(kept)
        library = _compiled_library(name, write, codegen())
        with DISK_CACHE:
            if DISK_CACHE.works:
                kept = library.serialize_using_object_code()
                file.write(kept)
                if library._codegen is not common:  # machine code alone takes a tenth of the memory
                    library = codegen().unserialize_library(kept)
    return library


def _new_library(codegen: JITCPUCodegen, name: str) -> JITCodeLibrary:
    with PIPELINE:
        if PIPELINE.works:
            from typednn_kernels.compiled._codegen.numba_pipeline import Library

            return Library(codegen, name)
    return codegen.create_library(name)


def _compiled_library(
    name: str, write: Callable[[llvm.Module], None], codegen: JITCPUCodegen
) -> JITCodeLibrary:
    library = _new_library(codegen, name)
    with DISK_CACHE:
        library.enable_object_caching()
    module = library.create_ir_module(name)
    write(module)
    library.add_ir_module(module)
    return library


def _call_address(_context: object, address: types.Type, *arguments: types.Type) -> TypedIntrinsic:
    def generate(
        context: BaseContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        place, packed = values
        operands = unpack_operands(context, builder, signature.args[1], packed)
        given = [each.data or each.value for each in operands]
        function = llvm.FunctionType(llvm.VoidType(), [each.type for each in given])
        call_pointer(builder, builder.inttoptr(place, POINTER), function, given)
        return context.get_dummy_value()

    return types.none(address, types.StarArgTuple.from_types(arguments)), generate


call_address: Callable[..., None] = intrinsic(_call_address)
"""`call_address(address, *arguments)`: calls a function of the C language, with arrays as pointers."""


class FunctionTable:
    """A table of loops by code, for each dtype.

    Args:
        name: of the loops, for symbols and files.
        operands: a letter for each: v for a vector, n for a scalar. The last vector of a loop that does
            not sum is its result.
        source: returns the formula of a code.
        codes: the codes of the library's formulas, which are compiled ahead of time.
        adapted: returns the formula of the loop for that of the code.
        sums: whether a loop returns the sum of the formula.
    """

    def __init__(
        self,
        name: str,
        operands: str,
        source: Callable[[int], Formula | None],
        codes: Iterable[int],
        adapted: Callable[..., Formula | None] = lambda formula: formula,
        *,
        sums: bool = False,
    ) -> None:
        self.name: str = name
        self.operands: str = operands
        self.source: Callable[[int], Formula | None] = source
        self.codes: tuple[int, ...] = tuple(codes)
        self.adapted: Callable[..., Formula | None] = adapted
        self.sums: bool = sums
        self.addresses: dict[np.dtype[np.floating], NDArray[np.int64]] = {
            dtype: np.zeros(CAPACITY, np.int64) for dtype in SCALAR_TYPES
        }
        self.kept: list[object] = []
        TABLES.append(self)
        if not JIT_DISABLED:
            for dtype, table in self.addresses.items():
                add_symbol(self._symbol(dtype), table.ctypes.data)
                first = self._prototype(dtype)(self._first_call(dtype))
                self.kept.append(first)
                table[:] = ctypes.cast(first, ctypes.c_void_p).value or 0
                add_symbol(f"{self._symbol(dtype)}_in_python", int(table[0]))

    def formula(self, code: int) -> Formula | None:
        """Returns the formula of a code."""
        return self.adapted(self.source(code))

    def call(
        self, builder: llvm.IRBuilder, code: llvm.Value, n: llvm.Value, operands: Sequence[Operand]
    ) -> llvm.Value:
        """Writes a call of the loop over the formula of a code."""
        values = [each.value if each.data is None else each.data for each in operands]
        real = next(each.element for each in operands if each.data is not None)
        dtype = next(dtype for dtype, (_, kind) in SCALAR_TYPES.items() if kind == real)
        kind = llvm.FunctionType(
            real if self.sums else llvm.VoidType(), [INDEX, INDEX, *(each.type for each in values)]
        )
        name, module = self._symbol(dtype), builder.module
        places = llvm.ArrayType(POINTER, CAPACITY)
        table = module.globals.get(name) or llvm.GlobalVariable(module, places, name)
        place = builder.gep(table, [INDEX(0), code], inbounds=True, source_etype=places)
        return call_pointer(builder, builder.load(place, typ=POINTER), kind, [code, n, *values])

    def compile(self, dtype: np.dtype[np.floating], code: int) -> int:
        """Compiles the loop of a code, or reads it from disk; from then on it is called directly.

        Raises RuntimeError where it cannot be compiled.
        """
        formula = self.formula(code)
        assert formula is not None

        def write(module: llvm.Module) -> None:
            write_loop(module, EXPORTED_NAME, formula, SCALAR_TYPES[dtype][1], self.operands, sums=self.sums)

        address = address_of_compiled(self._file(code), (self.operands, dtype), write)
        if not address:
            raise RuntimeError(f"the loop {self.name!r} of the formula {code} cannot be compiled")
        self.addresses[dtype][code] = address
        return address

    def _symbol(self, dtype: np.dtype[np.floating]) -> str:
        return f"typednn_{self.name}_{dtype}"

    def _file(self, code: int) -> str:
        """Returns the name of the file of a loop; a user's formula is identified by what it computes."""
        source = self.source(code)
        return f"{self.name}-{source.digest if isinstance(source, TracedFormula) else code}"

    def _prototype(self, dtype: np.dtype[np.floating]) -> type[ctypes._CFunctionType]:
        real, _ = SCALAR_TYPES[dtype]
        kinds = [ctypes.c_void_p if each == "v" else real for each in self.operands]
        return ctypes.CFUNCTYPE(real if self.sums else None, ctypes.c_int64, ctypes.c_int64, *kinds)

    def _first_call(self, dtype: np.dtype[np.floating]) -> Callable[..., object]:
        real, _ = SCALAR_TYPES[dtype]

        def run(code: int, n: int, *operands: float) -> object:
            try:
                loop = self._prototype(dtype)(self.compile(dtype, code))
                report()
                return loop(code, n, *operands)
            except BaseException as error:  # noqa: BLE001 (no exception passes through machine code)
                arrays: list[Values] = [
                    np.ctypeslib.as_array(ctypes.cast(each, ctypes.POINTER(real)), (n,))
                    if isinstance(each, int)
                    else np.array(each, dtype)
                    for each in operands
                ]
                if isinstance(error, KeyboardInterrupt):  # raised here, ctypes would drop it
                    deliver_again()
                result = self._in_python(code, arrays)
                report()
                return result

        return run

    def write_first_call(self, module: llvm.Module, dtype: np.dtype[np.floating]) -> None:
        """Writes the function that has a thread call Python, or calls it itself without one."""
        _, real = SCALAR_TYPES[dtype]
        result = real if self.sums else llvm.VoidType()
        arguments = [INDEX, INDEX, *(POINTER if each == "v" else real for each in self.operands)]
        kind, symbol = llvm.FunctionType(result, arguments), self._symbol(dtype)
        python = llvm.Function(module, kind, f"{symbol}_in_python")
        job = llvm.LiteralStructType([*arguments, real])

        def run(builder: llvm.IRBuilder, place: llvm.Value) -> None:
            found = builder.call(python, struct_fields(builder, place, job)[:-1])
            if self.sums:
                builder.store(found, field_pointer(builder, place, job, len(arguments)))
            builder.ret(NULL)

        thread = internal_function(module, f"{symbol}_thread", POINTER, (POINTER,), run)
        function = llvm.Function(module, kind, self._first_name(dtype))
        builder = llvm.IRBuilder(function.append_basic_block("entry"))
        _, place = stored(builder, [*function.args, real(0.0)])
        call_in_thread(builder, thread, place)
        if self.sums:
            builder.ret(struct_fields(builder, place, job)[-1])
        else:
            builder.ret_void()

    def _first_name(self, dtype: np.dtype[np.floating]) -> str:
        return f"{self._symbol(dtype)}_first"

    def _in_python(self, code: int, arrays: list[Values]) -> float | None:
        """Computes the loop in NumPy, for the call in which the compiler failed or was interrupted."""
        formula = self.formula(code)
        assert formula is not None
        with np.errstate(all="ignore"):
            if self.sums:
                return float(np.sum(formula(*arrays)))
            *arguments, out = arrays
            out[...] = formula(*arguments)
        return None


def start_threads_for_first_calls() -> None:
    """Has all tables call Python in a thread; they call it themselves where that cannot be compiled."""
    if JIT_DISABLED or os.name != "posix":
        return

    def write(module: llvm.Module) -> None:
        for table in TABLES:
            for dtype in table.addresses:
                table.write_first_call(module, dtype)

    def install() -> None:
        with CALLED_LOOPS, global_compiler_lock:
            key = [(table.name, table.operands, table.sums) for table in TABLES]
            library = _library("first_calls", key, write, cpu_target.target_context.codegen)
            LIBRARIES.append(library)
            for table in TABLES:
                for dtype, places in table.addresses.items():
                    places[places == places[-1]] = library.get_pointer_to_function(table._first_name(dtype))

    with_large_stack(install)


def compile_tables(dtype: np.dtype[np.floating]) -> None:
    """Compiles all loops of the library for a dtype."""
    for table in [] if JIT_DISABLED else TABLES:
        for code in table.codes:
            table.compile(dtype, code)
