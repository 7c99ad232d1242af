"""Functions that are compiled once, each by itself, and called by all others.

An inlined function is compiled again with each function that calls it. So what is long, and called for a
batch or a layer and not for a single element, is not inlined. Machine code is kept on disk, and addresses
differ from process to process: it knows each function by a symbol. Before a function is compiled or read from
disk, those that it calls are, and LLVM is told their addresses.

Functions that few networks need are compiled on demand. A caller finds the address of such a function in
memory. While it is 0 there, the caller has a thread call Python, which compiles the function. Nothing can be
raised in the middle of a kernel: Ctrl-C interrupts Python after it, and a function that cannot be compiled is
run by Python from then on, for this kernel; those that follow are NumPy's. In the main thread Ctrl-C could
raise KeyboardInterrupt before the first line of Python, for nobody.
"""

from __future__ import annotations

import ctypes
import gc
import inspect
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, ForwardRef, ParamSpec, TypeGuard, TypeVar

import numba
import numpy as np
from llvmlite import ir as llvm
from llvmlite.binding import add_symbol
from numba import types
from numba.core import cgutils
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic
from numpy.typing import NDArray

from typednn_kernels.arrays import F, Layout, Vector
from typednn_kernels.compiled._codegen.array_views import view
from typednn_kernels.compiled._codegen.cache.files import claim_of
from typednn_kernels.compiled._codegen.in_python.callbacks import callback_in_python
from typednn_kernels.compiled._codegen.in_python.twins import TypedIntrinsic, with_twin
from typednn_kernels.compiled._codegen.ir_types import (
    INDEX,
    POINTER,
    FunctionAt,
    call_in_thread,
    internal_function,
    opaque,
)
from typednn_kernels.compiled._codegen.private_parts import (
    CALLS_OF_USERS,
    DISK_CACHE,
    HINTS,
    PIPELINE,
    kernels_after,
    on_compiled,
    report,
)
from typednn_kernels.compiled._codegen.references import Reference
from typednn_kernels.compiled._codegen.small_stacks import with_large_stack
from typednn_kernels.layout import LENGTH

if TYPE_CHECKING:
    from numba.core.compiler import CompileResult
    from numba.core.cpu import CPUContext
    from numba.core.typing.templates import Signature

P = ParamSpec("P")
R = TypeVar("R")

NOINLINE_FUNCTIONS: dict[object, NoinlineFunction] = {}
"""The `noinline` functions, by the intrinsics that call them."""

DISPATCHERS: list[Dispatcher] = []
"""All functions that numba is to compile."""
COMPILE = "typednn_compile_on_demand"
"""The symbol of what compiles the function whose address is missing."""

ON_DEMAND: dict[int, AddressOnDemand] = {}
"""All addresses of functions on demand, by where in memory they are."""

PRIVATE_OPTIONS = frozenset({"_nrt", "forceinline", "no_cfunc_wrapper", "no_cpython_wrapper"})


class NoinlineFunction:
    """A function whose parameters are annotated, with a symbol for each dtype."""

    is_on_demand: bool = False

    def __init__(self, dispatcher: Dispatcher) -> None:
        function = dispatcher.py_func
        self.dispatcher: Dispatcher = dispatcher
        self.name: str = f"{function.__module__}.{function.__qualname__}"
        self.ready: set[np.dtype[np.floating]] = set()

    def prepare(self, dtype: np.dtype[np.floating]) -> None:
        """Compiles the function for a dtype, or reads its code from disk, and tells LLVM its address."""
        if dtype not in self.ready:
            add_symbol(self.symbol(dtype), self.compiled(dtype))
            self.ready.add(dtype)

    def compiled(self, dtype: np.dtype[np.floating]) -> int:
        """Compiles the function for a dtype, or reads its code from disk, and returns its address."""
        code = compile_for(self.dispatcher, signature_of(self.dispatcher.py_func, dtype).args)
        address: int = code.library.get_pointer_to_function(code.fndesc.llvm_func_name)
        return address

    def callee(
        self, builder: llvm.IRBuilder, kind: llvm.FunctionType, dtype: np.dtype[np.floating]
    ) -> llvm.Value:
        """Returns what a caller calls: a symbol, whose address LLVM is told before the caller is compiled."""
        self.prepare(dtype)
        return cgutils.get_or_insert_function(builder.module, kind, self.symbol(dtype))

    def call(
        self,
        context: CPUContext,
        builder: llvm.IRBuilder,
        kinds: Sequence[types.Type],
        values: Sequence[llvm.Value],
    ) -> llvm.Value:
        """Writes a call with values of some types, which are cast to those of the annotations."""
        dtype = dtype_among(kinds)
        signature = signature_of(self.dispatcher.py_func, dtype)
        operands = [
            context.cast(builder, value, kind, wanted)
            for value, kind, wanted in zip(values, kinds, signature.args, strict=True)
        ]
        kind = context.call_conv.get_function_type(signature.return_type, signature.args)
        _, result = context.call_conv.call_function(
            builder, self.callee(builder, kind, dtype), signature.return_type, signature.args, operands
        )
        return result

    def symbol(self, dtype: np.dtype[np.floating]) -> str:
        """Returns the symbol by which machine code calls the function."""
        return f"typednn_{self.name}_{dtype}"


