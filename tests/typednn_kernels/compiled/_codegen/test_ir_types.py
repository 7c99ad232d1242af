"""No load, address or call in the kernels relies on a pointer that knows its element type."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typednn_kernels

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
KERNELS = Path(str(typednn_kernels.__file__)).parent
SOURCES = sorted(KERNELS.rglob("*.py"))
PROGRAM = """
import sys
import numpy as np
from llvmlite import ir

def demand(name, argument):
    known = getattr(ir.IRBuilder, name)
    def checked(self, *arguments, **named):
        if str(sys._getframe(1).f_globals["__name__"]).startswith("typednn_kernels"):
            assert named.get(argument) is not None, name
            count.append(name)
        return known(self, *arguments, **named)
    setattr(ir.IRBuilder, name, checked)

count = []
for name, argument in ("load", "typ"), ("load_atomic", "typ"), ("gep", "source_etype"):
    demand(name, argument)
from typednn_kernels.compiled.entry_points import kernels_for
kernels = kernels_for(np.dtype(np.float32))
for name in "affine", "activation_derivative", "normalize", "output_delta", "try_copy_sample":
    getattr(kernels, name)
from typednn_kernels.compiled.parallel.thread_pool import RUN_PARTS
RUN_PARTS.prepare()
print(*sorted(set(count)))
"""


def test_no_source_makes_or_reads_a_typed_pointer() -> None:
    typed = re.compile(r"as_pointer|pointee|PointerType\([^)]")

    assert [each for each in SOURCES if typed.search(each.read_text(encoding="utf-8"))] == []


@pytest.mark.full("compiles five kernels, and keeps none")
@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_every_load_and_every_address_names_its_element_type() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env=os.environ | {"TYPEDNN_CACHE_DIR": os.devnull, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.split() == ["gep", "load", "load_atomic"], done.stderr


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_a_call_by_address_names_the_type_of_its_function() -> None:
    ir = import_module("llvmlite.ir")
    ir_types = import_module("typednn_kernels.compiled._codegen.ir_types")
    kind = ir.FunctionType(ir_types.INDEX, [ir_types.POINTER])

    def write(builder: Any, address: Any) -> None:
        pointer = builder.inttoptr(address, ir_types.POINTER)
        builder.ret(ir_types.call_pointer(builder, pointer, kind, [pointer]))

    module = ir.Module()
    ir_types.internal_function(module, "caller", ir_types.INDEX, [ir_types.INDEX], write)

    assert re.search(r"call i64 %\S+\(ptr %\S+\)", str(module)), str(module)