class AddressOnDemand:
    """A place in memory for the address of a function, which is compiled when machine code needs it.

    Args:
        name: of the function, for messages.
        symbol: by which machine code knows the place.
        compiled: compiles the function and returns its address.
        instead: returns the address of what computes the same without being compiled.
        dtype: of the arrays that it takes, if any.
    """

    def __init__(
        self,
        name: str,
        symbol: str,
        compiled: Callable[[], int],
        instead: Callable[[], int],
        dtype: np.dtype[np.floating] | None = None,
    ) -> None:
        self.name: str = name
        self.symbol: str = symbol
        self.compiled: Callable[[], int] = compiled
        self.instead: Callable[[], int] = instead
        self.dtype: np.dtype[np.floating] | None = dtype
        self.address: NDArray[np.int64] = np.zeros(1, np.int64)
        ON_DEMAND[self.address.ctypes.data] = self
        add_symbol(symbol, self.address.ctypes.data)

    def prepare(self) -> None:
        """Compiles the function, or reads its code from disk, unless its address is there."""
        if not self.address[0]:
            self.address[0] = self.compiled()

    def load(self, builder: llvm.IRBuilder) -> llvm.Value:
        """Writes what loads the address, after the function has been compiled if it is missing."""
        module = builder.module
        place = module.globals.get(self.symbol) or llvm.GlobalVariable(module, INDEX, self.symbol)
        builder.call(internal_function(module, "ensure", llvm.VoidType(), (POINTER,), _write_ensure), [place])
        return builder.inttoptr(builder.load(place, typ=INDEX), POINTER)


class OnDemandFunction(NoinlineFunction):
    """A function that machine code has compiled when it first calls it."""

    is_on_demand: bool = True

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__(dispatcher)
        self.addresses: dict[np.dtype[np.floating], AddressOnDemand] = {
            dtype: AddressOnDemand(
                self.name,
                self.symbol(dtype),
                partial(self.compiled, dtype),
                partial(self.in_python, dtype),
                dtype,
            )
            for dtype in (np.dtype(np.float32), np.dtype(np.float64))
        }

    def prepare(self, dtype: np.dtype[np.floating]) -> None:
        """Compiles the function for a dtype, or reads its code from disk, and stores its address."""
        self.addresses[dtype].prepare()

    def in_python(self, dtype: np.dtype[np.floating]) -> int:
        """Returns the address of what calls Python in place of machine code."""
        return callback_in_python(self.dispatcher, signature_of(self.dispatcher.py_func, dtype))

    def callee(
        self, builder: llvm.IRBuilder, kind: llvm.FunctionType, dtype: np.dtype[np.floating]
    ) -> llvm.Value:
        """Returns what a caller calls: an address that it loads."""
        return FunctionAt(self.addresses[dtype].load(builder), kind)


def callable_by_address(function: Callable[P, R], itself: NoinlineFunction) -> Callable[P, R]:
    """Returns the intrinsic that calls a compiled function."""

    def generate(
        context: CPUContext, builder: llvm.IRBuilder, signature: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        return itself.call(context, builder, signature.args, values)

    def typer(_context: object, *arguments: types.Type) -> TypedIntrinsic:
        return signature_of(function, dtype_among(arguments)), generate

    parameters = inspect.signature(function).parameters.values()
    first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    vars(typer)["__signature__"] = inspect.Signature([first, *parameters])
    caller: Callable[P, R] = with_twin(intrinsic(typer), function)
    NOINLINE_FUNCTIONS[caller] = itself
    return caller


def predictor_of(
    kernel: Callable[..., object], parameters: Vector[F], layout: Layout, memory_size: int
) -> Callable[[Vector[F]], Vector[F]]:
    """Returns a function that predicts one sample, for what numba compiles for users.

    Their machine code has the addresses of the kernel and of the parameters, which are therefore kept until
    the process ends; numba does not store such code on disk.

    Args:
        kernel: `Kernels.predict`, compiled.
        parameters: the parameters, as they are at each call.
        layout: their layout.
        memory_size: the number of elements that the kernel needs to work with.

    Raises:
        ImportError: this numba has no such addresses.
    """
    if not CALLS_OF_USERS.works:
        raise ImportError(f"{CALLS_OF_USERS.without}: {CALLS_OF_USERS.error}") from CALLS_OF_USERS.error
    inputs, outputs, real = int(layout[0, LENGTH]), int(layout[-1, LENGTH]), parameters.dtype.type
    call = _predict_by_address(kernel, parameters, layout)
    message = f"the sample must have the shape ({inputs},)"

    @numba.njit()
    def predict(sample: Vector[F]) -> Vector[F]:
        if sample.shape != (inputs,):
            raise ValueError(message)
        x, memory = np.empty((1, inputs), real), np.empty(memory_size, real)
        x[0, :] = sample
        y = np.empty((1, outputs), real)
        if not call(x, memory, y):
            y[:] = np.nan
        row: Vector[F] = y[0]
        return row

    _kept_for_users.append((parameters, layout))
    predictor: Callable[[Vector[F]], Vector[F]] = predict
    return predictor


_kept_for_users: list[tuple[object, object]] = []
"""Arrays whose addresses are in machine code of users."""


def _predict_by_address(
    kernel: Callable[..., object], parameters: Vector[F], layout: Layout
) -> Callable[..., object]:
    if not isinstance(kernel, Dispatcher):  # NUMBA_DISABLE_JIT
        return partial(kernel, parameters, layout)
    signature = signature_of(kernel.py_func, parameters.dtype)
    compiled_for(kernel, parameters.dtype)
    code = compile_for(kernel, signature.args)
    address = code.library.get_pointer_to_function(code.fndesc.llvm_func_name)

    def generate(
        context: CPUContext, builder: llvm.IRBuilder, given: Signature, values: Sequence[llvm.Value]
    ) -> llvm.Value:
        def at(place: int) -> llvm.Value:
            return opaque(context.add_dynamic_addr(builder, place, "typednn"))

        def array(kind: types.Array, of: NDArray[np.generic]) -> llvm.Value:
            shape = [context.get_constant(types.intp, each) for each in of.shape]
            return view(context, builder, kind, at(of.ctypes.data), shape)

        network = [array(signature.args[0], parameters), array(signature.args[1], layout)]
        function = FunctionAt(
            at(address), context.call_conv.get_function_type(signature.return_type, signature.args)
        )
        _, result = context.call_conv.call_function(
            builder, function, signature.return_type, signature.args, [*network, *values]
        )
        return result

    def typer(_context: object, x: types.Type, memory: types.Type, y: types.Type) -> TypedIntrinsic:
        return signature.return_type(x, memory, y), generate

    caller: Callable[..., object] = intrinsic(typer)
    return caller


def noinline_functions_of(function: Callable[..., object]) -> Iterator[NoinlineFunction]:
    """Yields the `noinline` functions that a function calls, directly or through inlined functions.

    Those that are compiled on demand need not be there before it.
    """
    for called in inspect.getclosurevars(function).globals.values():
        if isinstance(called, Dispatcher):
            yield from noinline_functions_of(called.py_func)
        elif (
            callable(called) and called in NOINLINE_FUNCTIONS and not NOINLINE_FUNCTIONS[called].is_on_demand
        ):
            yield NOINLINE_FUNCTIONS[called]


def dtype_among(kinds: Iterable[types.Type]) -> np.dtype[np.floating]:
    """Returns the dtype of the float arrays among some types, those in named tuples included."""
    arrays = (each.dtype for each in _flattened(kinds) if isinstance(each, types.Array))
    return np.dtype(str(next(each for each in arrays if isinstance(each, types.Float))))


def _flattened(kinds: Iterable[types.Type]) -> Iterator[types.Type]:
    for kind in kinds:
        if isinstance(kind, Reference):
            yield from _flattened(kind.fields.types)
        elif isinstance(kind, types.BaseNamedTuple):
            yield from _flattened(kind.types)
        else:
            yield kind


def signature_of(function: Callable[..., object], dtype: np.dtype[np.floating]) -> Signature:
    """Returns the numba signature of an annotated function where F is a dtype.

    A named tuple of arrays is passed by reference, one with tuples in it by value.
    """
    *arguments, result = _annotated(function, dtype)
    return result(*(Reference(each) if _is_by_reference(each) else each for each in arguments))


def _is_by_reference(kind: types.Type) -> TypeGuard[types.BaseNamedTuple]:
    fields = kind.types if isinstance(kind, types.BaseNamedTuple) else ()
    has_tuples = any(isinstance(each, types.BaseTuple) for each in fields)
    return not has_tuples and any(isinstance(each, types.Array) for each in fields)


def _annotated(annotated: Callable[..., object], dtype: np.dtype[np.floating]) -> list[types.Type]:
    real, index = numba.from_dtype(dtype), types.intp
    arrays = {"Vector[F]": (real, 1), "Matrix[F]": (real, 2), "Cube[F]": (real, 3)}
    arrays |= {"Order": (index, 1), "Layout": (index, 2), "Ranges": (index, 2)}
    kinds = {
        "int": index,
        "bool": types.boolean,
        "F": real,
        "float": numba.from_dtype(np.dtype(np.float64)),
        "None": types.none,
    }
    kinds |= {name: types.Array(*kind, "C") for name, kind in arrays.items()}
    kinds["Strided[F]"] = types.Array(real, 1, "A", aligned=False)

    def kind_of(annotation: str | ForwardRef) -> types.Type:
        if isinstance(annotation, ForwardRef):  # what typing makes of the annotations of a named tuple
            annotation = annotation.__forward_arg__
        if annotation in kinds:
            return kinds[annotation]
        named_tuple = names[annotation.removesuffix("[F]")]
        kind: types.Type = types.BaseTuple.from_types(_annotated(named_tuple, dtype), named_tuple)
        return kind

    names = vars(sys.modules[annotated.__module__])
    return [kind_of(each) for each in inspect.get_annotations(annotated).values()]


def compiled_for(entry: Callable[..., object], dtype: np.dtype[np.floating]) -> Callable[..., object]:
    """Compiles a function for a dtype, and returns its entry point, which checks no types."""
    if not isinstance(entry, Dispatcher):
        return entry

    def compiled() -> Callable[..., object]:
        with without_collection():
            return compile_for(entry, signature_of(entry.py_func, dtype).args).entry_point

    try:
        return with_large_stack(compiled)
    finally:
        for call in on_compiled:
            call(entry.py_func.__name__)


def compile_for(dispatcher: Dispatcher, signature: tuple[types.Type, ...]) -> CompileResult:
    """Compiles a function for a signature, or reads its machine code from disk.

    Where that fails, it is tried again without what only saves time, one feature after the other.
    Raises what numba raises without any.
    """
    while True:
        try:
            with claim_of(dispatcher, signature):
                dispatcher.compile(signature)
            return dispatcher.overloads[signature]
        except Exception as error:
            feature = next((each for each in (PIPELINE, DISK_CACHE, HINTS) if each.works), None)
            if feature is None:
                raise
            feature.lose(error)
            for each in DISPATCHERS:
                _use_documented_options(each)


def _use_documented_options(dispatcher: Dispatcher) -> None:
    for option in PRIVATE_OPTIONS & set(dispatcher.targetoptions):
        del dispatcher.targetoptions[option]
    with suppress(AttributeError):  # numba does not try again what it could not type
        dispatcher._compiler._failed_cache.clear()


@contextmanager
def without_collection() -> Generator[None]:
    """Disables the garbage collector while compiling, which saves a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _write_ensure(builder: llvm.IRBuilder, place: llvm.Value) -> None:
    """Writes a loop that has a thread compile the function until its address is there."""
    look, missing, there = (builder.append_basic_block(name) for name in ("look", "missing", "there"))
    builder.branch(look)
    builder.position_at_end(look)
    builder.cbranch(builder.icmp_signed("==", builder.load(place, typ=INDEX), INDEX(0)), missing, there)
    builder.position_at_end(missing)
    compile_it = cgutils.get_or_insert_function(
        builder.module, llvm.FunctionType(POINTER, [POINTER]), COMPILE
    )
    if os.name == "posix":
        call_in_thread(builder, compile_it, place)
    else:
        builder.call(compile_it, [place])
    builder.branch(look)
    builder.position_at_end(there)
    builder.ret_void()


def compile_on_demand(place: int) -> None:
    """Stores the address that is missing at a place: of the compiled function or, failing that, of Python."""
    function = ON_DEMAND[place]

    def compiled() -> None:
        with without_collection():
            function.prepare()

    try:
        try:
            with_large_stack(compiled)
        except Exception:  # noqa: BLE001 (for want of a thread, or of memory for a moment: once more, here)
            gc.collect()
            compiled()
    except Exception as error:  # noqa: BLE001 (whatever a compiler raises)
        function.address[0] = function.instead()
        kernels_after(error)
        return
    for call in on_compiled:
        call(function.name)
    report()


COMPILE_IN_PYTHON = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(compile_on_demand)
add_symbol(COMPILE, ctypes.cast(COMPILE_IN_PYTHON, ctypes.c_void_p).value)


def prepare_all(dtype: np.dtype[np.floating]) -> None:
    """Compiles all functions for a dtype, and those without."""
    for each in ON_DEMAND.values():
        if each.dtype in {None, dtype}:
            each.prepare()
